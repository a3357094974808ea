"""What pages say of what predictors see: rows, sentences and figures, from hand-made numbers and pictures."""

import re
from types import SimpleNamespace

import msgspec
import numpy as np
import pandas as pd
import pytest

from neurobust.explain.bench import frame_of
from neurobust.explain.findings import Findings, Row
from neurobust.explain.predictors.settings import Exciting, Fragility
from neurobust.files.explained import ExplainedRecord, arrays_path, predictor_analysis_path, write_explained
from neurobust.files.records import write_arrays
from neurobust.report import core_matrix
from neurobust.report.contents import FIGURES
from neurobust.report.entries import MISSING, plain, short, with_interval, with_range
from neurobust.report.examples import png_data
from neurobust.report.page import write_roi_page
from neurobust.report.seen_section import seen_parts
from neurobust.report.view import View

NAMES = ("exciting", "attribution", "fooled", "fields", "tuning", "concepts", "fragility", "versions", "cores")
ROIS = ("V1", "LO", "TO")


def row(roi, analysis, measure, value, layer="", other="", low=np.nan, high=np.nan):
    return {"roi": roi, "seed": 0, "analysis": analysis, "measure": measure, "layer": layer, "other": other,
            "value": value, "low": low, "high": high, "unit": "", "n_images": 8}  # fmt: skip


def place(label):
    """An ROI of one label."""
    return SimpleNamespace(added=[SimpleNamespace(labels=[label])])


@pytest.fixture
def view(tmp_path):
    """A study of three ROIs; V1's target moves under 2/255, that of LO does not under 20."""
    rng, rows = np.random.default_rng(0), []
    for k, roi in enumerate(ROIS):
        for norm, least in (("L∞", (2.0, 20.0, 9.0)[k]), ("L2", 1.0)):
            rows += [row(roi, "fragility", f"smallest change, {norm}", least, low=0.5 * least, high=2 * least)]
            rows += [row(roi, "fragility", f"random change, {norm}", 10 * least)]
        rows.append(row(roi, "fragility", "distance of images, L2", 25.0))
        rows += [row(roi, "tuning", "r of all layers", 0.6), row(roi, "tuning", "r of the layer alone", 0.5, "conv3")]
        rows.append(row(roi, "tuning", "r of all but the layer", 0.4, "conv3"))
        rows += [
            row(roi, "shifted", "r on a version", 0.6, "intact"),
            row(roi, "shifted", "r on a version", 0.1, "grey"),
        ]
        rows.append(row(roi, "exciting", "response to the most exciting image", 3.25, "mean over voxels"))
        for j, other in enumerate(ROIS):  # cores serve what lies below them
            rows.append(
                row(roi, "transfer", "r of a new readout", 0.6 - 0.1 * max(j - k, 0), other=other if j != k else "")
            )
        pictures = rng.random((2, 8, 8, 3)).astype(np.float32)
        arrays = {
            "exciting": {"mean over voxels": pictures, "natural": pictures[:1]},
            "attribution": {
                "images": pictures, "gradients": rng.normal(size=(2, 8, 8)), "voxels": rng.random((2, 4, 4)),
                "prfs": np.array([[0.0, 1.0, 1.0], [np.nan] * 3]),
            },
            "fragility": {"images": pictures, "linf": 0.01 * pictures, "l2": np.full((2, 8, 8, 3), np.nan)},
            "fields": {"field": rng.normal(size=(20, 3)), "prf": rng.normal(size=(20, 3))},
            "concepts": {"measured": rng.random((3, 9)), "predicted": rng.random((3, 9)),
                         "names": np.array(["face", "fire_hydrant", "cup"])},
        }  # fmt: skip
        for name, parts in arrays.items():
            path = arrays_path(predictor_analysis_path(tmp_path, "gnet", roi, 0, name))
            path.parent.mkdir(parents=True, exist_ok=True)
            write_arrays(path, parts)
    study = SimpleNamespace(
        root=tmp_path, predictor="gnet", predictor_seeds=[0],
        rois={"V1": place("V1v"), "LO": place("LO1"), "TO": place("TO1")},
        explain={"fragility": Fragility(), "exciting": Exciting()},
    )  # fmt: skip
    return View(study, {"seen": pd.DataFrame(rows)}, palette=ROIS)


