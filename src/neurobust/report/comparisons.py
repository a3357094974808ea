"""What one attack says: curves per network, summaries per condition, differences between conditions."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from neurobust.report.blocks import Row
from neurobust.report.cells import Cells, common_images, survival_differences, twins_of
from neurobust.report.shown import ShownAttack
from neurobust.statistics import FEWEST_SEEDS, Interval, crossed_interval, detectable, wilson_interval
from neurobust.study.power import SPREADS, pooled


def curve_rows(cells: Cells, unit: str) -> list[Row]:
    """Robust accuracy of each network at each budget, with the Wilson interval over its images.

    abstained: share of images that count as broken because the network gives no answer; NaN where that is not recorded.
    """
    rows = []
    for (condition, seed), cell in cells.items():
        n = len(cell.images)
        silent = np.full(len(cell.budgets), math.nan) if cell.abstained is None or not n else cell.abstained.mean(0)
        for budget, survivors, share in zip(cell.budgets, cell.robust.sum(0), silent, strict=True):
            low, high = wilson_interval(int(survivors), n)
            accuracy = survivors / n if n else math.nan
            rows.append(
                {"condition": condition, "seed": seed, "budget": budget, "unit": unit}
                | {"robust_accuracy": accuracy, "wilson_low": low, "wilson_high": high, "n": n, "abstained": share}
            )
    return rows


def spread(name: str, values: list[float]) -> dict[str, float]:
    """Mean, standard deviation, minimum and maximum over seeds; the deviation is NaN for one seed."""
    array = np.asarray(values, dtype=float)
    deviation = array.std(ddof=1) if len(array) > 1 else math.nan
    return {name: array.mean(), f"{name}_sd": deviation, f"{name}_min": array.min(), f"{name}_max": array.max()}


def summary_rows(cells: Cells, attack: ShownAttack, clean: dict[tuple[str, int], float]) -> list[Row]:
    """Per condition: clean accuracy, robust accuracy at the reference budget and area under the curve, over seeds."""
    rows = []
    for condition in dict.fromkeys(condition for condition, _ in cells):
        own = {key: cell for key, cell in cells.items() if key[0] == condition}
        first = next(iter(own.values()))
        budget = attack.reference(first.budgets.tolist())
        at_budget = [mean(cell.at(budget)) if budget is not None else math.nan for cell in own.values()]
        rows.append(
            {"condition": condition, "n_seeds": len(own), "n_images": len(first.images)}
            | spread("clean_accuracy", [clean[key] for key in own])
            | {"reference_budget": math.nan if budget is None else budget, "unit": attack.unit}
            | spread("robust_accuracy", at_budget)
            | spread("area", [mean(cell.area()) for cell in own.values()])
        )
    return rows


def difference_rows(pairs: Iterable[tuple[str, str]], cells: Cells, attack: ShownAttack) -> list[Row]:
    """Each condition of `pairs` minus its baseline (`guided.compared`), on the same images, seed by seed.

    `low`, `high`, `df`: 95 % interval over seeds and images (`crossed_interval`); `seed_min`, `seed_max`: range of the
    difference over seeds. Measures: `robust_accuracy` at the reference budget and `area` under the curve. What may be
    concluded from a difference is not said here.
    """
    if not cells:
        return []
    cells = dict(zip(cells, common_images(list(cells.values())), strict=True))
    first = next(iter(cells.values()))
    budget = attack.reference(first.budgets.tolist())
    areas = {id(cell): cell.area() for cell in cells.values()}
    rows = []
    for condition, baseline in pairs:
        twins = twins_of(cells, condition, baseline)
        if not twins or budget is None:
            continue
        measures = {
            "robust_accuracy": survival_differences(twins, budget),
            "area": np.array([areas[id(own)] - areas[id(other)] for own, other in twins]),
        }
        for measure, differences in measures.items():
            by_seed = np.array([mean(row) for row in differences])
            found = interval_of(differences)
            rows.append(
                {"condition": condition, "baseline": baseline, "measure": measure, "difference": found.mean}
                | {"low": found.low, "high": found.high, "df": found.df, "n_seeds": len(twins)}
                | {"n_images": len(first.images), "seed_min": by_seed.min(), "seed_max": by_seed.max()}
            )
    return rows


def power_rows(pairs: Iterable[tuple[str, str]], cells: Cells, attack: ShownAttack) -> list[Row]:
    """What the differences of `difference_rows` scatter by, and so the smallest one that this study could see.

    One row, of the contrasts of three seeds or more at the reference budget (`study.power.pooled`); none without any.
    """
    if not cells:
        return []
    cells = dict(zip(cells, common_images(list(cells.values())), strict=True))
    budget = attack.reference(next(iter(cells.values())).budgets.tolist())
    if budget is None:
        return []
    twins = [found for pair in pairs if len(found := twins_of(cells, *pair)) >= FEWEST_SEEDS]
    contrasts = [survival_differences(pair, budget) for pair in twins]
    spreads = pooled(contrasts)
    if spreads is None:
        return []
    seeds, images = min(map(len, contrasts)), contrasts[0].shape[1]
    return [
        {"n_contrasts": len(contrasts), "n_seeds": seeds, "n_images": images}
        | dict(zip(SPREADS, spreads, strict=True))
        | {"detectable": detectable(seeds, images, *spreads)}
    ]


def interval_of(differences: np.ndarray) -> Interval:
    """`crossed_interval` of (seeds, images); all missing where the measure is (an area of a single budget)."""
    if not np.isfinite(differences).all():
        return Interval(math.nan, math.nan, math.nan, len(differences) - 1)
    return crossed_interval(differences)


def mean(values: np.ndarray) -> float:
    """Mean, NaN for no values (without numpy's warning)."""
    return float(np.mean(values)) if len(values) else math.nan
