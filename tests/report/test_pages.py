"""Pages and figures: they parse, load nothing, say the tables' numbers, and stand odd studies."""

import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pandas as pd
import pytest
from msgspec.structs import replace

from neurobust.core.errors import InputError
from neurobust.networks.conditions import Condition
from neurobust.report.archive import pack_report
from neurobust.report.collect import tabulate_results
from neurobust.report.contents import COLUMNS, FIGURES
from neurobust.report.draw import draw_figures
from neurobust.report.page import TEMPLATES, write_index, write_roi_page
from neurobust.report.site import PAGES, ROI_SECTIONS, SECTION_NAMES, every_section, pages_of
from neurobust.report.style import PALETTE
from neurobust.report.summary import print_summary
from neurobust.report.tables import read_tables
from neurobust.report.view import View
from neurobust.study.model import Study

pytestmark = pytest.mark.slow

VOID = {"meta", "link", "img", "br", "hr", "input", "wbr", "col", "source"}


class Page(HTMLParser):
    """Checks nesting, and collects ids, links and text."""

    def __init__(self, text: str):
        super().__init__()
        self.stack, self.ids, self.links, self.words = [], [], [], []
        self.feed(text)
        self.close()
        assert self.stack == [], f"unclosed {self.stack}"
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attrs):
        if tag not in VOID:
            self.stack.append(tag)
        self.note(tag, attrs)

    def handle_startendtag(self, tag, attrs):
        self.note(tag, attrs)

    def note(self, tag, attrs):
        attrs = dict(attrs)
        assert not (tag == "script" and attrs) and not any(name.startswith("on") for name in attrs)
        self.ids += [attrs["id"]] if "id" in attrs else []
        self.links += [attrs[name] for name in ("src", "href", "srcset", "action", "data") if name in attrs]
        assert not any(name.startswith("xlink") for name in attrs)

    def handle_endtag(self, tag):
        assert self.stack and self.stack[-1] == tag, f"</{tag}> closes {self.stack[-3:]}"
        self.stack.pop()

    def handle_data(self, data):
        if not {"style", "script"} & set(self.stack):
            self.words.append(data)


def write_report(study: Study, folder: Path) -> Path:
    """Tables, figures and index, as the workflow writes them."""
    tabulate_results(study, {name: folder / "tables" / f"{name}.csv" for name in COLUMNS})
    figures = {name: folder / "figures" / f"{name}.svg" for name in FIGURES}
    draw_figures(study, folder / "tables", figures)
    write_index(study, folder / "tables", figures, folder / "index.html")
    return folder


@pytest.fixture(scope="module")
def report(study, tmp_path_factory):
    return write_report(study, tmp_path_factory.mktemp("report"))


def whole(folder: Path) -> str:
    """The text of all pages of a study, one after the other."""
    return "\n".join((folder / page.file).read_text() for page in PAGES.values() if (folder / page.file).exists())


def words_of(folder: Path) -> str:
    """What all pages of a study say."""
    pages = [folder / page.file for page in PAGES.values() if (folder / page.file).exists()]
    return " ".join(Page(page.read_text()).text for page in pages)


def assert_self_contained(text: str) -> Page:
    page = Page(text)
    assert len(page.ids) == len(set(page.ids)), "ids are not unique"
    for link in page.links:
        assert re.match(r"data:|#|[\w./-]+(#[\w.-]+)?$", link) and "//" not in link.split(",")[0], link[:80]
        assert not link.startswith("#") or link[1:] in page.ids, f"{link} points nowhere"
    for target in re.findall(r"url\(([^)]*)\)", text):
        assert target.startswith("#") and target[1:] in page.ids, target
    assert "@import" not in text and "http:" not in text and "https:" not in text
    return page


