"""Comparisons at equal clean accuracy against numbers worked out by hand."""

import math

import pytest

from neurobust.report.matched import matched_rows, sweep_of

CONDITIONS = {
    "none": {"weight": 0.8},
    "V1": {"target": "V1", "weight": 0.8},
    "V1-w0.4": {"target": "V1", "weight": 0.4, "sweep": "V1"},
    "V1-shuffled": {"target": "V1", "weight": 0.8, "control": "shuffled"},
    "LO": {"target": "LO", "weight": 0.8},
}


def study_of(conditions=CONDITIONS, seeds=(0,)):
    attacks = {"pgd": {"norm": "linf", "unit": "1/255", "reference_budget": 4, "method": "pgd"}}
    return {
        "name": "t", "phantom": True, "tasks": ["scenes"], "architectures": ["resnet18"], "conditions": conditions,
        "seeds": list(seeds), "attacks": attacks, "primary_attack": "pgd", "rois": ["V1", "LO"], "subjects": ["subj01"],
        "root": "results",
    }  # fmt: skip


def rows_of(values, seeds=(0,)):
    """(networks, robust accuracy) rows from {condition: (clean, robust at 4/255)}, other budgets being traps."""
    names = {"task": "scenes", "architecture": "resnet18"}
    networks = [
        names | {"condition": name, "seed": seed, "clean_accuracy": clean}
        for name, (clean, _) in values.items()
        for seed in seeds
    ]
    robust = [
        names | {"condition": name, "seed": seed, "attack": attack, "budget": budget, "robust_accuracy": accuracy}
        for name, (_, right) in values.items()
        for seed in seeds
        for attack, budget, accuracy in (("pgd", 4, right), ("pgd", 8, 0.0), ("fgsm", 4, 1.0))
    ]
    return networks, robust


def compare(values, **options):
    return {
        (row["condition"], row["baseline"]): row
        for row in matched_rows(study_of(**options), "scenes", "resnet18", *rows_of(values, options.get("seeds", (0,))))
    }


def test_a_sweep_is_read_at_the_clean_accuracy_of_its_baseline():
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


def test_seeds_that_agree_leave_no_room_for_doubt():
    values = {"none": (0.7, 0.3), "V1": (0.6, 0.5), "V1-w0.4": (0.8, 0.3), "V1-shuffled": (0.9, 0.2), "LO": (0.7, 0.9)}
    row = compare(values, seeds=(0, 1, 2))["V1", "none"]
    assert row["low"] == row["high"] == pytest.approx(0.1) and row["n_seeds"] == 3


def test_a_sweep_is_its_condition_and_its_other_weights():
    assert sweep_of(study_of(), "V1") == ["V1", "V1-w0.4"] and sweep_of(study_of(), "LO") == ["LO"]
