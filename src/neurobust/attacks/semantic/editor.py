"""A small editor of face attributes, decoder after encoder, and the adversary that it is trained against.

Source: Choi et al., CVPR 2018 (StarGAN): attribute code as input maps, attribute classifier in the adversary. Three
things differ, all for speed. In place of the cycle an image must come back under its own code and an edited one stay
near it. The adversary is spectrally normalised with a hinge loss (Miyato et al., ICLR 2018) and no gradient penalty,
one step of each in turn. The editor has batch norm: instance norm takes the mean of a face's skin away with the rest.
"""

from __future__ import annotations

from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm

from neurobust.attacks.images import chunks
from neurobust.attacks.semantic.blocks import Centre, Residual
from neurobust.attacks.semantic.editor_settings import EditorHelper
from neurobust.attacks.semantic.gates import gate
from neurobust.attacks.semantic.oracle import Oracle
from neurobust.attacks.semantic.trainer import Descent, Trainer, ramp
from neurobust.files.auxiliary import Gate

GATE_IMAGES = 256


class Editor(nn.Module):
    """decode(encode(images, code)): images (N, 3, H, W) in [0,1] with the attributes of `code` (N, A), 0 or 1."""

    def __init__(self, attributes: int, width: int = 24, blocks: int = 3):
        super().__init__()
        self.arguments = {"attributes": attributes, "width": width, "blocks": blocks}
        w = width
        self.encoder = nn.Sequential(
            _layer(nn.Conv2d(3 + attributes, w, 5, 1, 2, bias=False), w),
            _layer(nn.Conv2d(w, 2 * w, 4, 2, 1, bias=False), 2 * w),
            _layer(nn.Conv2d(2 * w, 4 * w, 4, 2, 1, bias=False), 4 * w),
            *(Residual(4 * w, 4 * w, norm=nn.BatchNorm2d) for _ in range(blocks)),
        )
        self.decoder = nn.Sequential(
            _layer(nn.ConvTranspose2d(4 * w, 2 * w, 4, 2, 1, bias=False), 2 * w),
            _layer(nn.ConvTranspose2d(2 * w, w, 4, 2, 1, bias=False), w),
            nn.Conv2d(w, 3, 5, 1, 2), nn.Sigmoid(),
        )  # fmt: skip

    def encode(self, images: Tensor, code: Tensor) -> Tensor:
        """Features (N, 4 width, H/4, W/4)."""
        maps = (2 * code - 1)[:, :, None, None].expand(-1, -1, *images.shape[2:])
        return self.encoder(torch.cat([2 * images - 1, maps], 1))

    def decode(self, features: Tensor) -> Tensor:
        """Images in [0,1]."""
        return self.decoder(features)

    def forward(self, images: Tensor, code: Tensor) -> Tensor:
        """The edited images."""
        return self.decode(self.encode(images, code))


def _layer(convolution: nn.Module, width: int) -> nn.Sequential:
    return nn.Sequential(convolution, nn.BatchNorm2d(width), nn.ReLU())


