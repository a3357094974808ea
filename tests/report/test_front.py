"""The front page: its sentence, its figure, its tables, and its size in a study of real size."""

import shutil

import pandas as pd
import pytest
from msgspec.structs import replace

from neurobust.report.blocks import in_block
from neurobust.report.collect import collect_results
from neurobust.report.contents import COLUMNS
from neurobust.report.front import WIDTH, answer, drawing, front_section, standing
from neurobust.report.page import Frame, render
from neurobust.report.view import View
from neurobust.statistics import CONTRADICTED, NOT_SUPPORTED, SUPPORTED, UNDETERMINED
from neurobust.study.claims import Claim, Contrast

ROIS = ("V1", "V2", "V3", "hV4", "VO", "PHC", "LO", "TO", "FFA", "PPA", "EBA")
CONTROLS = ("shuffled", "random", "pixels")
TASKS = ("imagenet50", "cifar10")
WORDS = (SUPPORTED, CONTRADICTED, NOT_SUPPORTED, UNDETERMINED, f"{UNDETERMINED} (masking)")


def claim_row(name, verdict, task="imagenet50", **changes):
    row = dict.fromkeys(COLUMNS["claims"])
    row |= {"claim": name, "says": f"{name} holds", "source": "us", "task": task, "architecture": "resnet18"}
    row |= {"contrast": "LO − none", "decides": "LO − none", "attack": "pgd-linf", "budget": 2.0, "verdict": verdict}
    row |= {"difference": 0.05, "low": 0.01, "high": 0.09, "unit": "accuracy", "reason": "because", "level": 0.95}
    return row | {"n_seeds": 5, "n_images": 1000, "detectable": 0.031} | changes


@pytest.fixture
def real_size(new_study, new_condition, new_plan):
    """The view of a study of 460 networks, 11 ROIs and 15 attacks, with every verdict and 14 claims, by hand."""
    conditions = {"none": replace(new_condition("V1"), target=None, loss=None)}
    for roi in ROIS:
        conditions[roi] = new_condition(roi)
        conditions |= {f"{roi}-{control}": new_condition(roi, control=control) for control in CONTROLS}
    conditions["reference"] = conditions["none"]
    attacks = {name: new_plan(name) for name in ("pgd-linf", *(f"attack-{index}" for index in range(14)))}
    study = new_study(tasks=TASKS, rois=ROIS, conditions=conditions, attacks=attacks, seeds=(0, 1, 2, 3, 4),
                      phantom=False)  # fmt: skip
    rows = {name: [] for name in COLUMNS}
    rows["networks"] = [n._asdict() | {"clean_accuracy": 0.9} for n in study.networks()]
    assert len(rows["networks"]) == 460
    for place, task in enumerate(TASKS):
        names = {"task": task, "architecture": "resnet18"}
        rows["gates"] += [names | {"gate": gate, "passed": True, "affects": "", "sentence": "so it is"}
                          for gate in ("range", "sensitivity", "masking")]  # fmt: skip
        rows["canaries"] += [{"task": task, "canary": f"c{index}", "caught": True} for index in range(6)]
        for index, roi in enumerate(ROIS):
            row = names | {"condition": roi, "roi": roi, "attack": "worst-linf", "budget": 2.0, "unit": "1/255"}
            row |= {
                "contrast": f"{roi} − {roi}-shuffled",
                "difference": 0.01 * index - 0.03,
                "low": 0.01 * index - 0.08,
            }
            row |= {"high": 0.01 * index + 0.02, "verdict": WORDS[(index + place) % 5], "reason": "as it came out"}
            rows["verdicts"].append(row | {"level": 0.99, "n_seeds": 5, "n_images": 1000, "detectable": 0.031})
        rows["claims"] += [
            claim_row(f"claim-{index}", WORDS[(index + place) % 5], task, says="Guidance by one area " * 6)
            for index in range(14)
        ]
    return View(study, {name: pd.DataFrame(rows[name], columns=columns) for name, columns in COLUMNS.items()})


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("chromium"), reason="needs chromium")
def test_the_front_page_of_a_real_study_is_six_screens_and_small(real_size, browse, measure, tmp_path):
    page = tmp_path / "index.html"
    page.write_text(render(real_size, {}, Frame("Anything?", sections=("front",))))
    assert page.stat().st_size < 1_000_000
    for width in (1280, 390):
        said = browse(page, measure, tmp_path, width)
        assert said["found"] == []
        assert width < 1280 or said["height"] <= 6 * 800, said["height"]