def test_pages_are_self_contained_and_show_the_tables(report, study):
    pages = {page.file: assert_self_contained((report / page.file).read_text()) for page in pages_of(study).values()}
    page, text = pages["index.html"], " ".join(page.text for page in pages.values())
    tables = read_tables(report / "tables")
    for value in tables["summary"]["robust_accuracy"]:
        assert f" {100 * value:.1f} " in text
    for row in tables["differences"][tables["differences"]["primary"]].itertuples():
        if row.measure == "robust_accuracy" and row.condition != "LO-shuffled":
            assert f"{100 * row.difference:+.1f}".replace("-", "−") in text
    for name in (
        "zero gradient",
        "31 % of the images",
        "subj02",
        "torch 2.15.0",
        "812 MB",
        "0.66 to 0.6",
        "checked 960",
    ):
        assert name in text, name
    assert {f"roi/{roi}.html" for roi in study.rois} <= set(page.links)
    assert study.results not in text
    tables = [link for page in pages.values() for link in page.links if link.startswith("tables/")]
    assert len(tables) > len(COLUMNS) and all((report / link).exists() for link in tables)


def test_every_link_of_every_page_arrives(report, study):
    """The one navigation names every page, and an anchor of another page is there."""
    write_roi_page(study, "LO", report / "roi/LO.html")
    files = [*(page.file for page in pages_of(study).values()), "roi/LO.html"]
    pages = {file: Page((report / file).read_text()) for file in files}
    for file, page in pages.items():
        up = "../" if "/" in file else ""
        links = set(page.links)
        assert {f"{up}{other}" for other in files} <= links and {f"{up}roi/{roi}.html" for roi in study.rois} <= links
        for link in links:
            target, _, anchor = link.removeprefix(up).partition("#")
            if anchor and target:
                assert anchor in pages[target].ids, f"{file}: {link} points nowhere"
    (report / "roi/LO.html").unlink()
    (report / "roi").rmdir()


def test_one_table_says_where_a_section_lies(study, changed_study):
    """Each section has a template and a name and lies on one page; a page that could show nothing is none."""
    sections = every_section()
    assert len(sections) == len(set(sections)) and set(sections) == set(SECTION_NAMES)
    assert all((TEMPLATES / f"{name}.html").exists() for name in sections)
    assert set(ROI_SECTIONS) <= set(sections)
    assert set(PAGES) - set(pages_of(study)) == {"semantic", "corruptions"}
    assert set(PAGES) - set(pages_of(changed_study(study, corruptions=True))) == {"semantic"}


def test_a_line_per_subject_says_that_its_betas_are_in_place(report):
    tables = read_tables(report / "tables")
    assert tables["brains"].loc[0, "ncsnr_r"] == 0.9987 and tables["brains"]["mean_r"].isna().tolist() == [False, True]
    text = Page((report / "quality.html").read_text()).text
    assert "subj01 40 0.999 0.870 1.000 0.078 0.002 / −0.001 0.000 0.81 to 1.27 responses.tsv" in text
    assert "subj02 40 without session 3 0.999 0.870 – 0.078" in text


def test_phantom_notice_if_and_only_if_phantom(report, study, tmp_path):
    page = Page((report / "index.html").read_text())
    notice = "It says nothing about human brains"
    assert notice in page.text and page.text.index(notice) < page.text.index("The answer")
    assert all(notice in (report / page.file).read_text() for page in pages_of(study).values())
    real = replace(study, data=replace(study.data, source="nsd"))
    write_index(real, report / "tables", {}, tmp_path / "index.html")
    assert notice not in (tmp_path / "index.html").read_text()


def test_failed_checks_are_marked_not_hidden(report):
    assert "1 masking check failed" in (report / "index.html").read_text()
    assert "digits, resnet18, V1, seed 1: zero gradient" in (report / "checks.html").read_text()
    text = (report / "verdicts.html").read_text()
    digits, scenes = text.split('id="accuracy-phantom-scenes-resnet18"')
    assert digits.count('title="a masking check failed"') == 1 and 'title="a masking check failed"' not in scenes


