"""Smallest budgets merged over attacks, and which attack broke which: against a slow count, image by image."""

import math

import numpy as np
import pandas as pd
import pytest

from neurobust.report.attack_sections import member_notes
from neurobust.report.cells import Cell
from neurobust.report.minimal import MEMBER, break_rows, minimal_budget, minimal_rows, survival, survival_rows
from neurobust.report.shown import ShownAttack, shown_attacks
from neurobust.report.view import View

BUDGETS = np.array([0.0, 1.0, 2.0, 4.0])


def make_cell(first, distance=None, images=None, budgets=BUDGETS):
    """A cell whose image i is broken from the budget of index first[i] on; len(budgets): never."""
    first = np.asarray(first)
    robust = first[:, None] > np.arange(len(budgets))
    images = np.arange(len(first)) if images is None else np.asarray(images)
    return Cell(images, budgets, robust, {}, distance=None if distance is None else np.asarray(distance, float))


def random_cells(seed, count=3, n=40):
    rng = np.random.default_rng(seed)
    cells = []
    for _ in range(count):
        first = rng.integers(0, 5, n)
        size = np.append(BUDGETS, np.nan)[first] * rng.uniform(0.3, 1, n)
        cells.append(make_cell(first, size))
    return cells


def test_smallest_budget_is_each_image_s_own():
    one = make_cell([0, 1, 4, 2, 4], [0, 0.9, np.nan, 1.5, np.nan])
    two = make_cell([0, 2, 3, 4, 4], [0, 0.4, 4.0, np.nan, np.nan])
    images, smallest = minimal_budget([one, two])
    assert images.tolist() == [0, 1, 2, 3, 4]
    assert smallest.tolist() == [0, 0.4, 4.0, 1.5, math.inf], "the size of the adversarial, not the budget of the list"
    without = minimal_budget([one._replace(distance=None), two._replace(distance=None)])[1]
    assert without.tolist() == [0, 1, 4, 2, math.inf]


def test_images_that_one_attack_did_not_see_are_left_out():
    one, two = make_cell([1, 2, 3], images=[5, 7, 9]), make_cell([4, 0], images=[9, 5])
    two = two._replace(images=np.array([5, 9]), robust=two.robust[::-1])
    images, smallest = minimal_budget([one, two])
    assert images.tolist() == [5, 9] and smallest.tolist() == [0, 4]


@pytest.mark.parametrize("seed", range(5))
def test_curve_is_the_mean_of_the_worst_and_not_the_worst_of_the_means(seed):
    cells = random_cells(seed)
    _, smallest = minimal_budget(cells)
    curve = survival(smallest, BUDGETS)
    for place, budget in enumerate(BUDGETS):
        standing = []
        for image in range(40):  # slow
            sizes = [cell.distance[image] for cell in cells if not cell.robust[image].all()]
            standing.append(not any(size <= budget for size in sizes))
        assert curve[place] == pytest.approx(np.mean(standing))
        assert curve[place] <= min(cell.robust[:, place].mean() for cell in cells)
    fine = survival(smallest, np.linspace(0, 4, 101))
    assert (np.diff(fine) <= 0).all()


ATTACKS = {
    name: ShownAttack(name, name, norm, unit)
    for name, norm, unit in (("a", "linf", "1/255"), ("b", "linf", "1/255"), ("c", "l2", "L2"))
}


def test_a_network_s_rows():
    cells = {"a": make_cell([0, 1, 2, 4, 4]), "b": make_cell([0, 3, 1, 3, 4]), "c": make_cell([0, 4, 4, 4, 4])}
    rows = {row["norm"]: row for row in minimal_rows(ATTACKS, cells)}
    linf = rows["linf"]
    assert linf["attacks"] == "a, b" and linf["n_images"] == 5 and linf["n_broken"] == 4 and linf["largest"] == 4
    assert (linf["q25"], linf["median"], linf["q75"]) == (1, 1, 4)
    assert rows["l2"]["n_broken"] == 1 and math.isnan(rows["l2"]["median"]), "half the images stand: there is no median"
    curve = {row["budget"]: row["robust_accuracy"] for row in survival_rows(ATTACKS, cells) if row["norm"] == "linf"}
    assert [curve[budget] for budget in (0, 1, 2, 4)] == pytest.approx([0.8, 0.4, 0.4, 0.2])


