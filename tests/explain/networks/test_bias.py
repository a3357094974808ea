"""Cue bias: networks that go by one thing alone."""

import math

import numpy as np
import pytest

from neurobust.core.errors import InputError
from neurobust.explain.networks import bias

RNG = np.random.default_rng(0)
SHAPE, CUE = RNG.integers(0, 10, 300), RNG.integers(0, 10, 300)


def test_a_colour_only_network_is_one_on_colour_and_a_shape_only_network_zero():
    colour, shape = bias.cue_bias(CUE, SHAPE, CUE), bias.cue_bias(SHAPE, SHAPE, CUE)
    assert colour.cue == 1 and colour.as_cue == 1 and colour.as_shape == 0 and colour.high == 1 and colour.low > 0.98
    assert shape.cue == 0 and shape.low == 0 and shape.n == shape.n_decided == (SHAPE != CUE).sum()


def test_a_mixture_is_its_share_and_what_is_read_as_neither_counts_in_no_bias():
    decisions = np.where(RNG.random(300) < 0.3, CUE, SHAPE)
    decisions[::3] = (np.maximum(SHAPE, CUE)[::3] + 1) % 10
    found = bias.cue_bias(decisions, SHAPE, CUE)
    differ = SHAPE != CUE
    cue, shape = (decisions == CUE)[differ].sum(), (decisions == SHAPE)[differ].sum()
    assert found.cue == pytest.approx(cue / (cue + shape)) and found.n_decided == cue + shape < found.n
    assert found.low < found.cue < found.high


def test_a_guessing_network_is_at_one_half():
    """Control: answers without a look; 20 sets of 300, of which about 54 decide: one half within four errors."""
    found = [bias.cue_bias(np.random.default_rng(100 + k).integers(0, 10, 300), SHAPE, CUE) for k in range(20)]
    decided = sum(part.n_decided for part in found)
    share = sum(part.cue * part.n_decided for part in found) / decided
    assert abs(share - 0.5) < 4 * 0.5 / math.sqrt(decided)
    nothing = bias.cue_bias(np.full(3, 9), np.zeros(3, int), np.ones(3, int))
    assert math.isnan(nothing.cue) and nothing.n == 3 and nothing.n_decided == 0


def test_names_of_the_published_stimuli_are_read():
    shape, cue = bias.stimulus_classes(["cat3-elephant1.png", "dog10-Cat2.jpg"], ["cat", "dog", "elephant"])
    assert shape.tolist() == [0, 1] and cue.tolist() == [2, 0]
    with pytest.raises(InputError, match=r"^cat\.png: not named <shape>"):
        bias.stimulus_classes(["cat.png"], ["cat"])
    with pytest.raises(InputError, match="'dog' is no class of the task"):
        bias.stimulus_classes(["cat1-dog1.png"], ["cat"])
