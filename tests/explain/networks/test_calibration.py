"""Calibration: closed forms and networks whose confidence is their accuracy."""

import math

import numpy as np
import pytest
import torch

from neurobust.explain.networks import calibration


def test_the_error_is_the_closed_form():
    """Two bins: .95 said and half right (6 images), .55 said and all right (2): (6 * .45 + 2 * .45) / 8."""
    said = np.array([0.95] * 6 + [0.55] * 2)
    right = np.array([1, 0, 1, 0, 1, 0, 1, 1], bool)
    assert calibration.calibration_error(said, right) == pytest.approx(0.45)
    found = calibration.binned(said, right, 10)
    assert found.confidence == pytest.approx([0.55, 0.95]) and found.images.tolist() == [2, 6]
    assert found.accuracy == pytest.approx([1, 0.5])
    assert calibration.calibration_error(np.ones(4), np.ones(4, bool)) == 0, "a confidence of 1 is in the last bin"
    assert math.isnan(calibration.calibration_error(np.empty(0), np.empty(0, bool)))


def test_the_confidence_is_that_of_the_answer():
    said, answer = calibration.confidence(torch.tensor([[0.0, math.log(3)], [2.0, 2.0 - math.log(4)]]))
    assert said == pytest.approx([0.75, 0.8]) and answer.tolist() == [1, 0]


def test_a_calibrated_network_is_at_chance_and_a_boastful_one_is_not():
    """50 networks of 200 images whose confidence is true; their error is not 0, but what chance gives."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(50):
        said = rng.uniform(0.3, 1, 200)
        found.append(calibration.calibration(said, rng.random(200) < said))
    beyond = np.array([part.beyond for part in found])
    assert np.mean([part.error for part in found]) > 0.04
    assert abs(beyond.mean()) < 4 * beyond.std() / math.sqrt(50) and abs(np.mean([p.over for p in found])) < 0.02
    said = rng.uniform(0.3, 1, 200)
    boastful = calibration.calibration(np.minimum(said + 0.3, 1), rng.random(200) < said)
    assert boastful.beyond > 0.1 and boastful.over > 0.1


def test_chance_is_the_slow_mean_of_draws():
    said = np.random.default_rng(1).uniform(0.2, 1, 60)
    rng = np.random.default_rng(2)
    slow = [calibration.calibration_error(said, rng.random(60) < said) for _ in range(2000)]
    assert calibration.chance_error(said, draws=2000) == pytest.approx(np.mean(slow), abs=0.005)


def test_answers_without_a_confidence_are_left_out():
    said, right = np.array([0.9, np.nan, 0.6]), np.array([True, False, False])
    assert calibration.calibration(said, right) == calibration.calibration(said[[0, 2]], right[[0, 2]])
    assert all(map(math.isnan, calibration.calibration(np.full(2, np.nan), right[:2])))
