"""Conditions compared at equal clean accuracy, along the sweeps of their weights."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from neurobust.core.seeding import numpy_rng
from neurobust.report.matching import bootstrap_difference, matched_difference, shared_range
from neurobust.report.study import (
    Study,
    attack_settings,
    controls_of,
    is_control,
    is_swept,
    primary_attack,
    reference_budget,
    target_of,
    trained,
)


def sweep_of(study: Study, condition: str) -> list[str]:
    """A condition and its other weights."""
    return [
        condition,
        *(name for name, recipe in study["conditions"].items() if (recipe or {}).get("sweep") == condition),
    ]


def matched_rows(
    study: Study, task: str, architecture: str, networks: list[dict[str, Any]], robust: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Robust accuracy of each guided condition minus its baselines', averaged over the clean accuracies of both.

    `networks` and `robust` are rows of the tables of these names. Of the primary attack at its reference budget; for
    pairs of which one was trained with several weights. `difference` is NaN where no clean accuracy is reached by both;
    `low`, `high`: 95 % bootstrap over seeds, NaN for one seed.
    """
    attack = primary_attack(study)
    here = [row for row in robust if (row["task"], row["architecture"], row["attack"]) == (task, architecture, attack)]
    budget = reference_budget(attack_settings(study).get(attack, {}), sorted({row["budget"] for row in here}))
    broken = {(row["condition"], row["seed"]): row["robust_accuracy"] for row in here if row["budget"] == budget}
    clean = {
        (row["condition"], row["seed"]): row["clean_accuracy"]
        for row in networks
        if (row["task"], row["architecture"]) == (task, architecture)
    }
    rows = []
    conditions = trained(study, task)
    for condition in conditions:
        if target_of(study, condition) is None or is_control(study, condition) or is_swept(study, condition):
            continue
        for baseline in ("none", *controls_of(study, condition)):
            pair = [sweep_of(study, name) for name in (condition, baseline)]
            if baseline not in conditions or max(map(len, pair)) < 2:
                continue
            points = [
                np.array([[values[name, seed] for name in names] for seed in study["seeds"]], dtype=float)
                for names in pair
                for values in (clean, broken)
            ]
            names = {"task": task, "architecture": architecture, "condition": condition, "baseline": baseline}
            rows.append(names | {"attack": attack, "budget": budget} | compare(points, len(study["seeds"])))
    return rows


def compare(points: list[np.ndarray], n_seeds: int) -> dict[str, Any]:
    """One comparison: clean and robust accuracies (seeds, weights) of the condition, then of its baseline."""
    means = [part.mean(0) for part in points]
    span = shared_range(means[0], means[2]) or (math.nan, math.nan)
    difference = matched_difference(*means)
    interval = None
    if n_seeds > 1 and difference is not None:
        interval = bootstrap_difference(*points, numpy_rng("report", "matched"))
    low, high = interval or (math.nan, math.nan)
    return {
        "n_seeds": n_seeds, "n_weights": points[0].shape[1], "clean_low": span[0], "clean_high": span[1],
        "difference": math.nan if difference is None else difference, "low": low, "high": high,
    }  # fmt: skip
