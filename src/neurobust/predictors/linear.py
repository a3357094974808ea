"""A linear map from pooled features to voxels."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from neurobust.predictors.feature_base import FeatureMaps
from neurobust.predictors.features import as_features
from neurobust.predictors.model import Arguments, ResponseModel


class PooledLinear(ResponseModel):
    """r = features(images) @ w + b: images (N, 3, size, size) in [0, 1] -> responses (N, all voxels).

    features: a module, or name and arguments of one of `features`, whose maps (averaged down to their map_size) are
    flattened; inputs: how many numbers they are; voxels: per subject, in the order of the columns.
    """

    def __init__(self, voxels: dict[str, int], input_size: int, features: Arguments | FeatureMaps, inputs: int):
        super().__init__()
        self.voxels, self.input_size = dict(voxels), input_size
        self.features = as_features(features, input_size)
        self.readout = nn.Linear(inputs, sum(voxels.values()))

    def inputs_of(self, images: Tensor) -> Tensor:
        """Flattened features (N, inputs)."""
        return torch.cat([m.flatten(1) for m in self.features(images)], 1)

    def forward(self, images: Tensor) -> Tensor:
        """Responses (N, voxels)."""
        return self.readout(self.inputs_of(images))

    def respond(self, images: Tensor, subject: str) -> Tensor:
        """Responses (N, V) of one subject's voxels."""
        columns = self.columns(subject)
        return nn.functional.linear(self.inputs_of(images), self.readout.weight[columns], self.readout.bias[columns])