def test_the_page_says_how_fragile_the_target_is(view):
    parts = {part["name"]: part for part in seen_parts(view)}
    assert list(parts) == ["exciting", "fragility"] and parts["fragility"]["figures"] == ("fragility", "fooled")
    v1, lo, _ = parts["fragility"]["found"]
    assert "V1: a change of 2/255" in v1 and "10 times as much" in v1
    assert "LO: a change of 20/255" in lo
    (line,) = [line for line in parts["exciting"]["lines"] if line["roi"] == "LO"]
    assert (line["value"], line["of"], line["interval"]) == ("3.25", "mean over voxels", "") and line["meaning"]
    assert short(-0.12345) == "−0.123" and short(np.nan) == "–"


@pytest.mark.parametrize("name", NAMES)
def test_every_figure_is_drawn_the_same_each_time_and_says_when_there_is_nothing(name, view, tmp_path):
    draw = FIGURES[name]
    drawn = draw(view)
    assert drawn.startswith("<svg") and "aria-label" in drawn and drawn == draw(view)
    assert "Date" not in drawn and str(tmp_path) not in drawn
    nothing = SimpleNamespace(**{**vars(view.study), "root": tmp_path / "nothing"})
    empty = draw(View(nothing, {"seen": view.tables["seen"].iloc[:0]}, palette=ROIS))
    assert "No" in empty and len(empty) < len(drawn)


def test_the_logarithmic_axis_has_plain_numbers(view):
    texts = re.findall(r"<text[^>]*>([^<]*)</text>", FIGURES["fragility"](view))
    numbers = [float(text) for text in texts if re.fullmatch(r"[0-9][0-9.e+-]*", text)]
    assert len(numbers) >= 4 and not [text for text in texts if "$" in text or "mathdefault" in text]


def test_pictures_are_those_that_were_stored(view):
    """As many PNGs in the figure as there are pictures."""
    assert FIGURES["exciting"](view).count("data:image/png") == 3 * 2
    assert png_data(np.zeros((2, 2, 3))).startswith("data:image/png")


def test_the_matrix_of_cores_is_that_of_a_planted_ladder(view):
    rows = view.tables["seen"]
    losses = core_matrix.core_losses(rows[rows["analysis"] == "transfer"], list(ROIS))
    assert np.allclose(losses, [[0, 0.1, 0.2], [0, 0, 0.1], [0, 0, 0]])
    assert core_matrix.index_of(view, losses, list(ROIS)) == pytest.approx(1)
    assert np.isnan(core_matrix.index_of(view, losses[:2, :2], list(ROIS[:2])))


def test_the_page_of_an_roi_shows_what_its_predictor_sees(tiny_study, tmp_path):
    """Pictures, paragraphs and numbers of its analyses, and no more than these."""
    explained = {"fragility": Fragility(), "exciting": Exciting()}
    study = msgspec.structs.replace(tiny_study, explain=explained)
    picture = np.full((1, 4, 4, 3), 0.5, np.float32)
    for name, rows, arrays in (
        ("fragility", [Row("smallest change, L∞", 3.0), Row("random change, L∞", 60.0)],
         {"images": picture, "linf": 0 * picture, "l2": 0 * picture}),
        ("exciting", [Row("response to the most exciting image", 4.0, layer="mean over voxels")],
         {"mean over voxels": picture, "natural": picture}),
    ):  # fmt: skip
        for seed in study.predictor_seeds:
            path = predictor_analysis_path(study.root, study.predictor, "LO", seed, name)
            write_explained(path, frame_of(Findings(rows), explained[name]), ExplainedRecord(name, {}, seed))
            write_arrays(arrays_path(path), arrays)
    write_roi_page(study, "LO", tmp_path / "LO.html")
    page = (tmp_path / "LO.html").read_text()
    assert "What the predictor sees" in page and "The predictor of LO: a change of 3/255" in page
    assert "random signs need 20 times as much" in page and Exciting.meaning[:60] in page
    assert 'id="figure-exciting"' in page and 'id="figure-fooled"' in page and 'id="figure-tuning"' not in page
    assert page.count("data:image/png") > 6 and "<details><summary>Numbers</summary>" in page


def test_what_is_missing_has_neither_unit_nor_range():
    nan = float("nan")
    assert with_interval(0.012, -0.003, 0.027) == "+1.2 pp [−0.3 to +2.7]"
    assert with_interval(0.012, nan, 0.027) == "+1.2 pp" and with_interval(nan, nan, nan) == MISSING
    assert with_range(0.31, 0.24, 0.38, plain) == "0.31 (0.24 to 0.38)"
    assert with_range(0.31, nan, nan, plain) == "0.31" and with_range(nan, nan, nan, plain) == MISSING
