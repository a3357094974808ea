"""Error consistency between the networks of a study."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from neurobust.core.reference_range import BASELINE
from neurobust.explain.findings import Findings, Row
from neurobust.explain.networks.consistency import mean_consistency
from neurobust.explain.studies.consistency_settings import Consistency
from neurobust.explain.study_bench import StudyBench
from neurobust.statistics import seed_interval

READINGS = {"correct": "", "survived": ", attacked"}


def consistent(bench: StudyBench, settings: Consistency) -> Findings:
    """Each condition among its own seeds and with `none`: means over seeds, with Student's interval over them.

    A seed's own number is its mean kappa with the networks of other seeds: networks of one seed start alike.
    """
    if bench.answers is None:
        return Findings([])
    rows: list[Row] = []
    for column, suffix in READINGS.items():
        wide = bench.answers.pivot_table(index="image", columns=["condition", "seed"], values=column, sort=False)
        wide = wide.dropna()
        for condition in wide.columns.unique("condition"):
            for name, other in (("consistency within", condition), ("consistency with none", BASELINE)):
                if other not in wide.columns.unique("condition") or (name.endswith("none") and condition == BASELINE):
                    continue
                found = [value for value in by_seed(wide, condition, other) if math.isfinite(value)]
                if found:
                    low, high = seed_interval(found)[1:3]
                    count = wide[condition].shape[1]
                    rows.append(
                        Row(name + suffix, float(np.mean(found)), low=low, high=high, n_images=len(wide),
                            condition=condition, n_networks=count)
                    )  # fmt: skip
    return Findings(rows)


def by_seed(answers: pd.DataFrame, condition: str, other: str) -> list[float]:
    """Mean kappa of each network of a condition with those of another one (or its own) that have other seeds."""
    own, theirs = answers[condition].astype(bool), answers[other].astype(bool)
    return [
        mean_consistency(own[seed].to_numpy(), [theirs[one].to_numpy() for one in theirs.columns if one != seed])
        for seed in own.columns
    ]
