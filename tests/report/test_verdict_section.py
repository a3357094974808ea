"""The first section: its sentence, gates, claims with their evidence, verdicts; on the page and in the terminal."""

import re

import pandas as pd
import pytest

from neurobust.report.blocks import in_block
from neurobust.report.contents import COLUMNS
from neurobust.report.entries import signed
from neurobust.report.verdict_section import finding_lines, sentence, verdict_section
from neurobust.report.view import View
from neurobust.statistics import detectable, seeds_for
from neurobust.study.claims import Claim, Contrast

ROW = {
    "task": "scenes", "architecture": "resnet18", "attack": "pgd", "budget": 4.0, "unit": "1/255", "level": 0.95,
    "n_seeds": 5, "n_images": 400, "reason": "because",
}  # fmt: skip
POWER = pd.DataFrame([{"sd_seed": 0.01, "sd_image": 0.05, "sd_residual": 0.3}])


def verdicts(**words):
    """Rows of the table: {condition: (verdict, difference)}."""
    rows = [
        ROW | {"condition": name, "roi": name, "verdict": word, "contrast": f"{name} − none", "difference": difference,
               "low": difference - 0.02, "high": difference + 0.02}
        for name, (word, difference) in words.items()
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=COLUMNS["verdicts"])


def test_one_sentence_says_what_was_found_from_how_much_and_what_could_have_been_seen():
    table = verdicts(
        V1=("not supported", 0.0), LO=("supported", 0.061), TO=("supported", 0.08), FFA=("contradicted", -0.05),
        EBA=("undetermined (masking)", 0.01),
    )  # fmt: skip
    text = sentence(table, POWER, "scenes (resnet18)", label=str.upper)
    assert text.startswith("On scenes (resnet18) under PGD at 4/255, guidance by LO (+6.1 pp [+4.1 to +8.1]) and ")
    for part in (
        "TO (+8.0 pp [+6.0 to +10.0]) makes networks more robust;",
        "guidance by FFA (−5.0 pp [−7.0 to −3.0]) makes networks less robust;",
        "guidance by V1 gives no gain over none that would matter;",
        "nothing can be said of EBA (masking);",
    ):
        assert part in text, part
    seen, needed = 100 * detectable(5, 400, 0.01, 0.05, 0.3), seeds_for(0.01, 400, 0.01, 0.05, 0.3)
    said = f"5 seeds × 400 images, with which four of five such studies would see a single contrast of {seen:.1f} pp"
    assert text.endswith(f"; {said} (one of 1 pp takes {f'about {needed} seeds' if needed else 'more images'}).")


def test_the_sentence_names_what_a_condition_does_not_beat():
    """Below the labels on the same stimuli, or its own shuffle, is not below a plain network."""
    table = verdicts(
        V1=("contradicted", -0.05), LO=("contradicted", -0.04), TO=("not supported", 0.0), EBA=("not supported", 0.0)
    )
    table.loc[1:2, "contrast"] = ["LO − LO-labels", "TO − TO-shuffled"]
    text = sentence(table, POWER, "s (a)")
    for part in (
        ", guidance by V1 (−5.0 pp [−7.0 to −3.0]) makes networks less robust; ",
        "; guidance by LO (−4.0 pp [−6.0 to −2.0]) stands below LO-labels; ",
        "; guidance by TO gives no gain over TO-shuffled that would matter; ",
        "; guidance by EBA gives no gain over none that would matter; ",
    ):
        assert part in text, (part, text)


def test_what_could_be_seen_is_not_said_behind_a_gate_that_failed():
    silent = verdicts(LO=("undetermined (sensitivity)", 0.1), V1=("undetermined (sensitivity)", 0.1))
    assert sentence(silent, POWER, "s (a)").endswith("; 5 seeds × 400 images.")
    open_ = verdicts(LO=("undetermined (masking)", 0.1), V1=("undetermined", 0.1))
    assert "see a single contrast of" in sentence(open_, POWER, "s (a)")


def test_a_study_that_can_say_nothing_says_so():
    table = verdicts(LO=("undetermined (sensitivity)", 0.1), V1=("undetermined (sensitivity)", 0.1))
    assert "nothing can be said of LO and V1 (sensitivity)" in sentence(table, POWER, "s (a)")
    assert "2 seeds × 400 images, too few seeds for any verdict" in sentence(table.assign(n_seeds=2), POWER, "s (a)")
    lacking = table.assign(verdict="undetermined", reason="not in this study: needs control shuffled of LO")
    assert "nothing can be said of LO and V1 (no control of its own)" in sentence(lacking, POWER, "s (a)")
    labels = table.assign(verdict="undetermined", reason="not in this study: needs control labels of LO")
    assert "nothing can be said of LO and V1 (no control labels)" in sentence(labels, POWER, "s (a)"), (
        "it has a shuffle"
    )
    assert sentence(table.iloc[:0], POWER, "s (a)") == (
        "On s (a) nothing can be said: there is no guided condition under the primary attack."
    )


# --- from files ---


def claims():
    def one(condition, baseline, says, **more):
        return Claim(says=says, source="us", contrasts=(Contrast(condition=condition, baseline=baseline, **more),))

    return {
        "first": one("LO", "shuffled", "LO beats its shuffle"),
        "sizes": one("LO", "none", "LO needs larger steps", measure="size"),
        "hues": one("LO", "none", "LO helps with hue", attack="hue"),
        "faces": one("FFA", "none", "FFA helps with faces"),
        "order": Claim(says="later is better", source="us", order=("V1", "hV4", "LO")),
    }


