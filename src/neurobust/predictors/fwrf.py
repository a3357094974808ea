"""Feature-weighted receptive fields: each voxel looks at fixed maps through one of a set of shared candidate fields.

Source: St-Yves & Naselaris, "The feature-weighted receptive field: an interpretable encoding model for complex feature
spaces", NeuroImage 180 (2018).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from neurobust.files.prf_maps import STIMULUS_DEGREES
from neurobust.predictors.feature_base import FeatureMaps
from neurobust.predictors.features import as_features
from neurobust.predictors.model import Arguments, ResponseModel


def candidate_fields(sizes: Sequence[float], spacing: float) -> Tensor:
    """Fields (K, 3) of x, y (down) and size in half frames: for each size (degrees) a square grid of centres.

    Centres lie `spacing` sizes apart, or a little closer, between the edges of the image.
    """
    fields = []
    for size in sizes:
        sigma = size / (STIMULUS_DEGREES / 2)
        count = max(1, int(np.ceil(2 / (spacing * sigma) - 1e-9)))
        axis = (np.arange(count) + 0.5) / count * 2 - 1
        fields += [(x, y, sigma) for y in axis for x in axis]
    return torch.tensor(fields, dtype=torch.float32)


def field_weights(fields: Tensor, side: int) -> Tensor:
    """Each field's Gaussian on a map of side x side, summing to 1: (side * side, K).

    Weights below 1e-7 are 0: the tails are denormal numbers, which slow a CPU's matrix product fourfold.
    """
    axis = (torch.arange(side, device=fields.device) + 0.5) / side * 2 - 1
    x, y, sigma = fields[:, 0:1], fields[:, 1:2], fields[:, 2:3]
    # a field narrower than a cell falls into the cell that holds its centre
    sigma = sigma.clamp_min(1 / side)
    gx, gy = torch.exp(-((axis - x) ** 2) / (2 * sigma**2)), torch.exp(-((axis - y) ** 2) / (2 * sigma**2))
    weights = (gy[:, :, None] * gx[:, None, :]).flatten(1)
    weights = weights / weights.sum(1, keepdim=True)
    return torch.where(weights < 1e-7, 0, weights).T


def pool_maps(maps: list[Tensor], fields: Tensor) -> Tensor:
    """Maps (N, C, side, side) seen through fields (K, 3): (K, N, all channels)."""
    pooled = [m.flatten(2) @ field_weights(fields, m.shape[-1]) for m in maps]
    return torch.cat(pooled, 1).permute(2, 0, 1)


class FwRF(ResponseModel):
    """r_v = b_v + sum_c w_vc pool(F_c, field_v): images (N, 3, size, size) in [0, 1] -> responses (N, all voxels).

    features: a module, or name and arguments of one of `features`; voxels: per subject, in the order of the columns.
    """

    field: Tensor

    def __init__(self, voxels: dict[str, int], input_size: int, features: Arguments | FeatureMaps):
        super().__init__()
        self.voxels, self.input_size = dict(voxels), input_size
        self.features = as_features(features, input_size)
        count = sum(voxels.values())
        self.register_buffer("field", torch.ones(count, 3))
        self.weight = nn.Parameter(torch.zeros(count, sum(self.features.channels)))
        self.bias = nn.Parameter(torch.zeros(count))

    def forward(self, images: Tensor) -> Tensor:
        """Responses (N, voxels)."""
        return self._read(images, slice(None))

    def respond(self, images: Tensor, subject: str) -> Tensor:
        """Responses (N, V) of one subject's voxels."""
        return self._read(images, self.columns(subject))

    def contributions(self, images: Tensor) -> dict[str, Tensor]:
        """What each map of the features adds to the responses (N, voxels)."""
        found, start = {}, 0
        for k, m in enumerate(self.features(images)):
            weight = self.weight[:, start : start + m.shape[1]]
            found[f"map {k + 1}"] = read_fields([m], self.field, weight)
            start += m.shape[1]
        return found

    def _read(self, images: Tensor, columns: slice) -> Tensor:
        """Responses in some columns."""
        return read_fields(self.features(images), self.field[columns], self.weight[columns]) + self.bias[columns]


def read_fields(maps: list[Tensor], field: Tensor, weight: Tensor) -> Tensor:
    """Maps seen through each voxel's field (voxels, 3), weighted (voxels, channels): (N, voxels). Voxels that share a
    field are read together."""
    fields, which = torch.unique(field, dim=0, return_inverse=True)
    order = torch.argsort(which, stable=True)
    counts = torch.bincount(which, minlength=len(fields)).tolist()
    blocks = weight[order].split(counts)
    sorted_columns = torch.cat([x @ w.T for x, w in zip(pool_maps(maps, fields), blocks, strict=True)], 1)
    return sorted_columns[:, torch.argsort(order)]


def chosen_fields(model: FwRF, subject: str) -> np.ndarray:
    """The field that each voxel chose: (V, 3) of x (right), y (up) and standard deviation, in degrees."""
    field = model.field[model.columns(subject)].double().numpy()
    return field * np.array([1, -1, 1]) * STIMULUS_DEGREES / 2
