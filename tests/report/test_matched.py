"""Comparisons at equal clean accuracy against numbers worked out by hand."""

import math

import pytest

from neurobust.networks.conditions import Condition
from neurobust.report.guided import sweep_of
from neurobust.report.matched import matched_rows
from neurobust.report.shown import ShownAttack

PGD = ShownAttack("pgd", "PGD", "linf", "1/255", reference_budget=4)
CONDITIONS = {
    "none": Condition(weight=0.8),
    "V1": Condition(target=("V1",), weight=0.8),
    "V1-w0.4": Condition(target=("V1",), weight=0.4, sweep="V1"),
    "V1-shuffled": Condition(target=("V1",), weight=0.8, control="shuffled"),
    "LO": Condition(target=("LO",), weight=0.8),
}


@pytest.fixture
def compare(new_study):
    """A function: (condition, baseline) -> row, from {condition: (clean, robust at 4/255)}, other budgets being
    traps. shift: of V1's robust accuracy under each seed."""

    def rows_of(values, seeds=(0,), shift=(0, 0, 0)):
        study = new_study(conditions=CONDITIONS, seeds=seeds, tasks=("scenes",))
        clean = {(name, seed): accuracy for name, (accuracy, _) in values.items() for seed in seeds}
        curves = [
            {"condition": name, "seed": seed, "budget": budget, "robust_accuracy": accuracy}
            for name, (_, right) in values.items()
            for seed in seeds
            for budget, accuracy in ((4, right + shift[seed] * name.startswith("V1")), (8, 0.0))
        ]
        rows = matched_rows(study, "scenes", PGD, clean, curves)
        return {(row["condition"], row["baseline"]): row for row in rows}

    return rows_of


def test_a_sweep_is_read_at_the_clean_accuracy_of_its_baseline(compare):
    """V1 goes from (0.6, 0.5) to (0.8, 0.3): at 0.7 clean it is 0.4 robust, 0.1 more than `none`."""
    found = compare(
        {"none": (0.7, 0.3), "V1": (0.6, 0.5), "V1-w0.4": (0.8, 0.3), "V1-shuffled": (0.9, 0.2), "LO": (0.7, 0.9)}
    )
    assert set(found) == {("V1", "none"), ("V1", "V1-shuffled")}, "pairs without a sweep are not compared here"
    row = found["V1", "none"]
    assert row["difference"] == pytest.approx(0.1) and (row["clean_low"], row["clean_high"]) == (0.7, 0.7)
    assert row["attack"] == "pgd" and row["budget"] == 4 and row["n_weights"] == 2 and math.isnan(row["low"])
    apart = found["V1", "V1-shuffled"]
    assert math.isnan(apart["difference"]) and math.isnan(apart["clean_low"]), "nothing is extrapolated"


def test_the_interval_is_students_over_the_seeds_own_differences(compare):
    values = {"none": (0.7, 0.3), "V1": (0.6, 0.5), "V1-w0.4": (0.8, 0.3), "V1-shuffled": (0.9, 0.2), "LO": (0.7, 0.9)}
    row = compare(values, seeds=(0, 1, 2), shift=(-0.02, 0, 0.02))["V1", "none"]
    half = 4.302653 * 0.02 / math.sqrt(3)
    assert (row["low"], row["high"]) == pytest.approx((0.1 - half, 0.1 + half)) and row["n_seeds"] == 3
    alike = compare(values, seeds=(0, 1, 2))["V1", "none"]
    assert alike["difference"] == pytest.approx(0.1)
    assert math.isnan(alike["low"]), "seeds that agree to the last digit say nothing of their spread"


def test_a_sweep_is_its_condition_and_its_other_weights():
    assert sweep_of(CONDITIONS, "V1") == ["V1", "V1-w0.4"] and sweep_of(CONDITIONS, "LO") == ["LO"]
