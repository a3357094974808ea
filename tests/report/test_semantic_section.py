"""Semantic attacks in the report: gates, counts of survivors, a bounded norm beside them, pictures."""

import numpy as np
import pandas as pd
import pytest
from msgspec.structs import replace

from neurobust.core.errors import InputError
from neurobust.core.io import write_parquet
from neurobust.core.seeding import numpy_rng
from neurobust.files.semantic_table import read_semantic_table, semantic_examples_path, semantic_table_path
from neurobust.networks.conditions import Condition
from neurobust.report.contents import COLUMNS, SEMANTIC_TABLES
from neurobust.report.semantic_evidence import semantic_cell
from neurobust.report.semantic_section import above_lines, semantic_section, tabulate_semantic
from neurobust.report.tables import read_csv
from neurobust.report.view import View

TASK, N, SIDE = "phantom-faces", 6, 8
AXES = {
    "cadv-confined": "free colour clusters",
    "cadv": "steps of recolouring",
    "tadv": "steps",
    "semanticadv": "share of the turn",
}
STRENGTHS = {"cadv-confined": [0, 4, 8], "cadv": [0, 4, 8], "tadv": [1, 3], "semanticadv": [0, 1]}
NETWORKS = {"cadv-confined": ["colouriser"], "cadv": ["colouriser"], "tadv": ["texture"], "semanticadv": ["editor"]}


