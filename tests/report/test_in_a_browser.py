"""Every kind of page in a browser: axe-core finds no fault, nothing is cut or covered, on a screen and on a phone.

axe-core is read out of the package axe-playwright-python (envs/peers.lock), which is not imported.
"""

import importlib.util
import re
import shutil
from functools import cache
from pathlib import Path

import pytest
from browsing import Question, ask_browser

from neurobust.networks.conditions import Condition
from neurobust.networks.references_settings import Adversarial
from neurobust.report.live_page import write_status
from neurobust.report.page import TEMPLATES, write_roi_page
from neurobust.report.site import pages_of

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not shutil.which("chromium"), reason="needs chromium"),
]
PAGES = (
    "index", "verdicts", "attacks", "semantic", "corruptions", "why", "predictors", "quality", "checks", "methods",
    "compute", "roi/LO", "status",
)  # fmt: skip

AXE = r"""
axe.run(document, {resultTypes: ['violations']}).then((result) => report({
  passed: result.passes.length,
  found: result.violations.map((fault) =>
    `${fault.id}: ${fault.help}: ${fault.nodes.length} x ${fault.nodes[0].html.slice(0, 160)}`),
}), (error) => report({found: [String(error)]}));
"""


DARK = ("index", "attacks", "quality", "checks", "methods", "compute", "roi/LO")
PRINTED = ("index", "verdicts", "attacks", "predictors", "methods", "roi/LO")
COLOUR = "report({page: getComputedStyle(document.body).backgroundColor});"
ON_PAPER = r"""
const width = document.documentElement.clientWidth, wide = [];
for (const node of document.querySelectorAll('main table, main svg, main pre'))
  if (node.getBoundingClientRect().right > width + 1) wide.push((node.id || node.className.baseVal || node.localName));
const gone = [...document.querySelectorAll('nav, .skip, .inside, .here')].filter((one) => one.getClientRects().length);
const links = [...document.querySelectorAll('main a[href$=".csv"]')].filter((one) => one.getClientRects().length);
const said = links.map((one) => getComputedStyle(one, '::after').content.includes(one.getAttribute('href')));
report({wide, gone: gone.length, links: links.length, said: said.filter(Boolean).length});
"""


def find_axe():
    """A question that asks axe-core for faults, or none where it is not installed."""
    found = importlib.util.find_spec("axe_playwright_python")
    if found is None:
        return {}
    library = Path(str(found.origin)).with_name("axe.min.js").read_text(encoding="utf-8")
    return {"axe": Question(AXE, library=library)}


@pytest.fixture(scope="module")
def axe():
    return find_axe() or pytest.skip("needs axe-playwright-python (envs/peers.lock)")


@pytest.fixture(scope="module")
def report(every_page, tmp_path_factory):
    """A function: a page by its name, of a study that has every kind, as the workflow writes them."""
    study, folder = every_page
    status = tmp_path_factory.mktemp("status") / "status.html"
    write_status(study, status)
    names = {page.file.removesuffix(".html") for page in pages_of(study).values()}
    assert set(PAGES) - {"roi/LO", "status"} == names, "every kind of page is looked at"
    return lambda name: status if name == "status" else folder / f"{name}.html"


@pytest.fixture(scope="module")
def seen(report, measure, tmp_path_factory):
    """A function: the answers to all that is asked of a page on a screen, a phone and paper, in one start."""
    asked = {"1280": Question(measure, 1280), "390": Question(measure, 390), **find_axe()}
    paper = {"paper": Question(ON_PAPER, 688, printed=True)}  # as wide as a sheet: A4 less its margins

    @cache
    def seen(name):
        questions = asked | (paper if name in PRINTED else {})
        return ask_browser(report(name), questions, tmp_path_factory.mktemp("seen"))

    return seen


@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_no_fault(seen, axe, name):
    said = seen(name)["axe"]
    assert said["found"] == [] and said["passed"] > 10


@pytest.mark.parametrize("name", DARK)
def test_axe_finds_no_fault_in_the_dark(report, axe, tmp_path, name):
    """Contrast above all; that the page is dark is measured too."""
    questions = {"colour": Question(COLOUR), **axe}
    said = ask_browser(report(name), questions, tmp_path, dark=True)
    assert max(map(int, re.findall(r"\d+", said["colour"]["page"]))) < 60
    assert said["axe"]["found"] == [] and said["axe"]["passed"] > 10


