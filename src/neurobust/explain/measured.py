"""Stimuli with the responses of an ROI that were measured to them, all subjects side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from neurobust.core.errors import InputError
from neurobust.core.seeding import numpy_rng
from neurobust.files.pixels import resized, to_pixels
from neurobust.files.roi import RoiFile, read_roi
from neurobust.files.splits import TEST, rows_of
from neurobust.files.stimuli import read_stimuli


class SubjectFiles(NamedTuple):
    """Where a subject's responses (`cortex/{subject}/{roi}.h5`) and the images that it saw lie."""

    roi: Path
    stimuli: Path


def by_roi(rois: Sequence[str], responses: Sequence[str], stimuli: Sequence[str]) -> dict[str, list[SubjectFiles]]:
    """ROI -> its subjects' files; responses: ROI by ROI, subject by subject; stimuli: subject by subject."""
    if not responses:
        return {}
    subjects = len(stimuli)
    parts = [responses[k : k + subjects] for k in range(0, len(responses), subjects)]
    return {
        roi: [SubjectFiles(Path(one), Path(other)) for one, other in zip(part, stimuli, strict=True)]
        for roi, part in zip(rois, parts, strict=True)
    }


def named(measured: Mapping[str, Sequence[SubjectFiles]]) -> dict[str, Path]:
    """These files by what they are, for the provenance."""
    found: dict[str, Path] = {}
    for roi, subjects in measured.items():
        for number, files in enumerate(subjects):
            found |= {f"responses {roi} {number}": files.roi, f"stimuli {roi} {number}": files.stimuli}
    return found


@dataclass(frozen=True)
class Measured:
    """n images of one split and V voxels, those of the subjects one after the other.

    images float32 (n, 3, S, S) in [0, 1]; nsd_id int64 (n,), ascending; responses float32 (n, V), z-scored, averaged
    over repeats, NaN where the voxel's subject did not see the image; noise_ceiling float32 (V,) percent; subject (V,)
    and voxel_index int64 (V,): whose voxel it is, and which.
    """

    images: Tensor
    nsd_id: np.ndarray
    responses: np.ndarray
    noise_ceiling: np.ndarray
    subject: np.ndarray
    voxel_index: np.ndarray
    subjects: tuple[str, ...] = ()  # one for each file, in their order; one may have no voxels

    @property
    def complete(self) -> np.ndarray:
        """Bool (n,): whether every subject saw the image, so that no response is missing."""
        seen: np.ndarray = np.isfinite(self.responses).all(1)
        return seen


def read_measured(
    files: Sequence[SubjectFiles], side: int, device: torch.device, split: int = TEST, most: int | None = None
) -> Measured:
    """What was measured of one ROI on the images of a split, at `side` pixels.

    most: at most so many images, drawn from the split's number alone, so that every predictor and network of a study
    meets the same ones. Raises InputError for files that cannot be read or do not go together.
    """
    rois = [read_roi(file.roi, trials=False) for file in files]
    seen = np.unique(np.concatenate([found.nsd_id[rows_of(found.split, split)] for found in rois]))
    if not len(seen):
        raise InputError(f"{files[0].roi}: no subject saw an image of split {split} (0 train, 1 validation, 2 test)")
    if most is not None and len(seen) > most:
        seen = np.sort(numpy_rng("explain", "stimuli", split).permutation(seen)[:most])
    parts = [aligned(found, seen, split) for found in rois]
    return Measured(
        images=pictures(files, seen, side, device),
        nsd_id=seen,
        responses=np.concatenate(parts, 1),
        noise_ceiling=np.concatenate([found.noise_ceiling for found in rois]).astype(np.float32),
        subject=np.concatenate([np.full(found.responses.shape[1], found.subject) for found in rois]),
        voxel_index=np.concatenate([found.voxel_index for found in rois]),
        subjects=tuple(found.subject for found in rois),
    )


def aligned(found: RoiFile, nsd_id: np.ndarray, split: int) -> np.ndarray:
    """A subject's responses to these images (n,), as (n, V); NaN for an image that it did not see in this split."""
    rows = rows_of(found.split, split)
    responses = np.full((len(nsd_id), found.responses.shape[1]), np.nan, np.float32)
    _, here, there = np.intersect1d(nsd_id, found.nsd_id[rows], return_indices=True)
    responses[here] = found.responses[rows[there]]
    return responses


def pictures(files: Sequence[SubjectFiles], nsd_id: np.ndarray, side: int, device: torch.device) -> Tensor:
    """The images (n, 3, side, side) of these ids, each from the first subject that saw it."""
    images: np.ndarray | None = None
    left = np.arange(len(nsd_id))
    for path in dict.fromkeys(file.stimuli for file in files):
        shown = read_stimuli(path)
        if images is None:
            images = np.empty((len(nsd_id), shown.side, shown.side, 3), np.uint8)
        here = np.isin(nsd_id[left], shown.nsd_id)
        images[left[here]] = shown.images[shown.rows(nsd_id[left[here]], path)]
        left = left[~here]
    assert images is not None and not len(left), "a subject saw an image that is among none's stimuli"
    return torch.cat(
        [resized(to_pixels(part, device), side) for part in np.array_split(images, max(len(images) // 64, 1))]
    )
