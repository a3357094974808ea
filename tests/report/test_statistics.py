"""Intervals against closed forms and slow references."""

import math

import numpy as np
import pytest

from neurobust.report.statistics import curve_area, paired_bootstrap, t_interval, wilson_interval


def test_wilson_interval_solves_its_own_equation():
    """Both ends are where |share - p| equals z standard errors under p: the definition, not the formula."""
    for successes, n in ((3, 10), (60, 61), (500, 1000)):
        for end in wilson_interval(successes, n):
            assert abs(successes / n - end) == pytest.approx(1.959964 * math.sqrt(end * (1 - end) / n), rel=1e-5)


def test_wilson_interval_at_the_edges():
    low, high = wilson_interval(0, 50)
    assert low == 0 and 0.05 < high < 0.1
    assert wilson_interval(50, 50)[1] == 1
    assert all(math.isnan(end) for end in wilson_interval(0, 0))


def test_t_interval_is_students():
    assert t_interval([0.0, 2.0]) == pytest.approx((1 - 12.7062, 1 + 12.7062), abs=1e-3)
    assert all(math.isnan(end) for end in t_interval([0.4]))


def test_area_of_uneven_budgets_is_not_their_plain_mean():
    budgets, line = np.array([0, 1, 2, 8.0]), np.array([1.0, 0.875, 0.75, 0.0])
    assert curve_area(line, budgets) == pytest.approx(0.5)
    assert line.mean() != pytest.approx(0.5)
    assert np.isnan(curve_area(np.ones((3, 1)), np.array([0.0]))).all()


def test_paired_bootstrap_matches_the_standard_error_and_is_paired():
    rng = np.random.default_rng(0)
    hard = rng.normal(0, 5, 400)  # how hard each image is: common to both conditions
    first, second = hard + 0.3 + rng.normal(0, 0.5, 400), hard + rng.normal(0, 0.5, 400)
    difference = first - second
    low, high = paired_bootstrap(difference[:, None])[:, 0]
    expected = 2 * 1.96 * difference.std(ddof=1) / 20
    assert high - low == pytest.approx(expected, rel=0.1)
    assert low < difference.mean() < high
    unpaired = 2 * 1.96 * math.sqrt((first.var() + second.var()) / 400)
    assert high - low < unpaired / 5


def test_paired_bootstrap_covers_the_truth_and_repeats_itself():
    rng = np.random.default_rng(1)
    sets = rng.choice([-1.0, 0.0, 1.0], p=[0.1, 0.6, 0.3], size=(150, 200))
    low, high = paired_bootstrap(sets, draws=500)
    assert 0.88 <= np.mean((low <= 0.2) & (high >= 0.2)) <= 0.99
    assert np.array_equal(paired_bootstrap(sets, draws=500), [low, high])


def test_paired_bootstrap_without_images():
    assert np.isnan(paired_bootstrap(np.empty((0, 2)))).all()
