"""Canaries and transfer on the pages: a missed canary is the first thing said, a caught one a quiet line."""

import shutil

import numpy as np
import pandas as pd
import pytest
from msgspec.structs import replace

from neurobust.core.errors import InputError
from neurobust.core.io import read_json, read_parquet, write_json, write_parquet
from neurobust.report.attack_sections import break_tables, canary_note, median_cell, minimal_tables, words
from neurobust.report.collect import collect_results, tabulate_results
from neurobust.report.contents import COLUMNS, FIGURES
from neurobust.report.entries import Entry
from neurobust.report.page import write_index, write_roi_page
from neurobust.report.tables import read_tables
from neurobust.report.transfer_matrix import matrices, names_in, transfer_checks
from neurobust.report.view import View

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def tables(collected):
    return collected


@pytest.fixture
def changed(study, changed_study, tmp_path):
    """The study in a folder of its own, to be damaged: one task."""
    shutil.copytree(study.root, tmp_path / "results")
    return changed_study(study, results=str(tmp_path / "results"), tasks=("digits",))


def index_of(study, folder):
    tabulate_results(study, {name: folder / "tables" / f"{name}.csv" for name in COLUMNS})
    write_index(study, folder / "tables", {}, folder / "index.html")
    return "".join(page.read_text() for page in sorted(folder.glob("*.html")))


def miss(study, canary, note):
    path = study.root / "attacks/digits/canaries.json"
    found = read_json(path)
    entry = next(entry for entry in found["canaries"] if entry["canary"] == canary)
    entry |= {"caught": False, "note": note}
    write_json(path, found)


def test_a_missed_canary_is_red_and_first_on_every_page(changed, tmp_path):
    quiet = index_of(changed, tmp_path)
    assert 'id="canaries"' not in quiet and "6 of 6 on digits caught" in quiet
    miss(changed, "noisy input", "not flagged: deterministic")
    write_roi_page(changed, "LO", tmp_path / "LO.html")
    for page in (index_of(changed, tmp_path), (tmp_path / "LO.html").read_text()):
        body = page[page.index("<body>") :]
        assert body.index('class="notice bad" id="canaries"') < body.index("<h1>")
        assert "1 of 6 canaries was not caught" in page and "digits: noisy input. not flagged: deterministic" in page
        assert "5 of 6" not in body[: body.index("<h1>")]


def test_canaries_that_are_no_record_are_one_clear_line(changed):
    path = changed.root / "attacks/digits/canaries.json"
    write_json(path, [])
    with pytest.raises(InputError, match=r"canaries\.json: not a record of canaries"):
        collect_results(changed)


def test_canaries_of_several_tasks(study, tables):
    note = canary_note(tables)
    assert note["caught"] == "6 of 6 on digits, 6 of 6 on phantom-scenes" and note["missed"] == []
    assert note["rows"][1]["found"] == "gradient ce, logit scale, ascent (pgd-linf)"
    assert words("") == ""


def test_matrix_is_the_mean_over_pairs_of_seeds(study, tables):
    table = tables["transfer"][tables["transfer"]["task"] == "digits"]
    order = list(study.conditions)
    (_, sources, targets, one), (_, together, _, all_seeds) = matrices(order, table)
    assert sources == [*order, "itself (white-box)"] and together == targets == order
    for row, source in enumerate(order):
        for column, target in enumerate(order):
            pairs = [  # slow: every pair of networks that differ
                entry.accuracy for entry in table.itertuples()
                if (entry.source_condition, entry.target_condition) == (source, target) and entry.source_seed >= 0
                and (source, entry.source_seed) != (target, entry.target_seed)
            ]  # fmt: skip
            assert len(pairs) == (2 if source == target else 4) and one[row, column] == pytest.approx(np.mean(pairs))
    assert one[-1] == pytest.approx(0.02), "the last line is each network's own"
    assert np.isnan(np.diag(all_seeds)).all() and np.isfinite(all_seeds).sum() == 12


def test_a_twin_with_one_seed_is_an_empty_cell(study, tables):
    table = tables["transfer"].query("task == 'digits' and source_seed == 0 and target_seed == 0")
    (_, _, _, values), *others = matrices(list(study.conditions), table)
    assert others == [] and np.isnan(np.diag(values[:-1])).all()
    assert "from one network" in FIGURES["transfer"](View(study, tables | {"transfer": table}))


