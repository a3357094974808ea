"""Data that cannot be fitted are refused in one line beforehand; numbers that go wrong end a training."""

import logging
import math

import numpy as np
import pytest
import torch

from neurobust.core.errors import InputError
from neurobust.core.training import load_checkpoint, save_checkpoint, train_epochs
from neurobust.predictors import fit_gnet, fit_resnet_pcs, published
from neurobust.predictors.checks import checked_subject, checked_subjects
from neurobust.predictors.fitting import FitContext
from neurobust.predictors.gnet import GNet
from neurobust.predictors.train import Outputs, fit_kind, train_predictor

RIDGE = {"kind": "ridge", "input_size": 48, "features": "pixels", "folds": 3, "map_size": 2, "alphas": [0.1, 10]}


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("name", ["responses", "single_trials"])
def test_a_value_that_is_not_finite_is_one_line_and_nothing_is_written(
    subject, write_subject, read, tmp_path, kind_settings, value, name
):
    getattr(subject, name)[3, 2] = value
    roi, stimuli = write_subject(subject)
    outputs = Outputs(*(tmp_path / name for name in ("m", "j", "v", "c")))
    with pytest.raises(InputError, match=rf"roi.h5: {name}: {value} in row 3, voxel 2 \(1 of 5 voxels") as error:
        train_predictor([roi], [stimuli], read(kind_settings), 0, outputs)
    assert "\n" not in str(error.value) and not any(path.exists() for path in outputs.__dict__.values())


WRONG = {
    "unsorted": (
        lambda d: setattr(d, "nsd_id", d.nsd_id[::-1].copy()),
        "nsd_id 174 in row 1 follows 177; sort the rows",
    ),
    "one image twice": (lambda d: d.nsd_id.__setitem__(5, d.nsd_id[4]), "nsd_id 12 in row 5 follows 12"),
    "not square": (
        lambda d: setattr(d, "images", d.images[:, :40]),
        r"images are uint8 \(60, 40, 48, 3\); give square",
    ),
    "floats": (lambda d: setattr(d, "images", d.images / 255), "images are float64"),
    "text": (lambda d: setattr(d, "responses", d.responses.astype(str)), "responses: <U.* give real numbers"),
    "one training image": (lambda d: d.split.__setitem__(slice(1, 40), 3), "1 training images; a predictor needs"),
    "no validation": (lambda d: d.split.__setitem__(d.split == 1, 3), "0 validation images"),
    "trials of others": (
        lambda d: d.single_trial_nsd_id.__setitem__(0, 4),
        "single_trial_nsd_id 4 is not a test image",
    ),
    "an image that was not shown": (
        lambda d: d.n_repeats.__setitem__(3, 0),
        "n_repeats is 0 in row 3; leave out images",
    ),
    "a short column": (lambda d: setattr(d, "split", d.split[1:]), "59 values of split for 60 responses"),
}


@pytest.mark.parametrize("fault", WRONG)
def test_data_that_cannot_be_fitted_are_refused_in_one_line(subject, read, fault):
    spoil, message = WRONG[fault]
    spoil(subject)
    with pytest.raises(InputError, match=f"^subj01: .*{message}"):
        fit_kind(read(RIDGE), FitContext([subject], 0))


def test_a_study_without_test_images_is_refused_before_the_training(subject, write_subject, read, tmp_path):
    subject.split[subject.split == 2] = 0
    subject.single_trials, subject.single_trial_nsd_id = subject.single_trials[:0], subject.single_trial_nsd_id[:0]
    roi, stimuli = write_subject(subject)
    with pytest.raises(InputError, match=r"roi.h5: 0 test images"):
        train_predictor([roi], [stimuli], read(RIDGE), 0, Outputs(*(tmp_path / name for name in "mjv")))


def test_each_subject_has_a_name_that_a_module_can_bear(subject_maker):
    """Two of one name were one to a predictor."""
    for names in (("subj01", "subj01"), ("subj01", "subj.02")):
        with pytest.raises(InputError, match=f"^subject '{names[1]}': give each subject a name of its own"):
            checked_subjects([subject_maker(name) for name in names], 48)