def test_a_sweep_is_compared_at_equal_clean_accuracy_and_nowhere_else(
    report, study, fill_study, changed_study, tmp_path
):
    assert "At equal clean accuracy" not in whole(report)
    swept = study.conditions | {"LO-w0.5": replace(study.conditions["LO"], weight=0.5, sweep="LO")}
    wide = fill_study(changed_study(study, conditions=swept, results=str(tmp_path / "results")))
    folder = write_report(wide, tmp_path / "report")
    assert "At equal clean accuracy" in Page((folder / "attacks.html").read_text()).text
    answer = "".join(Page((folder / f"{name}.html").read_text()).text for name in ("index", "verdicts"))
    assert "LO-w0.5 minus" not in answer.replace("\n", " ")
    table = pd.read_csv(tmp_path / "report/tables/differences.csv", keep_default_na=False)
    assert "LO-w0.5" not in set(table["condition"]) | set(table["baseline"])
    matched = pd.read_csv(tmp_path / "report/tables/matched.csv", keep_default_na=False)
    assert {*zip(matched["condition"], matched["baseline"], strict=True)} == {("LO", "none"), ("LO", "LO-shuffled")}


def test_a_page_describes_and_does_not_judge(report, tmp_path):
    """After the verdicts no adjective, no colour by significance: of so many numbers, some stand out by chance."""
    pages = [report / page.file for page in PAGES.values() if page.file != "index.html"]
    text = "".join(Page(page.read_text()).text for page in pages if page.exists())
    body = re.sub(r"What may be said.+?Every comparison|How to read this report.+?Written by", "", text)
    for word in ("more robust", "less robust", "no clear difference", "significant", "excludes zero"):
        assert word not in body, word
    assert not re.search(r'class="?(up|down)\b', text) and "small.up" not in text
    shown = print_summary(report / "tables")
    assert "robust" not in shown[shown.index("accuracy in percent") :].lower()


def test_two_runs_are_byte_identical(report, study, tmp_path):
    again = write_report(study, tmp_path)
    files = sorted(path.relative_to(report) for path in report.rglob("*") if path.is_file())
    assert len(files) == len(COLUMNS) + len(FIGURES) + len(pages_of(study))
    for file in files:
        assert (again / file).read_bytes() == (report / file).read_bytes(), file


def test_one_zip_has_all_of_it_and_the_same_bytes(report, tmp_path):
    files = sorted(path for path in report.rglob("*") if path.is_file())
    pack_report(files, report / "report.zip")
    first = (report / "report.zip").read_bytes()
    for path in files:
        path.touch()
    pack_report(reversed(files), report / "report.zip")
    assert (report / "report.zip").read_bytes() == first
    shutil.unpack_archive(report / "report.zip", tmp_path)
    (report / "report.zip").unlink()
    for path in files:
        assert (tmp_path / report.name / path.relative_to(report)).read_bytes() == path.read_bytes()


def test_figures_are_svg_that_follow_the_page(report, study):
    for name in FIGURES:
        text = (report / "figures" / f"{name}.svg").read_text()
        root = ElementTree.fromstring(text)
        words = " ".join("".join(node.itertext()) for node in root.iter("{http://www.w3.org/2000/svg}text"))
        assert words, f"{name}: no text as text"
        assert "currentColor" in text and "#000000" not in text and "#010203" not in text and "<metadata" not in text
        assert "DejaVu" not in text
    curves = (report / "figures" / "robust_accuracy.svg").read_text()
    words = re.sub(r"<[^>]*>", " ", curves)
    for name in (*study.conditions, "digits", "phantom-scenes", "PGD L∞", "hue", "noise, same norm"):
        assert name in words, name
    assert all(color in curves for color in (PALETTE[0], PALETTE[2])), "V1 and LO keep the colours of their place"


