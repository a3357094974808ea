"""Voxels of a target: of some subjects only, or as many and as reliable in every ROI."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from neurobust.core.errors import InputError
from neurobust.core.io import read_parquet
from neurobust.core.seeding import numpy_rng

CEILING_BIN = 5.0  # percent: width of the bins in which noise ceilings count as equal


def matched_voxels(ceilings: Sequence[np.ndarray], own: int, *stream: object) -> np.ndarray:
    """Ascending indices of the voxels of ROI `own` that are kept so that all ROIs have alike noise ceilings.

    `ceilings` has one array (voxels,) in percent per ROI. In each bin of 5 percent every ROI keeps as many voxels as
    the poorest one has there, drawn at random: equal counts, equal distributions. Voxels without a ceiling are left
    out.
    """
    bins = [np.where(np.isfinite(part), np.floor_divide(part, CEILING_BIN), -1).astype(int) for part in ceilings]
    rng = numpy_rng(*stream)
    kept = [np.empty(0, int)]
    for level in np.unique(bins[own][bins[own] >= 0]):
        count = min(int((part == level).sum()) for part in bins)
        kept.append(rng.permutation(np.flatnonzero(bins[own] == level))[:count])
    return np.sort(np.concatenate(kept))


def read_ceilings(tables: Sequence[Path], subjects: Sequence[str] | None) -> np.ndarray:
    """Noise ceilings (voxels,) in percent of voxel tables, side by side; NaN for voxels of other subjects."""
    parts = []
    for table in tables:
        frame, _ = read_parquet(table)
        other = False if subjects is None else ~frame["subject"].isin(subjects).to_numpy()
        parts.append(np.where(other, np.nan, frame["noise_ceiling"].to_numpy(float)))
    return np.concatenate(parts)


def same_ceilings(
    tables: Sequence[Path], others: Sequence[Path], subjects: Sequence[str] | None, *stream: object
) -> np.ndarray:
    """The voxels of a target that are kept so that every ROI has as many, with equal noise ceilings.

    `tables` are the `voxels.parquet` of the target's predictors, `others` that of each ROI to match.
    """
    if not tables or not others:
        raise InputError(
            "recipe.condition.match: a subsampled target needs its voxel table and those of the other ROIs"
        )
    kept = matched_voxels(
        [read_ceilings([*tables], subjects), *(read_ceilings([o], subjects) for o in others)], 0, *stream
    )
    if len(kept) == 0:
        names = ", ".join(str(path) for path in (*tables, *others))
        raise InputError(f"{names}: no noise ceiling (in steps of 5 %) that all have; take an ROI out of `match`")
    return kept


def columns_of_subjects(module: Any, subjects: Sequence[str]) -> np.ndarray:
    """Ascending columns of a target's responses that are voxels of some subjects."""
    counts = [part for predictor in module.predictors for part in predictor.voxels.items()]
    owner = np.repeat([subject for subject, _ in counts], [count for _, count in counts])
    absent = sorted(set(subjects) - set(owner))
    if absent:
        raise InputError(f"recipe.condition.subjects: '{absent[0]}' has no voxels in the target; take it out")
    return np.flatnonzero(np.isin(owner, list(subjects)))
