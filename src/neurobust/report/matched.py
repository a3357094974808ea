"""Conditions compared at equal clean accuracy, along the sweeps of their weights."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from neurobust.core.seeding import numpy_rng
from neurobust.report.blocks import Row
from neurobust.report.guided import controls_of, in_order, is_guided, sweep_of
from neurobust.report.matching import bootstrap_difference, matched_difference, shared_range
from neurobust.report.shown import ShownAttack
from neurobust.study.model import BASELINE, Study

Accuracies = Mapping[tuple[str, int], float]  # of networks, by condition and seed


def matched_rows(study: Study, task: str, attack: ShownAttack, clean: Accuracies, curves: list[Row]) -> list[Row]:
    """Robust accuracy of each guided condition minus its baselines', averaged over the clean accuracies of both.

    clean: of one task and architecture's networks; curves: their rows of the table `robust_accuracy` under `attack`,
    read at its reference budget. For pairs of which one was trained with several weights. `difference` is NaN where no
    clean accuracy is reached by both; `low`, `high`: 95 % bootstrap over seeds, NaN for one seed.
    """
    budget = attack.reference({row["budget"] for row in curves})
    robust = {(row["condition"], row["seed"]): row["robust_accuracy"] for row in curves if row["budget"] == budget}
    rows = []
    trained, seeds = in_order(study.conditions, study.trained[task]), study.tasks[task].seeds
    for condition in trained:
        if not is_guided(study.conditions[condition]):
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
            rows.append(names | compare(points, len(seeds)))
    return rows


def compare(points: list[np.ndarray], n_seeds: int) -> Row:
    """One comparison: clean and robust accuracies (seeds, weights) of the condition, then of its baseline."""
    clean_a, robust_a, clean_b, robust_b = points
    span = shared_range(clean_a.mean(0), clean_b.mean(0)) or (math.nan, math.nan)
    difference = matched_difference(clean_a.mean(0), robust_a.mean(0), clean_b.mean(0), robust_b.mean(0))
    interval = None
    if n_seeds > 1 and difference is not None:
        interval = bootstrap_difference(clean_a, robust_a, clean_b, robust_b, numpy_rng("report", "matched"))
    low, high = interval or (math.nan, math.nan)
    return {
        "n_seeds": n_seeds, "n_weights": clean_a.shape[1], "clean_low": span[0], "clean_high": span[1],
        "difference": math.nan if difference is None else difference, "low": low, "high": high,
    }  # fmt: skip
