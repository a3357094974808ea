"""The methods text says what the study is, cites what its descriptions state, and counts what fell out."""

import re

import pandas as pd
import pytest
from msgspec.structs import replace

from neurobust.attacks.gradient_settings import PGD
from neurobust.report.citations import bibliography, keys_of, known
from neurobust.report.contents import COLUMNS
from neurobust.report.methods import excluded_rows, methods_section
from neurobust.report.view import View
from neurobust.study.named import things_of


@pytest.mark.parametrize(
    ("source", "keys"),
    [
        ("Madry et al., ICLR 2018", ["madry2018"]),
        ("Xiao et al., ICLR 2018; bounded as in Laidlaw et al., ICLR 2021", ["xiao2018", "laidlaw2021"]),
        ("Dupré la Tour, Eickenberg, Nunez-Elizalde & Gallant 2022, NeuroImage 264:119728", ["dupre2022"]),
        ("St-Yves & Naselaris 2018, NeuroImage 180", ["styves2018"]),
        ("after Tramer et al., NeurIPS 2020", ["tramer2020"]),
        ("baseline: independent Gaussian noise", []),
        ("grid search in HSV", []),
        ("", []),
    ],
)
def test_keys_are_made_of_what_descriptions_state(source, keys):
    assert keys_of(source) == keys


def test_a_work_that_is_not_kept_is_quoted_as_stated():
    text = bibliography(["madry2018", "xiao2018", "madry2018"], ["Xiao et al., ICLR 2018; as in Laidlaw et al. 2021"])
    assert text.count("@") == 2 and "title = {Towards Deep Learning" in text
    assert "@misc{xiao2018,\n  note = {Xiao et al., ICLR 2018},\n  year = {2018}\n}" in text
    for key, entry in known().items():
        assert entry.count("{") == entry.count("}") and f"year = {{{key[-4:]}}}" in entry, key


@pytest.fixture(scope="module")
def view(study, collected):
    attacks = {**study.attacks, "pgd-linf": replace(study.attacks["pgd-linf"], attack=PGD(norm="linf"))}
    return View(replace(study, attacks=attacks), collected)


def text_of(view):
    return " ".join(
        paragraph for part in methods_section(view, "torch 2.15.0")["parts"] for paragraph in part.paragraphs
    )


def test_the_numbers_are_the_study_s(view):
    text = text_of(view)
    assert "The brains of this study are planted: 2 subjects (subj01, subj02; 2 sessions each)" in text
    for said in ("16 networks", "8 epochs of SGD", "PGD L∞ [@madry2018] (L∞; 0.5, 1, 2, 4, 8 in 1/255)",
                 "60 test images", "V1 (V1v, V1d of prf-visualrois; 250 voxels of 2 subjects)",
                 "80 train, 10 validate, 30 test", "w 0.9: mse", "torch 2.15.0", "between 10 and 60 %",
                 "fewer than 3 seeds"):  # fmt: skip
        assert said in text, said
    level = view.tables["predictors"].query("subject == 'all'").groupby("roi")["median_r_normalised"].mean()
    assert f"is {level.min():.2f} ({level.idxmin()}) to {level.max():.2f} ({level.idxmax()})" in text


def test_every_citation_has_its_entry_and_none_is_idle(view):
    section = methods_section(view, "")
    cited = set(re.findall(r"\[@(\w+)\]", text_of(view)))
    assert cited == set(re.findall(r"@\w+\{(\w+),", section["bibtex"])) and "shao2024" in cited


def test_real_brains_are_said_as_they_were_prepared(view):
    study = view.study
    real = replace(study, data=replace(study.data, source="nsd"), splits=replace(study.splits, test="special"))
    text = text_of(View(real, view.tables))
    assert "version b3 in the space func1pt8mm" in text and "the 515 images" in text and "planted" not in text
    assert [thing.name for thing in things_of(study) if thing.kind == "control"] == ["shuffled"]


def test_what_fell_out_is_counted(view):
    found = {row["step"]: (row["of"], row["out"], row["left"]) for row in excluded_rows(view)}
    voxels = view.tables["predictors"].query("subject == 'all' and seed == 0")
    kept = int(voxels["n_ceiling"].sum())
    assert found["sessions"] == (80, 1, 79)
    assert found["ROIs of subjects"] == (8, 1, 7), "subj02 lacks an FFA"
    assert found["voxels, over ROIs"] == (570, 570 - kept, kept)
    assert found["networks"] == (16, 1, 15) and found["attacks on networks"] == (112, 0, 112)
    assert found["gates of tasks"] == (6, 3, 3)
    empty = View(view.study, {name: pd.DataFrame(columns=columns) for name, columns in COLUMNS.items()})
    assert [row["step"] for row in excluded_rows(empty)] == ["networks"]


def test_the_gate_of_the_cue_is_told_where_the_study_turns_it(view, new_plan):
    """Not in every study of a phantom: `recovery` is no gate of one that has no cue to turn."""
    assert view.study.phantom and "turned cue" not in text_of(view)
    turned = {**view.study.attacks, "turn": new_plan("turn", norm="cue", budgets=(0, 1))}
    assert "20 points to the turned cue" in text_of(View(replace(view.study, attacks=turned), view.tables))
