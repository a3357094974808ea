"""Face verification in the report: pairs that stand by rate, the worst attribute, differences, unmeasured rates."""

import itertools

import numpy as np
import pandas as pd
import pytest
from msgspec.structs import replace

from neurobust.attacks.semantic.verification_settings import Verification, VerificationPlan
from neurobust.core.errors import InputError
from neurobust.core.io import write_parquet
from neurobust.files.verification_table import (
    Threshold,
    VerificationExamples,
    VerificationRecord,
    read_verification_table,
    verification_examples_path,
    verification_table_path,
    write_verification_examples,
    write_verification_table,
)
from neurobust.networks.conditions import Condition
from neurobust.report.contents import COLUMNS, VERIFICATION_TABLES
from neurobust.report.page import write_index
from neurobust.report.tables import read_csv
from neurobust.report.verification_section import verification_section
from neurobust.report.verification_tables import tabulate_verification
from neurobust.report.view import View

TASK, N, SEEDS = "phantom-faces", 10, (0, 1, 2)
ATTRIBUTES, GOALS, RATES = ("smile", "glasses"), ("targeted", "untargeted"), (1e-3, 3e-4)
# Of 10 pairs, how many each attribute breaks at the larger rate, by condition: the glasses break pairs that a smile
# does not. One more falls with every seed, one pair less at the smaller rate; pair 0 is wrong when clean.
BROKEN = {"none": (4, 3), "FFA": (1, 1), "FFA-shuffled": (3, 2)}


def planted(condition, seed, attribute, rate, variant):
    """Which pairs are broken, bool (N,): the first by a smile, the last by glasses."""
    count = BROKEN[condition][ATTRIBUTES.index(attribute)] + (seed if attribute == "smile" else 0)
    count = count - (rate == RATES[1]) if variant == "attack" else 0
    pairs = np.arange(N)
    return (pairs == 0) | ((pairs < 1 + count) if attribute == "smile" else (pairs >= N - count))


def write_verified(root, condition, seed, gates_passed):
    frames = []
    for goal, attribute, variant, rate in itertools.product(GOALS, ATTRIBUTES, ("attack", "random-edit"), RATES):
        frames.append(pd.DataFrame({
            "image": np.arange(N) + 20, "reference": np.arange(N) + 40, "goal": goal, "attribute": attribute,
            "variant": variant, "rate": rate, "clean_wrong": np.arange(N) == 0,
            "identity_clean_wrong": np.arange(N) == 1,
            "success": planted(condition, seed, attribute, rate, variant), "distance": 1.0,
            "identity_success": np.arange(N) < 3, "oracle_correct": True, "ciede2000": 2.0, "n_forward": 5.0,
        }))  # fmt: skip
    limits = [
        Threshold(who, rate, limit, 5000, passing, 8, 600, 0.75 if limit else None)
        for who in ("network", "identity")
        for rate, limit, passing in ((1e-3, 0.5, 5), (3e-4, 0.25, 1), (1e-4, None, None))
    ]
    gates = [
        {"network": "editor", "gate": "g", "value": 0.5, "threshold": 1.0, "at_most": False, "passed": gates_passed}
    ]
    record = VerificationRecord(
        TASK, "small", condition, seed, "verification", limits, "validation", gates, gates_passed, {"steps": 3}
    )
    network = f"{TASK}/small/{condition}/seed{seed}"
    path = verification_table_path(root, network)
    write_verification_table(path, pd.concat(frames, ignore_index=True), record)
    shape, rng = (1, len(GOALS), len(ATTRIBUTES)), np.random.default_rng(0)
    write_verification_examples(verification_examples_path(root, network), VerificationExamples(
        image=np.array([21]), reference=np.array([[41, 21]]), goals=np.array(GOALS), attributes=np.array(ATTRIBUTES),
        clean=rng.random((1, 8, 8, 3)), references=rng.random((1, 2, 8, 8, 3)), edited=rng.random((*shape, 8, 8, 3)),
        attacked=rng.random((*shape, 8, 8, 3)), success=np.array([[[True, False], [False, False]]]),
    ))  # fmt: skip
    return path


@pytest.fixture
def tabulated(tmp_path, new_study, new_plan, new_condition):
    """A view of a study of three conditions and seeds, its tables by name, and the files that its page reads."""

    def make(gates_passed=True):
        paths = [write_verified(tmp_path, name, seed, gates_passed) for name in BROKEN for seed in SEEDS]
        conditions = {
            "none": Condition(weight=0.9), "FFA": new_condition("FFA"),
            "FFA-shuffled": new_condition("FFA", control="shuffled"),
        }  # fmt: skip
        study = new_study(
            tmp_path, tasks=(TASK,), architectures=("small",), rois=("FFA",), seeds=SEEDS, conditions=conditions,
            attacks={"pgd": new_plan("pgd", label="PGD")}, primary_attack="pgd",
        )  # fmt: skip
        outputs = {name: tmp_path / f"{stem}.csv" for name, stem in VERIFICATION_TABLES.items()}
        tabulate_verification(study, paths, outputs)
        view = View(study, {name: pd.DataFrame(columns=columns) for name, columns in COLUMNS.items()})
        tables = {name: read_csv(path) for name, path in outputs.items()}
        return view, tables, [*outputs.values(), *(path.with_suffix(".npz") for path in paths)]

    return make


