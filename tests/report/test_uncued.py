"""A study some of whose tasks bear no cue: the attack that needs one is on the page where it is, and missed nowhere."""

import pytest
from msgspec.structs import replace

from neurobust.attacks.plan import read_plan
from neurobust.files.attack_table import attack_table_path
from neurobust.report.collect import collect_results
from neurobust.report.page import write_roi_page


@pytest.fixture
def mixed(tmp_path, study, new_study, fill_study):
    """Digits have no cue and no table of the attack; the scenes have both."""
    attacks = {"pgd-linf": study.attacks["pgd-linf"]}
    attacks["conflict"] = read_plan("conflict", {"method": "cue-conflict", "budgets": [0, 0.5, 1]})
    keep = {name: study.conditions[name] for name in ("none", "LO")}
    made = new_study(
        tmp_path / "results", attacks=attacks, primary_attack="pgd-linf", conditions=keep, rois=("LO",), transfer=None
    )
    scenes = "phantom-scenes"
    made = fill_study(replace(made, tasks={**made.tasks, scenes: replace(made.tasks[scenes], cue=True)}))
    for network in made.networks(tasks=["digits"]):
        attack_table_path(made.root, network.path, "conflict").unlink()
    return made


def test_tables_have_the_attack_of_the_tasks_that_meet_it(mixed):
    tables = collect_results(mixed)
    for name in ("robust_accuracy", "summary", "differences", "attacks", "minimal_budget"):
        table = tables[name]
        column = "norm" if name == "minimal_budget" else "attack"
        found = table[table[column].isin(["conflict", "cue"])]
        assert set(table["task"]) == {"digits", "phantom-scenes"}, name
        assert len(found) and set(found["task"]) == {"phantom-scenes"}, name


def test_pages_are_written(mixed, tmp_path):
    write_roi_page(mixed, "LO", tmp_path / "LO.html")
    assert "of the conflicting cue" in (tmp_path / "LO.html").read_text()