def write_semantic(root, attack, condition, architecture="resnet18", tough=False):
    """One network's table and pictures: images break one after the other, the first was wrong when clean.

    tough: nothing breaks but what was wrong.
    """
    strengths, rng = STRENGTHS[attack], numpy_rng("semantic", attack)
    frames = []
    for variant, slower in (("attack", 1), ("noise", 3)):
        for place, strength in enumerate(strengths):
            success = np.arange(N) <= (0 if tough else (place + 1) // slower)
            frame = pd.DataFrame({"image": np.arange(10, 10 + N), "variant": variant, "strength": float(strength)})
            measures = {name: rng.random(N) for name in ("ciede2000", "ssim", "l2", "feature_distance")}
            frame = frame.assign(clean_correct=np.arange(N) > 0, success=success, oracle_correct=True, **measures)
            if attack == "semanticadv":
                frame = frame.assign(attribute=np.where(np.arange(N) < 3, "smiling", "glasses"))
            if attack == "cadv":  # the last image that breaks shows a third class
                frame = frame.assign(reached_target=success & (np.arange(N) > 0) & ~(np.arange(N) == place + 1))
            frames.append(frame.assign(n_forward=3.0, n_backward=2.0, abstained=success & (np.arange(N) == 2)))
    gate = {"value": 0.5, "threshold": 1.0, "at_most": False, "note": ""}
    gates = [gate | {"network": n, "gate": f"{n} gate", "passed": n != "editor"} for n in NETWORKS[attack]]
    network = f"{TASK}/{architecture}/{condition}/seed0"
    attrs = {
        "task": TASK, "architecture": architecture, "condition": condition, "seed": 0, "attack": attack,
        "axis": AXES[attack], "gates": gates, "gates_passed": attack != "semanticadv", "settings": {"steps": 3},
    }  # fmt: skip
    path = semantic_table_path(root, network, attack)
    write_parquet(path, pd.concat(frames), attrs)
    pictures = {
        "image": np.arange(10, 13), "label": np.array([0, 1, 2]), "strengths": np.array(strengths, float),
        "first": np.array([0, 0, 1]), "clean_correct": np.array([False, True, True]),
        "clean": rng.random((3, SIDE, SIDE, 3)), "example/noise": rng.random((3, len(strengths), SIDE, SIDE, 3)),
        "example/attack": rng.random((3, len(strengths), SIDE, SIDE, 3)),
    }  # fmt: skip
    np.savez(semantic_examples_path(root, network, attack), **pictures)
    return path


@pytest.fixture
def tabulated(tmp_path, new_study, new_plan, new_condition):
    """A function: the view of a study of two conditions under some attacks, and the files that its page reads."""

    def make(attacks, conditions, architectures=("resnet18",)):
        paths = [
            write_semantic(tmp_path, attack, name, architecture, tough=architecture != "resnet18")
            for attack in attacks for name in conditions for architecture in architectures
        ]  # fmt: skip
        study = new_study(
            tmp_path, tasks=(TASK,), architectures=architectures, rois=("FFA",),
            reference_strengths={"cadv-confined": 8},
            conditions={"none": Condition(weight=0.9), "FFA": new_condition("FFA")},
            attacks={"pgd": new_plan("pgd", label="PGD")}, primary_attack="pgd",
        )  # fmt: skip
        frames = {name: pd.DataFrame(columns=columns) for name, columns in COLUMNS.items()}
        both = [
            {"task": TASK, "architecture": architecture, "condition": name, "seed": 0}
            for architecture in architectures for name in study.conditions
        ]  # fmt: skip
        frames["networks"] = pd.DataFrame([row | {"clean_accuracy": 0.75} for row in both])
        budget = {"attack": "pgd", "unit": "1/255", "robust_accuracy": 0.625}
        frames["robust_accuracy"] = pd.DataFrame([row | budget | {"budget": 4.0} for row in both])
        frames["summary"] = pd.DataFrame([row | budget | {
            "n_seeds": 1, "n_images": 48, "reference_budget": 4.0, "robust_accuracy_min": 0.625,
            "robust_accuracy_max": 0.625,
        } for row in both])  # fmt: skip
        frames["networks"].to_csv(tmp_path / "networks.csv", index=False)
        outputs = {name: tmp_path / f"{stem}.csv" for name, stem in SEMANTIC_TABLES.items()}
        tabulate_semantic(study, paths, tmp_path / "networks.csv", outputs)
        return View(study, frames), [*outputs.values(), *(path.with_suffix(".npz") for path in paths)]

    return make


def test_the_report_says_which_gates_failed(tabulated):
    view, files = tabulated(AXES, ["FFA"])
    section = semantic_section(view, files)
    assert section["failed"] == [f"editor ({TASK})"]
    assert [table["failed"] for table in section["tables"]] == [False, False, False, True]
    assert "<svg" in section["figure"] and len(section["grids"]) == 4
    assert semantic_section(view, []) is None
    with pytest.raises(
        InputError, match="give semantic, semantic_attributes, semantic_differences, semantic_gates, semantic_"
    ):
        semantic_section(view, files[:1])


def test_a_network_that_nothing_breaks_hides_no_other(tabulated):
    """Two of five images of the one break at once; averaged with the other's none, it would read 20 %."""
    view, files = tabulated(["cadv-confined"], ["none", "FFA"], ("resnet18", "resnet34"))
    weak, strong = semantic_section(view, files)["tables"]
    assert (weak["architecture"], strong["architecture"]) == ("resnet18", "resnet34")
    for table, shares in ((weak, ["20", "40", "60"]), (strong, ["0", "0", "0"])):
        assert [cell.main for cell in table["lines"][1]["cells"]] == shares
    assert weak["lines"][-1]["cells"][-1].main == "20" and strong["lines"][-1]["cells"][-1].main == "0", "baselines too"
    drawn = semantic_section(view, files)["figure"]
    assert f"{TASK}, resnet18" in drawn and f"{TASK}, resnet34" in drawn


def test_success_is_over_what_was_read_rightly(tabulated, tmp_path):
    tabulated(["cadv-confined"], ["FFA"])
    table = read_csv(tmp_path / "semantic.csv").set_index(["variant", "strength"])
    row = table.loc[("attack", 8.0)]
    assert row["success"] == pytest.approx(3 / 5) and row["accuracy"] == pytest.approx(1 - 4 / 6)
    assert (row["n_images"], row["n_clean"]) == (6, 5) and np.isnan(row["same_person"])
    assert table.loc[("noise", 8.0), "success"] == pytest.approx(1 / 5)


def test_success_is_told_by_the_attribute_that_was_turned(tabulated, tmp_path):
    """Images 0 to 2 smile, of which 0 is wrong when clean; image 1 falls at once, 2 at strength 1."""
    view, files = tabulated(["cadv", "semanticadv"], ["FFA"])
    table = read_csv(tmp_path / "semantic_attributes.csv")
    assert set(table["attack"]) == {"semanticadv"}, "cAdv turns none"
    found = table.set_index(["attribute", "strength"])
    assert found.loc["smiling", "success"].tolist() == [1 / 2, 1] and (found.loc["smiling", "n_clean"] == 2).all()
    assert (found.loc["glasses", "success"] == 0).all() and (found.loc["glasses", "n_clean"] == 3).all()
    cadv, faces = semantic_section(view, files)["tables"]
    assert cadv["attributes"] == []
    lines = [(line["attribute"], [cell.main for cell in line["cells"]]) for line in faces["attributes"]]
    assert lines == [("glasses", ["0", "0"]), ("smiling", ["50", "100"])]


def test_no_answer_has_a_column_of_its_own(tabulated, tmp_path):
    """Image 2 breaks at strength 4 because the network gives no answer: a sixth of the images."""
    tabulated(["cadv"], ["FFA"])
    table = read_csv(tmp_path / "semantic.csv").set_index(["variant", "strength"])["abstained"]
    assert table.loc[("attack", 4.0)] == table.loc[("attack", 8.0)] == pytest.approx(1 / 6)
    assert table.loc[("attack", 0.0)] == 0
    cell, _ = semantic_cell(semantic_table_path(tmp_path, f"{TASK}/resnet18/FFA/seed0", "cadv"))
    assert cell.abstained.sum(0).tolist() == [0, 1, 1]


def test_the_three_outcomes_of_an_attack_that_aims_stand_in_table_and_page(tabulated, tmp_path):
    view, files = tabulated(["cadv", "cadv-confined"], ["FFA"])
    table = read_csv(tmp_path / "semantic.csv").set_index(["attack", "variant", "strength"])
    row = table.loc[("cadv", "attack", 8.0)]
    assert [row[name] for name in ("target", "third", "unchanged")] == pytest.approx([2 / 5, 1 / 5, 2 / 5])
    assert table.loc[("cadv-confined", "attack", 8.0), ["target", "third", "unchanged"]].isna().all()
    aimed, free = semantic_section(view, files)["tables"]
    assert (aimed["attack"], free["attack"]) == ("cAdv (colour)", "confined recolouring"), (
        "neither has the other's name"
    )
    assert (aimed["aimed"], free["aimed"]) == (True, False)
    line = aimed["lines"][0]
    assert [line[name] for name in ("target", "third", "unchanged")] == ["40", "20", "40"]


def test_semantic_attacks_are_summarised_as_bounded_ones_are(tabulated, tmp_path):
    """The same count of survivors on the same images, condition minus none, beside the primary attack."""
    view, files = tabulated(["cadv-confined"], ["none", "FFA"])
    frame, _ = read_semantic_table(semantic_table_path(tmp_path, f"{TASK}/resnet18/FFA/seed0", "cadv-confined"))
    quoted = frame[(frame["variant"] == "attack") & (frame["strength"] == 8)]
    summary, differences = (read_csv(tmp_path / f"semantic_{name}.csv") for name in ("summary", "differences"))
    row = summary[summary["condition"] == "FFA"].iloc[0]
    assert row["robust_accuracy"] == pytest.approx(1 - quoted["success"].mean()) and row["reference_budget"] == 8
    assert (row["n_images"], row["n_seeds"], row["unit"]) == (6, 1, "free colour clusters")
    assert set(differences["condition"]) == {"FFA"} and (differences["difference"] == 0).all(), "one network, twice"
    section = semantic_section(view, files)
    (table,) = section["beside"]
    assert [head.name for head in table["heads"]] == ["clean", "PGD", "confined recolouring"]
    assert [line["condition"].name for line in table["lines"]] == ["none", "FFA"]
    assert table["lines"][1]["cells"][2].main == f"{100 * row['robust_accuracy']:.1f}"
    assert table["lines"][1]["cells"][1].main == "62.5" and table["images"] == {"PGD": 48, "confined recolouring": 6}
    assert "PGD" in section["beside_figure"] and "free colour clusters" in section["beside_figure"]
    assert semantic_section(View(replace(view.study, attacks={}), view.tables), files), "no bounded attack, no column"


@pytest.mark.parametrize(
    ("ends", "heights"),
    [
        ({}, {}),
        ({"a": 60, "b": 16}, {"a": 60, "b": 16}),
        ({"a": 0, "b": 5, "c": 10}, {"a": 10, "b": 18, "c": 26}),
        ({"a": 0, "b": 5, "c": 21}, {"a": 5, "b": 13, "c": 21}),
        ({"a": 100, "b": 100}, {"a": 84, "b": 92}),
    ],
)
def test_names_of_lines_stand_on_no_line(ends, heights):
    assert above_lines(ends) == heights


def test_pictures_say_when_an_image_fell(tabulated):
    view, files = tabulated(["cadv-confined"], ["FFA"])
    (grid,) = semantic_section(view, files)["grids"]
    assert grid["heads"] == ["clean", "noise of the same L2", "strength 0", "strength 4", "strength 8"]
    assert [[cell["note"] for cell in row] for row in grid["rows"]] == [
        ["class 1", "×1", "broken · ×1", "broken before · ×1", "broken before · ×1"],
        ["class 2", "×1", "stands · ×1", "broken · ×1", "broken before · ×1"],
    ]  # fmt: skip
    assert grid["axis"] == "free colour clusters" and grid["last"] == "8" and grid["told"] == ""
    assert [["difference" in cell for cell in row] for row in grid["rows"]] == 2 * [[False, True, True, True, True]]


def test_pictures_name_the_attribute_that_was_turned(tabulated):
    view, files = tabulated(["semanticadv"], ["FFA"])
    path = files[-1]
    arrays = dict(np.load(path)) | {"note/attribute": np.array(["smiling", "smiling", "glasses"])}
    np.savez(path, **arrays)
    (grid,) = semantic_section(view, files)["grids"]
    assert [row[0]["note"] for row in grid["rows"]] == ["class 1 · smiling", "class 2 · glasses"]
    assert grid["told"] == "attribute"


def test_rows_that_are_no_semantic_attack_are_named(tmp_path):
    write_parquet(tmp_path / "cadv.parquet", pd.DataFrame({"image": [0]}), {})
    with pytest.raises(InputError, match=r"cadv\.parquet: not the rows of a semantic attack"):
        semantic_cell(tmp_path / "cadv.parquet")
