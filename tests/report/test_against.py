"""Two runs compared: what was changed on purpose is named in its part, in order, and nothing else is."""

import shutil

import pandas as pd
import pytest
from msgspec.structs import replace

from neurobust.cli.main import main
from neurobust.core.errors import InputError
from neurobust.report.against import SHOWN, compare_runs
from neurobust.report.collect import tabulate_results
from neurobust.report.contents import COLUMNS
from neurobust.study.claims import Claim, Contrast


@pytest.fixture(scope="module")
def run(study, tmp_path_factory):
    says = {"says": "LO beats none", "source": "us", "contrasts": (Contrast(condition="LO", baseline="none"),)}
    folder = tmp_path_factory.mktemp("runs") / "a"
    study = replace(study, claims={"first": Claim(**says)})
    tabulate_results(study, {name: folder / "report/tables" / f"{name}.csv" for name in COLUMNS})
    return folder


@pytest.fixture
def other(run, tmp_path):
    """A copy of the run, and a function that changes a table of it."""
    shutil.copytree(run, tmp_path / "b")

    def change(table, edit):
        path = tmp_path / "b/report/tables" / f"{table}.csv"
        frame = pd.read_csv(path, keep_default_na=False, na_values=[""])
        frame = edit(frame) if callable(edit) else frame
        frame.to_csv(path, index=False)
        return tmp_path / "b"

    return change


def part(text, title):
    return next(block for block in text.split("\n\n") if block.startswith(title)).splitlines()


def test_a_run_differs_in_nothing_from_itself(run):
    text = compare_runs(run, run)
    assert text.count(": none") == 4 and len(text.split("\n\n")) == 5


def test_a_changed_verdict_comes_first(run, other):
    def edit(frame):
        own = (frame["task"] == "digits") & (frame["condition"] == "LO")
        frame.loc[own, ["verdict", "difference"]] = "supported", 0.2
        return frame

    text = compare_runs(run, other("verdicts", edit))
    lines = part(text, "Verdicts that changed")
    assert lines[0].endswith(": 1") and "(pp: +20.0 [" in lines[1]
    assert lines[1].startswith("  digits, resnet18, LO: supported -> undetermined (sensitivity)")
    text = compare_runs(other("claims", lambda frame: frame.iloc[:1]), run)
    assert "  first, phantom-scenes, resnet18, LO − none: only there (undetermined" in text


def test_numbers_beyond_their_intervals_follow(run, other):
    def edit(frame):
        own = (frame["task"] == "digits") & (frame["condition"] == "LO") & (frame["attack"] == "pgd-linf")
        own &= (frame["baseline"] == "none") & (frame["measure"] == "robust_accuracy")
        frame.loc[own, ["difference", "low", "high"]] += 2.0
        return frame

    lines = part(compare_runs(run, other("differences", edit)), "Differences beyond")
    assert len(lines) == 2 and lines[1].startswith("  digits, resnet18, pgd-linf: LO - none: +2")

    def all_higher(frame):
        return frame.assign(**{name: frame[name] + 2 for name in ("robust_accuracy", "wilson_low", "wilson_high")})

    lines = part(compare_runs(run, other("robust_accuracy", all_higher)), "Networks whose")
    assert len(lines) == 1 + SHOWN + 1 and lines[-1].startswith("  and ") and "(−200.0)" in lines[1]


def test_configuration_comes_last(run, other):
    def edit(frame):
        return frame.assign(recipe=frame["recipe"].str.replace("0.9", "0.5")).iloc[:-1]

    lines = part(compare_runs(run, other("conditions", edit)), "Configured otherwise")
    assert len(lines) == 5 and '"weight":0.5' in lines[1].split(" -> ")[0] and "not there -> " in lines[-1]


def test_the_command_says_it_and_refuses_a_folder_without_a_report(run, tmp_path, capsys):
    assert main(["report", str(run), "--against", str(run)]) == 0
    assert capsys.readouterr().out.startswith(f"{run} against {run}\n\nVerdicts that changed: none\n")
    assert main(["report", str(run), "--against", str(tmp_path)]) == 1
    assert "name a folder of results that has a report" in capsys.readouterr().err
    with pytest.raises(InputError, match=r"no networks\.csv"):
        compare_runs(tmp_path, run)


@pytest.mark.parametrize("words", [["{b}"], ["{a}", "--against", "{b}"], ["{b}", "--against", "{a}"]])
def test_a_table_that_somebody_changed_is_one_line(run, other, capsys, words):
    """A word in the place of a number, as a spreadsheet leaves a decimal comma, and columns of another version."""
    as_it_was = pd.read_csv(run / "report/tables/networks.csv", keep_default_na=False, na_values=[""])
    read = "robust_accuracy" if len(words) > 1 else "summary"
    for table, edit, says in (
        ("networks", lambda _: as_it_was.drop(columns="alignment").assign(x=1), "lacks alignment and has x; delete it"),
        ("networks", lambda _: as_it_was[as_it_was.columns[::-1]], "its columns are in another order"),
        ("networks", lambda _: as_it_was, ""),
        (read, lambda frame: frame.assign(**dict.fromkeys(frame.columns[6:], "0,5")), "a table is not as"),
    ):
        b = other(table, edit)
        status = main(["report", *(word.format(a=run, b=b) for word in words)])
        said = capsys.readouterr().err
        assert says in said and (status, said.count("\n")) == ((1, 1) if says else (0, 0))


def test_a_run_that_is_not_whole_is_named_and_what_was_compared_is_counted(run, other):
    """What is not there must not read as what did not change."""
    there = other("verdicts", lambda frame: frame)
    for name in ("differences", "provenance"):
        (there / f"report/tables/{name}.csv").unlink()
    for text in (compare_runs(run, there), compare_runs(there, run)):
        assert f"{there} is not whole: nothing is compared of differences, provenance\n" in text
        assert f"{run} is not whole" not in text and "interval: none of 0 in both" in text
    curves = pd.read_csv(run / "report/tables/robust_accuracy.csv")
    assert f"apart: none of {len(curves)} in both" in compare_runs(run, run)


def test_studies_with_nothing_in_common_are_not_called_alike(run, other):
    text = compare_runs(run, other("differences", lambda frame: frame.assign(condition="other")))
    assert "Differences beyond the other run's interval: none of 0 in both" in text
