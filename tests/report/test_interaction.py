"""What a reader can do with a page without a server: hover, link to a place, fetch numbers; with scripts off too."""

import re
import xml.etree.ElementTree as ElementTree
from html import unescape

import numpy as np
import pandas as pd
import pytest

from neurobust.report.blocks import blocks
from neurobust.report.contents import COLUMNS, FIGURES, NUMBERS, SEMANTIC_TABLES
from neurobust.report.figures import draw_robust_accuracy
from neurobust.report.page import TEMPLATES
from neurobust.report.permalinks import with_permalinks
from neurobust.report.style import panel_blocks, rc, say_cells, tip, to_svg
from neurobust.report.survival_figure import said_of
from neurobust.report.tables import read_tables
from neurobust.report.transfer_matrix import matrices, names_in
from neurobust.report.view import View

pytestmark = pytest.mark.slow
DRAWN = "{http://www.w3.org/2000/svg}"


def pages_in(folder):
    return {path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8") for path in folder.rglob("*.html")}


def test_a_mark_says_what_it_is():
    """Each mark its own words, and none on a line of which a mark is not drawn."""
    from matplotlib.figure import Figure

    with rc():
        figure = Figure(figsize=(2, 1))
        axis = figure.subplots()
        (marks,) = axis.plot([0, 1, 2], [1, 2, 3], marker="o")
        tip(marks, ["first", "<second> & 2", "third"])
        (gone,) = axis.plot([0, float("nan")], [1, 1], marker="o")
        tip(gone, ["here", "nowhere"])
        axis.set_xlim(0, 2)
        drawn = to_svg(figure, "title")
    tree = ElementTree.fromstring(drawn)
    assert [found.text for found in tree.iter(f"{DRAWN}title")] == ["first", "<second> & 2", "third"]


def test_lines_and_cells_say_what_they_are():
    """A line without markers has one title, a heat map one per number; a cell without a number has none."""
    values = np.array([[0.0, 0.5, np.nan], [1.0, 0.25, 0.75]])
    said = say_cells(values, "ab", "xyz", lambda row, column, value: f"{row}{column} {value:g}")
    assert said == ["ax 0", "ay 0.5", "", "bx 1", "by 0.25", "bz 0.75"]
    with rc():
        figure, ((axis,),) = panel_blocks([""], 1, 2.0)
        tip(axis.pcolormesh(values), said)
        (line,) = axis.step([0, 1, 2], [2, 1, 1], where="post")
        tip(line, ["the line"])
        drawn = ElementTree.fromstring(to_svg(figure, "title"))
    assert [found.text for found in drawn.iter(f"{DRAWN}title")] == [*filter(None, said), "the line"]


def titles_in(svg):
    return [unescape(found) for found in re.findall("<title>([^<]*)</title>", svg)]


def test_a_line_says_its_value_where_attacks_were_tried():
    """A step keeps its value until the next; what lies beyond the line is left out, its ends are said."""
    curve = pd.Series([1.0, 0.8, 0.5, 0.1], index=[0.0, 1.5, 3.0, 8.0])
    words = said_of("LO", curve, [1.0, 1.5, 4.0, 16.0], "1/255")
    assert words == "LO: 100.0 % at 0/255, 100.0 % at 1/255, 80.0 % at 1.5/255, 50.0 % at 4/255, 10.0 % at 8/255"


def test_every_line_of_survival_says_its_values(every_page):
    """One title per condition, norm and task, with the numbers of the table."""
    study, folder = every_page
    tables = read_tables(folder / "tables")
    merged = [attack.norm for attack in View(study, tables).attacks.values() if attack.members]
    table = tables["survival"][tables["survival"]["norm"].isin(merged)]
    means = table.groupby(["task", "norm", "condition", "budget"])["robust_accuracy"].mean()
    said = titles_in((folder / "figures" / "survival.svg").read_text(encoding="utf-8"))
    assert len(said) == means.groupby(level=[0, 1, 2]).ngroups > 4
    written = {}
    for words in said:
        condition, values = words.split(": ")
        ends = [value.split(" % at ") for value in values.split(", ")]
        assert len(ends) > 2
        written.setdefault((condition, "255" if "/255" in words else "L2"), []).append(
            {float(re.match("[0-9.]+", budget)[0]): float(share) for share, budget in ends}
        )
    for (_, norm, condition), line in means.groupby(level=[0, 1, 2]):
        line = line.droplevel([0, 1, 2])
        found = written[condition, "255" if norm == "linf" else "L2"]
        assert any(
            all(abs(share - 100 * line[line.index <= budget + 1e-9].iloc[-1]) < 0.051 for budget, share in one.items())
            for one in found
        ), (norm, condition)


def test_a_task_has_panels_of_the_attacks_it_met(every_page):
    study, folder = every_page
    tables = read_tables(folder / "tables")
    curves = tables["robust_accuracy"]
    first, gone = curves["task"].iloc[0], "pgd-linf"
    less = curves[(curves["task"] != first) | (curves["attack"] != gone)]
    label = View(study, tables).attacks[gone].label
    drawn = [draw_robust_accuracy(View(study, tables | {"robust_accuracy": table})) for table in (curves, less)]
    whole, left = (svg.count(f">{label}</text>") for svg in drawn)
    assert left == whole - len(blocks(curves[curves["task"] == first])) < whole


def test_every_cell_of_the_transfer_matrix_says_its_value(every_page):
    """As many titles as the matrices have numbers, and those of the table."""
    study, folder = every_page
    table = read_tables(folder / "tables")["transfer"]
    said = titles_in((folder / "figures" / "transfer.svg").read_text(encoding="utf-8"))
    expected = [
        (source, target, 100 * value)
        for _, _, part in blocks(table)
        for matrix in matrices(names_in(View(study, {"transfer": table}), part), part)
        for source, line in zip(matrix.sources, matrix.accuracy, strict=True)
        for target, value in zip(matrix.targets, line, strict=True)
        if np.isfinite(value)
    ]
    assert len(said) == len(expected) > 20
    for words, (source, target, value) in zip(said, expected, strict=True):
        assert words.startswith(f"{source} on {target}: ")
        assert float(words.rsplit(": ", 1)[1].removesuffix(" %")) == pytest.approx(value, abs=0.051)


def test_every_cell_of_corruptions_says_its_value(every_page):
    study, folder = every_page
    table = read_tables(folder / "tables")["corruptions"]
    said = titles_in((folder / "figures" / "corruptions.svg").read_text(encoding="utf-8"))
    means = table.groupby(["task", "corruption", "condition"])["accuracy"].mean()
    clean = table.groupby(["task", "condition"])["clean_accuracy"].mean()
    assert len(said) == len(means) + len(clean)
    for (_, kind, condition), value in means.items():
        assert f"{kind.replace('_', ' ')} with {condition}: {round(100 * value, 1):.1f} %" in said


def test_points_of_the_answer_say_condition_value_and_interval(every_page):
    _, folder = every_page
    pages = pages_in(folder)
    said = [unescape(words) for words in re.findall("<title>([^<]*)</title>", pages["verdicts.html"])]
    assert any(re.fullmatch(r"LO − none, .+: \+12.5 pp \[−56.1 to \+81.1\]", words) for words in said)
    curves = [unescape(words) for words in re.findall("<title>([^<]*)</title>", pages["attacks.html"])]
    assert any(re.fullmatch(r"LO, 2/255: 70.0 % \(68.3 to 71.7\)", words) for words in curves)
    front = pages["index.html"]
    drawn = re.findall(r'<svg class="interval".*?</svg>', front, re.DOTALL)
    assert drawn and all("<title>LO: +8.3 [−46.5, +63.1] pp</title>" in one for one in drawn)


def test_every_figure_has_its_numbers_under_it(every_page):
    """A link to a table that there is, from the page's own folder."""
    _, folder = every_page
    assert set(NUMBERS) == set(FIGURES) and set(NUMBERS.values()) <= set(COLUMNS) | set(SEMANTIC_TABLES.values())
    count = 0
    for name, page in pages_in(folder).items():
        for figure in re.findall(r"<figure.*?</figure>", page, re.DOTALL):
            (link,) = re.findall(r'href="([^"#]*\.csv)"', figure)
            assert ((folder / name).parent / link).resolve().is_file(), (name, link)
            count += 1
    assert count > 12


def test_every_heading_and_table_can_be_linked_to(every_page):
    """By an id that stands once on its page, and says the same in every run."""
    _, folder = every_page
    for name, page in pages_in(folder).items():
        ids = re.findall(r'\sid="([^"]+)"', page)
        assert len(ids) == len(set(ids)), name
        links = re.findall(r'<a class="here" href="#([^"]+)"', page)
        assert set(links) <= set(ids)
        headings = len(re.findall(r"<h[234][ >]", page))
        assert len(links) == headings + len(re.findall(r"<table", page)), name
        assert with_permalinks(page.replace('class="here"', 'class="x"')).count('class="here"') == len(links)
    assert 'href="#table-every-comparison-as-numbers-alone"' in pages_in(folder)["verdicts.html"]


def test_what_scripts_bring_is_little_and_nothing_hangs_on_it(every_page):
    """Under 4 kB in all; a page without them has the same words, and its links are plain links."""
    _, folder = every_page
    assert sum(path.stat().st_size for path in TEMPLATES.glob("*.js")) < 4096
    for page in pages_in(folder).values():
        scripts = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
        assert len(scripts) == 1 and "<script " not in page and not re.search(r"\son[a-z]+=", page)
        assert "hidden>" not in page and "display: none" not in re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL)
