"""Every kind of page in a browser: axe-core finds no fault, nothing is cut or covered, on a screen and on a phone.

axe-core is read out of the package axe-playwright-python (envs/peers.lock), which is not imported.
"""

import importlib.util
import re
import shutil
from pathlib import Path

import pytest
from msgspec.structs import replace

from neurobust.report.collect import tabulate_results
from neurobust.report.contents import COLUMNS, FIGURES
from neurobust.report.draw import draw_figures
from neurobust.report.live_page import write_status
from neurobust.report.page import TEMPLATES, write_index, write_roi_page
from neurobust.report.site import pages_of
from neurobust.study.claims import read_claims

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not shutil.which("chromium"), reason="needs chromium"),
]
PAGES = (
    "index",
    "verdicts",
    "attacks",
    "corruptions",
    "why",
    "predictors",
    "quality",
    "checks",
    "methods",
    "compute",
    "roi/LO",
    "status",
)

AXE = r"""
axe.run(document, {resultTypes: ['violations']}).then((result) => report({
  passed: result.passes.length,
  found: result.violations.map((fault) =>
    `${fault.id}: ${fault.help}: ${fault.nodes.length} x ${fault.nodes[0].html.slice(0, 160)}`),
}), (error) => report({found: [String(error)]}));
"""


@pytest.fixture(scope="module")
def axe():
    found = importlib.util.find_spec("axe_playwright_python")
    if found is None:
        pytest.skip("needs axe-playwright-python (envs/peers.lock)")
    return Path(str(found.origin)).with_name("axe.min.js").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def report(study, fill_study, changed_study, tmp_path_factory, project):
    """A study with claims, a task, an odd subject and a failed check, as the workflow writes it."""
    folder = tmp_path_factory.mktemp("browser")
    study = replace(study, claims=read_claims(project / "config/claims.yaml"))
    tabulate_results(study, {name: folder / "tables" / f"{name}.csv" for name in COLUMNS})
    figures = {name: folder / "figures" / f"{name}.svg" for name in FIGURES}
    draw_figures(study, folder / "tables", figures)
    write_index(study, folder / "tables", figures, folder / "index.html")
    write_roi_page(study, "LO", folder / "roi/LO.html")
    write_status(study, folder / "status.html")
    names = {page.file.removesuffix(".html") for page in pages_of(study).values()}
    assert set(PAGES) - {"corruptions", "roi/LO", "status"} == names, "every kind of page is looked at"
    return folder


@pytest.mark.parametrize("name", [name for name in PAGES if name != "corruptions"])
def test_axe_finds_no_fault(report, browse, axe, tmp_path, name):
    said = browse(report / f"{name}.html", AXE, tmp_path, library=axe)
    assert said["found"] == [] and said["passed"] > 10


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("name", [name for name in PAGES if name != "corruptions"])
def test_nothing_is_cut_or_covered(report, browse, measure, tmp_path, name, width):
    said = browse(report / f"{name}.html", measure, tmp_path, width)
    assert said["width"] == width and said["found"] == []


def test_the_instruments_see_what_they_look_for(browse, measure, axe, tmp_path):
    """A page with one of each fault: what finds nothing there would find nothing anywhere."""
    page = tmp_path / "bad.html"
    page.write_text(
        "<!DOCTYPE html><html><head><title>t</title></head><body><img src='data:,'><p style='width:2000px'>wide</p>"
        "<figure id='f'><svg width='99' height='30'><text x='5' y='20'>one</text><text x='8' y='20'>two</text></svg>"
        "</figure></body></html>"
    )
    seen = " ".join(browse(page, measure, tmp_path)["found"])
    assert "in a window of 1280" in seen and "cut: <p" in seen and "over each other in f" in seen
    faults = " ".join(browse(page, AXE, tmp_path, library=axe)["found"])
    assert "image-alt" in faults and "html-has-lang" in faults


SORT = r"""
const table = [...document.querySelectorAll('.scroll > table')].find((one) => one.tHead.querySelector('button'));
const text = (place) => [...table.tBodies[0].rows].map((row) => row.cells[place].textContent.trim());
const before = text(0), button = table.tHead.querySelectorAll('th')[2].querySelector('button');
button.focus();
button.click();
const up = text(2), sorted = button.parentNode.getAttribute('aria-sort');
button.click();
const down = text(2), field = document.querySelector('input.filter');
let left = null;
if (field) {
  field.value = 'subj02';
  field.dispatchEvent(new Event('input'));
  left = [...table.tBodies[0].rows].filter((row) => !row.hidden).map((row) => row.cells[1].textContent);
}
report({before, up, down, sorted, focused: document.activeElement === button, left});
"""


def test_tables_are_sorted_and_filtered(report, browse, tmp_path):
    """By a head that the keyboard reaches; numbers as numbers; what is printed without scripts is all of it."""
    assert (TEMPLATES / "tables.js").stat().st_size < 4096
    said = browse(report / "predictors.html", SORT, tmp_path)
    assert len(said["before"]) == 12 and said["focused"] and said["sorted"] == "ascending"
    counts = [int(value) for value in said["up"]]
    assert counts == sorted(counts) and len(set(counts)) > 3
    assert [int(value) for value in said["down"]] == sorted(counts, reverse=True)
    assert said["left"] == ["subj02"] * 4
    plain = re.sub(r"<script>.*?</script>", "", (report / "predictors.html").read_text(), flags=re.DOTALL)
    assert plain.count("<tr") == (report / "predictors.html").read_text().count("<tr") and "hidden>" not in plain