class Adversary(nn.Module):
    """Images -> how real each patch looks (N, 1, h, w), and logits of the attributes (N, A)."""

    def __init__(self, attributes: int, width: int, size: int):
        super().__init__()
        w = width
        layers = [nn.Conv2d(a, b, 4, 2, 1) for a, b in ((3, w), (w, 2 * w), (2 * w, 4 * w))]
        self.body = nn.Sequential(
            Centre(), *(part for layer in layers for part in (spectral_norm(layer), nn.LeakyReLU(0.1)))
        )
        self.real = spectral_norm(nn.Conv2d(4 * w, 1, 3, 1, 1))
        self.attributes = nn.Linear(4 * w * (size // 8) ** 2, attributes)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Realness and attribute logits."""
        maps = self.body(images)
        return self.real(maps), self.attributes(maps.flatten(1))


def flip_attributes(code: Tensor, which: Tensor) -> Tensor:
    """`code` (N, A) with attribute `which` (N,) of each image turned to its opposite."""
    return code + functional.one_hot(which, code.shape[1]) * (1 - 2 * code)


class EditorTrainer(Trainer[Editor, EditorHelper]):
    """One step of the adversary, one of the editor: real patches, the wanted attributes, and little else changed."""

    def build(self) -> Editor:
        """As wide as the settings say; the adversary goes with it and is not kept."""
        count = len(self.data.attribute_names)
        self.adversary = Adversary(count, self.settings.width, self.data.side).to(self.device)
        return Editor(count, self.settings.width, self.settings.blocks)

    @property
    def beside(self) -> dict[str, Adversary]:
        """The adversary."""
        return {"adversary": self.adversary}

    def make_optimisers(self, steps: int) -> dict[str, Descent]:
        """Adam for each of the two, with StarGAN's betas."""
        found: dict[str, Descent] = {}
        for name, network in (("editor", self.network), ("judge", self.adversary)):
            optimiser = torch.optim.Adam(network.parameters(), self.settings.learning_rate, betas=(0.5, 0.999))
            found[name] = Descent(optimiser, torch.optim.lr_scheduler.LambdaLR(optimiser, ramp(steps)))
        return found

    def step(self, rows: np.ndarray, epoch: int) -> dict[str, Tensor]:
        """The adversary's step on real and edited images, then the editor's."""
        images, code = self.pixels(rows), self.code(rows)
        wanted = self.wanted(code)
        judged = self.judge_loss(images, code, wanted)
        self.descents["judge"].step(judged)
        edited = self.network(images, wanted)
        real, attributes = self.adversary(edited)
        rebuilt = (self.network(images, code) - images).abs().mean()
        moved = (edited - images).abs().mean()
        named = functional.binary_cross_entropy_with_logits(attributes, wanted)
        weights = self.settings
        loss = (
            weights.reconstruction * rebuilt
            + weights.nearness * moved
            + weights.attribute * named
            - weights.realness * real.mean()
        )
        self.descents["editor"].step(loss)
        logs = {"loss": loss, "judge": judged, "rebuilt": rebuilt, "attribute": named}
        return {name: value.detach() for name, value in logs.items()}

    def wanted(self, code: Tensor) -> Tensor:
        """For one half another image's attributes, for the other its own with one turned (torch's generator)."""
        order, which = torch.randperm(len(code)), torch.randint(code.shape[1], (len(code),)).to(code.device)
        half = (torch.rand(len(code), 1) < 0.5).to(code.device)
        return torch.where(half, code[order.to(code.device)], flip_attributes(code, which))

    def judge_loss(self, images: Tensor, code: Tensor, wanted: Tensor) -> Tensor:
        """Hinge loss of realness, plus the attributes of the real images."""
        with torch.no_grad():
            edited = self.network(images, wanted)
        real, attributes = self.adversary(images)
        fake, _ = self.adversary(edited)
        named = functional.binary_cross_entropy_with_logits(attributes, code)
        return functional.relu(1 - real).mean() + functional.relu(1 + fake).mean() + named

    @torch.no_grad()
    def gates(self) -> list[Gate]:
        """On held-out images: how well they come back, and what the oracle says of each attribute turned alone."""
        rows = self.data.held_out(GATE_IMAGES)
        oracle = cast(Oracle, self.others["oracle"])
        turned, kept, people, same, square, pixels = [], [], [], [], 0.0, 0
        for part in chunks(rows, 64):
            images, code = self.pixels(part), self.code(part)
            rebuilt, label = self.network(images, code), self.label(part)
            same.append(oracle(rebuilt).argmax(1) == label)
            square += (rebuilt - images).square().sum().item()
            pixels += images.numel()
            for k in range(code.shape[1]):
                goal = flip_attributes(code, torch.full((len(part),), k, device=self.device))
                edited = self.network(images, goal)
                right = (oracle.attributes(edited) > 0) == (goal > 0.5)
                turned.append(right[:, k])
                kept.append(torch.cat([right[:, :k], right[:, k + 1 :]], 1).flatten())
                people.append(oracle(edited).argmax(1) == label)
        psnr = -10 * float(np.log10(square / pixels))
        whose = torch.cat(people).float().mean().item()
        note = f"the oracle still sees the label in {whose:.3f}"
        return [
            gate("reconstruction PSNR, dB", psnr, 20.0, note=f"{len(rows)} images"),
            gate("labels that the oracle sees in reconstructions", torch.cat(same).float().mean().item(), 0.7),
            gate("turned attributes that the oracle sees", torch.cat(turned).float().mean().item(), 0.8, note=note),
            gate("other attributes that the oracle still sees", torch.cat(kept).float().mean().item(), 0.8),
        ]
