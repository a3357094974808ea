"""tAdv: an image takes on the texture of an image of another class until the network misreads it.

Source: Bhattad et al., ICLR 2020, section 3.2: cross-layer Gram loss, cross-entropy to the texture's class, L-BFGS from
the clean image, no content loss. Pixels are kept in [0,1] all the way, and the texture loss is taken relative to its
value at the clean image, so that a strength means the same for every image and every texture network.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from neurobust.attacks.images import chunks, to_batch
from neurobust.attacks.norms import lengths, stretch
from neurobust.attacks.semantic.descent import Attempt, Book, descend
from neurobust.attacks.semantic.optimise import LBFGS
from neurobust.attacks.semantic.tadv_settings import TAdv
from neurobust.attacks.semantic.texture import (
    FIRST_STEP,
    TextureNetwork,
    clamped,
    cross_grams,
    gram_scales,
    texture_loss,
)
from neurobust.core.seeding import numpy_rng, torch_generator
from neurobust.files.dataset import Dataset
from neurobust.files.splits import TRAIN


class TAdvAttack:
    """Strength: steps of the transfer. `weight`: of the cross-entropy, the texture loss being 1 (the paper's beta).

    The weight makes no good axis: more of it is not more freedom, and any of it breaks most images within a few steps.
    """

    def __init__(self, networks: Mapping[str, nn.Module], data: Dataset, settings: TAdv):
        self.network, self.data, self.settings = cast(TextureNetwork, networks["texture"]), data, settings
        self.bank = data.rows(TRAIN, settings.bank)
        self.device = next(self.network.parameters()).device
        with torch.no_grad():
            parts = [self.network.features(to_batch(data, part, self.device)) for part in chunks(self.bank, 256)]
        self.bank_features = functional.normalize(torch.cat(parts), dim=1)
        self.bank_labels = data.labels[self.bank]

    def __call__(self, model: nn.Module, images: Tensor, labels: Tensor, ids: Sequence[int]) -> Attempt:
        """Attack images (N, 3, H, W) in [0,1] with labels (N,); `ids`: their rows in the dataset."""
        book = Book(model, images, labels, self.settings.strengths, self.settings.confidence)
        style_rows, classes = self.choose_styles(images, labels, ids)
        transfer = Transfer(self.network, images, to_batch(self.data, style_rows, images.device))
        targets = torch.from_numpy(classes).to(images.device)

        def objective(here: Tensor, found: Tensor, logits: Tensor, points: list[Tensor]) -> Tensor:
            pull = functional.cross_entropy(logits, targets[here], reduction="none")
            return transfer.loss(here, points[0]) + self.settings.weight * pull

        optimiser, plain = (LBFGS([part], FIRST_STEP, clamped) for part in (images[book.standing()], images))
        baselines: dict[str, list[Tensor]] = {"texture-only": [], "noise": []}
        done = 0
        for index, strength in enumerate(book.strengths):
            rows, steps = book.standing(), int(strength) - done
            descend(book, index, rows, optimiser, lambda here, points: points[0], objective, steps)
            left = book.standing()  # whom the optimiser still holds
            book.close(index)
            optimiser.keep(book.first[left] == len(book.strengths))
            transfer.paint(plain, steps)
            done += steps
            baselines["texture-only"].append(plain.points[0])
            baselines["noise"].append(same_length_noise(images, book.tried[-1].to(images.device), ids))
        return book.attempt(baselines)

    def choose_styles(self, images: Tensor, labels: Tensor, ids: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        """Rows of the texture images and their classes: a random other class that the bank has, and in it the nearest.

        Neither depends on the network under attack: all networks meet the same textures.
        """
        with torch.no_grad():
            features = functional.normalize(self.network.features(images), dim=1)
        likeness = (features @ self.bank_features.T).cpu().numpy()
        rows, targets = [], []
        for k, (image, label) in enumerate(zip(ids, labels.tolist(), strict=True)):
            others = np.setdiff1d(self.bank_labels, [label])
            target = int(numpy_rng("tadv", "target", image).choice(others))
            there = np.flatnonzero(self.bank_labels == target)
            rows.append(self.bank[there[likeness[k, there].argmax()]])
            targets.append(target)
        return np.array(rows), np.array(targets, np.int64)


class Transfer:
    """The texture loss of a batch towards its style images, relative to where it starts."""

    def __init__(self, network: TextureNetwork, images: Tensor, styles: Tensor):
        self.network, self.images = network, images
        with torch.no_grad():
            self.wanted, start = cross_grams(network.maps(styles)), cross_grams(network.maps(images))
            self.scales = gram_scales(start)
            self.first = texture_loss(start, self.wanted, self.scales).clamp_min(1e-30)

    def loss(self, rows: Tensor, points: Tensor) -> Tensor:
        """Texture loss of `points` for the images `rows`, 1 at the clean image: (n,)."""
        grams = cross_grams(self.network.maps(points))
        wanted, scales = ([part[rows] for part in parts] for parts in (self.wanted, self.scales))
        return texture_loss(grams, wanted, scales) / self.first[rows]

    def paint(self, optimiser: LBFGS, steps: int) -> None:
        """Take `steps` more steps on all images, without any network under attack."""
        rows = torch.arange(len(self.images), device=self.images.device)
        for _ in range(steps):
            with torch.enable_grad():
                points = optimiser.points[0].detach().requires_grad_()
                values = self.loss(rows, points)
                (gradient,) = torch.autograd.grad(values.sum(), points)
            optimiser.tell(values.detach(), [gradient])


def same_length_noise(images: Tensor, tried: Tensor, ids: Sequence[int]) -> Tensor:
    """Images plus Gaussian noise of the L2 length of each `tried - image`, after clipping to [0,1]."""
    noise = torch.stack(
        [torch.randn(images.shape[1:], generator=torch_generator("tadv", "noise", image)) for image in ids]
    ).to(images)
    return stretch(images, noise, lengths(tried.double() - images.double(), "l2").to(images.dtype))