@pytest.mark.parametrize("name", PRINTED)
def test_what_is_printed_is_whole(seen, name):
    """No table is cut, no navigation is there, addresses are."""
    said = seen(name)["paper"]
    assert said["wide"] == [] and said["gone"] == 0 and said["said"] == said["links"]
    assert said["links"] > 0 or name == "methods"


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("name", PAGES)
def test_nothing_is_cut_or_covered(seen, name, width):
    said = seen(name)[str(width)]
    assert said["width"] == width and said["found"] == []


SCROLLS = r"""
report({boxes: document.querySelectorAll('.scroll').length,
  scrolling: [...document.querySelectorAll('.scroll')].filter((one) => one.scrollWidth > one.clientWidth + 1)
    .map((one) => one.innerText.slice(0, 60))});
"""


def test_a_page_of_six_conditions_and_eleven_attacks_scrolls_nowhere(
    fill_study, new_study, new_condition, new_plan, measure, tmp_path
):
    """On a screen; on a phone tables scroll in their own boxes."""
    conditions = {"none": Condition(weight=0.9), "LO": new_condition("LO")}
    conditions |= {
        f"LO-{control}": new_condition("LO", control=control) for control in ("shuffled", "random", "pixels")
    }
    conditions["adversarial"] = Condition(weight=0.9, reference=Adversarial(kind="adversarial"))
    attacks = {name: new_plan(name) for name in ("pgd-linf", *(f"rotation-saturation-{k}" for k in range(10)))}
    study = new_study(
        tmp_path / "results", tasks=("digits",), rois=("LO",), conditions=conditions, attacks=attacks,
        primary_attack="pgd-linf",
    )  # fmt: skip
    write_roi_page(fill_study(study), "LO", tmp_path / "LO.html")
    questions = {"boxes": Question(SCROLLS), "390": Question(measure, 390), "1280": Question(measure, 1280)}
    said = ask_browser(tmp_path / "LO.html", questions, tmp_path)
    assert said["boxes"]["scrolling"] == [] and said["boxes"]["boxes"] > 5
    assert said["390"]["found"] == said["1280"]["found"] == []


def test_pictures_of_transfer_say_what_they_show(report):
    """Four images of one surrogate, with texts for who does not see them, and an answer per condition beneath."""
    text = report("semantic").read_text()
    (table,) = re.findall(r'<table class="pictures answers".*?</table>', text, re.DOTALL)
    said = re.findall(r'<img src="data:image/png[^"]*" alt="([^"]*)">', table)
    assert len(said) == table.count("<img") == 12
    assert re.fullmatch(r"image 200 as it is: \w+( \w+)*", said[0])
    assert re.fullmatch(r"image 200 as the attack left it: .+, which the surrogate takes for .+", said[4])
    assert said[5] == "their difference, amplified"
    assert len(re.findall(r"<small>(?:stands|fooled|wrong when clean)</small>", table)) == 4 * 4


def test_the_instruments_see_what_they_look_for(measure, axe, tmp_path):
    """A page with one of each fault: what finds nothing there would find nothing anywhere."""
    page = tmp_path / "bad.html"
    page.write_text(
        "<!DOCTYPE html><html><head><title>t</title></head><body><img src='data:,'><p style='width:2000px'>wide</p>"
        "<figure id='f'><svg width='99' height='30'><text x='5' y='20'>one</text><text x='8' y='20'>two</text></svg>"
        "</figure></body></html>"
    )
    said = ask_browser(page, {"measured": Question(measure), **axe}, tmp_path)
    seen, faults = (" ".join(said[name]["found"]) for name in ("measured", "axe"))
    assert "in a window of 1280" in seen and "cut: <p" in seen and "over each other in f" in seen
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
    said = browse(report("predictors"), SORT, tmp_path)
    assert len(said["before"]) == 12 and said["focused"] and said["sorted"] == "ascending"
    counts = [int(value) for value in said["up"]]
    assert counts == sorted(counts) and len(set(counts)) > 3
    assert [int(value) for value in said["down"]] == sorted(counts, reverse=True)
    assert said["left"] == ["subj02"] * 4
    plain = re.sub(r"<script>.*?</script>", "", report("predictors").read_text(), flags=re.DOTALL)
    assert plain.count("<tr") == report("predictors").read_text().count("<tr") and "hidden>" not in plain
