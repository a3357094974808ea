"""Networks that others trained in the report: their own rows, and no other row is moved by them."""

import numpy as np
import pandas as pd
import pytest
from msgspec.structs import replace

from neurobust.attacks.semantic.plan import read_semantic
from neurobust.attacks.shifted.settings import ShiftedSet
from neurobust.core.errors import InputError
from neurobust.core.io import write_parquet
from neurobust.core.settings import written
from neurobust.files.attack_table import AttackRecord, attack_table_path, write_attack_table
from neurobust.files.checks import Check, checks_path, write_checks
from neurobust.files.network_metrics import NetworkMetrics, metrics_path, write_metrics
from neurobust.files.semantic_table import semantic_table_path
from neurobust.files.shifted_table import ShiftedRecord, shifted_table_path, write_shifted_table
from neurobust.networks.outside_settings import OutsideNetwork
from neurobust.report.collect import collect_results
from neurobust.report.outside import outside_rows, outside_tables
from neurobust.report.page import Frame, render
from neurobust.report.view import View
from neurobust.study.model import Semantic

N, STANDING = 60, {0: 54, 0.5: 48, 1: 30, 2: 12, 4: 6, 8: 0}  # images that stand, by budget


@pytest.fixture
def study(tiny_study):
    """A study that knows a network from outside, of which 54 of 60 images are right and each budget breaks some."""
    guest = OutsideNetwork(kind="function", network="guests:make", task="digits", label="Guest (2026)")
    study = replace(tiny_study, outside={"guest": guest})
    (network,) = study.outsiders()
    plan, image = study.attacks["pgd-linf"], np.arange(N)
    write_metrics(metrics_path(study.root, network.path), NetworkMetrics(clean_accuracy=0.875))
    write_checks(
        checks_path(study.root, network.path), [Check("slope", True), Check("ties", False), Check("gone", False)]
    )
    frame = pd.concat([
        pd.DataFrame({"image": 200 + image, "budget": float(budget), "clean_correct": image < STANDING[0],
                      "success": image >= standing, "distance": 0.0, "n_forward": 3.0, "n_backward": 2.0})
        for budget, standing in STANDING.items()
    ])  # fmt: skip
    record = AttackRecord(
        task="digits", architecture="outside", condition="guest", seed=0, attack="pgd-linf", norm=plan.norm,
        unit=plan.unit, settings=written(plan.attack),
    )  # fmt: skip
    write_attack_table(attack_table_path(study.root, network.path, "pgd-linf"), frame, record)
    return study


def test_a_network_from_outside_has_rows_of_its_own_alone(study, tiny_study):
    tables, before = collect_results(study), collect_results(tiny_study)
    found = tables["outside"].set_index("budget")
    assert {budget: round(N * share) for budget, share in found["robust_accuracy"].items()} == STANDING
    assert (found["clean_accuracy"] == 0.875).all() and (found["failed_checks"] == 2).all()
    assert set(found["network"]) == {"guest"} and set(found["label"]) == {"Guest (2026)"} and not len(before["outside"])
    for name, table in before.items():
        if name != "outside":
            pd.testing.assert_frame_equal(table, tables[name])


def test_a_page_shows_it_beside_none(study):
    tables = collect_results(study)
    view = View(study, tables)
    (shown,) = outside_tables(view)
    guest, none = shown["lines"]
    assert [cell.main for cell in guest["cells"]] == ["87.5", "80.0", "50.0", "20.0", "10.0", "0.0"]
    assert guest["failed"] == 2 and guest["cells"][2].spread.startswith("37.7 to"), "Wilson, 30 of 60"
    assert none["name"] == "of this study: none, resnet18" and none["failed"] is None
    own = tables["robust_accuracy"]
    own = own[(own["condition"] == "none") & (own["budget"] == 1)]["robust_accuracy"]
    assert none["cells"][2].main == f"{100 * own.mean():.1f}"
    page = render(view, {}, Frame("Anything?"))
    assert 'id="outside"' in page and "Guest (2026)" in page and "enter no comparison" in page
    assert not [row for row in tables["differences"].itertuples() if "guest" in (row.condition, row.baseline)]


