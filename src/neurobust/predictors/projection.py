"""Linear maps of responses: principal components, whitening and matched dimension. Fitted on training images only."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from neurobust.core.errors import InputError


class Projection(nn.Module):
    """(responses - mean) @ matrix: (N, V) -> (N, D). mean (V,), matrix (V, D)."""

    def __init__(self, mean: Tensor, matrix: Tensor):
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("matrix", matrix)

    @property
    def dimensions(self) -> int:
        return self.matrix.shape[1]

    def forward(self, responses: Tensor) -> Tensor:
        return (responses - self.mean) @ self.matrix


def principal_components(responses: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of responses (N, V): mean (V,), components (V, R) by falling variance, and their variances (R,). float64.

    R is the rank. Signs are fixed (each component's largest entry is positive), so a fit is reproducible.
    """
    mean = responses.mean(0, dtype=np.float64)
    _, singular, rows = np.linalg.svd(responses - mean, full_matrices=False)
    rank = (
        int((singular > singular[:1] * max(responses.shape) * 1e-7).sum()) if len(singular) and singular[0] > 0 else 0
    )
    components = rows[:rank].T
    components *= np.sign(components[np.abs(components).argmax(0), np.arange(rank)])
    return mean, components, singular[:rank] ** 2 / max(len(responses) - 1, 1)


def count_components(variances: np.ndarray, share: float) -> int:
    """How many of the leading components hold at least this share of the variance."""
    held = np.cumsum(variances) / max(variances.sum(), 1e-300)
    return int(np.searchsorted(held, share - 1e-12) + 1) if len(variances) else 0


def fit_projection(responses: np.ndarray, dimensions: float | int, whiten: bool = False) -> Projection:
    """Principal components of the training images' responses (N, V), D of them.

    dimensions: their number (int), or the share of variance that they hold together (a float up to 1.0); whiten: each
    gets variance 1. Raises InputError if there are fewer.
    """
    mean, components, variances = principal_components(responses)
    count = count_components(variances, dimensions) if isinstance(dimensions, float) else dimensions
    if not 0 < count <= len(variances):
        raise InputError(
            f"projection to {dimensions} dimensions: {len(responses)} responses of {responses.shape[1]} voxels have "
            f"{len(variances)} components; ask for at most so many"
        )
    matrix = components[:, :count] / np.sqrt(variances[:count]) if whiten else components[:, :count]
    return Projection(torch.from_numpy(mean).float(), torch.from_numpy(np.ascontiguousarray(matrix)).float())


def common_dimension(responses: list[np.ndarray], share: float = 0.95) -> int:
    """The dimension that all of these ROIs' responses can be matched to: the smallest number of components that hold
    `share` of the variance in one of them."""
    counts = [count_components(principal_components(part)[2], share) for part in responses]
    if not counts or min(counts) < 1:
        raise InputError("dimension matching: a ROI's responses do not vary over the training images; leave it out")
    return min(counts)
