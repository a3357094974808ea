"""The units of a caller's own responses: taken away before a fit, and given back by what is predicted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from torch import Tensor

from neurobust.predictors.model import ResponseModel

UNITS = "units."  # what their names begin with in a weights file
CONSTANT = 1e-6  # of the largest value: the spread of a column that is constant but for rounding


class Units(NamedTuple):
    """Mean and standard deviation of each voxel, (V,) float32; an SD of 1 where the voxel is constant."""

    mean: np.ndarray
    std: np.ndarray

    @classmethod
    def of(cls, responses: np.ndarray) -> Units:
        """Those of some responses (n, V), in float64 inside."""
        values = responses.astype(np.float64)
        mean, std = values.mean(0), values.std(0)
        std = np.where(std > CONSTANT * np.abs(values).max(0), std, 1)
        return cls(mean.astype(np.float32), std.astype(np.float32))

    def removed(self, responses: np.ndarray) -> np.ndarray:
        """Responses (n, V) as z-scores, float32."""
        scaled: np.ndarray = ((responses.astype(np.float64) - self.mean) / self.std).astype(np.float32)
        return scaled

    def restored(self, z_scores: np.ndarray) -> np.ndarray:
        """z-scores (n, V) as responses, float32."""
        responses: np.ndarray = z_scores * self.std + self.mean
        return responses


class InUnits(ResponseModel):
    """A predictor that was fitted to z-scores, answering in the units of the responses: (N, 3, H, W) -> (N, voxels)."""

    mean: Tensor
    std: Tensor

    def __init__(self, model: ResponseModel, mean: Tensor, std: Tensor):
        super().__init__()
        self.model, self.voxels, self.input_size, self.names = model, dict(model.voxels), model.input_size, model.names
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)

    def forward(self, images: Tensor) -> Tensor:
        """Responses (N, voxels)."""
        return self.model(images) * self.std + self.mean

    def units(self) -> Tensor:
        """Those of the responses that were given."""
        return self.std

    def contributions(self, images: Tensor) -> dict[str, Tensor]:
        """What each layer adds to the responses, as of the model."""
        return {name: part * self.std for name, part in self.model.contributions(images).items()}

    def core_features(self, images: Tensor) -> Tensor | None:
        """Those of the model."""
        return self.model.core_features(images)


def split_units(state: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The state of a model alone, and the units that its file has beside it: `mean` and `std`, or nothing."""
    units = {name.removeprefix(UNITS): value for name, value in state.items() if name.startswith(UNITS)}
    return {name: value for name, value in state.items() if not name.startswith(UNITS)}, units


def in_units(model: ResponseModel, units: Mapping[str, Tensor]) -> ResponseModel:
    """A model in the units of its file, where that has some: in copies, since what is read under inference_mode can
    have no part in a gradient."""
    return InUnits(model, units["mean"].clone(), units["std"].clone()) if units else model