def test_a_pair_stands_where_no_attribute_breaks_it(tabulated):
    _, tables, _ = tabulated()
    table = tables["verification"].set_index(["condition", "seed", "goal", "attribute", "variant", "rate"])
    for condition, seed, goal in itertools.product(BROKEN, SEEDS, GOALS):
        smile, glasses = BROKEN[condition][0] + seed, BROKEN[condition][1]
        row = table.loc[(condition, seed, goal, "any", "attack", 1e-3)]
        assert row["stands"] == pytest.approx(1 - (1 + smile + glasses) / N), "the one wrong when clean does not stand"
        assert row["success"] == pytest.approx((smile + glasses) / (N - 1)) and row["n_right"] == N - 1
        assert table.loc[(condition, seed, goal, "any", "attack", 3e-4), "stands"] == pytest.approx(row["stands"] + 0.2)
        own = table.loc[(condition, seed, goal, "smile", "attack", 1e-3)]
        assert own["success"] == pytest.approx(smile / (N - 1))
        if smile >= 2:  # of the pairs 1 to `smile`, the identity network was wrong about 1 itself; 2 fools it
            assert own["identity_success"] == pytest.approx(1 / (smile - 1))
    assert (table.xs("random-edit", level="variant")["success"] == 0).all()


def test_conditions_are_compared_at_every_rate(tabulated):
    """FFA minus none and minus its shuffle, pair by pair: five and three more stand in every seed."""
    _, tables, _ = tabulated()
    found = tables["differences"].set_index(["condition", "baseline", "goal", "rate"])
    for goal, rate in itertools.product(GOALS, RATES):
        for baseline, more in (("none", 5), ("FFA-shuffled", 3)):
            row = found.loc[("FFA", baseline, goal, rate)]
            assert row["difference"] == pytest.approx(more / N) and row["n_seeds"] == 3 and row["n_images"] == N
            assert row["low"] < more / N < row["high"] and row["seed_min"] == row["seed_max"]


def test_the_page_shows_rates_attributes_and_what_was_not_measured(tabulated):
    view, _, files = tabulated()
    section = verification_section(view, files)
    (table,) = section["tables"]
    assert [(head["goal"], head["rate"]) for head in table["heads"]] == [
        (goal, rate) for goal in ("taken for another", "no longer the same") for rate in ("0.001", "0.0003")
    ]
    none, ffa = table["lines"][:2]
    assert (none["condition"].name, none["cells"][0].main, none["cells"][0].spread) == ("none", "10.0", "0.0 to 20.0")
    assert ffa["cells"][0].main == "60.0"
    notes = [(note.baseline, note.value) for note in ffa["cells"][0].notes]
    assert notes == [("none", "+50.0"), ("control", "+30.0")]
    assert table["lines"][-1]["name"] == "best of random edits" and table["lines"][-1]["cells"][0].main == "90.0"
    assert table["missing"] == [{"rate": "0.0001", "impostors": 5000}]
    known = [line for line in table["thresholds"] if line["rate"] == "0.001"]
    assert [line["passing"] for line in known] == ["5 of"] * 4 and known[-1]["condition"] is None
    assert {line["threshold"] for line in table["thresholds"] if line["rate"] == "0.0001"} == {"not measured"}
    assert [line["attribute"] for line in table["attributes"]] == list(ATTRIBUTES) * 3
    assert table["attributes"][0]["cells"][0].main == f"{100 * 5 / 9:.0f}"
    (grid,) = section["grids"]
    assert grid["condition"] == "none"
    assert [row["cells"][-1]["note"] for row in grid["rows"]] == [
        "broken · ×1", "stands · ×1", "stands · ×1", "stands · ×1",
    ]  # fmt: skip
    assert "0.0003" in section["figure"] and not section["failed"]
    assert verification_section(view, []) is None
    with pytest.raises(InputError, match="give verification, verification_differences, verification_thresholds"):
        verification_section(view, files[:1])


def test_a_failed_gate_is_said_where_the_page_prints_all(tabulated, tmp_path):
    view, _, files = tabulated(gates_passed=False)
    assert verification_section(view, files)["failed"] == [TASK]
    asked = replace(view.study.semantic, verification=VerificationPlan(Verification()))
    study = replace(view.study, semantic=asked)
    write_index(study, tmp_path / "tables", {}, tmp_path / "report/index.html", verification=files)
    text = "".join(page.read_text() for page in sorted((tmp_path / "report").glob("*.html")))
    assert "Rate 0.0001 was not measured" in text and "of 5000 pairs of two people" in text
    assert "an auxiliary network of phantom-faces did not pass" in text and 'href="semantic.html"' in text
    assert (
        "<span>+50.0</span> <span>[+1.0 to" in text
        and "verification_thresholds" in text
        and text.count("data:image/png") == 24
    )
    assert text.count('<section id="verification">') == 1


def test_rows_that_are_no_verification_are_named(tmp_path):
    write_parquet(tmp_path / "verification.parquet", pd.DataFrame({"image": [0]}), {})
    with pytest.raises(InputError, match=r"verification\.parquet: not the pairs of a verification"):
        read_verification_table(tmp_path / "verification.parquet")
