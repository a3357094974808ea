"""What the module of every kind of predictor is."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

# The keyword arguments that rebuild a module, as JSON: they travel in its weights file.
Arguments = dict[str, Any]


class ResponseModel(nn.Module):
    """Images (N, 3, size, size) in [0, 1] -> responses (N, all voxels), the subjects' voxels one after the other.

    input_size: side of the images; voxels: per subject, in the order of the output's columns.
    """

    input_size: int
    voxels: dict[str, int]

    def columns(self, subject: str) -> slice:
        """The columns of a subject's voxels."""
        subjects = list(self.voxels)
        start = sum(self.voxels[name] for name in subjects[: subjects.index(subject)])
        return slice(start, start + self.voxels[subject])

    def respond(self, images: Tensor, subject: str) -> Tensor:
        """Responses (N, V) of one subject's voxels: those columns of `forward`. A kind that can computes no others."""
        return self(images)[:, self.columns(subject)]
