"""Targets: frozen predictor, statistics of the training images only, controls that break exactly one thing."""

import numpy as np
import pytest
import torch

from neurobust.core.errors import InputError
from neurobust.files.dataset import read_dataset
from neurobust.files.splits import TEST, TRAIN
from neurobust.networks import streamed, targets
from neurobust.networks.conditions import Condition
from neurobust.networks.controls import shuffled_partners
from neurobust.networks.inputs import NetworkInputs
from neurobust.networks.targets import NeuralTarget, compute_responses, standardise

CPU = torch.device("cpu")


def make_target(dataset, predictor_file, control=None, seed=0, batch=32):
    condition = Condition(weight=0.5, target=("V1",), loss="mse", control=control)
    return NeuralTarget(NetworkInputs(dataset, (predictor_file,)), read_dataset(dataset), condition, seed, batch, CPU)


def test_standardised_on_training_images_only(dataset, predictor_file, predictor):
    data = read_dataset(dataset)
    target = make_target(dataset, predictor_file)
    with torch.no_grad():
        raw = predictor(torch.tensor(data.images).permute(0, 3, 1, 2) / 255).double().numpy()
    train = raw[data.split == TRAIN]
    expected = (raw - train.mean(0)) / train.std(0)
    np.testing.assert_allclose(target.cached(np.arange(96)).numpy(), expected, atol=1e-4)
    everything = (raw - raw.mean(0)) / raw.std(0)
    assert np.abs(everything - expected).max() > 1e-3  # the test would notice statistics of all images


def test_standardise_blocks_and_constant_columns():
    responses = np.random.default_rng(0).normal(1000, 2, (50, 2500)).astype(np.float32)
    responses[:, 7] = 3
    mean, std = standardise(responses)
    exact = responses.astype(np.float64)
    np.testing.assert_allclose(mean, exact.mean(0), rtol=1e-6)
    np.testing.assert_allclose(np.delete(std, 7), np.delete(exact.std(0), 7), rtol=1e-6)
    assert std[7] == 1


def test_predictor_is_frozen_whatever_state_it_came_in(dataset, predictor_file, predictor):
    predictor.train().requires_grad_(True)
    before = {name: value.clone() for name, value in predictor.state_dict().items()}
    target = make_target(dataset, predictor_file)
    images = read_dataset(dataset).images[np.arange(8)]
    assert not target.live(images, np.arange(8)).requires_grad
    assert not predictor.training and not any(parameter.requires_grad for parameter in predictor.parameters())
    assert all(torch.equal(value, before[name]) for name, value in predictor.state_dict().items())


def test_cached_is_the_live_response(dataset, predictor_file):
    """And does not depend on how many images are computed at a time."""
    data = read_dataset(dataset)
    target = make_target(dataset, predictor_file, batch=7)
    rows = np.array([5, 80, 0, 5])
    torch.testing.assert_close(target.cached(rows), target.live(data.images[rows], rows), rtol=1e-4, atol=1e-5)


def test_responses_are_to_unit_range_rgb(dataset):
    data = read_dataset(dataset)
    flat = torch.nn.Flatten()
    responses = compute_responses(lambda pixels, rows: flat(pixels), data.images, np.arange(96), 10, CPU)
    expected = data.images.transpose(0, 3, 1, 2).reshape(96, -1) / np.float32(255)
    assert responses.dtype == np.float32
    np.testing.assert_allclose(responses, expected, rtol=1e-6)


def test_shuffle_is_a_fixed_derangement_within_each_split(dataset):
    split = read_dataset(dataset).split
    partners = shuffled_partners(split, seed=3)
    np.testing.assert_array_equal(np.sort(partners), np.arange(96))
    assert (partners != np.arange(96)).all()
    np.testing.assert_array_equal(split[partners], split)
    np.testing.assert_array_equal(partners, shuffled_partners(split, seed=3))
    assert (partners != shuffled_partners(split, seed=4)).mean() > 0.5


def test_shuffled_targets_have_the_same_statistics(dataset, predictor_file):
    """Mean, variance and covariance unchanged; the correlation with the own target gone."""
    data = read_dataset(dataset)
    own, shuffled = (make_target(dataset, predictor_file, control) for control in (None, "shuffled"))
    for part in (TRAIN, TEST):
        a, b = (target.cached(data.rows(part)).numpy() for target in (own, shuffled))
        np.testing.assert_array_equal(np.sort(a, 0), np.sort(b, 0))
        np.testing.assert_allclose(np.cov(a.T), np.cov(b.T), atol=1e-5)
        assert not np.allclose(a, b)
    rows = data.rows(TRAIN)
    np.testing.assert_array_equal(shuffled.cached(rows), own.cached(shuffled.partners[rows]))


def test_predictor_without_voxels_is_named(dataset, predictor_file, predictor):
    predictor.forward = lambda images, bounded=True: torch.zeros(len(images), 0)
    with pytest.raises(InputError, match=r"predictor\.safetensors: the predictor has 0 voxels"):
        make_target(dataset, predictor_file)


def test_responses_that_are_not_finite_are_named(dataset, predictor_file, predictor):
    with torch.no_grad():
        predictor.readout.bias[0] = float("nan")
    with pytest.raises(InputError, match=r"predictor\.safetensors.*not finite"):
        make_target(dataset, predictor_file)


@pytest.mark.parametrize("control", [None, "shuffled"])
def test_targets_that_do_not_fit_are_streamed_in_half_precision(monkeypatch, dataset, predictor_file, control):
    """The same targets to a rounding of half precision, the same statistics and the same answer to a batch."""
    kept = make_target(dataset, predictor_file, control)
    monkeypatch.setattr(targets, "IN_MEMORY", 96 * 6 * 4 - 1)
    monkeypatch.setattr(streamed, "PILOT", 10)  # whose statistics are not those of all
    found = make_target(dataset, predictor_file, control, batch=7)
    assert found.responses.numbers.dtype == np.float16 and found.dim == 6
    rows = np.random.default_rng(0).permutation(96)
    exact = kept.cached(rows)
    assert (found.cached(rows) - exact).abs().max() < 2**-10 * exact.abs().max()
    torch.testing.assert_close(found.mean, kept.mean, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(found.std, kept.std, rtol=1e-5, atol=1e-6)
    images = read_dataset(dataset).images[rows]
    torch.testing.assert_close(found.live(images, rows), kept.live(images, rows), rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(found.responses.numpy()[found.partners[rows]], found.cached(rows).numpy())


def test_streamed_responses_that_are_not_finite_are_refused(monkeypatch, dataset, predictor_file, predictor):
    monkeypatch.setattr(targets, "IN_MEMORY", 0)
    with torch.no_grad():
        predictor.readout.bias[2] = torch.inf
    with pytest.raises(InputError, match=r"predictor\.safetensors: responses that are not finite; train"):
        make_target(dataset, predictor_file)
