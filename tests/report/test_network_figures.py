"""Pictures of networks: similarity by layer, Fourier maps and cue bias, from tables and arrays of known content."""

import re
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from msgspec.structs import replace

from neurobust.explain.registry import read_analysis
from neurobust.files.explained import network_analysis_path, write_explained_arrays
from neurobust.report import network_figures
from neurobust.report.contents import COLUMNS, FIGURES
from neurobust.report.fourier_rows import axis_of, fourier_rows
from neurobust.report.page import Frame, render
from neurobust.report.style import inline_svg
from neurobust.report.view import View

LAYERS = ("layer1", "layer2", "penultimate")
DRAWN = ("layers", "fourier", "cue_bias")


def inside(study):
    """Rows of the table `inside`: LO's curve rises, its shuffle's does not; LO goes by the shape."""
    rows = []
    for network in study.networks():
        names = network._asdict()
        lift = 0.1 * (network.condition == "LO")
        for measure, share in (("CKA with the predictor", 1.0), ("CKA with the brain", 0.5)):
            for number, layer in enumerate(LAYERS):
                value = share * (0.2 + (0.1 + lift) * number) + 0.01 * network.seed
                rows.append({**names, "measure": measure, "layer": layer, "roi": "LO", "value": value})
        rows.append({**names, "measure": "CKA ceiling", "roi": "LO", "value": 0.7})
        rows.append({**names, "measure": "cue bias", "value": 0.2 if lift else 0.6})
    return pd.DataFrame(rows, columns=COLUMNS["inside"])


@pytest.fixture
def view(study):
    """A view whose tables have what the pictures show."""
    tables = {name: pd.DataFrame(columns=columns) for name, columns in COLUMNS.items()}
    tables["inside"] = inside(study)
    maps = [
        {"task": task, "architecture": architecture, "condition": condition, "down": u, "across": v,
         "error": 0.1 + (u * u + v * v) / 100, "n_seeds": 2}
        for task, architecture in study.blocks() for condition in ("none", "LO", "LO-shuffled")
        for u in (-4, -2, 0, 2) for v in (-4, -2, 0, 2)
    ]  # fmt: skip
    tables["fourier"] = pd.DataFrame(maps, columns=COLUMNS["fourier"])
    analyses = {name: read_analysis(name, {}) for name in ("layers", "fourier", "cue-bias")}
    return View(replace(study, explain={**study.explain, **analyses}), tables)


@pytest.mark.parametrize("name", DRAWN)
def test_a_picture_is_a_document_that_says_what_it_shows(view, name):
    text = FIGURES[name](view)
    assert ElementTree.fromstring(text).get("aria-label") and text == FIGURES[name](view), "the same bytes each time"
    said = {"layers": ["predictor of LO", "measured LO", "ceiling", *LAYERS], "fourier": ["none", "LO", "cycles down"],
            "cue_bias": ["none", "LO-shuffled", "0: shape"]}  # fmt: skip
    assert all(word in text for word in said[name])


def test_ids_of_several_pictures_on_a_page_do_not_clash(view):
    found = [
        name for figure in DRAWN for name in re.findall(r'\bid="([^"]+)"', inline_svg(FIGURES[figure](view), figure))
    ]
    assert len(found) == len(set(found)) > 100


@pytest.mark.parametrize("name", DRAWN)
def test_without_numbers_a_picture_is_one_line_and_the_page_leaves_it_out(study, name):
    bare = View(study, {table: pd.DataFrame(columns=columns) for table, columns in COLUMNS.items()})
    assert len(FIGURES[name](bare)) < 5000 and network_figures.pictures(bare) == []


def test_each_picture_has_a_paragraph_and_a_table(view):
    found = network_figures.pictures(view)
    assert [picture.figure for picture in found] == list(DRAWN)
    for picture in found:
        assert picture.table in COLUMNS and len(picture.meaning) > 150 and picture.caption.endswith(".")


def test_one_condition_and_one_seed_are_drawn_too(view):
    for name in ("inside", "fourier"):
        table = view.tables[name]
        table = table[table["condition"] == "none"]
        view.tables[name] = table[table["seed"] == table["seed"].min()] if "seed" in table else table
    assert all(ElementTree.fromstring(FIGURES[name](view)) is not None for name in DRAWN)


def test_maps_of_seeds_become_the_mean_at_each_frequency(tiny_study):
    networks = [n for n in tiny_study.networks() if n.condition == "none"]
    for network in networks:
        path = network_analysis_path(tiny_study.root, network.path, "fourier")
        path.parent.mkdir(parents=True, exist_ok=True)
        error = np.arange(12.0).reshape(4, 3) / 12 + network.seed
        write_explained_arrays(path, {"error": error, "reach": np.array([-8, -5]), "clean": np.float32(0)})
    rows = pd.DataFrame(fourier_rows(tiny_study))
    assert set(rows["condition"]) == {"none"} and list(rows.columns) == COLUMNS["fourier"]
    seeds = [network.seed for network in networks]
    one = rows[(rows["down"] == 0) & (rows["across"] == 5)]
    assert len(one) == len(list(tiny_study.blocks())) and (one["n_seeds"] == len(set(seeds))).all()
    assert one["error"].iloc[0] == pytest.approx(8 / 12 + np.mean(seeds))


@pytest.mark.parametrize(("first", "count", "axis"), [
    (-16, 8, [-16, -12, -8, -4, 0, 4, 8, 12]), (-16, 9, [-16, -12, -8, -4, 0, 4, 8, 12, 16]), (0, 1, [0]),
    (-7, 15, list(range(-7, 8))), (-12, 5, [-12, -6, 0, 6, 12]),
])  # fmt: skip
def test_frequencies_of_an_axis(first, count, axis):
    assert axis_of(first, count) == axis


def test_the_page_has_each_picture_with_its_paragraph_and_tables_of_others_have_none(view):
    drawn = {name: FIGURES[name](view) for name in (*DRAWN, "inside")}
    text = render(view, drawn, Frame("A study"))
    for picture in network_figures.pictures(view):
        assert text.count(f'>{picture.title}<a class="here"') == 1 and picture.meaning[:60].split("`")[0] in text
    ids = re.findall(r'\bid="([^"]+)"', text)
    assert len(ids) == len(set(ids)), "ids of figures and sections do not clash"
