"""Predictions of one subject compute that subject's voxels alone, and are those of the whole."""

import numpy as np
import pytest
import torch

from neurobust.core.correlation import pearson
from neurobust.core.io import read_parquet
from neurobust.predictors import train as train_module
from neurobust.predictors.fitting import FitContext
from neurobust.predictors.model import ResponseModel
from neurobust.predictors.predict import predict_subject, validation_r
from neurobust.predictors.registry import read_predictor
from neurobust.predictors.train import Outputs, fit_kind, train_predictor

CPU = torch.device("cpu")


@pytest.fixture
def fitted(subject_maker, kind_settings):
    subjects = [subject_maker(), subject_maker("subj02", voxels=3, seed=1), subject_maker("subj03", voxels=4, seed=2)]
    settings = read_predictor("other", kind_settings)
    return fit_kind(settings, FitContext(subjects, 0)).model, subjects


@pytest.mark.slow
def test_a_subject_s_predictions_are_its_columns_of_all_and_no_others_are_computed(fitted, monkeypatch):
    """The whole forward pass is never run in validation, and its numbers are the same."""
    model, subjects = fitted
    assert type(model).respond is not ResponseModel.respond
    images = torch.rand(4, 3, 48, 48)
    with torch.inference_mode():
        whole = model(images)
        for data in subjects:
            one = model.respond(images, data.subject)
            assert one.shape == (4, data.voxels)
            torch.testing.assert_close(one, whole[:, model.columns(data.subject)], rtol=1e-4, atol=1e-5)
    for data in subjects:
        pixels = torch.from_numpy(data.pictures(data.rows_of(2))).permute(0, 3, 1, 2) / 255
        with torch.inference_mode():
            wanted = model(pixels)[:, model.columns(data.subject)].numpy()
        found = predict_subject(model, data, 2, 3, CPU)
        assert found.dtype == np.float32 and np.allclose(found, wanted, rtol=1e-4, atol=1e-4)

    def fails(self, images):
        raise AssertionError("all subjects' voxels are computed")

    monkeypatch.setattr(type(model), "forward", fails)
    r = [
        pearson(predict_subject(model, data, 1, 100, CPU), data.responses[data.rows_of(1)]) for data in subjects
    ]  # fmt: skip
    assert validation_r(model, subjects, 100, CPU) == pytest.approx(np.median(np.concatenate(r)))


def test_a_kind_of_another_package_needs_no_method_of_its_own(subject):
    class Mean(ResponseModel):
        voxels, input_size = {"a": 1, "subj01": 2}, 48

        def forward(self, images):
            return images.mean((2, 3))

    assert np.allclose(predict_subject(Mean(), subject, 2, 4, CPU), subject.pictures(subject.rows_of(2)).mean((1, 2))[
        :, 1:] / 255, atol=1e-5)  # fmt: skip


def test_the_voxel_table_is_predicted_on_the_device_of_the_fit(subject_maker, monkeypatch):
    """In a GPU's job the CPU was waited for."""
    meta, seen = torch.device("meta"), []
    subjects = [subject_maker(), subject_maker("subj02", voxels=3, seed=1)]

    def predicted(model, data, split, image_batch, device):
        seen.append((next(model.parameters()).device.type, device.type, data.subject))
        return data.responses[data.rows_of(split)]

    given = {"kind": "ridge", "input_size": 48, "features": "pixels", "folds": 3, "map_size": 2, "alphas": [1.0]}
    settings = read_predictor("own", given)
    model = fit_kind(settings, FitContext(subjects, 0)).model
    monkeypatch.setattr(train_module, "predict_subject", predicted)
    monkeypatch.setattr(torch.nn.Module, "cpu", lambda self: self)  # nothing comes back from there
    table = train_module.accuracy_table(settings, model, FitContext(subjects, 0, device=meta))
    assert seen == [("meta", "meta", "subj01"), ("meta", "meta", "subj02")]
    assert len(table) == 8 and np.allclose(table["r"], 1)


def test_batches_do_not_change_the_table(subject_maker, write_subject, tmp_path):
    subject = subject_maker()
    roi, stimuli = write_subject(subject)
    given = {"kind": "ridge", "input_size": 48, "features": "pixels", "folds": 3, "map_size": 2, "alphas": [1.0]}
    tables = []
    for batch in (3, 100):
        out = Outputs(*(tmp_path / f"{name}{batch}" for name in "mjv"))
        train_predictor([roi], [stimuli], read_predictor("own", given), 0, out, image_batch=batch)
        tables.append(read_parquet(out.voxels)[0])
    assert np.allclose(tables[0]["r"], tables[1]["r"], atol=1e-5)