def test_images_of_one_subject_are_of_the_size_of_the_others(subject_maker):
    with pytest.raises(InputError, match="subj02: images of 64 px, those of subj01 are of 48 px"):
        checked_subjects([subject_maker(), subject_maker("subj02", size=64)], 48)


def test_images_are_of_the_predictor_s_size(subject_maker, read):
    """Its own size was passed over: a G-net of 227 px was fitted to images of 64."""
    with pytest.raises(InputError, match=r"^subj01: images of 64 px for a predictor with input_size: 48; give images"):
        fit_kind(read(RIDGE), FitContext([subject_maker(size=64)], 0))


@pytest.mark.parametrize("size", [16, 31, 46])
def test_the_smallest_image_of_gnet_is_what_its_message_says(size, subject_maker, read, settings):
    with pytest.raises(InputError, match=f"input_size: {size}: .*47"):
        read(settings | {"input_size": size})
    with pytest.raises(InputError, match=f"input_size: {size}: G-net takes images of at least 47 px"):
        GNet({"subj01": 2}, input_size=size)
    assert GNet({"subj01": 2}, 47, (2, 2), 1)(torch.rand(1, 3, 47, 47)).shape == (1, 2)


@pytest.mark.parametrize("dtype", [np.float16, np.float64, np.int32, ">f4"])
def test_responses_of_any_precision_are_taken(subject, read, dtype, settings):
    subject.responses = subject.responses.astype(dtype)
    assert checked_subject(subject).responses.dtype == np.float32
    model = fit_kind(read(settings | {"epochs": 1}), FitContext([subject], 0)).model
    assert all(torch.isfinite(value).all() for value in model.state_dict().values())


TRAINERS = {
    "gnet": (fit_gnet, "accumulate_gradients"),
    "published": (published, "two_pass_step"),
    "resnet-pcs": (fit_resnet_pcs, "to_pixels"),
}


@pytest.mark.parametrize("kind", TRAINERS)
def test_a_training_stops_at_the_first_loss_that_is_not_finite(subject, read, every_kind, tmp_path, monkeypatch, kind):
    """The second batch goes wrong: no third one is computed, and a retry begins from nothing."""
    chosen = {"gnet": every_kind[0], "published": every_kind[1], "resnet-pcs": every_kind[2]}[kind]
    module, name = TRAINERS[kind]
    right, calls = getattr(module, name), []

    def goes_wrong(*arguments, **options):
        calls.append(1)
        return right(*arguments, **options) * (math.nan if len(calls) == 2 else 1)

    monkeypatch.setattr(module, name, goes_wrong)
    checkpoint = tmp_path / "c.pt"
    with pytest.raises(InputError, match="subj01, epoch 0: the loss is nan; lower learning_rate"):
        fit_kind(read(chosen), FitContext([subject], 0, checkpoint))
    assert len(calls) == 2 and not checkpoint.exists()


def epochs(checkpoint, losses):
    model = torch.nn.Linear(1, 1)
    return train_epochs(
        parts={"model": model}, run_epoch=lambda epoch: {"loss": losses[epoch]}, epochs=len(losses), seed=0,
        checkpoint=checkpoint, fingerprint="f", label="t",
    )  # fmt: skip


def test_no_checkpoint_leads_to_the_same_failure_again(tmp_path, caplog):
    checkpoint = tmp_path / "c.pt"
    with pytest.raises(InputError, match="t, epoch 2: the loss is inf"):
        epochs(checkpoint, [1.0, 0.5, math.inf, 0.1])
    assert not checkpoint.exists() and not checkpoint.with_name("c.pt.previous").exists()
    epochs(checkpoint, [1.0, 0.5])
    state = load_checkpoint(checkpoint)
    state["history"][1]["loss"] = math.nan  # as a version before this one left it
    save_checkpoint(checkpoint, state)
    with caplog.at_level(logging.WARNING, "neurobust"):
        assert [row["loss"] for row in epochs(checkpoint, [3.0, 2.0])] == [3.0, 2.0]
    assert "whose loss is not finite, passed over" in caplog.text
