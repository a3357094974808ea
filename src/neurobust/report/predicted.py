"""Does what answers for an area predict it? The voxels whose held-out responses a predictor predicts.

A target that predicts nothing is still a smooth function of images, and networks gain from such functions: in a planted
world without a brain more than from their shuffles. So nothing is said of a brain by a condition that learned from one.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from neurobust.files.predictor_tables import FALSE_DISCOVERIES, ReadVoxels, are_predicted, read_voxels, voxels_path
from neurobust.study.model import Study
from neurobust.study.pairs import guides

if TYPE_CHECKING:
    import pandas as pd

LEAST_PREDICTED = 0.5  # share of an area's voxels
LARGEST_P = LEAST_PREDICTED * FALSE_DISCOVERIES  # of each that counts


class Predicted(NamedTuple):
    """How many voxels of an area a predictor predicts (`count_surely`), and of how many, over subjects and seeds."""

    found: int
    voxels: int

    @property
    def share(self) -> float:
        """Of the voxels, those that are predicted; 0 where there are none."""
        return self.found / self.voxels if self.voxels else 0.0

    @property
    def enough(self) -> bool:
        """Whether the area counts as predicted.

        Where nothing is planted that holds in at most 5 % of areas, however voxels, subjects and seeds depend on each
        other: each p value is at most 2.5 % (`LARGEST_P`) in 2.5 % of cases, so that the share of such ones is 2.5 % on
        average, and reaches a half in at most 5 % of cases (Markov). The false discovery rate alone does not say so: of
        two subjects whose voxels are one each, one is found in 10 %.
        """
        return self.share >= LEAST_PREDICTED


def count_predicted(voxels: pd.DataFrame) -> float:
    """How many of a predictor's voxels it predicts on held-out images; NaN where that was not tested."""
    return int(are_predicted(voxels).sum()) if "p_fdr" in voxels else math.nan


def count_surely(voxels: pd.DataFrame) -> float:
    """How many of them also have a p value that is small enough each by itself: those that the gate counts."""
    if not {"p", "p_fdr"} <= set(voxels):
        return math.nan
    return int((are_predicted(voxels) & (voxels["p"] <= LARGEST_P)).sum())


def predicted_areas(study: Study, read: ReadVoxels = read_voxels) -> dict[str, dict[str, Predicted]]:
    """By guided condition that is trained and learns from a predictor: its areas, but those that were not tested.

    Raises InputError for a predictor without files.
    """
    tables: dict[tuple[str, str], list[pd.DataFrame]] = {}
    found: dict[str, dict[str, Predicted]] = {}
    for name in dict.fromkeys(network.condition for network in study.networks()):
        subjects = study.conditions[name].subjects or study.subjects
        for predictor, roi in guides(study, [name]):
            if (predictor, roi) not in tables:
                paths = [voxels_path(study.root, predictor, roi, seed) for seed in study.predictor_seeds]
                tables[predictor, roi] = [read(path) for path in paths]
            own = [table[table["subject"].isin(list(subjects))] for table in tables[predictor, roi]]
            count = sum(count_surely(part) for part in own)
            if not math.isnan(count):
                found.setdefault(name, {})[roi] = Predicted(int(count), sum(len(part) for part in own))
    return found
