"""Texture: a VGG-style network of our own and the cross-layer Gram loss on its maps.

Style losses want plain stacks of convolutions: on residual networks they work badly (Nakano 2019, Distill).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from neurobust.attacks.images import chunks
from neurobust.attacks.semantic.blocks import Centre, convolution
from neurobust.attacks.semantic.gates import chance_corrected, gate
from neurobust.attacks.semantic.optimise import LBFGS
from neurobust.attacks.semantic.texture_settings import TextureHelper
from neurobust.attacks.semantic.trainer import Trainer, flipped
from neurobust.files.auxiliary import Gate

STYLE_PAIRS, STYLE_STEPS = 16, 14  # of the gate: the paper's 14 L-BFGS iterations
FIRST_STEP = 0.02  # largest change of a pixel in the first L-BFGS step


class TextureNetwork(nn.Module):
    """[0,1] images (N, 3, H, W) -> logits (N, K): five stages, halved in between, no skips."""

    def __init__(self, classes: int, widths: Sequence[int] = (16, 32, 64, 64, 64)):
        super().__init__()
        self.arguments = {"classes": classes, "widths": list(widths)}
        stages = [nn.Sequential(Centre(), convolution(3, widths[0]))]
        for before, width in itertools.pairwise(widths):
            # ceil_mode: 8 px are the smallest images, and five stages need 16
            stages.append(nn.Sequential(nn.AvgPool2d(2, ceil_mode=True), convolution(before, width)))
        self.stages = nn.ModuleList(stages)
        self.head = nn.Linear(widths[-1], classes)

    def maps(self, images: Tensor) -> list[Tensor]:
        """Activations of each stage, (N, C_l, H / 2^l, W / 2^l)."""
        found = []
        for stage in self.stages:
            images = stage(images)
            found.append(images)
        return found

    def features(self, images: Tensor) -> Tensor:
        """Mean of the last maps (N, C)."""
        return self.maps(images)[-1].mean((2, 3))

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, K)."""
        return self.head(self.features(images))


def cross_grams(maps: Sequence[Tensor]) -> list[Tensor]:
    """Cross-layer Gram matrices (N, C_l, C_{l+1}): mean over places of map l times map l+1, enlarged bilinearly.

    Source: Bhattad et al., ICLR 2020, section 3.2 (Yeh et al. 2018).
    """
    grams = []
    for low, high in itertools.pairwise(maps):
        enlarged = functional.interpolate(high, size=low.shape[2:], mode="bilinear", align_corners=False)
        grams.append(torch.einsum("nihw,njhw->nij", low, enlarged) / (low.shape[2] * low.shape[3]))
    return grams


def texture_loss(grams: Sequence[Tensor], style: Sequence[Tensor], scales: Sequence[Tensor]) -> Tensor:
    """Squared differences of Gram matrices, mean over entries, over C_l^2 and the `scales` (N,), summed: (N,)."""
    parts = [
        (gram - wanted).square().flatten(1).mean(1) / gram.shape[1] ** 2 / scale
        for gram, wanted, scale in zip(grams, style, scales, strict=True)
    ]
    return torch.stack(parts).sum(0)


def gram_scales(grams: Sequence[Tensor]) -> list[Tensor]:
    """Spread of each Gram matrix's entries (N,): it is taken once, from the image that the transfer starts from."""
    return [gram.flatten(1).std(1).clamp_min(1e-8) for gram in grams]


def clamped(points: list[Tensor]) -> list[Tensor]:
    """Pixels back into [0,1]."""
    return [point.clamp(0, 1) for point in points]


def style_fall(network: TextureNetwork, images: Tensor, styles: Tensor, steps: int) -> Tensor:
    """How many times smaller the texture loss of each image is after `steps` L-BFGS steps towards its style: (N,)."""
    with torch.no_grad():
        wanted, start = cross_grams(network.maps(styles)), cross_grams(network.maps(images))
    scales = gram_scales(start)
    first = texture_loss(start, wanted, scales)
    optimiser = LBFGS([images], FIRST_STEP, clamped)
    for _ in range(steps):
        with torch.enable_grad():
            points = optimiser.points[0].detach().requires_grad_()
            values = texture_loss(cross_grams(network.maps(points)), wanted, scales)
            (gradient,) = torch.autograd.grad(values.sum(), points)
        optimiser.tell(values.detach(), [gradient])
    return first / optimiser.value.clamp_min(1e-30)


class TextureTrainer(Trainer[TextureNetwork, TextureHelper]):
    """Cross-entropy on the labels, from another seed than any network under attack; images flipped at random."""

    def build(self) -> TextureNetwork:
        """As wide as the settings say."""
        return TextureNetwork(len(self.data.classes), self.settings.widths)

    def losses(self, images: Tensor, rows: np.ndarray, epoch: int) -> dict[str, Tensor]:
        """Cross-entropy."""
        return {"loss": functional.cross_entropy(self.network(flipped(images)), self.label(rows))}

    def gates(self) -> list[Gate]:
        """Accuracy above chance, and a texture loss that falls tenfold from image to image within 14 steps."""
        rows = self.data.held_out()
        with torch.no_grad():
            hits = [self.network(self.pixels(part)).argmax(1).cpu().numpy() == self.data.labels[part]
                    for part in chunks(rows, 256)]  # fmt: skip
        accuracy = float(np.concatenate(hits).mean())
        skill = chance_corrected(accuracy, len(self.data.classes))
        pair = rows[: 2 * (min(2 * STYLE_PAIRS, len(rows)) // 2)]
        one, other = (self.pixels(pair[side::2]) for side in (0, 1))
        fall = style_fall(self.network, one, other, STYLE_STEPS).median().item()
        return [
            gate("label accuracy above chance", skill, 0.3, note=f"accuracy {accuracy:.3f}, {len(rows)} images"),
            gate("fall of the texture loss", fall, 10, note=f"median of {len(one)} pairs, {STYLE_STEPS} steps"),
        ]
