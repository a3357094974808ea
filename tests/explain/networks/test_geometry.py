"""Geometry: Gaussian manifolds of known spectrum, dimension and signal-to-noise ratio."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy.stats import norm

from neurobust.explain.networks import geometry


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_traces_are_the_slow_u_statistics():
    x = normal(7, 3)
    half = [[float((a - b).square().sum()) / 2 for b in x] for a in x]
    inner = [[float(a @ b) for b in x] for a in x]
    whole, square = [], []
    for i, j, k, l in itertools.permutations(range(7), 4):
        whole.append(half[i][j] * half[k][l])
        square.append(inner[i][j] ** 2 + inner[i][j] * inner[k][l] - 2 * inner[i][j] * inner[i][k])
    assert geometry.squared_traces(x) == pytest.approx((np.mean(whole), np.mean(square)))
    assert all(math.isnan(value) for value in geometry.squared_traces(x[:3]))


@pytest.mark.parametrize("tails", [False, True])
def test_traces_of_few_images_are_unbiased_whatever_the_tails(tails):
    """400 samples of 16 images, means within four standard errors; the plain ratio of 16 images would be far off."""
    scales = torch.linspace(2, 0.2, 30, dtype=torch.float64)
    draw = normal(400, 16, 30, seed=1)
    if tails:  # exponential, of variance 1: a kurtosis of 9
        draw = -torch.rand(400, 16, 30, generator=torch.Generator().manual_seed(2), dtype=torch.float64).log() - 1
    found = np.array([geometry.squared_traces(part * scales) for part in draw])
    wanted = np.array([float((scales**2).sum()) ** 2, float((scales**4).sum())])
    error = found.std(0, ddof=1) / math.sqrt(len(found))
    assert (np.abs(found.mean(0) - wanted) < 4 * error).all() and (error < 0.05 * wanted).all()


def test_participation_ratio_does_not_depend_on_how_many_images_were_looked_at():
    scales = torch.arange(1, 41, dtype=torch.float64) ** -0.5
    wanted = float((scales**2).sum() ** 2 / (scales**4).sum())
    for n in (32, 200, 1000):
        found = [geometry.participation_ratio(normal(n, 40, seed=seed) * scales) for seed in range(20)]
        assert np.mean(found) == pytest.approx(wanted, rel=0.12), n
    assert geometry.participation_ratio(torch.ones(10, 3)) is None


@pytest.mark.parametrize("shape", [(300, 500), (2000, 300)])
@pytest.mark.parametrize("exponent", [0.5, 1.0, 1.5])
def test_the_exponent_is_the_planted_one(shape, exponent):
    scales = torch.arange(1, shape[1] + 1, dtype=torch.float64) ** (-exponent / 2)
    turned = torch.linalg.qr(normal(shape[1], shape[1], seed=5))[0]
    found = geometry.spectral_exponent(normal(*shape) * scales @ turned)
    assert found == pytest.approx(exponent, abs=0.15 if shape[0] > shape[1] else 0.3)


def test_a_spectrum_without_a_slope_has_none():
    """Control: shuffling each feature over images leaves white noise of n >> d."""
    assert geometry.spectral_exponent(normal(4000, 60)) == pytest.approx(0, abs=0.15)
    assert geometry.spectral_exponent(normal(50, 2)) is None and geometry.spectral_exponent(torch.ones(20, 5)) is None


@pytest.mark.parametrize("dimension", [1, 2, 5])
def test_two_nn_finds_the_dimension_of_a_curved_manifold_in_many_coordinates(dimension):
    latent = normal(600, dimension, seed=dimension)
    turned = torch.linalg.qr(normal(40, 40, seed=9))[0][:dimension]
    points = latent @ turned
    points = torch.cat([points, 0.1 * points.square()], 1)
    found = geometry.two_nn(points)
    assert found.value == pytest.approx(dimension, rel=0.15)
    assert found.low < found.value < found.high


def test_two_nn_is_the_closed_form_of_a_censored_exponential():
    rng = np.random.default_rng(0)
    far = np.arange(12)[:, None] * 1e4  # twelve triples, each its own neighbourhood, on a line
    gap = rng.uniform(1, 2, 12)
    points = np.concatenate([far, far + gap[:, None], far - 3 * gap[:, None]])
    ratio = [3.0] * 12 + [4.0] * 12 + [4 / 3] * 12  # of the middle, the right and the left one
    logs = np.sort(np.log(ratio))
    m = int(0.9 * 36)
    wanted = (m - 1) / (logs[:m].sum() + (36 - m) * logs[m - 1])
    assert geometry.two_nn(torch.from_numpy(points)).value == pytest.approx(wanted)
    assert geometry.two_nn(torch.from_numpy(np.repeat(points, 2, 0))).value == pytest.approx(wanted), "equals once"
    assert geometry.two_nn(torch.zeros(30, 4)) is None


def test_the_interval_of_two_nn_holds_the_dimension():
    """Of 60 clouds; ratios of one cloud are not quite independent. Under 48 of 60 at 95 % has p < 1e-5."""
    held = 0
    for seed in range(60):
        cloud = torch.rand(200, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        found = geometry.two_nn(cloud)
        held += found.low <= 2 <= found.high
    assert held >= 48


def classes(count=4, n=60, dimensions=30, seed=0, apart=1.0):
    """Gaussian classes with covariances of their own: centres, scales, features and labels."""
    centres = apart * normal(count, dimensions, seed=seed)
    scales = torch.rand(count, dimensions, generator=torch.Generator().manual_seed(seed + 1), dtype=torch.float64) + 0.2
    rows = normal(count, n, dimensions, seed=seed + 2) * scales[:, None] + centres[:, None]
    return centres, scales, rows.flatten(0, 1), torch.arange(count).repeat_interleave(n)


def test_radius_and_dimension_of_gaussian_classes_are_those_of_their_covariances():
    centres, scales, rows, labels = classes(n=300)
    found = geometry.class_geometry(rows, labels)
    apart = torch.cdist(centres, centres).square().sum(1) / 3
    radius = ((scales**2).sum(1) / apart).sqrt().mean()
    dimension = ((scales**2).sum(1) ** 2 / (scales**4).sum(1)).mean()
    assert found.radius == pytest.approx(float(radius), rel=0.05)
    assert found.dimension == pytest.approx(float(dimension), rel=0.1)
    few = geometry.class_geometry(*classes(n=12, seed=0)[2:])
    assert few.radius == pytest.approx(float(radius), rel=0.15), "few images, no bias"


@pytest.mark.parametrize("apart", [0.4, 0.25])
def test_the_signal_to_noise_ratio_is_that_of_a_prototype_learner(apart):
    """Errors of 20,000 trials against the normal tail of the ratio, of two Gaussian classes."""
    centres, scales, rows, labels = classes(2, 2000, apart=apart)
    ratio, shots, trials = geometry.class_geometry(rows, labels, 5).snr, 5, 20_000
    errors = []
    for own, other in ((0, 1), (1, 0)):
        rng = torch.Generator().manual_seed(own)

        def draw(k, count, rng=rng):
            noise = torch.randn(trials, count, 30, generator=rng, dtype=torch.float64)
            return (centres[k] + scales[k] * noise).mean(1)

        shown = draw(own, 1)
        near = (shown - draw(own, shots)).square().sum(1) < (shown - draw(other, shots)).square().sum(1)
        errors.append(1 - float(near.double().mean()))
    assert 0.02 < np.mean(errors) < 0.4
    assert norm.sf(ratio) == pytest.approx(np.mean(errors), abs=0.02)


def test_shuffled_labels_leave_no_signal():
    _, _, rows, labels = classes(4, 40)
    true, found = geometry.class_geometry(rows, labels), []
    for seed in range(20):
        order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
        found.append(geometry.class_geometry(rows, labels[order]).snr)
    assert abs(np.mean(found)) < 0.05 * true.snr
    assert geometry.class_geometry(rows[:6], torch.arange(6)) is None