def test_budgets_that_one_attack_was_not_given_are_no_evidence():
    cells = {"a": make_cell([1, 3]), "b": make_cell([2, 2], budgets=np.array([0.0, 1.0])), "c": make_cell([4, 4])}
    row = next(minimal_rows(ATTACKS, cells))
    assert row["largest"] == 1 and row["n_broken"] == 1
    assert max(r["budget"] for r in survival_rows(ATTACKS, cells) if r["norm"] == "linf") == 1


def test_which_attack_broke_which():
    # at budget 2: a breaks images 1, 2; b breaks 2, 3; image 0 is a clean error; image 4 stands
    cells = {"a": make_cell([0, 1, 2, 4, 4]), "b": make_cell([0, 3, 1, 2, 4]), "c": make_cell([0, 4, 4, 4, 4])}
    rows = {(row["attack"], row["other"]): row for row in break_rows(ATTACKS, cells)}
    assert set(rows) == {(x, y) for x in "ab" for y in "ab"}, "a norm with one attack has nothing to tell apart"
    assert {row["budget"] for row in rows.values()} == {2.0} and {row["n_correct"] for row in rows.values()} == {4}
    broken = {pair: row["n_broken"] for pair, row in rows.items()}
    assert broken == {("a", "a"): 2, ("a", "b"): 1, ("b", "b"): 2, ("b", "a"): 1}
    assert rows["a", "b"]["n_only"] == rows["b", "a"]["n_only"] == 1


def test_tables_of_the_study(collected):
    tables = collected
    curve, worst = tables["survival"], tables["robust_accuracy"]
    keys = ["task", "condition", "seed", "budget"]
    listed = worst[worst["attack"] == "worst-linf"].merge(curve[curve["norm"] == "linf"], on=keys)
    assert len(listed) == 2 * 4 * 2 * 6
    assert np.allclose(listed["robust_accuracy_x"], listed["robust_accuracy_y"])
    assert (tables["breaks"]["n_only"] <= tables["breaks"]["n_correct"]).all()


def test_members_of_an_ensemble_share_what_it_broke(new_study, new_plan):
    # at budget 2 the ensemble has broken images 1, 2, 3; image 0 is a clean error; its members are named per budget
    cell = make_cell([0, 1, 2, 2, 4])
    member = np.full((5, 4), "", dtype=object)
    member[1, 1:], member[2, 2:], member[3, 2:] = "apgd-ce", "apgd-ce", "square"
    cells = {"a": cell._replace(member=member.astype(str)), "b": make_cell([0, 4, 4, 4, 4]), "c": cell}
    rows = [row for row in break_rows(ATTACKS, cells) if row["other"].startswith(MEMBER)]
    counts = {(row["attack"], row["other"].removeprefix(MEMBER)): row["n_broken"] for row in rows}
    assert counts == {("a", "apgd-ce"): 2, ("a", "square"): 1}
    table = pd.DataFrame(rows).assign(condition="none")
    view = View(new_study(attacks={"a": new_plan("a", label="ensemble"), "b": new_plan("b")}), {})
    said = "Of what ensemble broke, in percent by its members: apgd-ce 66.7, square 33.3."
    assert member_notes(view, table) == [said]


def test_attacks_of_one_norm_are_merged_with_noise_and_apart_from_other_units(new_plan):
    plans = {
        "a": new_plan("a"), "noise": new_plan("noise", noise=True), "b": new_plan("b"), "c": new_plan("c", norm="l2"),
    }  # fmt: skip
    worst = [attack for attack in shown_attacks(plans).values() if attack.members]
    assert [(attack.name, attack.members, attack.unit) for attack in worst] == [
        ("worst-linf", ("a", "noise", "b"), "1/255")
    ]
