"""Conditions compared at equal clean accuracy, along the sweeps of their weights."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from neurobust.core.reference_range import BASELINE
from neurobust.report.blocks import Row
from neurobust.report.guided import controls_of, in_order, sweep_of
from neurobust.report.matching import matched_difference, seed_differences, shared_range
from neurobust.report.shown import ShownAttack
from neurobust.statistics import seed_interval
from neurobust.study.model import Study

Accuracies = Mapping[tuple[str, int], float]  # of networks, by condition and seed


def matched_rows(study: Study, task: str, attack: ShownAttack, clean: Accuracies, curves: list[Row]) -> list[Row]:
    """Robust accuracy of each guided condition minus its baselines', averaged over the clean accuracies of both.

    clean: of one task and architecture's networks; curves: their rows of the table `robust_accuracy` under `attack`,
    read at its reference budget. For pairs of which one was trained with several weights. `difference` is NaN where no
    clean accuracy is reached by both; `low`, `high`: see `compare`.
    """
    budget = attack.reference({row["budget"] for row in curves})
    robust = {(row["condition"], row["seed"]): row["robust_accuracy"] for row in curves if row["budget"] == budget}
    rows = []
    trained, seeds = in_order(study.conditions, study.trained[task]), study.tasks[task].seeds
    for condition in trained:
        if not study.conditions[condition].guided:
            continue
        for baseline in (BASELINE, *controls_of(study.conditions, condition)):
            pair = [sweep_of(study.conditions, name) for name in (condition, baseline)]
            if baseline not in trained or max(map(len, pair)) < 2:
                continue
            points = [
                np.array([[values[name, seed] for name in names] for seed in seeds], dtype=float)
                for names in pair
                for values in (clean, robust)
            ]
            names = {"condition": condition, "baseline": baseline, "attack": attack.name, "budget": budget}
            rows.append(names | compare(*points))
    return rows


def compare(clean_a: np.ndarray, robust_a: np.ndarray, clean_b: np.ndarray, robust_b: np.ndarray) -> Row:
    """One comparison: clean and robust accuracies (seeds, weights) of the condition, then of its baseline.

    Where each seed's own curves share clean accuracies: the mean of the seeds' differences, `low` and `high` Student's
    95 % interval over seeds. Else the difference of the curves' means over seeds, without an interval: leaving seeds
    out would choose among them. `clean_low`, `clean_high`: what the curves' means share.
    """
    means = [part.mean(0) for part in (clean_a, robust_a, clean_b, robust_b)]
    by_seed = seed_differences(clean_a, robust_a, clean_b, robust_b)
    found = seed_interval(by_seed)
    difference = matched_difference(*means) if np.isnan(by_seed).any() else found.mean
    span = shared_range(means[0], means[2]) or (math.nan, math.nan)
    return {
        "n_seeds": len(by_seed), "n_weights": clean_a.shape[1], "clean_low": span[0], "clean_high": span[1],
        "difference": math.nan if difference is None else difference, "low": found.low, "high": found.high,
    }  # fmt: skip
