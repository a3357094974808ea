"""tAdv: an image takes on the texture of an image of another class until the network takes it for that class.

Source: Bhattad et al., ICLR 2020, section 3.2: cross-layer Gram loss, cross-entropy to the texture's class, L-BFGS from
the clean image, no content loss. Pixels are kept in [0,1] all the way, and the texture loss is taken relative to its
value at the clean image, so that a strength means the same for every image and every texture network. An image is left
once its target leads by `confidence`; their code leaves it when its own class is not among the first three, and counts
apart the images that end at their target, at a third class and at their own.
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
from neurobust.attacks.semantic.descent import Attempt, Book, descend, random_targets
from neurobust.attacks.semantic.jpeg import in_jpeg
from neurobust.attacks.semantic.optimise import LBFGS
from neurobust.attacks.semantic.tadv_settings import TAdv, TAdvJPEG
from neurobust.attacks.semantic.texture import (
    FIRST_STEP,
    TextureNetwork,
    clamped,
    cross_grams,
    gram_scales,
    texture_loss,
)
from neurobust.core.seeding import torch_generator
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
        style_rows, targets = self.choose_styles(images, labels, ids)
        book = Book(model, images, labels, self.settings.strengths, self.settings.confidence, targets)
        transfer = Transfer(self.network, images, to_batch(self.data, style_rows, images.device))

        def objective(here: Tensor, found: Tensor, logits: Tensor, points: list[Tensor]) -> Tensor:
            pull = functional.cross_entropy(logits, targets[here], reduction="none")
            return transfer.loss(here, points[0]) + self.settings.weight * pull

        optimiser, plain = (LBFGS([part], FIRST_STEP, clamped) for part in (images[book.standing()], images))
        baselines: dict[str, list[Tensor]] = {name: [] for name in ("texture-only", "noise", *self.given(images))}
        done = 0
        for index, strength in enumerate(book.strengths):
            rows, steps = book.standing(), int(strength) - done
            descend(book.at(index), rows, optimiser, lambda here, points: self.shown(points[0]), objective, steps)
            held = book.standing()  # whom the optimiser still holds
            book.close(index)
            optimiser.keep(~book.left[held])
            transfer.paint(plain, steps)
            done += steps
            baselines["texture-only"].append(self.shown(plain.points[0]))
            baselines["noise"].append(same_length_noise(images, book.tried[-1].to(images.device), ids))
            for name, made in self.given(images).items():
                baselines[name].append(made)
        return book.attempt(baselines)

    def shown(self, points: Tensor) -> Tensor:
        """What the network is shown of an image on its way (n, 3, H, W): the image."""
        return points

    def given(self, images: Tensor) -> dict[str, Tensor]:
        """Further baselines by name, the same at every strength."""
        return {}

    def choose_styles(self, images: Tensor, labels: Tensor, ids: Sequence[int]) -> tuple[np.ndarray, Tensor]:
        """Rows of the texture images and their classes (N,): a random other class that the bank has, and in it the
        nearest image. Neither depends on the network under attack: all networks meet the same textures."""
        targets = random_targets("tadv", self.bank_labels, labels, ids)
        with torch.no_grad():
            features = functional.normalize(self.network.features(images), dim=1)
        likeness = (features @ self.bank_features.T).cpu().numpy()
        rows = []
        for k, target in enumerate(targets.tolist()):
            there = np.flatnonzero(self.bank_labels == target)
            rows.append(self.bank[there[likeness[k, there].argmax()]])
        return np.array(rows), targets


class JPEGAttack(TAdvAttack):
    """tAdv with JPEG in the loop: the network is shown what a file gives back, on the way and at the end.

    So what breaks the network is a file's own pixels, and a defence that compresses its input has nothing left to undo.
    """

    def __init__(self, networks: Mapping[str, nn.Module], data: Dataset, settings: TAdvJPEG):
        super().__init__(networks, data, settings)
        self.quality = settings.quality

    def shown(self, points: Tensor) -> Tensor:
        """The image as a JPEG file gives it back."""
        return in_jpeg(points, self.quality)

    def given(self, images: Tensor) -> dict[str, Tensor]:
        """What compression does by itself."""
        return {"jpeg-only": in_jpeg(images, self.quality)}


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
