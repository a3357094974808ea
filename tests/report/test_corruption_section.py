"""Common corruptions in the report: the errors against their definition, the section with and without them."""

import math

import numpy as np
import pandas as pd
import pytest
from msgspec.structs import replace

from neurobust.core.errors import InputError
from neurobust.core.io import write_parquet
from neurobust.files.corruption_table import corruption_table_path
from neurobust.report.collect import collect_results, tabulate_results
from neurobust.report.contents import FIGURES
from neurobust.report.corruption_errors import corruption_rows, draw_corruptions, error_rows
from neurobust.report.corruption_section import corruption_tables
from neurobust.report.page import write_index
from neurobust.report.view import View

pytestmark = pytest.mark.slow

KINDS, SEVERITIES, IMAGES = ["gaussian_noise", "fog", "contrast", "saturate"], [1, 2, 3, 4, 5], 40
# Wrong images of 40 by condition, type and severity; `none` makes no error under contrast, and saturate is not scored.
WRONG = {
    "none": {"gaussian_noise": [4, 8, 12, 16, 20], "fog": [2, 2, 2, 2, 2], "contrast": [0] * 5, "saturate": [40] * 5},
    "LO": {"gaussian_noise": [2, 4, 6, 8, 10], "fog": [3, 3, 3, 3, 3], "contrast": [1] * 5, "saturate": [0] * 5},
}
CLEAN_WRONG = {"none": 2, "LO": 1}


def write_corruptions(study):
    """Every network's table; seed 1 makes one more error than seed 0 at every severity of noise."""
    for network in study.networks():
        rows = []
        for kind in KINDS:
            for severity, wrong in zip(SEVERITIES, WRONG[network.condition][kind], strict=True):
                wrong += network.seed * (kind == "gaussian_noise")
                rows.append(
                    pd.DataFrame({"image": np.arange(IMAGES), "corruption": kind, "severity": severity,
                                  "clean_correct": np.arange(IMAGES) >= CLEAN_WRONG[network.condition],
                                  "correct": np.arange(IMAGES) >= wrong})
                )  # fmt: skip
        path = corruption_table_path(study.root, network.path)
        write_parquet(path, pd.concat(rows), {"scored": KINDS[:3], "types": KINDS, "set": "cifar"})


@pytest.fixture
def corrupted(tiny_study, changed_study):
    config = {"corruptions": {"set": "cifar", "types": KINDS, "images": IMAGES}}
    study = changed_study(tiny_study, corruptions=True, config=config)
    write_corruptions(study)
    return study


def test_rows_are_accuracies(corrupted):
    table = pd.DataFrame(corruption_rows(corrupted))
    assert len(table) == 4 * 4 * 5 and table["n"].eq(IMAGES).all()
    row = table[(table["condition"] == "LO") & (table["seed"] == 1) & (table["corruption"] == "gaussian_noise")]
    row = row[row["severity"] == 3].iloc[0]
    assert row["accuracy"] == pytest.approx(1 - 7 / 40) and row["clean_accuracy"] == pytest.approx(39 / 40)
    assert set(table[~table["scored"]]["corruption"]) == {"saturate"}


def test_errors_are_the_papers(corrupted):
    """Sums over severities, as shares of the baseline's mean over seeds; types without a baseline are left out."""
    table = pd.DataFrame(error_rows(corruption_rows(corrupted))).set_index(["condition", "seed"])
    noise, fog = (60 + 65) / 2, 10  # wrong images of the baseline over five severities
    for condition, seed in (("none", 0), ("none", 1), ("LO", 0), ("LO", 1)):
        own = sum(WRONG[condition]["gaussian_noise"]) + 5 * seed, sum(WRONG[condition]["fog"])
        row, clean = table.loc[(condition, seed)], 5 * CLEAN_WRONG[condition]
        assert row["mce"] == pytest.approx((own[0] / noise + own[1] / fog) / 2)
        assert row["relative_mce"] == pytest.approx((own[0] - clean) / (noise - 10))  # fog costs `none` nothing more
        assert (row["n_types"], row["n_relative"]) == (2, 1)
    assert table.loc["none"]["relative_mce"].mean() == pytest.approx(1)
    mean = (sum(WRONG["LO"]["gaussian_noise"]) + sum(WRONG["LO"]["fog"]) + 5) / (15 * IMAGES)
    assert table.loc[("LO", 0), "accuracy"] == pytest.approx(1 - mean)


def test_without_the_baseline_there_is_no_error(corrupted):
    study = replace(corrupted, conditions={"LO": corrupted.conditions["LO"]})
    (first, *_) = error_rows(corruption_rows(study))
    assert math.isnan(first["mce"]) and math.isnan(first["relative_mce"]) and first["n_types"] == 0
    assert first["accuracy"] > 0


def test_a_missing_network_is_one_clear_error(corrupted):
    corruption_table_path(corrupted.root, next(corrupted.networks()).path).unlink()
    with pytest.raises(InputError, match=r"corruptions\.parquet: missing"):
        corruption_rows(corrupted)


def test_the_section_names_its_baseline_and_its_spread(corrupted):
    (table,) = corruption_tables(View(corrupted, collect_results(corrupted)))
    assert table["heads"][-2:] == ["mCE", "relative mCE"] and table["count"] == IMAGES
    assert (table["scored"], table["types"], table["relative"]) == (3, 2, 1)
    lines = {line["condition"].name: line["cells"] for line in table["lines"]}
    assert lines["none"][-1].main == "100.0" and " to " in lines["none"][-1].spread
    assert float(lines["LO"][-1].main) < 60
    severities = [float(cell.main) for cell in lines["none"][1:6]]
    assert severities == sorted(severities, reverse=True)


def write_page(study, folder):
    names = ("corruptions", "corruption_errors", "networks", "summary", "differences", "robust_accuracy")
    tabulate_results(study, {name: folder / "tables" / f"{name}.csv" for name in names})
    view = View(study, collect_results(study))
    figures = {}
    for name, draw in FIGURES.items():
        figures[name] = folder / f"{name}.svg"
        figures[name].parent.mkdir(parents=True, exist_ok=True)
        figures[name].write_text(draw(view))
    write_index(study, folder / "tables", figures, folder / "index.html")
    return "".join(page.read_text() for page in sorted(folder.glob("*.html")))


def test_the_page_has_the_section_only_where_corruptions_were_run(corrupted, tiny_study, tmp_path):
    page = write_page(corrupted, tmp_path)
    assert '<section id="corruptions">' in page and "gaussian noise" in page and "<em>none</em>" in page
    assert (tmp_path / "tables/corruptions.csv").read_text().count("\n") == 1 + 4 * 4 * 5
    plain = write_page(tiny_study, tmp_path / "plain")
    assert 'id="corruptions"' not in plain and 'href="corruptions.html"' not in plain


def test_the_figure_says_when_it_is_empty(corrupted):
    frames = collect_results(corrupted)
    assert "uncorrupted" in draw_corruptions(View(corrupted, frames))
    empty = {"corruptions": frames["corruptions"].iloc[:0]}
    assert "No corrupted image was classified" in draw_corruptions(View(corrupted, empty))