def test_a_page_without_such_networks_has_no_section(tiny_study):
    view = View(tiny_study, collect_results(tiny_study))
    assert outside_tables(view) == [] and 'id="outside"' not in render(view, {}, Frame("Anything?"))


@pytest.fixture
def widely(study):
    """The same study with a semantic attack and two published test sets, which the network from outside met too."""
    (network,), names = study.outsiders(), {"architecture": "outside", "condition": "guest", "seed": 0}
    sets = {name: ShiftedSet(kind=f"imagenet-{name}", source=name, task="digits") for name in ("r", "c")}
    sets |= {"elsewhere": ShiftedSet(kind="imagenet-r", source="r", task="faces")}
    image = np.arange(N)
    for name, kinds, severities in (("r", [""], [0]), ("c", ["fog", "rain"], [1, 2])):
        parts = [
            pd.DataFrame({"image": image, "label": 0, "corruption": kind, "severity": severity,
                          "correct": image < (20 - 5 * severity if kind in ("", "fog") else 0)})
            for kind in kinds for severity in severities
        ]  # fmt: skip
        record = ShiftedRecord(
            **names, task="digits", kind=name, scored=kinds[:1], classes=[0], clean_accuracy=0.5, n_clean=N,
            versions={}, provenance={},
        )  # fmt: skip
        write_shifted_table(shifted_table_path(study.root, network.path, name), pd.concat(parts), record)
    frame = pd.concat([
        pd.DataFrame({"image": image, "variant": "attack", "strength": strength, "clean_correct": image < 54,
                      "success": image >= standing, "abstained": image == N - 1})
        for strength, standing in ((0.0, 54), (4.0, 27))
    ])  # fmt: skip
    given = {"attack": "cadv", "axis": "steps of recolouring", "gates": [], "gates_passed": True, "settings": {}}
    write_parquet(semantic_table_path(study.root, network.path, "cadv"), frame, names | {"task": "digits"} | given)
    plan = read_semantic("cadv", {"strengths": [0, 4], "tasks": ["digits"]})
    return replace(study, shifted=sets, semantic=Semantic(8, {"cadv": plan}, {}))


def test_semantic_attacks_and_test_sets_stand_beside_the_others(widely):
    """Counts that were written, in the table and on the page; only a set without corruptions has an interval."""
    rows = outside_rows(widely)
    found = {(row["attack"], row["budget"], row["unit"]): row for row in rows if row["attack"] in ("cadv", "r", "c")}
    standing = {key: round(N * row["robust_accuracy"]) for key, row in found.items()}
    steps = "steps of recolouring"
    assert standing == {("cadv", 0, steps): 54, ("cadv", 4, steps): 27, ("r", 0, "severity"): 20,
                        ("c", 1, "severity"): 15, ("c", 2, "severity"): 10}  # fmt: skip
    assert found["r", 0, "severity"]["wilson_low"] < 20 / N < found["r", 0, "severity"]["wilson_high"]
    assert found["cadv", 4, steps]["abstained"] == 1 / N and all(row["kind"] == "function" for row in rows)
    tables = collect_results(replace(widely, shifted={}, semantic=Semantic(0, {}, {})))
    empty = pd.DataFrame(columns=["task", "architecture", "condition", "set", "accuracy"])
    own = empty.assign(set=["r", "r"], task="digits", architecture="resnet18", condition="none", accuracy=[0.25, 0.5])
    view = View(widely, tables | {"outside": pd.DataFrame(rows), "shifted_errors": own})
    (shown,) = outside_tables(view)
    assert shown["more"] == ["cAdv (colour), 4", "r", "c"]
    guest, none = shown["lines"]
    assert guest["more"] == ["45.0", "33.3", "20.8"] and none["more"] == ["–", "37.5", "–"]
    assert [cell.main for cell in guest["cells"]][:2] == ["87.5", "80.0"], "those with a budget as before"


def test_a_missing_table_is_named(study):
    (network,) = study.outsiders()
    metrics_path(study.root, network.path).unlink()
    with pytest.raises(InputError, match=r"outside/guest/seed0/metrics\.json: missing; run the pipeline"):
        collect_results(study)
