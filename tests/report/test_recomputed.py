"""Numbers of every kind of page, counted again from the files of the stages by code that shares nothing with them.

A printed number is found by its table's caption, its row and its column. pandas, numpy and scipy alone count here;
neither `neurobust.report` nor `neurobust.statistics` counts anything.
"""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

sys.path.insert(0, str(Path(__file__).parent / "recount"))
from by_page import (
    accuracies,
    checks,
    compared,
    corruptions,
    front,
    methods,
    predictors,
    provenance,
    semantic,
    smallest,
    why,
)
from counted import PAINT, STRENGTH, Results
from whole_data import quality, status

pytestmark = pytest.mark.slow

LEAST = 10  # numbers of each kind of page


@pytest.fixture(scope="module")
def made(every_page, tmp_path_factory):
    """The synthetic study: its results, its configuration, its report, and the page that says how far it is."""
    from neurobust.report.live_page import write_status

    study, written = every_page
    folder = shutil.copytree(written, tmp_path_factory.mktemp("made") / "report")
    write_status(study, folder / "status.html")
    labels = {
        "FGSM": "fgsm", "PGD L∞": "pgd-linf", "PGD L2": "pgd-l2", "hue": "hue", "saturation": "saturation",
        "uniform noise": "noise-uniform", "Gaussian noise": "noise-gaussian",
        "worst case L∞": "worst-linf", "worst case L2": "worst-l2",
    }  # fmt: skip
    norms = dict.fromkeys(("fgsm", "pgd-linf", "noise-uniform"), "linf") | dict.fromkeys(
        ("pgd-l2", "noise-gaussian"), "l2"
    )
    return Results(study.root, labels, norms, {PAINT: STRENGTH}), study.config, folder


@pytest.fixture(scope="module")
def planted(demo, project):
    """The demo: full truth, two architectures, an ensemble of budgets that differ."""
    config = yaml.safe_load((project / "config/demo.yaml").read_text())
    attacks = config["attacks"]
    labels = {entry["label"]: name for name, entry in attacks.items() if "label" in entry}
    norms = {name: entry["norm"] for name, entry in attacks.items() if "norm" in entry}
    worst = {"worst case L∞": "worst-linf", "worst case L2": "worst-l2"}
    folder = demo / "results/demo"
    return Results(folder, labels | worst, norms), config, folder / "report"


KINDS = {
    "front": lambda results, config, folder: front(results, folder / "index.html"),
    "verdicts": lambda results, config, folder: (
        compared(results, folder / "verdicts.html") + accuracies(results, folder / "verdicts.html")
    ),
    "ROI": lambda results, config, folder: (
        compared(results, folder / "roi/LO.html") + accuracies(results, folder / "roi/LO.html")
    ),
    "attacks": lambda results, config, folder: smallest(results, folder / "attacks.html"),
    "corruptions": lambda results, config, folder: corruptions(results, folder / "corruptions.html"),
    "semantic": lambda results, config, folder: semantic(results, folder / "semantic.html", PAINT),
    "why": lambda results, config, folder: why(results, folder / "why.html"),
    "predictors": lambda results, config, folder: predictors(results, folder / "predictors.html"),
    "quality": lambda results, config, folder: quality(results, folder / "quality.html"),
    "status": lambda results, config, folder: status(results, folder / "status.html"),
    "checks": lambda results, config, folder: checks(results, folder / "checks.html"),
    "methods": lambda results, config, folder: methods(results, folder / "methods.html"),
    "provenance": lambda results, config, folder: provenance(results, folder / "compute.html", config),
}


@pytest.mark.parametrize("kind", KINDS)
def test_ten_numbers_of_each_kind_of_page(made, kind):
    assert KINDS[kind](*made) >= LEAST


@pytest.mark.parametrize(
    "kind", ["front", "verdicts", "ROI", "attacks", "semantic", "predictors", "quality", "methods"]
)
def test_ten_numbers_of_the_demo_s_pages(planted, kind):
    assert KINDS[kind](*planted) >= LEAST


# --- and each of them can fail ---

# What is changed for each kind of page: a file of the stages and one of its values.
DAMAGE = {
    "front": ("attacks/digits/resnet18/LO/seed0/pgd-linf.parquet", "success"),
    "verdicts": ("attacks/phantom-scenes/resnet18/V1/seed1/pgd-linf.parquet", "success"),
    "ROI": ("attacks/digits/resnet18/LO-shuffled/seed1/pgd-linf.parquet", "success"),
    "attacks": ("attacks/digits/resnet18/V1/seed0/fgsm.parquet", "success"),
    "corruptions": ("attacks/digits/resnet18/LO/seed0/corruptions.parquet", "correct"),
    "semantic": ("attacks/digits/resnet18/LO/seed0/semantic/cadv.parquet", "success"),
    "why": ("explain/networks/digits/resnet18/V1/seed0/inside.parquet", "value"),
    "predictors": ("predictors/gnet/LO/seed0/voxels.parquet", "subject"),
    "quality": ("cortex/subj01/quality.json", "repeats_r"),
    "status": ("cortex/subj01/quality.json", "sessions"),
    "checks": ("attacks/digits/resnet18/LO/seed0/checks.json", "passed"),
    "methods": ("predictors/gnet/LO/seed0/voxels.parquet", "r_normalised"),
    "provenance": ("attacks/digits/resnet18/LO/seed0/fgsm.parquet", "n_forward"),
}


def damage(path, column):
    """Change one value of a file: what fell stands and the reverse, a number is another, a subject the next."""
    if path.suffix == ".json":
        entries = json.loads(path.read_text())
        rows = entries if isinstance(entries, list) else [*entries["by_session"], entries]
        row = next(row for row in rows if column in row)
        row[column] = not row[column] if isinstance(row[column], bool) else row[column] - 1
        path.write_text(json.dumps(entries))
        return
    frame = pd.read_parquet(path)
    chosen = frame.index == frame.index
    for name, value in (("budget", 2.0), ("strength", STRENGTH), ("severity", 3), ("variant", "attack")):
        chosen &= (frame[name] == value).to_numpy() if name in frame else True
    chosen &= (
        frame["clean_correct"].to_numpy() if "clean_correct" in frame else np.isfinite(frame.get("r_normalised", 0))
    )
    place, values = int(np.flatnonzero(chosen)[0]), frame[column].tolist()
    old = values[place]
    values[place] = not old if isinstance(old, bool) else "subj02" if isinstance(old, str) else old + 1e4
    values[place] = np.nan if column == "r_normalised" else values[place]
    frame.assign(**{column: values}).to_parquet(path)


@pytest.mark.parametrize("kind", KINDS)
def test_one_other_value_is_seen(made, kind, tmp_path):
    results, config, folder = made
    path, column = DAMAGE[kind]
    shutil.copytree(results.root, tmp_path / "results", ignore=shutil.ignore_patterns("*.npz", "report"))
    assert KINDS[kind](results.elsewhere(tmp_path / "results"), config, folder) >= LEAST
    damage(tmp_path / "results" / path, column)
    with pytest.raises(AssertionError, match="should say"):
        KINDS[kind](results.elsewhere(tmp_path / "results"), config, folder)
