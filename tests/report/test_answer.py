"""The answer is read from the worst case of the primary attack's norm; an attack that failed costs its own cell."""

import re

import numpy as np
import pandas as pd
import pytest

from neurobust.core.errors import InputError
from neurobust.files.attack_table import AttackRecord, attack_table_path, write_failed_table
from neurobust.files.checks import Check, checks_path, read_checks, write_checks
from neurobust.report.cells import Cell, worst_case
from neurobust.report.collect import collect_results, tabulate_results
from neurobust.report.confirm import confirm_attacks
from neurobust.report.contents import COLUMNS
from neurobust.report.page import Frame, render
from neurobust.report.sections import answers
from neurobust.report.shown import answering, shown_attacks
from neurobust.report.summary import print_summary
from neurobust.report.view import View


def test_the_answer_is_the_worst_case_where_the_primary_attack_is_not_alone(study):
    shown = shown_attacks(study.attacks)
    for primary, answer in (("pgd-linf", "worst-linf"), ("fgsm", "worst-linf"), ("pgd-l2", "worst-l2"), ("hue", "hue")):
        assert answering(shown, primary) == answer


def test_a_worst_case_has_the_budgets_of_its_leading_attack():
    """An attack that was not run at one of them counts with what it broke at a smaller one, never at a larger one."""
    stands = np.ones((3, 4), dtype=bool)
    pgd = Cell(np.arange(3), np.array([0.0, 1, 2, 4]), stands, {"n_forward": 1.0, "n_backward": 1.0})
    aa = pgd._replace(budgets=np.array([0.0, 1.5, 4]), robust=np.array([[1, 1, 1], [1, 0, 0], [1, 1, 0]], dtype=bool))
    worst = worst_case([pgd, aa], pgd)
    assert worst.budgets.tolist() == [0, 1, 2, 4]
    assert worst.robust.astype(int).tolist() == [[1, 1, 1, 1], [1, 1, 0, 0], [1, 1, 1, 0]]
    assert worst_case([pgd, aa]).budgets.tolist() == [0, 4]


def test_a_stronger_attack_than_the_primary_one_changes_the_answer(study, collected):
    """Verdicts, gains and the comparison rest on the worst case; the primary attack's own difference stands beside."""
    tables = collected
    assert set(tables["verdicts"]["attack"]) == {"worst-linf"} and set(tables["gains"]["attack"]) == {"worst-linf"}
    rows = tables["differences"]
    assert set(rows[rows["answer"].astype(bool)]["attack"]) == {"worst-linf"}
    assert set(rows[rows["primary"].astype(bool)]["attack"]) == {"pgd-linf"}
    view = View(study, tables)
    found = answers(view)
    keys = ["task", "architecture", "condition", "baseline"]
    own = rows[(rows["attack"] == "pgd-linf") & (rows["measure"] == "robust_accuracy")].set_index(keys)["difference"]
    assert found
    for row in found:
        value = own[row["task"], row["architecture"], row["condition"].name, row["baseline"]]
        assert float(row["alone"].replace("−", "-")) == pytest.approx(100 * value, abs=0.051)
    page = render(view, {}, Frame("title"))
    assert "PGD L∞ alone" in page and "Accuracy under “worst case L∞” (an image counts only if" in page


def test_the_terminal_says_both(tabulated):
    text = print_summary(tabulated)
    assert re.search(r"LO - LO-shuffled, worst-linf: .+; pgd-linf alone [+−-]\d+\.\d", text)


@pytest.fixture
def failing(study, changed_study, fill_study, tmp_path):
    """A study in which FGSM failed on one network, and a colour attack on all."""
    attacks = {name: study.attacks[name] for name in ("noise-uniform", "fgsm", "pgd-linf", "hue")}
    conditions = {name: study.conditions[name] for name in ("none", "LO")}
    study = fill_study(
        changed_study(
            study,
            results=str(tmp_path / "results"),
            attacks=attacks,
            conditions=conditions,
            tasks=("digits",),
            rois=("LO",),
        )
    )
    for network in study.networks():
        names = network._asdict()
        for attack in ("fgsm", "hue"):
            if attack == "hue" or (network.condition, network.seed) == ("LO", 1):
                record = AttackRecord(**names, attack=attack, norm=study.attacks[attack].norm, failed="no such grid")
                write_failed_table(attack_table_path(study.root, network.path, attack), record)
                path = checks_path(study.root, network.path)
                write_checks(path, [*read_checks(path), Check("ran", False, attack, None, "no such grid")])
    return study


def test_a_failed_attack_costs_its_own_cell(failing):
    """The other cells of its attack and all other attacks stay; the worst case is over what every network met."""
    tables = collect_results(failing)
    curves = tables["robust_accuracy"]
    fgsm = curves[curves["attack"] == "fgsm"]
    assert set(zip(fgsm["condition"], fgsm["seed"], strict=True)) == {("none", 0), ("none", 1), ("LO", 0)}
    assert "hue" not in set(curves["attack"])
    keys = ["condition", "seed", "budget"]
    both = curves[curves["attack"] == "pgd-linf"].merge(curves[curves["attack"] == "noise-uniform"], on=keys)
    worst = both.merge(curves[curves["attack"] == "worst-linf"], on=keys)
    least = worst[["robust_accuracy_x", "robust_accuracy_y"]].min(axis="columns")
    assert len(worst) and (worst["robust_accuracy"] <= least).all()
    assert set(tables["minimal_budget"]["attacks"]) == {"pgd-linf, noise-uniform"}
    failed = tables["attacks"][tables["attacks"]["failed"] != ""]
    assert dict(failed["attack"].value_counts()) == {"hue": 4, "fgsm": 1}
    assert set(failed["failed"]) == {"no such grid"}


def test_the_page_says_what_failed_and_is_written_all_the_same(failing, tmp_path):
    tables = collect_results(failing)
    page = render(View(failing, tables), {}, Frame("title"))
    assert "failed on 1 of 4" in page and "failed on 4 of 4" in page and "no such grid" in page
    tabulate_results(failing, {name: tmp_path / f"{name}.csv" for name in COLUMNS})
    assert len(pd.read_csv(tmp_path / "attacks.csv")) == 16 and "worst-linf" in print_summary(tmp_path)


def test_a_study_with_a_failed_cell_ends_with_an_error(study, failing, tmp_path):
    whole, broken = ([checks_path(own.root, n.path) for n in own.networks()] for own in (study, failing))
    confirm_attacks(whole, tmp_path / "confirmed.txt")
    assert (tmp_path / "confirmed.txt").read_text() == f"{len(whole)} networks, each under every attack\n"
    with pytest.raises(
        InputError, match=r"none/seed0/hue\.parquet: failed: no such grid; .+ \(and 4 more, in the log\)"
    ):
        confirm_attacks(broken, tmp_path / "c.txt")
    assert not (tmp_path / "c.txt").exists()


def test_images_without_an_answer_have_a_column(collected):
    assert collected["robust_accuracy"]["abstained"].isna().all(), "these tables do not say"