def test_an_attack_that_is_beaten_from_elsewhere_is_a_failed_check(changed, tmp_path):
    path = changed.root / "attacks/digits/resnet18/transfer.parquet"
    frame, attrs = read_parquet(path)
    own = frame["source_condition"] == frame["target_condition"]
    row = frame[(frame["source_condition"] == "none") & (frame["target_condition"] == "V1") & ~own].index[0]
    frame.loc[row, "beyond_white_box"] = 0.25
    write_parquet(path, frame, attrs)
    found = collect_results(changed)["checks"].query("check == 'transfer'")
    assert len(found) == 8 and (~found["passed"].astype(bool)).sum() == 1
    failed = found[~found["passed"].astype(bool)].iloc[0]
    assert failed["condition"] == "V1" and failed["attack"].startswith("from none seed") and failed["value"] == 0.25
    assert "transfer (from none seed" in index_of(changed, tmp_path)


@pytest.mark.parametrize(("share", "images", "fails"), [(1 / 28, 28, False), (2 / 28, 28, True), (0.02, 100, False)])
def test_one_image_of_few_is_no_evidence_against_an_attack(share, images, fails):
    names = {"task": "t", "architecture": "a", "target_condition": "V1", "target_seed": 0, "source_condition": "none"}
    (found,) = transfer_checks([names | {"source_seed": 1, "n_shared": images, "beyond_white_box": share}])
    assert found["passed"] != fails


def test_a_network_from_outside_is_shown_and_moves_no_check(study, tables):
    table = tables["transfer"].query("task == 'digits'").to_dict("records")
    names = {"task": "digits", "architecture": "resnet18", "n": 10, "n_shared": 10, "clean_accuracy": 1.0}
    guests = [
        names | {"source_condition": source, "source_seed": 0, "target_condition": target, "target_seed": 0,
                 "accuracy": accuracy, "beyond_white_box": 1.0}
        for source, target, accuracy in (("Guest", "none", 0.25), ("none", "Guest", 0.5), ("Guest", "Guest", 0.0))
    ]  # fmt: skip
    assert transfer_checks(table + guests, ["Guest"]) == transfer_checks(table)
    view = View(replace(study, outside={"Guest": None}), tables)
    order = names_in(view, pd.DataFrame(table + guests))
    assert order == [*study.conditions, "Guest"] and names_in(view, pd.DataFrame(table)) == list(study.conditions)
    (_, _, _, values), *_ = matrices(order, pd.DataFrame(table + guests))
    assert values[-2, 0] == 0.25 and values[0, -1] == 0.5 and values[-1, -1] == 0, "sources, targets, white-box"


def test_ensembles_and_networks_without_common_images_are_no_evidence():
    names = {"task": "t", "architecture": "a", "target_condition": "V1", "target_seed": 0, "source_condition": "none"}
    row = names | {"source_seed": -1, "n_shared": 5, "beyond_white_box": 1.0}
    assert transfer_checks([row, row | {"source_seed": 1, "n_shared": 0, "beyond_white_box": np.nan}]) == []


def test_missing_transfer_is_named_and_without_the_key_not_asked_for(changed):
    path = changed.root / "attacks/digits/resnet18/transfer.parquet"
    path.unlink()
    with pytest.raises(InputError, match=r"transfer\.parquet: missing"):
        collect_results(changed)
    assert len(collect_results(replace(changed, transfer=None))["transfer"]) == 0
    assert len(collect_results(changed, extras=False)["transfer"]) == 0, "an ROI's page needs no other network"


def test_tables_read_back_say_the_same(study, tables, tmp_path):
    tabulate_results(study, {name: tmp_path / f"{name}.csv" for name in COLUMNS})
    back, here = View(study, read_tables(tmp_path)), View(study, tables)
    assert minimal_tables(back) == minimal_tables(here)
    assert break_tables(back) == break_tables(here)
    linf = next(table for table in break_tables(back) if table["norm"] == "L∞")
    assert linf["heads"] == ["FGSM", "PGD L∞", "uniform noise"] and linf["budget"] == "2/255"


def test_median_of_images_that_stand():
    seeds = pd.DataFrame({"median": [2.0, 4.0], "largest": 8.0})
    assert median_cell(seeds) == Entry("3", "2 to 4")
    assert median_cell(seeds.assign(median=[np.nan, 4.0])) == Entry("> 8", "in 1 of 2 seeds")
    assert median_cell(seeds.assign(median=np.nan)) == Entry("> 8")


def test_many_failed_checks_are_folded_and_counted(changed, tmp_path):
    entry = {"check": "doubled_steps", "attack": "pgd-linf", "passed": False, "value": 0.5, "note": "a & b"}
    for seed in (0, 1):
        path = changed.root / f"attacks/digits/resnet18/none/seed{seed}/checks.json"
        write_json(path, read_json(path) + [entry] * 4)
    page = index_of(changed, tmp_path)
    assert "9 masking checks failed" in page and "<summary>3 more</summary>" in page
    assert page.count("doubled steps (pgd-linf), value 0.5. a &amp; b") == 8
    assert "twice the steps, from a random start, break hardly more" in page
