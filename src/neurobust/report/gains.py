"""What each network gained over its own shuffle, and what might explain it: one row per guided network."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from neurobust.files.network_metrics import NetworkMetrics, metrics_path, read_metrics
from neurobust.networks.conditions import Condition
from neurobust.report.blocks import Row
from neurobust.report.guided import Conditions
from neurobust.report.hierarchy import place_of
from neurobust.report.shown import answering, shown_attacks
from neurobust.study.model import Study
from neurobust.study.pairs import shuffles_of

Accuracies = dict[tuple[str, str, str, int], float]  # by task, architecture, condition and seed


def own_shuffle(conditions: Conditions, name: str) -> str | None:
    """The condition that differs from a guided one in nothing but that its images are shuffled; None without one.

    Conditions that several ROIs guide together have none here: they are no independent value beside those of each ROI.
    """
    condition = conditions[name]
    if condition.target is None or len(condition.target) > 1 or condition.control:
        return None
    return next(iter(shuffles_of(conditions, name)), None)


def gain_rows(study: Study, rows: Mapping[str, list[Row]]) -> list[Row]:
    """A row per network that one ROI guides and whose own shuffle was trained with the same seed.

    Under the attack that the answer is read from. rows: of the tables `summary` (whose reference budget is used),
    `robust_accuracy` and `predictors`. A factor that is not known of a network is NaN or empty.
    """
    attack, found = answering(shown_attacks(study.attacks), study.primary_attack), []
    budgets = {
        (row["task"], row["architecture"]): float(row["reference_budget"])
        for row in rows["summary"] if row["attack"] == attack
    }  # fmt: skip
    accuracies: Accuracies = {
        (row["task"], row["architecture"], row["condition"], row["seed"]): row["robust_accuracy"]
        for row in rows["robust_accuracy"]
        if row["attack"] == attack and row["budget"] == budgets[row["task"], row["architecture"]]
    }
    quality = {(row["roi"], row["subject"], row["seed"]): row for row in rows["predictors"]}
    for network in study.networks():
        shuffle = own_shuffle(study.conditions, network.condition)
        own = accuracies.get((*network,), math.nan)
        other = accuracies.get((network.task, network.architecture, shuffle or "", network.seed), math.nan)
        if not math.isfinite(own - other):
            continue
        condition = study.conditions[network.condition]
        metrics = read_metrics(metrics_path(study.root, network.path))
        found.append(
            {**network._asdict(), "roi": condition.roi, "shuffle": shuffle, "attack": attack, "gain": own - other}
            | {"budget": budgets[network.task, network.architecture]}
            | roi_factors(study, condition, quality, study.predictor_seed(network.seed))
            | {"weight": condition.weight, "loss": condition.loss, "images": guided_on(condition)}
            | {"layer_depth": depth_of(condition, metrics), **alignments(metrics)}
        )
    return found


def roi_factors(
    study: Study, condition: Condition, quality: Mapping[tuple[str, str, int], Row], seed: int
) -> dict[str, float]:
    """What is known of the ROI that guides a condition: over its subjects' voxels, by its predictor of that seed.

    The accuracy is that of the study's first predictor, and not known for a condition that another one guides, or an
    ensemble.
    """
    (roi,) = condition.target or ("",)
    subjects = condition.subjects or ("all",)
    parts = [quality[key] for subject in subjects if (key := (roi, subject, seed)) in quality]
    voxels = np.array([part["n_voxels"] for part in parts], dtype=float)

    def mean(column: str) -> float:
        values = np.array([part[column] for part in parts], dtype=float)
        known = np.isfinite(values) & (voxels > 0)
        return float(np.average(values[known], weights=voxels[known])) if known.any() else math.nan

    ours = condition.predictor == study.predictor and not condition.ensemble
    return {
        "hierarchy": place_of(study.rois[roi]),
        "predictor_accuracy": mean("median_r_normalised") if ours else math.nan,
        "noise_ceiling": mean("median_noise_ceiling"),
        "n_voxels": float(voxels.sum()) or math.nan,
    }


def guided_on(condition: Condition) -> str:
    """Whose images the neural loss acts on: the task's, or the brain's with predicted or measured responses."""
    return "measured" if condition.pairs else condition.on


def depth_of(condition: Condition, metrics: NetworkMetrics) -> float:
    """How deep in the network the neural loss acts, 0 to 1 (the penultimate layer); NaN where it is not recorded."""
    if condition.layers in (None, ("penultimate",)):
        return 1.0
    return math.nan if metrics.layer_depth is None else metrics.layer_depth


def alignments(metrics: NetworkMetrics) -> dict[str, float]:
    """Correlation and CKA of a network's features with its target; NaN where they are not defined."""
    found = {"alignment": metrics.alignment, "alignment_cka": metrics.alignment_cka}
    return {name: math.nan if value is None else value for name, value in found.items()}
