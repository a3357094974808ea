"""Predictors of several seeds as one: the mean of what they predict."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from neurobust.core.errors import InputError
from neurobust.predictors.model import ResponseModel


class Ensemble(ResponseModel):
    """The mean over members that were fitted to the same voxels: images (N, 3, size, size) in [0, 1] -> (N, voxels).

    Raises InputError, which begins with `where`, for members of other voxels, names of voxels or sizes of images.
    """

    def __init__(self, members: Sequence[ResponseModel], where: str):
        super().__init__()
        first = members[0]
        for k, member in enumerate(members):
            if member.voxels != first.voxels or member.input_size != first.input_size:
                raise InputError(
                    f"{where}: member {k} has voxels {member.voxels} at {member.input_size} px, the first one "
                    f"{first.voxels} at {first.input_size} px; give an ensemble predictors of one ROI and kind"
                )
            for one, other in zip(first.column_names(), member.column_names(), strict=True):
                if one != other:
                    raise InputError(
                        f"{where}: member {k} has voxel {other!r} where the first one has {one!r}; fit all to the same "
                        "voxels in the same order"
                    )
        self.members = nn.ModuleList(members)
        self.voxels, self.input_size, self.names = dict(first.voxels), first.input_size, first.names

    def forward(self, images: Tensor) -> Tensor:
        """Mean responses (N, voxels)."""
        return torch.stack([member(images) for member in self.members]).mean(0)

    def units(self) -> Tensor:
        """The mean of the members' units."""
        return torch.stack([cast(ResponseModel, member).units() for member in self.members]).mean(0)

    def respond(self, images: Tensor, subject: str) -> Tensor:
        """Mean responses (N, V) of one subject's voxels."""
        return torch.stack([cast(ResponseModel, member).respond(images, subject) for member in self.members]).mean(0)

    def contributions(self, images: Tensor) -> dict[str, Tensor]:
        """What each layer adds to the responses (N, voxels), the mean over members."""
        parts = [cast(ResponseModel, member).contributions(images) for member in self.members]
        if any(part.keys() != parts[0].keys() for part in parts):  # members of several kinds
            return {}
        return {name: torch.stack([part[name] for part in parts]).mean(0) for name in parts[0]}
