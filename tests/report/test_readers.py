"""Readers of the contract's files: what they give, and one clear line for a file that is not what its name says."""

import json
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest

from neurobust.core.errors import InputError
from neurobust.core.io import write_json, write_parquet
from neurobust.files.attack_table import attack_table_path, read_attack_table
from neurobust.files.canaries import canaries_path, read_canaries
from neurobust.files.checks import checks_path, read_checks
from neurobust.files.corruption_table import read_corruption_table
from neurobust.files.examples import examples_path, read_examples
from neurobust.files.explained import COLUMNS, network_analysis_path, read_explained
from neurobust.files.network_metrics import NUMBERS, metrics_path, read_metrics
from neurobust.files.predictor_tables import read_voxels, voxels_path
from neurobust.files.roi import read_roi_summary, roi_path
from neurobust.files.semantic_table import read_semantic_examples
from neurobust.files.transfer_table import read_transfer_table, transfer_table_path

NETWORK = "digits/resnet18/V1/seed1"


def test_paths_are_the_contract_s():
    assert attack_table_path("results", NETWORK, "fgsm") == Path("results/attacks") / NETWORK / "fgsm.parquet"
    assert metrics_path("results", NETWORK) == Path("results/networks") / NETWORK / "metrics.json"
    assert str(network_analysis_path("r", "{network}", "mei")) == "r/explain/networks/{network}/mei.parquet"
    assert str(canaries_path("results", "{task}")) == "results/attacks/{task}/canaries.json"
    assert (
        str(transfer_table_path("r", "{task}", "{architecture}")) == "r/attacks/{task}/{architecture}/transfer.parquet"
    )
    assert str(voxels_path("r", "gnet", "V1", "{seed}")) == "r/predictors/gnet/V1/seed{seed}/voxels.parquet"
    assert str(roi_path("r", "{subject}", "{roi}")) == "r/cortex/{subject}/{roi}.h5"


def test_every_file_of_a_study_is_read(study):
    root = study.root
    metrics = read_metrics(metrics_path(root, NETWORK))
    assert metrics.train_accuracy == 1 and tuple(metrics.numbers()) == NUMBERS
    frame, record = read_attack_table(attack_table_path(root, NETWORK, "fgsm"))
    assert record.norm == "linf" and record.seconds == 3.25 and record.versions == {"torch": "2.15.0"}
    assert frame["image"].is_monotonic_increasing
    first, second, third = read_checks(checks_path(root, NETWORK))
    assert (first.passed, second.value, third.passed, third.attack) == (True, None, False, "")
    assert [entry.caught for entry in read_canaries(canaries_path(root, "digits"))] == [True] * 6
    examples = read_examples(examples_path(root, NETWORK))
    assert set(examples.adversarial) == set(examples.budget) == set(study.attacks)
    assert examples.clean.shape == examples.adversarial["fgsm"].shape
    assert list(read_explained(network_analysis_path(root, NETWORK, "inside"))[0]) == list(COLUMNS)
    summary = read_roi_summary(roi_path(root, "subj01", "V1"))
    assert summary.labels == "V1v, V1d" and len(summary.ncsnr) == 140 and len(summary.split) == 120


@pytest.mark.parametrize(
    ("read", "content", "message"),
    [
        (read_checks, {"check": "a"}, "not a list of checks"),
        (read_checks, [{"check": "a"}], "not a list of checks .*passed"),
        (read_canaries, [], "not a record of canaries"),
        (read_metrics, [1], "not the metrics of a network"),
    ],
)
def test_json_of_another_kind(read, content, message, tmp_path):
    write_json(tmp_path / "file.json", content)
    with pytest.raises(InputError, match=rf"file\.json: {message}"):
        read(tmp_path / "file.json")


@pytest.mark.parametrize(
    "read", [read_metrics, read_attack_table, read_corruption_table, read_transfer_table, read_voxels]
)
def test_what_must_be_there_says_what_to_run(read, tmp_path):
    with pytest.raises(InputError, match=r"file: missing; run the pipeline"):
        read(tmp_path / "file")


def test_attack_tables_lack_no_row_and_repeat_none(tmp_path):
    frame = pd.DataFrame({"image": [1, 1, 2, 2], "budget": [1.0, 1.0, 1.0, 2.0], "clean_correct": True})
    frame = frame.assign(success=False, n_forward=1.0, n_backward=1.0)
    write_parquet(tmp_path / "a.parquet", frame)
    with pytest.raises(InputError, match=r"4 rows for 2 images x 2 budgets"):
        read_attack_table(tmp_path / "a.parquet")
    write_parquet(tmp_path / "b.parquet", frame.assign(budget=[1.0, 2.0] * 2), {"seconds": "long"})
    with pytest.raises(InputError, match=r"b\.parquet: not the record of an attack .*seconds"):
        read_attack_table(tmp_path / "b.parquet")


def test_pictures_that_are_none(tmp_path):
    path = tmp_path / "examples.npz"
    path.write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"examples\.npz: not a readable file of arrays"):
        read_examples(path)
    np.savez(path, image=np.arange(2), label=np.arange(2))
    for read in (read_examples, read_semantic_examples):
        with pytest.raises(InputError, match=r"no array 'clean'"):
            read(path)


def test_corruption_tables_say_what_is_scored(tmp_path):
    write_parquet(tmp_path / "c.parquet", pd.DataFrame({"image": [0]}), {})
    with pytest.raises(InputError, match="does not say which types are scored"):
        read_corruption_table(tmp_path / "c.parquet")


def test_roi_files_that_are_none(tmp_path):
    with h5py.File(tmp_path / "V1.h5", "w") as file:
        file.attrs["labels"] = json.dumps({"within": "V1"})
    with pytest.raises(InputError, match=r"V1\.h5: not a readable ROI file"):
        read_roi_summary(tmp_path / "V1.h5")
