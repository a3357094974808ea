"""Published test sets in the report: rows, errors as shares of the baseline's, and the page with and without them."""

import numpy as np
import pandas as pd
import pytest

from neurobust.attacks.shifted.settings import ShiftedSet
from neurobust.core.errors import InputError
from neurobust.files.shifted_table import ShiftedRecord, shifted_table_path, write_shifted_table
from neurobust.report.collect import tabulate_results
from neurobust.report.contents import COLUMNS
from neurobust.report.page import write_index
from neurobust.report.shifted_errors import shifted_error_rows, shifted_rows

IMAGES = 20
WRONG = {"none": 10, "LO": 5}  # images of the set without corruptions
CLEAN = {"none": 0.9, "LO": 0.9}


@pytest.fixture
def shifted(tiny_study, changed_study):
    task = next(iter(tiny_study.tasks))
    sets = {
        "renditions": ShiftedSet(kind="imagenet-r", source="r", task=task),
        "corrupted": ShiftedSet(kind="imagenet-c", source="c", task=task),
    }
    study = changed_study(tiny_study, shifted=sets)
    for network in study.networks(tasks=[task]):
        wrong, names = WRONG[network.condition] + network.seed, network._asdict()
        for name, plan in sets.items():
            kinds, severities = (["fog", "rain"], range(1, 6)) if plan.layout.corrupted else ([""], [0])
            parts = [
                pd.DataFrame({"image": np.arange(IMAGES), "label": 0, "corruption": kind, "severity": severity,
                              "correct": np.arange(IMAGES) >= wrong})
                for kind in kinds for severity in severities
            ]  # fmt: skip
            record = ShiftedRecord(
                **names, kind=plan.kind, scored=kinds[:1], classes=[0, 1, 2], clean_accuracy=CLEAN[network.condition],
                n_clean=8, versions={}, provenance={},
            )  # fmt: skip
            write_shifted_table(shifted_table_path(study.root, network.path, name), pd.concat(parts), record)
    return study


def test_errors_are_shares_of_the_baseline_s(shifted):
    rows = shifted_rows(shifted)
    table, errors = pd.DataFrame(rows), pd.DataFrame(shifted_error_rows(rows))
    assert set(table["classes"]) == {3} and set(table["n"]) == {IMAGES}
    assert table[table["corruption"] == "rain"]["scored"].eq(False).all()
    one = errors[(errors["set"] == "renditions") & (errors["condition"] == "LO") & (errors["seed"] == 1)].iloc[0]
    assert one["accuracy"] == pytest.approx(1 - 6 / 20)
    assert one["mce"] == pytest.approx(6 / 10.5)  # the baseline's mean over seeds 0 and 1
    assert one["relative_mce"] == pytest.approx((6 / 20 - 0.1) / (10.5 / 20 - 0.1))
    corrupted = errors[errors["set"] == "corrupted"]
    assert len(corrupted) == len(errors) / 2 and corrupted["n_types"].eq(1).all(), "rain is not scored"


def test_a_missing_network_is_one_clear_error(shifted):
    shifted_table_path(shifted.root, next(shifted.networks()).path, "corrupted").unlink()
    with pytest.raises(InputError, match=r"corrupted\.parquet: missing; run the pipeline for it, or take the set out"):
        shifted_rows(shifted)


def page_of(study, folder):
    tabulate_results(study, {name: folder / "tables" / f"{name}.csv" for name in COLUMNS})
    write_index(study, folder / "tables", {}, folder / "index.html")
    return "".join(page.read_text() for page in sorted(folder.glob("*.html")))


def test_the_page_shows_the_sets_only_where_there_are_some(shifted, tiny_study, tmp_path):
    page = page_of(shifted, tmp_path)
    section = page[page.index('<section id="shifted">') :].split("</section>")[0]
    assert 'href="corruptions.html"' in page and "renditions" in section and "20 images of 3 classes" in section
    assert "severity 5" in section and "error beyond own" in section and "100.0" in section
    assert 'id="shifted"' not in page_of(tiny_study, tmp_path / "plain")
