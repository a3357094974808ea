"""The entry point: what it writes, resuming, and a kill at any moment."""

import json
import os
import pickle
import signal
import time

import numpy as np
import pandas as pd
import pytest
import torch

from neurobust.core.errors import InputError
from neurobust.core.io import load_weights, read_parquet
from neurobust.core.settings import written
from neurobust.core.warm import Script, Server, job_environment
from neurobust.predictors import fit_gnet as fit_gnet_module
from neurobust.predictors.predict import predict_subject
from neurobust.predictors.registry import read_predictor
from neurobust.predictors.target import load_predictor
from neurobust.predictors.train import Outputs, train_predictor

pytestmark = pytest.mark.slow

COLUMNS = ["subject", "voxel_index", "r", "r_single", "noise_ceiling", "r_normalised", "ncsnr", "field_x", "field_y",
           "field_size", "fev", "r_low", "r_high", "p", "p_fdr"]  # fmt: skip


@pytest.fixture
def train(tmp_path, subject_maker, write_subject):
    """A function: train on two tiny subjects with some settings, into a folder; the folder."""
    subjects = [subject_maker("subj01", seed=1), subject_maker("subj02", voxels=3, seed=2)]
    rois, stimuli = zip(*(write_subject(data) for data in subjects), strict=True)

    def run(settings, name="out", seed=0, checkpoint=None, voxel_batch=512):
        out = tmp_path / name
        out.mkdir(exist_ok=True)
        outputs = Outputs(out / "model.safetensors", out / "metrics.json", out / "voxels.parquet", checkpoint)
        train_predictor(rois, stimuli, read_predictor("other", settings), seed, outputs, voxel_batch=voxel_batch)
        return out

    run.subjects = subjects
    return run


def test_every_kind_is_written_and_read_back_the_same(train, kind_settings):
    """Files and columns of the contract; the weights file alone gives the predictions that the table scored."""
    out = train(kind_settings)
    table, attrs = read_parquet(out / "voxels.parquet")
    assert list(table) == COLUMNS and len(table) == 8 and attrs["provenance"]["params"].items() >= kind_settings.items()
    assert attrs["provenance"]["params"] == json.loads(json.dumps(written(read_predictor("other", kind_settings))))
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["all"]["voxels"] == 8 and set(metrics["subjects"]) == {"subj01", "subj02"}
    assert metrics["history"] and metrics["parameters"] > 0
    model = load_predictor(out / "model.safetensors")
    assert not model.training and not any(p.requires_grad for p in model.parameters())
    assert model.voxels == {"subj01": 5, "subj02": 3} and model.input_size == 48
    for data in train.subjects:
        predicted = predict_subject(model, data, 2, 100, torch.device("cpu"))
        measured = data.responses[data.rows_of(2)]
        r = [np.corrcoef(predicted[:, v], measured[:, v])[0, 1] for v in range(data.voxels)]
        assert np.allclose(table[table.subject == data.subject]["r"], r, atol=1e-4)
    images = torch.rand(2, 3, 48, 48, requires_grad=True)
    (gradient,) = torch.autograd.grad(model(images).square().sum(), images)
    assert torch.isfinite(gradient).all() and gradient.abs().sum() > 0, "a target must be differentiable"


def test_a_predictor_of_shuffled_pairs_knows_nothing_and_is_tested_on_the_true_ones(train):
    """Ridge on pixels finds the quadrants' brightness; after the pairing is shuffled, nothing of it is left."""
    ridge = {"kind": "ridge", "input_size": 48, "features": "pixels", "folds": 3, "map_size": 2, "alphas": [0.1, 10]}
    plain, _ = read_parquet(train(ridge, "plain") / "voxels.parquet")
    shuffled, _ = read_parquet(train(ridge | {"shuffle_pairing": True}, "shuffled") / "voxels.parquet")
    assert plain["r"].median() > 0.9 and abs(shuffled["r"].median()) < 0.4
    assert shuffled["noise_ceiling"].equals(plain["noise_ceiling"]) and shuffled["ncsnr"].equals(plain["ncsnr"])


def test_the_same_seed_gives_the_same_bytes_and_another_seed_does_not(train, settings):
    first, again, other = train(settings, "a"), train(settings, "b"), train(settings, "c", seed=1)
    for name in ("model.safetensors", "voxels.parquet", "metrics.json"):
        assert (first / name).read_bytes() == (again / name).read_bytes(), name
    assert (first / "model.safetensors").read_bytes() != (other / "model.safetensors").read_bytes()


