"""A small fake study on disk, its report, and pages in a browser."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

from neurobust.networks.conditions import Condition
from neurobust.networks.references_settings import Adversarial
from neurobust.report.cells import Cell
from neurobust.report.collect import collect_results, tabulate_results
from neurobust.report.contents import COLUMNS
from neurobust.report.gates import Evidence, at_reference
from neurobust.report.predicted import Predicted
from neurobust.report.shown import shown_attacks
from neurobust.study.claims import read_claims
from neurobust.study.model import Study

sys.path.insert(0, str(Path(__file__).parent / "fake"))
from browsing import MEASURE, in_browser
from fake_files import PAINT, write_corrupted, write_lent, write_pages, write_painted, write_study
from fake_study import ATTACKS, CONDITIONS, Hue, Noise, Search, change, guided, make_plan, make_study


@pytest.fixture(scope="session")
def study(once) -> Study:
    """A fake study that tests only read."""
    return make_study(once("study", lambda folder: write_study(make_study(folder / "results"))) / "results")


@pytest.fixture(scope="session")
def read_once(study):
    return collect_results(study)


@pytest.fixture(scope="module")
def collected(read_once):
    """The tables of the fake study: a copy for each file of tests."""
    return {name: table.copy() for name, table in read_once.items()}


@pytest.fixture(scope="session")
def tabulated(study, once) -> Path:
    """A folder with all tables of the fake study as CSV, which tests only read."""

    def tabulate(folder):
        tabulate_results(study, {name: folder / f"{name}.csv" for name in COLUMNS})

    return once("tables", tabulate)


@pytest.fixture
def tiny_study(tmp_path) -> Study:
    """One task, two conditions and one attack, for tests that damage it."""
    keep = {name: CONDITIONS[name] for name in ("none", "LO")}
    attacks = {"pgd-linf": ATTACKS["pgd-linf"]}
    small = {"tasks": ("digits",), "conditions": keep, "attacks": attacks, "rois": ("LO",)}
    return write_study(make_study(tmp_path / "results", primary_attack="pgd-linf", **small))


@pytest.fixture(scope="session")
def fill_study():
    """A function: write every file that the report of a study reads."""
    return write_study


@pytest.fixture(scope="session")
def changed_study():
    """A function: a study with other fields, and a configuration and networks that go with them."""
    return change


@pytest.fixture(scope="session")
def new_study():
    """A function: a study without files, with these fields."""
    return make_study


@pytest.fixture(scope="session")
def new_plan():
    """A function: an attack's plan from its name, norm and whether it is noise."""

    def plan(name, norm="linf", noise=False, **options):
        return make_plan(name, (Noise if noise else Search)(norm=norm), **options)

    return plan


@pytest.fixture(scope="session")
def new_condition():
    """A function: a condition that one ROI guides."""
    return guided


TRUSTED = [{"canary": "undefended", "caught": True}, {"canary": "linear", "caught": True}]


def cells_of(levels: dict, budgets: tuple, seeds: tuple, n: int) -> dict:
    """Networks that stand at these levels of accuracy (one per budget, from 0): a seed is one image apart from the
    next, and image i falls before image i - 1 under every condition."""
    cells = {}
    for condition, level in levels.items():
        for place, seed in enumerate(seeds):
            standing = [round(n * share) + place - len(seeds) // 2 for share in level]
            robust = np.arange(n)[:, None] < np.array(standing)
            cells[condition, seed] = Cell(np.arange(n), np.array(budgets, float), robust, {})
    return cells


def make_evidence(study: Study, levels: dict, n: int = 400, **changes) -> Evidence:
    """One task and architecture's evidence by hand. levels: {attack: {condition: accuracies at its budgets}}; every
    network passed one check, every canary was caught, and every area is predicted."""
    cells = {
        attack: cells_of(own, study.attacks[attack].budgets, study.seeds, n) for attack, own in levels.items()
    }  # fmt: skip
    attacks, chosen = at_reference(shown_attacks(study.attacks), cells)
    clean = {key: cell.correct.mean() for key, cell in cells.get(study.primary_attack, {}).items()}
    checks = [{"condition": c, "seed": s, "attack": "", "check": "logits", "passed": True} for c, s in clean]
    task = next(iter(study.tasks))
    areas = {name: dict.fromkeys(c.target or (), Predicted(9, 10)) for name, c in study.conditions.items()}
    found = Evidence(study, task, "resnet18", attacks, cells, chosen, clean, checks, TRUSTED, areas)
    return dataclasses.replace(found, **changes)


POSITIVE = Condition(weight=0.9, reference=Adversarial(kind="adversarial"))


@pytest.fixture(scope="session")
def judged_study():
    """A function: a study that may say something of V1 and LO, with five seeds and PGD as its primary attack."""

    def make(**changes):
        conditions = {
            **CONDITIONS, "V1-shuffled": guided("V1", control="shuffled"), "adversarial": POSITIVE,
        } | changes.pop("conditions", {})  # fmt: skip
        attacks = {"pgd": make_plan("pgd", Search(), (0, 2, 4, 8), "PGD"), "hue": make_plan("hue", Hue(), (0, 0.25))}
        kept = {name: condition for name, condition in conditions.items() if condition is not None}
        given = {"attacks": attacks, "primary_attack": "pgd", "seeds": (0, 1, 2, 3, 4), "tasks": ("scenes",)}
        return make_study(**{"conditions": kept, **given, **changes})

    return make


LEVELS = {
    "none": (0.9, 0.7, 0.4, 0.1), "V1": (0.9, 0.7, 0.4, 0.1), "V1-shuffled": (0.9, 0.7, 0.4, 0.1),
    "LO": (0.9, 0.8, 0.6, 0.3), "LO-shuffled": (0.9, 0.7, 0.42, 0.1), "adversarial": (0.8, 0.75, 0.7, 0.6),
}  # fmt: skip


@pytest.fixture(scope="session")
def new_evidence():
    """A function: `make_evidence` with the primary attack's LEVELS, of which some are others."""

    def make(study, changed=None, more=None, **changes):
        levels = {name: level for name, level in LEVELS.items() if name in study.conditions}
        return make_evidence(study, {"pgd": levels | (changed or {}), **(more or {})}, **changes)

    return make


@pytest.fixture(scope="session")
def every_page(once, project):
    """A study that has every kind of page, with claims, an odd subject and a failed check; and its report's folder.
    Tests only read them."""
    strengths = {PAINT: 8.0}
    given = {"semantic": {name: {"reference_strength": value} for name, value in strengths.items()}}
    claims = read_claims(project / "config/claims.yaml")

    def study_in(folder):
        study = make_study(folder / "results", corruptions=True, reference_strengths=strengths, config=given)
        return replace(study, claims=claims)

    def write(folder):
        study, painted = write_study(study_in(folder)), []
        for network in study.networks():
            write_corrupted(study, network)
            if network.task == "digits":
                painted += write_painted(study, network) + write_lent(study, network)
        write_pages(study, folder / "report", painted)

    folder = once("pages", write)
    return study_in(folder), folder / "report"


@pytest.fixture(scope="session")
def browse():
    """A function: what a script reports of a page (`in_browser`)."""
    return in_browser


@pytest.fixture(scope="session")
def measure():
    """The script that measures boxes."""
    return MEASURE
