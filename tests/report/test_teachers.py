"""The teachers of a study: what each table says of them, and nothing where all networks have the same one."""

import numpy as np
import pandas as pd
import pytest
from fake_files import write_study
from fake_study import CONDITIONS, guided, make_study

from neurobust.core.io import Provenance
from neurobust.explain.registry import read_analysis
from neurobust.files.explained import COLUMNS as MEASURES
from neurobust.files.explained import ExplainedRecord, predictor_analysis_path, write_explained
from neurobust.files.predictor_tables import read_voxels, voxels_path, write_voxels
from neurobust.report.collect import collect_results
from neurobust.report.sections import teacher_table
from neurobust.study.explained import Explained
from neurobust.study.pairs import teachers_of, teaching
from neurobust.study.paths import Paths

TAUGHT = {
    "none": CONDITIONS["none"],
    "LO": guided("LO", predictor="gnet"),
    "LO-shuffled": guided("LO", predictor="gnet", control="shuffled"),
    "pixels": guided("LO", predictor="pixels"),
    "mean": guided("LO", predictor="gnet", ensemble=True),
    "measured": guided("LO", pairs=True, on="stimuli"),
}
SMALLEST, RANDOM = {0: 0.4, 1: 0.6}, {0: 8.0, 1: 9.0}  # by seed


@pytest.fixture(scope="module")
def taught(tmp_path_factory):
    """A study with four teachers of LO, of which the files of `pixels` are G-net's at half its accuracy."""
    root = tmp_path_factory.mktemp("teachers") / "results"
    explain = {"fragility": read_analysis("fragility", {})}
    study = make_study(
        root, tasks=("digits",), rois=("LO",), predictors=("gnet", "pixels"), conditions=TAUGHT, explain=explain
    )
    write_study(study)
    for seed in study.predictor_seeds:
        voxels = read_voxels(voxels_path(root, "gnet", "LO", seed))
        halved = voxels.assign(r=voxels["r"] / 2, r_normalised=voxels["r_normalised"] / 2)
        write_voxels(voxels_path(root, "pixels", "LO", seed), halved, {})
        rows = [("smallest change, L∞", SMALLEST[seed]), ("random change, L∞", RANDOM[seed])]
        frame = pd.DataFrame([(m, "", "", v, v, v, 8) for m, v in rows], columns=list(MEASURES))
        record = ExplainedRecord(analysis="fragility", provenance=Provenance(neurobust="0.1.0"), seed=seed)
        write_explained(predictor_analysis_path(root, "pixels", "LO", seed, "fragility"), frame, record)
    return study


def test_each_teacher_has_its_accuracy_its_fragility_and_what_networks_gained(taught):
    tables = collect_results(taught)
    rows = tables["teachers"].set_index("condition")
    assert list(rows.index) == ["LO", "pixels", "mean", "measured"]
    assert list(rows["teacher"]) == ["gnet", "pixels", "mean of 2 gnet", "measured responses"]
    assert list(rows["images"]) == ["task", "task", "task", "measured"]
    medians = [read_voxels(voxels_path(taught.root, "gnet", "LO", k))["r_normalised"].median() for k in (0, 1)]
    assert rows["accuracy"].tolist()[:2] == pytest.approx([np.mean(medians), np.mean(medians) / 2])
    assert rows["accuracy"].isna().tolist() == [False, False, True, True], "no number of what was not measured"
    assert rows.loc["pixels", ["fragility", "random"]].tolist() == pytest.approx([0.5, 8.5])
    assert np.isnan(rows.loc["LO", "fragility"]), "its analysis was not made"
    found = tables["differences"]
    found = found[found["answer"] & (found["measure"] == "robust_accuracy") & (found["condition"] == "LO")]
    for column, baseline in (("over_none", "none"), ("over_shuffle", "LO-shuffled")):
        wanted = found[found["baseline"] == baseline].iloc[0]
        own = rows.loc["LO", [column, f"{column}_low", f"{column}_high"]]
        assert own.tolist() == pytest.approx(wanted[["difference", "low", "high"]].tolist())
    assert np.isnan(rows.loc["pixels", "over_shuffle"]), "it has no shuffle"
    said = tables["verdicts"].set_index("condition")
    assert rows["verdict"].tolist() == said.loc[rows.index, "verdict"].tolist()
    printed = {row["condition"]: row for row in teacher_table(tables)}
    assert printed["pixels"]["fragility"] == "0.50" and printed["mean"]["accuracy"] == "–"


def test_a_study_of_one_teacher_has_no_such_table_and_no_more_jobs(taught):
    alone = make_study("results", rois=("LO",), conditions={name: TAUGHT[name] for name in ("none", "LO")})
    assert not teachers_of(alone) and not teaching(alone)
    assert teaching(taught) == [("gnet", "LO"), ("pixels", "LO")]
    read = [
        path for path in Paths(taught).results_of(taught.conditions, taught.rois) if path.endswith("voxels.parquet")
    ]
    assert len(read) == 4
    tables = Explained(taught).teacher_tables()
    assert [path.split("explain/")[1] for path in tables] == [
        f"predictors/pixels/LO/seed{seed}/fragility.parquet" for seed in taught.predictor_seeds
    ]
