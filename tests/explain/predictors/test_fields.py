"""Fields of a predictor beside pRF maps."""

import numpy as np
import pytest

from neurobust.explain.predictors.fields import chance_fields, compare_fields, field_intervals, prf_fields


def test_prf_angles_run_counterclockwise_from_the_right():
    x, y, _ = prf_fields(np.array([0.0, 90, 180, 270]), np.array([1.0, 2, 3, 4]), np.ones(4)).T
    assert np.allclose(x, [1, 0, -3, 0]) and np.allclose(y, [0, 2, 0, -4])


def planted(voxels, rng):
    """pRFs in degrees (V, 3)."""
    return np.column_stack([rng.normal(size=(voxels, 2)), rng.uniform(0.5, 2, voxels)])


def test_comparison_of_fields():
    rng = np.random.default_rng(0)
    prf = planted(40, rng)
    moved = prf + np.array([0.3, 0.4, 0])
    moved[:, 2] *= 2
    moved[0], prf[1] = np.nan, np.nan
    result = compare_fields(moved, prf)
    assert result["voxels"] == 38
    assert result["centre_error"] == pytest.approx(0.5) and result["size_ratio"] == pytest.approx(2)
    assert result["r_x"] == pytest.approx(1) and result["r_size"] == pytest.approx(1)
    assert compare_fields(prf[:2], prf[:2])["centre_error"] is None


def test_fields_that_follow_the_prfs_stand_above_chance_and_unrelated_ones_do_not():
    """Noise of a tenth of the spread: r above .9 in x and y. Fields of their own: within the null (5 % a piece, and
    three of them under one seed, which is fixed)."""
    rng = np.random.default_rng(1)
    prf = planted(120, rng)
    near, own = prf + 0.1 * rng.normal(size=prf.shape), planted(120, rng)
    for fields, related in ((near, True), (own, False)):
        found = compare_fields(fields, prf)
        limits = chance_fields(fields, prf, np.random.default_rng(2))
        ends = field_intervals(fields, prf, np.random.default_rng(3))
        for axis in ("x", "y"):
            low, high = ends[axis]
            assert low < found[f"r_{axis}"] < high and 0.1 < limits[axis] < 0.25
            assert (low > limits[axis] and found[f"r_{axis}"] > 0.9) == related
            assert related or low < 0 < high


def test_the_interval_of_unrelated_fields_holds_zero_nineteen_times_in_twenty():
    """200 worlds of 60 voxels: misses are binomial, and more than 24 of them have a chance below 1e-4 at 5 %."""
    missed = 0
    for world in range(200):
        rng = np.random.default_rng(world)
        low, high = field_intervals(planted(60, rng), planted(60, rng), rng, resamples=200)["x"]
        missed += not low < 0 < high
    assert missed <= 24


def test_too_few_voxels_say_nothing():
    prf, rng = planted(2, np.random.default_rng(0)), np.random.default_rng(0)
    assert np.isnan(chance_fields(prf, prf, rng)["x"]) and np.isnan(field_intervals(prf, prf, rng)["size"]).all()
