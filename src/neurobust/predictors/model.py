"""What the module of every kind of predictor is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

# The keyword arguments that rebuild a module, as JSON: they travel in its weights file.
Arguments = dict[str, Any]


class ResponseModel(nn.Module):
    """Images (N, 3, size, size) in [0, 1] -> responses (N, all voxels), the subjects' voxels one after the other.

    input_size: side of the images; voxels: per subject, in the order of the output's columns; names: of a subject's
    voxels, where they were fitted with any (in a study, `voxels.parquet` says what each column is).
    """

    input_size: int
    voxels: dict[str, int]
    names: Mapping[str, Sequence[str]] = MappingProxyType({})

    def columns(self, subject: str) -> slice:
        """The columns of a subject's voxels."""
        subjects = list(self.voxels)
        start = sum(self.voxels[name] for name in subjects[: subjects.index(subject)])
        return slice(start, start + self.voxels[subject])

    def units(self) -> Tensor:
        """How large one standard deviation of the responses that were fitted is, of each column (voxels,): of z-scores
        about 1."""
        return torch.ones(sum(self.voxels.values()))

    def column_names(self) -> list[str]:
        """A name for each column: the voxel's own, or its subject and number."""
        return [
            name for subject, count in self.voxels.items()
            for name in self.names.get(subject, [f"{subject} {k}" for k in range(count)])
        ]  # fmt: skip

    def respond(self, images: Tensor, subject: str) -> Tensor:
        """Responses (N, V) of one subject's voxels: those columns of `forward`. A kind that can computes no others."""
        return self(images)[:, self.columns(subject)]

    def contributions(self, images: Tensor) -> dict[str, Tensor]:
        """What each layer adds to the responses: name -> (N, voxels), whose sum is `forward` but for a constant per
        voxel. Empty for a kind whose responses are no such sum."""
        return {}

    def core_features(self, images: Tensor) -> Tensor | None:
        """What was trained for the voxels and that all of them read: (N, features). None for a kind without such a
        core: fixed features serve every ROI alike."""
        return None
