"""What a reader can do with a page without a server: hover, link to a place, fetch numbers; with scripts off too."""

import re
import xml.etree.ElementTree as ElementTree
from html import unescape

import pytest

from neurobust.report.contents import COLUMNS, FIGURES, NUMBERS, SEMANTIC_TABLES
from neurobust.report.page import TEMPLATES
from neurobust.report.permalinks import with_permalinks
from neurobust.report.style import rc, tip, to_svg

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


def test_points_of_the_answer_say_condition_value_and_interval(every_page):
    _, folder = every_page
    pages = pages_in(folder)
    said = [unescape(words) for words in re.findall("<title>([^<]*)</title>", pages["verdicts.html"])]
    assert "LO − none: +12.5 pp [−56.1 to +81.1]" in said
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