@pytest.fixture(scope="module")
def judged(judged_study, fill_study, tmp_path_factory):
    """A study of two tasks with claims, on disk."""
    root = tmp_path_factory.mktemp("judged") / "results"
    return fill_study(judged_study(root=root, claims=claims(), tasks=("digits", "phantom-scenes")))


@pytest.fixture(scope="module")
def tables(judged):
    from neurobust.report.collect import collect_results

    return collect_results(judged)


@pytest.mark.slow
def test_the_section_has_all_parts(judged, tables):
    section = verdict_section(View(judged, tables))
    assert [row["task"] for row in section["sentences"]] == ["digits", "phantom-scenes"]
    assert [[gate["name"] for gate in block["gates"]] for block in section["gates"]] == [
        ["range", "sensitivity", "masking"]
    ] * 2
    assert [group["name"] for group in section["claims"]] == ["first", "sizes", "hues"]
    first, sizes, hues = (group["lines"] for group in section["claims"])
    assert [line["where"] for line in first] == ["digits", "phantom-scenes"]
    assert first[0]["href"] == hues[0]["href"] == "#accuracy-digits-resnet18" and sizes[0]["href"] == "#budgets"
    assert sizes[0]["value"].endswith("] in 1/255") and " pp [" in first[0]["value"]
    assert {row["name"]: row["word"] for row in section["untested"]} == {
        "faces": "undetermined (not in this study: needs FFA)",
        "order": "undetermined (not in this study: needs three of V1, hV4, LO, each with its shuffle)",
    }
    line = section["verdicts"][0]["lines"][0]
    assert len(line["readings"]) == 3 and line["readings"][0].startswith("area over clean: ")


@pytest.mark.slow
def test_the_page_and_the_terminal_begin_with_it(judged, tables, tmp_path):
    from neurobust.report.collect import tabulate_results
    from neurobust.report.page import write_index
    from neurobust.report.summary import print_summary

    tabulate_results(judged, {name: tmp_path / "tables" / f"{name}.csv" for name in COLUMNS})
    write_index(judged, tmp_path / "tables", {}, tmp_path / "index.html")
    page = (tmp_path / "verdicts.html").read_text()
    body = page[page.index("<main") :]
    own, power = (in_block(tables[name], "digits", "resnet18") for name in ("verdicts", "power"))
    said = sentence(own, power, "digits (resnet18)", label=lambda _: "PGD")
    assert said in body and body.index("<h2>What may be said<") < body.index(said) < body.index('id="claims"')
    assert body.index('id="claims"') < body.index('id="verdicts-digits-resnet18"') < body.index('id="comparisons"')
    assert {f'id="{link}"' in page for link in re.findall(r'href="#([^"]+)"', page)} == {True}
    assert "LO beats its shuffle" in body and "undetermined (not in this study: needs FFA)" in body
    row = tables["verdicts"].query("task == 'digits' and condition == 'LO'").iloc[0]
    assert f"{signed(row['difference'])} pp [{signed(row['low'])} to {signed(row['high'])}]" in body
    for table in ("gates", "verdicts", "claims", "trend"):
        assert f"tables/{table}.csv" in (tmp_path / "compute.html").read_text()
    shown = print_summary(tmp_path / "tables")
    assert shown.startswith("On digits (resnet18) under pgd at ")
    assert shown.index("claims (2 more are not tested by this study)") < shown.index("accuracy in percent")
    assert "\n  LO: " in shown and "\n  first, digits, resnet18: " in shown


@pytest.mark.slow
def test_an_roi_s_page_has_its_own_verdict_and_no_claims(judged, tables, tmp_path):
    """Judged as the strictest of the study's family: it never says more than the study's page."""
    from neurobust.report.page import write_roi_page

    write_roi_page(judged, "LO", tmp_path / "LO.html")
    page = (tmp_path / "LO.html").read_text()
    assert 'id="claims"' not in page and 'id="verdicts-digits-resnet18"' in page and "V1 − none" not in page
    assert "97.5 %" in page and "the study’s page has the last word" in page
    row = tables["verdicts"].query("task == 'digits' and condition == 'LO'").iloc[0]
    assert f"{signed(row['difference'])} pp [{signed(row['low'])} to {signed(row['high'])}]" in page


def test_an_empty_study_has_an_empty_section(judged_study):
    empty = {name: pd.DataFrame(columns=columns) for name, columns in COLUMNS.items()}
    section = verdict_section(View(judged_study(), empty))
    assert not any(section.values()) and finding_lines(empty) == [""]


def test_a_gate_that_concerns_one_condition_says_so_in_the_terminal(collected):
    tables = dict(collected)
    gate = {"task": "scenes", "architecture": "resnet18", "gate": "prediction", "passed": False}
    tables["gates"] = pd.DataFrame([gate | {"affects": "LO", "sentence": "few voxels"}, gate | {
        "gate": "range", "affects": "", "sentence": "no budget"}], columns=COLUMNS["gates"])  # fmt: skip
    lines = [line for line in finding_lines(tables) if line.startswith("gate failed")]
    assert lines == [
        "gate failed, scenes, resnet18: prediction: few voxels. Nothing is said of LO",
        "gate failed, scenes, resnet18: range: no budget",
    ]