def test_voxel_batches_bound_memory_and_change_no_result(train, settings):
    whole, _ = load_weights(train(settings, "a") / "model.safetensors")
    parts, _ = load_weights(train(settings, "b", voxel_batch=2) / "model.safetensors")
    for name, value in whole.items():
        torch.testing.assert_close(parts[name], value, rtol=1e-3, atol=1e-4, msg=name)


@pytest.mark.parametrize(("schedule", "steps"), [("fast", 15), ("published", 40)])
def test_a_run_that_dies_resumes_to_the_same_weights(train, settings, tmp_path, monkeypatch, schedule, steps):
    """It dies in its second epoch, of 10 forward passes on the fast schedule and of 24 on the published."""
    if schedule == "published":
        settings = {k: v for k, v in settings.items() if k != "patience"} | {"schedule": "published"}
    whole = train(settings, "whole")
    name = "train_published" if schedule == "published" else "train_fast"
    trainer, calls = getattr(fit_gnet_module, name), []

    def dies(model, *arguments, **options):
        def count(module, inputs):
            calls.append(module.training)
            if sum(calls) == steps:
                raise RuntimeError("killed")

        handle = model.trunk.register_forward_pre_hook(count)
        try:
            return trainer(model, *arguments, **options)
        finally:
            handle.remove()

    monkeypatch.setattr(fit_gnet_module, name, dies)
    checkpoint = tmp_path / ".checkpoint.pt"
    with pytest.raises(RuntimeError, match="killed"):
        train(settings, "resumed", checkpoint=checkpoint)
    assert checkpoint.exists() and not (tmp_path / "resumed/model.safetensors").exists()
    monkeypatch.setattr(fit_gnet_module, name, trainer)
    resumed = train(settings, "resumed", checkpoint=checkpoint)
    assert (resumed / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    assert not checkpoint.exists(), "a checkpoint goes when the outputs are in place"


def test_a_corrupt_checkpoint_falls_back_to_the_previous_one(train, settings, tmp_path, monkeypatch, caplog):
    whole = train(settings, "whole")
    checkpoint = tmp_path / ".checkpoint.pt"
    monkeypatch.setattr("neurobust.predictors.train.clear_checkpoint", lambda path: None)
    train(settings, "first", checkpoint=checkpoint)
    checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    with caplog.at_level("WARNING", "neurobust"):
        again = train(settings, "again", checkpoint=checkpoint)
    assert "unreadable checkpoint" in caplog.text
    assert (again / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()


def test_a_checkpoint_of_other_settings_is_not_taken_up(train, settings, tmp_path, monkeypatch):
    checkpoint = tmp_path / ".checkpoint.pt"
    with monkeypatch.context() as patch:
        patch.setattr("neurobust.predictors.train.clear_checkpoint", lambda path: None)
        train(settings, "first", checkpoint=checkpoint)
    changed = settings | {"l1": 0.2}
    with_old = train(changed, "with", checkpoint=checkpoint)
    without = train(changed, "without")
    assert (with_old / "model.safetensors").read_bytes() == (without / "model.safetensors").read_bytes()


KILLED = """
from pathlib import Path
import torch
from neurobust.predictors.registry import read_predictor
from neurobust.predictors.train import Outputs, train_predictor
torch.set_num_threads(1)
rois, stimuli, settings, out = snakemake
out = Path(out)
outputs = Outputs(out / "model.safetensors", out / "metrics.json", out / "voxels.parquet", out / ".checkpoint.pt")
train_predictor([Path(p) for p in rois], [Path(p) for p in stimuli], read_predictor("other", settings), 0, outputs)
"""


@pytest.mark.slow
def test_kill_at_ten_random_moments_gives_the_same_weights(tmp_path, subject_maker, write_subject, settings):
    """SIGKILL after a random time, again and again, until a run ends by itself: its weights are those of one run."""
    settings = settings | {"epochs": 6, "patience": 6}
    roi, stimuli = write_subject(subject_maker(images=120))
    whole, resumed = tmp_path / "whole", tmp_path / "resumed"

    script = tmp_path / "train.py"
    script.write_text(KILLED)
    worker = Server(["neurobust.predictors.train", "neurobust.predictors.fit_gnet"], job_environment(1))
    worker.ready(None)

    def start(out):
        out.mkdir(exist_ok=True)
        arguments = pickle.dumps([[str(roi)], [str(stimuli)], settings, str(out)])
        return worker.start(Script(str(script), arguments, str(tmp_path), "train"))

    begin = time.monotonic()
    assert start(whole).wait() == 0
    seconds = time.monotonic() - begin
    rng, kills = np.random.default_rng(0), 0
    while kills < 10:
        process = start(resumed)
        if not process.wait_for(rng.uniform(0, 0.8) * seconds):
            os.kill(process.pid, signal.SIGKILL)
        status = process.wait()
        if status == -signal.SIGKILL:
            kills += 1
            continue
        assert status == 0  # it ended by itself, perhaps between the look and the kill
        for name in ("model.safetensors", "metrics.json", "voxels.parquet"):
            (resumed / name).unlink()  # it ended before ten kills: the next one starts from the beginning
    assert start(resumed).wait() == 0
    worker.close()
    for name in ("model.safetensors", "voxels.parquet", "metrics.json"):
        assert (resumed / name).read_bytes() == (whole / name).read_bytes(), name


def test_an_roi_without_voxels_is_one_clear_line(tmp_path, subject_maker, write_subject, settings):
    data = subject_maker()
    for name in ("responses", "single_trials"):
        setattr(data, name, getattr(data, name)[:, :0])
    roi, stimuli = write_subject(data)
    outputs = [tmp_path / name for name in ("model.safetensors", "metrics.json", "voxels.parquet")]
    with pytest.raises(InputError, match="the ROI has no voxels in any subject"):
        train_predictor([roi], [stimuli], read_predictor("other", settings), 0, Outputs(*outputs))
    assert not any(path.exists() for path in outputs)


@pytest.mark.parametrize("kind", ["gnet", "ridge", "gabor-fwrf"])
def test_signal_is_found_where_it_was_planted_and_nowhere_else(tmp_path, subject_maker, write_subject, settings, kind):
    """Three voxels follow a quadrant's contrast or brightness, three are noise."""
    data = subject_maker(images=340, voxels=6, seed=5)
    rng = np.random.default_rng(0)
    contrast = rng.uniform(0.1, 1, (340, 4))
    half = data.images.shape[1] // 2
    pixels = data.images.astype(np.float32) - 127.5
    for q in range(4):
        rows, columns = slice((q // 2) * half, (q // 2 + 1) * half), slice((q % 2) * half, (q % 2 + 1) * half)
        pixels[:, rows, columns] *= contrast[:, q, None, None, None]
        pixels[:, rows, columns] += 60 * (contrast[:, q, None, None, None] - 0.5)
    data.images = np.clip(pixels + 127.5, 0, 255).astype(np.uint8)
    signal = (contrast - contrast.mean(0)) / contrast.std(0)
    noise = rng.normal(size=(340, 6))
    data.responses = np.concatenate([signal[:, :3] + 0.3 * noise[:, :3], noise[:, 3:]], 1).astype(np.float32)
    data.split = np.repeat([0, 1, 2], [220, 40, 80]).astype(np.uint8)
    data.single_trials, data.single_trial_nsd_id = data.responses[260:], data.nsd_id[260:]
    chosen = {
        "gnet": settings | {"epochs": 8, "dropout": 0.0, "learning_rate": 3e-3, "batch_size": 20},
        "ridge": {"kind": "ridge", "input_size": 48, "features": "pixels", "map_size": 4,
                  "alphas": [1, 10, 100, 1000], "folds": 4},
        "gabor-fwrf": {"kind": "gabor-fwrf", "input_size": 48, "frequencies": [6, 12], "orientations": 4,
                       "map_size": 12, "field_sizes": [1.0, 2.0], "field_spacing": 1.0, "alphas": [1, 10, 100, 1000]},
    }[kind]  # fmt: skip
    roi, stimuli = write_subject(data)
    outputs = Outputs(tmp_path / "m.safetensors", tmp_path / "m.json", tmp_path / "v.parquet")
    train_predictor([roi], [stimuli], read_predictor("other", chosen), 0, outputs)
    table = pd.read_parquet(tmp_path / "v.parquet")
    assert (table["p_fdr"][:3] <= 0.05).all() and (table["r"][:3] > 0.5).all(), table["r"].tolist()
    assert (table["p_fdr"][3:] > 0.05).all(), table["p_fdr"].tolist()
    assert ((table["r_low"] <= table["r"]) & (table["r"] <= table["r_high"])).all()
    if kind == "gabor-fwrf":  # quadrants 0, 1, 2: top left, top right, bottom left
        assert (np.sign(table["field_x"][:3]) == [-1, 1, -1]).all()
        assert (np.sign(table["field_y"][:3]) == [1, 1, -1]).all()
