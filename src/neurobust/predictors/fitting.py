"""What fitting a predictor takes and gives, whatever its kind: `fit(settings, context) -> Fitted`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from neurobust.core.training import pick_device
from neurobust.predictors.data import SubjectData
from neurobust.predictors.model import Arguments, ResponseModel


@dataclass(frozen=True)
class FitContext:
    """What a predictor is fitted to, and how the job runs.

    checkpoint: where a training that may be cut short keeps its state, None for nowhere; fingerprint: of settings and
    inputs, which a state must share to be taken up. The batches bound the memory of readout and of passes over images
    and do not change the result.
    """

    subjects: Sequence[SubjectData]
    seed: int
    checkpoint: Path | None = None
    fingerprint: str = ""
    voxel_batch: int = 256
    image_batch: int = 100
    device: torch.device = field(default_factory=pick_device)

    @property
    def voxels(self) -> dict[str, int]:
        """Voxels of each subject, in the order of a predictor's columns."""
        return {data.subject: data.voxels for data in self.subjects}

    @property
    def input_size(self) -> int:
        """Side of the images in pixels."""
        return int(self.subjects[0].images.shape[1])


@dataclass(frozen=True)
class Fitted:
    """A fitted predictor: its module on the CPU in eval mode, the JSON arguments that rebuild it, a dict per epoch."""

    model: ResponseModel
    config: Arguments
    history: list[dict[str, float]]