def test_each_area_is_found_in_one_line(real_size):
    """TO is a line of its own with a word per task, in the study's order; the figure has the largest first."""
    section = front_section(real_size)
    lines = {line["condition"].name: line["cells"] for line in section["matrix"]}
    assert list(lines) == list(ROIS) and section["places"] == list(TASKS)
    table = real_size.tables["verdicts"]
    for task, cell in zip(TASKS, lines["TO"], strict=True):
        row = table[(table["condition"] == "TO") & (table["task"] == task)].iloc[0]
        assert cell["word"] == row["verdict"] and cell["value"] == f"{100 * row['difference']:+.1f} pp"
    for panel in section["panels"]:
        shown = [line["value"] for line in panel["lines"]]
        assert shown == sorted(shown, key=lambda value: -float(value.replace("−", "-"))) and len(shown) == 11
    marks = {cell["mark"] + cell["word"] for cells in lines.values() for cell in cells}
    assert marks == {"✓supported", "✗contradicted", "○not supported", "?undetermined", "?undetermined (masking)"}


def test_a_line_is_drawn_where_its_numbers_say(real_size):
    row = real_size.tables["verdicts"].iloc[7]
    found = drawing(real_size, row, width=0.1)
    scale = WIDTH / 2 / 0.1
    assert found["at"] == pytest.approx(WIDTH / 2 + scale * row["difference"], abs=0.06)
    assert found["low"] == pytest.approx(WIDTH / 2 + scale * row["low"], abs=0.06)
    assert drawing(real_size, row, width=0.05)["high"] == WIDTH, "cut at the edge"
    assert (
        drawing(real_size, row._replace() if hasattr(row, "_replace") else row.replace(row["difference"], None), 1)
        is None
    )


def rows(*given):
    return list(pd.DataFrame(given, columns=COLUMNS["claims"]).itertuples())


def test_the_sentence_counts_names_and_says_from_how_much(real_size):
    said = answer(real_size, rows(
        claim_row("a", SUPPORTED), claim_row("a", UNDETERMINED, "cifar10"), claim_row("b", CONTRADICTED),
        claim_row("c", NOT_SUPPORTED), claim_row("d", f"{UNDETERMINED} (masking)", detectable=0.5),
        claim_row("e", SUPPORTED), claim_row("e", NOT_SUPPORTED, "cifar10", n_images=900, detectable=0.044),
    ))  # fmt: skip
    assert said == (
        "Of the 5 claims that this study can test, 1 is supported: “a holds” (on imagenet50), 1 is contradicted: "
        "“b holds”, 1 is divided between tasks, 1 is not supported, 1 is undetermined. 5 seeds × 900 to 1,000 images "
        "each; the smallest effect that four of five such studies would see is 3.1 to 4.4 pp."
    )
    assert answer(real_size, rows(claim_row("a", UNDETERMINED))).startswith(
        "No claim is supported. Of the one claim that this study can test, 1 is undetermined. 5 seeds × 1,000 images"
    )


def test_undetermined_tests_do_not_vote():
    assert standing(rows(claim_row("a", UNDETERMINED), claim_row("a", CONTRADICTED)))[0] == CONTRADICTED
    assert standing(rows(claim_row("a", SUPPORTED), claim_row("a", CONTRADICTED)))[0] == "divided"
    assert standing(rows(claim_row("a", f"{UNDETERMINED} (range)")))[0] == UNDETERMINED


@pytest.fixture(scope="module")
def view(study):
    says = {"says": "LO beats none", "source": "us", "contrasts": (Contrast(condition="LO", baseline="none"),)}
    missing = {"says": "FFA", "source": "us", "contrasts": (Contrast(condition="FFA", baseline="none"),)}
    study = replace(study, claims={"first": Claim(**says), "second": Claim(**missing)})
    return View(study, collect_results(study))


def test_what_failed_is_said_and_counted(view):
    section = front_section(view)
    lines = {line["name"]: [cell["word"] for cell in line["cells"]] for line in section["strip"]["lines"]}
    assert section["strip"]["heads"] == ["range", "sensitivity", "masking", "canaries", "masking checks"]
    checks = in_block(view.tables["checks"], "digits", "resnet18")
    for_one = "failed for 1 condition"  # of the others more can be said
    assert lines["digits"] == ["passed", "failed", for_one, "6 of 6", f"{len(checks) - 1} of {len(checks)}"]
    named = [row["name"] for row in section["strip"]["failed"]]
    assert named == ["sensitivity, digits", "masking, digits", "sensitivity, phantom-scenes"]
    assert section["untested"] == 1 and [line["says"] for line in section["ledger"]] == ["LO beats none"]


def test_a_study_without_claims_begins_with_what_was_found(view):
    tables = view.tables | {"claims": view.tables["claims"].iloc[:0]}
    section = front_section(View(view.study, tables))
    assert len(section["sentences"]) == 2 and section["sentences"][0].startswith(
        "On digits (resnet18) under worst case"
    )
    assert section["ledger"] == [] and section["untested"] == 0
    empty = {name: pd.DataFrame(columns=columns) for name, columns in COLUMNS.items()}
    section = front_section(View(view.study, empty))
    assert not any(section[name] for name in ("sentences", "panels", "matrix", "ledger", "places"))
