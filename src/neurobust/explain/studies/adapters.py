"""The analyses over all networks of a task and an architecture, from their bench to their rows."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd

from neurobust.core.architecture_names import PENULTIMATE
from neurobust.core.false_discovery import false_discovery
from neurobust.explain.findings import Findings, Row
from neurobust.explain.studies.robustness import (
    Estimate,
    Parts,
    correlation,
    deviations,
    group_means,
    parts_of,
    within_slope,
)
from neurobust.explain.studies.settings import Association, Changes, Mediation
from neurobust.explain.study_bench import Explaining, StudyBench
from neurobust.statistics import seed_interval

KEYS = ["condition", "seed"]


class Reading(NamedTuple):
    """A measure of networks, at one ROI where it has one: a row per network that has it, with its accuracies."""

    measure: str
    roi: str
    table: pd.DataFrame  # condition, seed, value, clean_accuracy, robust_accuracy


def readings(bench: StudyBench) -> Iterator[Reading]:
    """The measures that are asked about, in the order of the family, ROI by ROI, over the networks that have them."""
    there = bench.measures[bench.measures["layer"].isin(["", PENULTIMATE]) & np.isfinite(bench.measures["value"])]
    known = bench.networks.dropna(subset=["clean_accuracy", "robust_accuracy"])
    for measure in bench.asked:
        for roi, part in there[there["measure"] == measure].groupby("roi", sort=True):
            table = part[[*KEYS, "value"]].drop_duplicates(KEYS).merge(known, on=KEYS)
            if len(table):
                yield Reading(measure, str(roi), table)


def changes(bench: StudyBench, settings: Changes) -> Findings:
    """Every measure at every layer of each guided condition, less that of its control, paired over seeds."""
    rows = []
    for gain in bench.gains:
        own = bench.measures[bench.measures["condition"] == gain.condition]
        other = bench.measures[bench.measures["condition"] == gain.control]
        where = ["measure", "layer", "roi"]
        both = own.merge(other, on=[*where, "seed"], suffixes=("", "_control"))
        for (measure, layer, roi), part in both.groupby(where, sort=False):
            found = seed_interval((part["value"] - part["value_control"]).to_numpy(float))
            rows.append(
                Row("change", found.mean, layer, roi, found.low, found.high, of=measure, condition=gain.condition,
                    n_networks=2 * len(part))
            )  # fmt: skip
    return Findings(rows)


def association(bench: StudyBench, settings: Association) -> Findings:
    """How each measure that is asked about goes with robust accuracy, between and within conditions."""
    found = [(reading, *associated(reading.table)) for reading in readings(bench)]
    rows = []
    for (reading, plain, partial, within), q in zip(found, false_discovery([f[2].p for f in found]), strict=True):
        numbers = {"correlation": plain, "partial correlation": partial, "p": Estimate(partial.p), "q": Estimate(q)}
        for name, number in (numbers | {"within conditions": within}).items():
            rows.append(
                Row(name, number.value, "", reading.roi, number.low, number.high, of=reading.measure,
                    n_networks=len(reading.table))
            )  # fmt: skip
    return Findings(rows)


def associated(table: pd.DataFrame) -> tuple[Estimate, Estimate, Estimate]:
    """Correlation of the means of conditions, the same given clean accuracy, and that of deviations from the means."""
    values = table[["value", "robust_accuracy", "clean_accuracy"]].to_numpy(float)
    groups = table["condition"].to_numpy(str)
    means, left = group_means(values, groups), deviations(values, groups)
    conditions = len(means)
    return (
        correlation(means[:, 0], means[:, 1]),
        correlation(means[:, 0], means[:, 1], means[:, 2]),
        correlation(left[:, 0], left[:, 1], left[:, 2], used=conditions - 1),
    )


def mediation(bench: StudyBench, settings: Mediation) -> Findings:
    """What of each gain goes through each measure that is asked about, at the ROI of the condition where it has one."""
    found, every = [], [(reading, associated(reading.table)[1]) for reading in readings(bench)]
    for gain in bench.gains:
        for reading, between in every:
            if reading.roi and reading.roi not in gain.roi.split("+"):
                continue
            pairs = paired(reading.table, gain)
            if len(pairs):
                table = reading.table
                value, robust, clean = table[["value", "robust_accuracy", "clean_accuracy"]].to_numpy(float).T
                slope = within_slope(value, robust, clean, table["condition"].to_numpy(str))
                parts = parts_of(pairs["gain"], pairs["moved"], slope, settings.draws, settings.seed)
                found.append((gain, reading, len(pairs), parts, between))
    rows = []
    p_values = [p_of_both(parts, between) for *_, parts, between in found]
    adjusted = false_discovery(p_values)
    for (gain, reading, seeds, parts, between), p, q in zip(found, p_values, adjusted, strict=True):
        numbers = parts._asdict() | {"between": between, "p": Estimate(p), "q": Estimate(float(q))}
        for name, number in numbers.items():
            rows.append(
                Row(name, number.value, "", reading.roi, number.low, number.high, of=reading.measure,
                    condition=gain.condition, n_networks=2 * seeds)
            )  # fmt: skip
    return Findings(rows)


def p_of_both(parts: Parts, between: Estimate) -> float:
    """p of two claims at once, the larger of theirs (Berger 1982): part of a gain goes through a measure, and
    conditions that differ in it differ in robust accuracy, in the direction of the slope within conditions. NaN where
    one has none.

    What moves with guidance and, among seeds of a condition, with robust accuracy may yet do so beside the true cause;
    then conditions that move it by other means are not more robust.
    """
    if math.isnan(parts.through.p) or math.isnan(between.p):
        return math.nan
    return max(parts.through.p, between.p) if parts.slope.value * between.value > 0 else 1.0


def paired(table: pd.DataFrame, gain: Explaining) -> pd.DataFrame:
    """Per seed that both were trained with: `gain` in robust accuracy and how far the measure `moved`."""
    own, other = (table[table["condition"] == name].set_index("seed") for name in (gain.condition, gain.control))
    seeds = own.index.intersection(other.index)
    both = own.loc[seeds, ["robust_accuracy", "value"]] - other.loc[seeds, ["robust_accuracy", "value"]]
    return both.rename(columns={"robust_accuracy": "gain", "value": "moved"})
