"""Concept selectivity against counting, closed forms and planted voxels."""

import math

import numpy as np
import pytest
from scipy.stats import norm

from neurobust.explain.predictors.concepts import chance_auc, concept_auc, concept_d, enough


def counted_auc(values, shown):
    """Pairs, one by one."""
    with_it, without = values[shown], values[~shown]
    return np.mean([(a > b) + 0.5 * (a == b) for a in with_it for b in without])


@pytest.fixture
def planted():
    """240 images of 4 concepts that exclude each other; a face voxel, one of noise, one of a third concept by d' 1.5,
    and one that has seen half of the images."""
    rng = np.random.default_rng(0)
    kind = np.arange(240) % 4
    shown = kind[:, None] == np.arange(4)
    responses = rng.normal(size=(240, 4))
    responses[:, 0] = shown[:, 1] * 3 + 0.1 * rng.normal(size=240)
    responses[:, 2] += 1.5 * shown[:, 2]
    responses[:, 3] = responses[:, 0]
    responses[120:, 3] = np.nan
    return responses, shown


def test_auc_counts_pairs(planted):
    responses, shown = planted
    rounded = np.round(responses, 1)  # with ties
    found = concept_auc(rounded, shown)
    for v in range(4):
        rows = np.isfinite(rounded[:, v])
        for c in range(4):
            assert found[c, v] == pytest.approx(counted_auc(rounded[rows, v], shown[rows, c]))


def test_d_is_the_difference_in_units_of_the_spread(planted):
    responses, shown = planted
    found = concept_d(responses, shown)
    for v, c in ((0, 1), (1, 0), (2, 2)):
        a, b = responses[shown[:, c], v], responses[~shown[:, c], v]
        assert found[c, v] == pytest.approx((a.mean() - b.mean()) / math.sqrt((a.var(ddof=1) + b.var(ddof=1)) / 2))


def test_planted_voxels_and_chance(planted):
    """The face voxel tells all; d' of 1.5 is an AUC of norm.cdf(1.5 / sqrt 2) = .856, with a standard error of about
    .025 at 60 against 180; noise stays below the limit of the family, which permutations find."""
    responses, shown = planted
    auc = concept_auc(responses, shown)
    limit = chance_auc(responses, shown, np.random.default_rng(1), permutations=200, level=0.999)
    assert auc[1, 0] == auc[1, 3] == 1 and concept_d(responses, shown)[1, 0] > 10
    assert auc[2, 2] == pytest.approx(norm.cdf(1.5 / math.sqrt(2)), abs=0.1)
    assert (limit > 0.55).all() and (limit < 0.8).all()
    assert auc[2, 2] > limit[2] and (np.abs(auc[:, 1] - 0.5) < limit - 0.5).all()


def test_shuffled_images_pass_the_limit_once_in_twenty(planted):
    """100 worlds in which nothing is selective: more than 15 have a chance below 1e-4 at 5 %."""
    responses, shown = planted
    passed = 0
    for world in range(100):
        rng = np.random.default_rng(world)
        mixed = responses[rng.permutation(240)][:, :3]
        limit = chance_auc(mixed, shown[:, :1], rng, permutations=60)
        passed += (np.abs(concept_auc(mixed, shown[:, :1]) - 0.5).max() > limit - 0.5).any()
    assert passed <= 15


def test_what_is_undefined_is_nan_and_rare_concepts_are_left_out(planted):
    responses, shown = planted
    never = np.zeros((240, 1), bool)
    assert np.isnan(concept_auc(responses, never)).all() and np.isnan(concept_d(responses, never)).all()
    assert enough(np.hstack([shown, never]), 20).tolist() == [0, 1, 2, 3] and not len(enough(shown, 61))
