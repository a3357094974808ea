"""What analyses of a predictor look at: the predictor, held-out stimuli and the responses measured to them.

Each part is computed when it is first asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from neurobust.explain.description import Need
from neurobust.explain.measured import Measured, SubjectFiles, read_measured
from neurobust.explain.predictors.fields import prf_fields
from neurobust.files.prf_maps import read_prf_maps
from neurobust.files.splits import TRAIN
from neurobust.files.stimulus_labels import category_names, read_categories


class Concepts(NamedTuple):
    """Names (C,) of what images may show, and whether each shows it: bool (n, C)."""

    names: list[str]
    shown: np.ndarray


class PredictorTarget(Protocol):
    """A frozen target of one predictor (`predictors.target.Target`)."""

    predictors: nn.ModuleList

    def __call__(self, images: Tensor, bounded: bool = True) -> Tensor:
        """Responses (n, V) to images (n, 3, H, W) in [0, 1] of any size."""


@dataclass(frozen=True)
class PredictorBench:
    """target: images (n, 3, H, W) in [0, 1] -> responses (n, V), frozen; side: at which the predictor sees images;
    voxels: `voxels.parquet`, a row a column of the responses (V,); files: of each ROI of the study, its subjects',
    `roi` the predictor's own; labels: `stimuli/labels.parquet`; prf_maps: of each of its subjects, those of
    `files.prf_maps.MAPS`. most: bounds the held-out stimuli; `image_batch` bounds the memory.
    """

    target: PredictorTarget
    side: int
    roi: str
    voxels: pd.DataFrame
    files: Mapping[str, Sequence[SubjectFiles]]
    seed: int
    device: torch.device
    most: int | None = None
    labels: Path | None = None
    prf_maps: Sequence[Sequence[Path]] = ()
    image_batch: int = 64

    @property
    def predictor(self) -> nn.Module:
        """The predictor itself (a `predictors.model.ResponseModel`), with its layers: images at `side` pixels."""
        return self.target.predictors[0]

    @property
    def others(self) -> list[str]:
        """The other ROIs of the study, sorted: `measured` has their responses too."""
        return sorted(set(self.files) - {self.roi})

    @cached_property
    def held_out(self) -> Measured:
        """The held-out stimuli and the responses of the predictor's own ROI."""
        return read_measured(self.files[self.roi], self.side, self.device, most=self.most)

    @property
    def images(self) -> Tensor:
        """The held-out stimuli (n, 3, side, side) in [0, 1]."""
        return self.held_out.images

    @property
    def responses(self) -> np.ndarray:
        """What was measured (n, V), NaN where a voxel's subject did not see the image."""
        return self.held_out.responses

    @property
    def noise_ceiling(self) -> np.ndarray:
        """Of each voxel (V,), in percent of the variance."""
        return self.held_out.noise_ceiling

    @cached_property
    def predicted(self) -> Tensor:
        """The predictor's responses (n, V) to the held-out stimuli."""
        return self.over(self.images)

    def measured(self, roi: str, split: int = TRAIN, most: int | None = None) -> Measured:
        """Any ROI's responses to the stimuli of any split (train 0, validation 1, test 2)."""
        return read_measured(self.files[roi], self.side, self.device, split, most)

    @cached_property
    def concepts(self) -> Concepts | None:
        """What the held-out stimuli show; None without labels."""
        if self.labels is None:
            return None
        return Concepts(category_names(self.labels), read_categories(self.labels, self.held_out.nsd_id))

    @cached_property
    def prfs(self) -> np.ndarray | None:
        """x, y and size (V, 3) of the measured fields in degrees, NaN where unknown; None without maps."""
        if not self.prf_maps:
            return None
        found = np.full((len(self.held_out.subject), 3), np.nan)
        for subject, maps in zip(self.held_out.subjects, self.prf_maps, strict=True):
            own = self.held_out.subject == subject
            found[own] = prf_fields(*read_prf_maps(maps, self.held_out.voxel_index[own]).T)
        return found

    def over(self, images: Tensor, function: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        """A function's rows for images (n, 3, H, W), default the target's; without gradients, a batch at a time."""
        with torch.inference_mode():
            return torch.cat([(function or self.target)(batch) for batch in images.split(self.image_batch)])

    def lacks(self, need: Need) -> str | None:
        """Why an analysis that needs this cannot be made; None where it can."""
        if need == "concepts" and self.labels is None:
            return "nothing says what the stimuli show (data.coco_annotations)"
        if need == "prfs" and not self.prf_maps:
            return "no population receptive fields were measured"
        if need == "others" and not self.others:
            return "the study has no other ROI"
        return None
