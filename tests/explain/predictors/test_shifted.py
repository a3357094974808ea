"""Versions of images, and planted predictors that rest on colour, brightness, detail or outline."""

import numpy as np
import pytest
import torch

from neurobust.core.blur import gaussian_blur
from neurobust.explain.predictors import shifted
from neurobust.explain.predictors.shifted import INTACT, OTHER, VERSIONS, kept_share, luma, version_r
from neurobust.phantom.cue import pattern
from neurobust.phantom.scenes import render_all, sample_scenes

SIDE, COUNT = 64, 160


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def scenes():
    """Scenes with a fine grating of a random class each: images, and which class."""
    images = torch.from_numpy(render_all(sample_scenes(COUNT, "shifted"), SIDE)).permute(0, 3, 1, 2).float() / 255
    cues = np.random.default_rng(0).integers(10, size=COUNT)
    gratings = torch.stack([torch.from_numpy(pattern(int(cue), SIDE)) for cue in cues])[:, None]
    return (images + 0.08 * gratings).clamp(0, 1), cues


def colour(images):
    return (images[:, 0] - images[:, 1]).mean((1, 2))[:, None]


def brightness(images):
    return luma(images).flatten(1)[:, ::97]


def cue_reader(images):
    """The match with three classes' gratings: detail alone."""
    gratings = torch.stack([torch.from_numpy(pattern(k, SIDE)) for k in range(3)]).flatten(1)
    return luma(images).flatten(1) @ gratings.T


def accuracy(respond, images, seed=1, shuffle=False):
    """Accuracies of a predictor that knows the brain's responses but for some noise."""
    made = {INTACT: images} | {name: change(images, generator(seed)) for name, change in VERSIONS.items()}
    predicted = {name: respond(part).numpy() for name, part in made.items()}
    rng = np.random.default_rng(seed)
    truth = predicted[INTACT]
    measured = truth + 0.3 * truth.std(0) * rng.normal(size=truth.shape)
    measured = measured[rng.permutation(len(truth))] if shuffle else measured
    return version_r(predicted, measured, np.arange(truth.shape[1]), rng, resamples=50)


def test_what_a_planted_predictor_rests_on_is_told(scenes):
    images, _ = scenes
    of_colour, of_brightness, of_cue = (accuracy(respond, images) for respond in (colour, brightness, cue_reader))
    assert of_colour["grey"][0] == 0 and of_colour["blur"][0] > 0.9
    assert of_brightness["grey"][0] == pytest.approx(of_brightness[INTACT][0], abs=1e-3)
    assert of_brightness["detail swapped"][0] > 0.7
    assert of_cue["grey"][0] > 0.9 and abs(of_cue["detail swapped"][0]) < 0.3
    assert kept_share(of_brightness)["grey"] == pytest.approx(1, abs=1e-3)


def test_another_image_and_shuffled_responses_are_at_chance(scenes):
    """160 images: an r of chance has a standard error of .08."""
    images, _ = scenes
    for respond in (colour, brightness, cue_reader):
        found = accuracy(respond, images)
        r, low, high = found[OTHER]
        assert abs(r) < 4 * 0.08 and low < 0 < high and found[INTACT][1] > 0.8
        assert all(abs(value[0]) < 4 * 0.08 for value in accuracy(respond, images, shuffle=True).values())


def test_versions_are_what_they_say(scenes):
    images, _ = scenes
    for name, change in VERSIONS.items():
        made = change(images, generator(2))
        assert made.shape == images.shape and made.min() >= 0 and made.max() <= 1, name
        assert torch.equal(made, change(images, generator(2))), name
    gray = VERSIONS["grey"](images, generator())
    assert torch.equal(gray[:, 0], gray[:, 2]) and torch.allclose(luma(gray), luma(images), atol=1e-5)
    assert not (VERSIONS[OTHER](images, generator(3)) == images).flatten(1).all(1).any()
    flat = torch.full((2, 3, SIDE, SIDE), 0.3)
    assert VERSIONS["line drawing"](flat, generator()) == pytest.approx(torch.ones_like(flat))
    edge = flat.clone()
    edge[:, :, :, SIDE // 2 :] = 0.9
    drawn = VERSIONS["line drawing"](edge, generator())[0, 0, SIDE // 2]
    assert drawn[SIDE // 2 - 1 : SIDE // 2 + 1].max() < 0.5 and drawn[: SIDE // 4].min() > 0.99


def test_a_blur_is_the_gaussian_of_the_fourier_plane():
    axis = torch.arange(SIDE) / SIDE
    wave = torch.cos(2 * torch.pi * 4 * axis)[None, None, None].expand(1, 1, SIDE, SIDE)
    kept = (gaussian_blur(wave, 2.0) / wave)[0, 0, SIDE // 2, 16:49:8]  # where it is 1 or -1
    wanted = np.exp(-2 * (np.pi * 2.0 * 4 / SIDE) ** 2)
    assert kept == pytest.approx(torch.full((5,), float(wanted)), rel=0.02)


def test_no_voxel_has_no_accuracy():
    found = version_r({INTACT: np.ones((4, 2))}, np.ones((4, 2)), np.array([], int), np.random.default_rng(0))
    assert np.isnan(found[INTACT]).all() and kept_share(found) == {}
    assert shifted.COARSEST < 0.5