def test_roi_page(study, changed_study, tmp_path):
    study = changed_study(study, tasks=("digits",))
    write_roi_page(study, "LO", tmp_path / "roi" / "LO.html")
    text = (tmp_path / "roi" / "LO.html").read_text()
    page = assert_self_contained(text)
    assert (
        "Does guidance by LO" in page.text and "LO-shuffled" in page.text and "nothing about human brains" in page.text
    )
    assert "V1 − none" not in page.text and "LOv, LOd" in page.text and "../index.html" in page.links
    assert PALETTE[2] in text and PALETTE[0] not in text, "LO has its own colour on its own page"


def test_roi_page_needs_only_its_own_chain(study, changed_study, tmp_path):
    """Files of other conditions and ROIs may be absent."""
    root = tmp_path / "results"
    shutil.copytree(study.root, root)
    attacks = {"fgsm": study.attacks["fgsm"]}
    study = changed_study(study, results=str(root), tasks=("digits",), attacks=attacks)
    for path in (*root.glob("*/*/resnet18/V1"), *root.glob("predictors/gnet/V1"), *root.glob("cortex/*/V1.h5")):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    write_roi_page(study, "LO", tmp_path / "LO.html")
    first = (tmp_path / "LO.html").read_bytes()
    shutil.rmtree(root / "explain/networks")
    shutil.rmtree(root / "explain/study")
    shutil.rmtree(root / "benchmarks")
    write_roi_page(study, "LO", tmp_path / "LO.html")
    assert (tmp_path / "LO.html").read_bytes() == first, "files that the rule does not declare must not matter"
    with pytest.raises(InputError, match=r"V1/seed0/metrics\.json: missing"):
        write_roi_page(study, "V1", tmp_path / "V1.html")
    assert not (tmp_path / "V1.html").exists()


def test_the_page_says_why_and_has_its_tables(study, report, tmp_path):
    page = (report / "why.html").read_text()
    assert '<section id="why">' in page and "what guidance changed</summary>" in page
    assert set(read_tables(report / "tables")["why"]["analysis"]) == {"changes"}, "no registry knows the fixture's"
    write_roi_page(study, "LO", tmp_path / "LO.html")
    assert '<section id="why">' not in (tmp_path / "LO.html").read_text(), "it takes every ROI's chain"


def test_many_conditions_leave_the_controls_to_the_roi_pages(study, report, changed_study, new_condition):
    """23 curves in a panel tell nobody anything."""
    frames = read_tables(report / "tables")
    names = [f"R{index}" for index in range(6)]
    conditions = {"none": Condition(weight=0.9)}
    for name in names:
        conditions |= {name: new_condition(name), f"{name}-shuffled": new_condition(name, control="shuffled")}
    tables = dict(frames)
    for table in ("robust_accuracy", "summary", "networks"):
        base = frames[table][(frames[table]["task"] == "digits") & (frames[table]["condition"] == "none")]
        tables[table] = pd.concat([base.assign(condition=name) for name in conditions])
    view = View(changed_study(study, conditions=conditions, rois=names), tables)
    for figure in ("robust_accuracy", "clean_vs_robust"):
        words = re.sub(r"<[^>]*>", " ", FIGURES[figure](view))
        assert "R5" in words and "shuffled" not in words


ODD = ["one seed", "no attacks", "no conditions beside none", "no voxels", "no analyses", "no extras"]


