"""Targets: a frozen predictor's standardised responses to the task's images, and controls that break one property."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from neurobust.errors import InputError
from neurobust.networks.batches import in_order, read_ahead, to_pixels
from neurobust.networks.tasks import TRAIN, Dataset
from neurobust.seeding import numpy_rng

VOXEL_BLOCK = 1024  # columns whose statistics are computed at a time: bounds the float64 copy


def own_partners(split: np.ndarray, seed: int) -> np.ndarray:
    """Every image is paired with its own target."""
    return np.arange(len(split))


def shuffled_partners(split: np.ndarray, seed: int) -> np.ndarray:
    """Row (N,) whose target each image gets: fixed by the seed, within each split, no image keeping its own.

    The targets of a split are the same set as before, so their means, variances and covariances are identical.
    """
    partners = np.arange(len(split))
    for part in np.unique(split):
        cycle = numpy_rng(seed, "control", "shuffled", int(part)).permutation(np.flatnonzero(split == part))
        partners[cycle] = np.roll(cycle, 1)
    return partners


# control -> function(split, seed) -> row whose target each image gets.
CONTROLS: dict[str | None, Callable[[np.ndarray, int], np.ndarray]] = {
    None: own_partners,
    "shuffled": shuffled_partners,
}


def standardise(responses: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and SD (float32, (D,)) of responses (N, D) in float64; the SD of a constant column is set to 1.

    Give it the training images' responses only.
    """
    mean, std = (np.empty(responses.shape[1], np.float32) for _ in range(2))
    for start in range(0, responses.shape[1], VOXEL_BLOCK):
        block = responses[:, start : start + VOXEL_BLOCK].astype(np.float64)
        centre, spread = block.mean(0), block.std(0)
        constant = spread <= 1e-6 * np.maximum(1, np.abs(centre))
        mean[start : start + VOXEL_BLOCK] = centre
        std[start : start + VOXEL_BLOCK] = np.where(constant, 1, spread)
    return mean, std


@torch.inference_mode()
def compute_targets(module: nn.Module, images: np.ndarray, batch: int, device: torch.device) -> np.ndarray:
    """Responses (N, D) float32 of a frozen `module` to uint8 images (N, H, W, 3), `batch` at a time."""
    parts = []
    for block in read_ahead(lambda rows: images[rows], in_order(np.arange(len(images)), batch)):
        parts.append(module(to_pixels(block, device)).float().cpu().numpy())
    return np.concatenate(parts)


class NeuralTarget:
    """What the features are drawn towards: predictor, standardisation fitted on the training images, and control.

    The predictor is frozen for good (eval mode, no gradients) and is no submodule of the network, so training the
    network can change neither its weights nor its batch statistics. All N x D float32 targets are held in memory:
    without augmentation the network meets the very same pixels, and the cached responses are exact.
    """

    def __init__(
        self,
        predictors: Sequence[Path],
        dataset: Dataset,
        control: str | None,
        seed: int,
        batch: int,
        device: torch.device,
    ):
        from neurobust.predictors import load_target

        self.device = device
        self.module = load_target([Path(path) for path in predictors]).eval().requires_grad_(False).to(device)
        responses = compute_targets(self.module, dataset.images, batch, device)
        names = ", ".join(str(path) for path in predictors)
        if responses.shape[1] == 0:
            raise InputError(f"{names}: the predictor has 0 voxels, so there is no target; choose another ROI")
        if not np.isfinite(responses).all():
            raise InputError(f"{names}: responses to the task's images are not finite; train the predictor again")
        self.partners = CONTROLS[control](dataset.split, seed)
        mean, std = standardise(responses[dataset.split == TRAIN])
        responses -= mean
        responses /= std
        self.responses = torch.from_numpy(responses)
        self.mean, self.std = (torch.from_numpy(part).to(device) for part in (mean, std))

    @property
    def dim(self) -> int:
        """Number of voxels D."""
        return self.responses.shape[1]

    def cached(self, rows: np.ndarray) -> Tensor:
        """Targets (n, D) of dataset rows, on the training device."""
        return self.responses[torch.from_numpy(self.partners[rows])].to(self.device)

    @torch.no_grad()
    def live(self, partner_images: np.ndarray) -> Tensor:
        """Targets (n, D) of the partners' images as augmented: uint8 (n, H, W, 3)."""
        return (self.module(to_pixels(partner_images, self.device)).float() - self.mean) / self.std