@pytest.mark.parametrize("odd", ODD)
def test_odd_studies_are_reported(odd, tiny_study, changed_study, tmp_path):
    study, root = tiny_study, tiny_study.root
    if odd == "one seed":
        study = replace(study, seeds=(0,))
    elif odd == "no attacks":
        study = replace(study, attacks={})
    elif odd == "no conditions beside none":
        study = replace(study, conditions={"none": study.conditions["none"]})
    elif odd == "no voxels":
        study = changed_study(study, rois=("MT",))
        from neurobust.core.io import read_parquet, write_parquet

        for seed in (0, 1):
            frame, _ = read_parquet(root / f"predictors/gnet/LO/seed{seed}/voxels.parquet")
            write_parquet(root / f"predictors/gnet/MT/seed{seed}/voxels.parquet", frame.iloc[:0])
    elif odd == "no analyses":
        study = changed_study(study, explain={})
        shutil.rmtree(root / "explain")
    else:
        study = replace(study, transfer=None)
        shutil.rmtree(root / "explain")
        for name in ("checks.json", "examples.npz", "canaries.json", "transfer.parquet"):
            for path in root.rglob(name):
                path.unlink()
        shutil.rmtree(root / "benchmarks")
        shutil.rmtree(root / "cortex")
    folder = write_report(study, tmp_path / "report")
    text = " ".join(assert_self_contained((folder / page.file).read_text()).text for page in pages_of(study).values())
    assert not re.search(r"\bnan\b|\bNone\b|\binf\b|[-−]0(\.0+)?(?![\d.])", text), text
    said = {
        "one seed": "one seed",
        "no attacks": "Nothing to compare",
        "no conditions beside none": "Nothing to compare",
        "no voxels": "no voxels",
        "no analyses": "PGD",
        "no extras": "No check was run",
    }
    assert said[odd] in text
    assert ("No canary was run" in text) == (odd == "no extras")
    assert "digits, resnet18" in print_summary(folder / "tables")


def test_summary_in_the_terminal(report, study, capsys):
    text = print_summary(report / "tables")
    assert capsys.readouterr().out.rstrip("\n") == text
    row = (
        read_tables(report / "tables")["summary"]
        .query("task == 'digits' and condition == 'LO' and attack == 'pgd-linf'")
        .iloc[0]
    )
    line = next(line for line in text.splitlines() if line.startswith("LO "))
    assert f"{100 * row['robust_accuracy']:.1f} ±" in line
    assert re.search(r"LO - LO-shuffled, worst-linf: \+\d+\.\d pp \[.+ to .+\], seeds .+ to ", text)


def test_module_prints_the_path_of_the_report(report, tmp_path):
    (tmp_path / "report").symlink_to(report)
    run = subprocess.run([sys.executable, "-m", "neurobust.report", str(tmp_path)], capture_output=True, text=True)
    assert run.returncode == 0 and run.stdout.endswith(f"Report: {tmp_path / 'report' / 'index.html'}\n")
    run = subprocess.run([sys.executable, "-m", "neurobust.report", "/nowhere"], capture_output=True, text=True)
    assert run.returncode == 1 and run.stderr.count("\n") == 1 and "run the pipeline" in run.stderr


@pytest.mark.skipif(not shutil.which("chromium"), reason="needs chromium")
def test_page_opens_without_console_error_or_request(report, tmp_path):
    log = tmp_path / "net.json"
    command = [
        "chromium",
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--enable-logging=stderr",
        f"--log-net-log={log}",
    ]
    command += [f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", (report / "index.html").as_uri()]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert "The answer" in run.stdout
    assert "CONSOLE" not in run.stderr
    urls = set(re.findall(r'"url":"(https?://[^"]+)"', log.read_text())) if log.exists() else set()
    page = json.dumps(sorted(url for url in urls if not re.search(r"google|gvt1|chromium", url)))
    assert page == "[]"


def test_an_attack_without_the_budget_of_its_norm_is_quoted_nowhere(tiny_study, fill_study, new_plan, tmp_path):
    """AutoAttack is often given fewer budgets: it is not read at another one, which would make it look weaker."""
    attacks = {**tiny_study.attacks, "auto": new_plan("auto", budgets=(0, 8))}
    study = fill_study(replace(tiny_study, results=str(tmp_path / "other"), attacks=attacks))
    study = replace(study, config={**study.config, "attacks": {name: {} for name in attacks}})
    folder = write_report(study, tmp_path / "report")
    summary = read_tables(folder / "tables")["summary"].set_index("attack")
    assert (
        summary.loc["auto", "robust_accuracy"].isna().all() and (summary.loc["pgd-linf", "reference_budget"] == 2).all()
    )
    assert not re.search(r"\bnan\b", words_of(folder))
    assert "nan" not in print_summary(folder / "tables")
