"""Accuracy measures against closed forms and plain loops."""

import numpy as np
import pytest

from neurobust.core.correlation import pearson
from neurobust.core.false_discovery import false_discovery
from neurobust.files.predictor_tables import LEAST_CEILING
from neurobust.predictors.evaluate import (
    bootstrap_interval,
    explained_fraction,
    normalise_r,
    permutation_p,
    summarise,
)


def noisy(n=200, noise=(0.5, 1.0, 2.0), seed=0):
    rng = np.random.default_rng(seed)
    signal = rng.normal(size=(n, len(noise)))
    return signal, signal + rng.normal(size=signal.shape) * np.array(noise)


def test_pearson_equals_corrcoef_and_is_0_for_a_constant():
    a, b = noisy()
    assert np.allclose(pearson(a, b), [np.corrcoef(a[:, v], b[:, v])[0, 1] for v in range(3)])
    assert pearson(np.ones((5, 1), np.float32), a[:5, :1]) == 0
    shifted = (a + 1e4).astype(np.float32)
    assert np.allclose(pearson(shifted, b), pearson(a, b), atol=1e-3)


def test_the_ceiling_of_a_correlation_is_the_root_of_that_of_variance():
    assert normalise_r(np.array([0.6, 0.1]), np.array([36.0, 0.5]))[0] == pytest.approx(1)
    assert np.isnan(normalise_r(np.array([0.1]), np.array([0.5]))[0])
    assert summarise(np.zeros(0), np.zeros(0))["median_r"] is None


def test_nothing_is_divided_by_a_ceiling_that_is_mostly_error(project):
    """A chance r of .3 at NC 1 % read 3.0, on maps and in quartiles."""
    r, ceiling = np.array([0.3, 0.3, 0.3]), np.array([1.0, 4.9, 36.0])
    assert np.isnan(normalise_r(r, ceiling)[:2]).all() and normalise_r(r, ceiling)[2] == pytest.approx(0.5)
    assert summarise(r, ceiling)["median_r_normalised"] == pytest.approx(0.5)
    measured = np.random.default_rng(0).normal(size=(50, 3))
    assert np.isfinite(explained_fraction(measured * 0.9, measured, ceiling)).tolist() == [False, False, True]
    stated = f"below {LEAST_CEILING:g} %"
    assert stated in (project / "docs/design.md").read_text()
    assert stated in (project / "src/neurobust/report/templates/reading.html").read_text()


def test_explained_fraction_is_1_for_the_signal_and_counts_scale():
    n, share = 20_000, 0.4
    rng = np.random.default_rng(0)
    signal = rng.normal(size=(n, 1)) * np.sqrt(share)
    measured = signal + rng.normal(size=(n, 1)) * np.sqrt(1 - share)
    ceiling = np.array([100 * share])
    assert explained_fraction(signal, measured, ceiling)[0] == pytest.approx(1, abs=0.05)
    assert explained_fraction(np.zeros_like(signal), measured, ceiling)[0] == pytest.approx(0, abs=1e-3)
    assert explained_fraction(3 * signal, measured, ceiling)[0] < -2, "a correlation would not see the scale"
    assert np.isnan(explained_fraction(signal, measured, np.array([0.0]))[0])


def test_bootstrap_equals_a_plain_loop_and_covers():
    a, b = noisy(60)
    low, high = bootstrap_interval(a, b, np.random.default_rng(3), resamples=50, voxel_batch=2)
    counts = np.random.default_rng(3).multinomial(60, np.full(60, 1 / 60), 50)
    plain = []
    for draw in counts:
        rows = np.repeat(np.arange(60), draw)
        plain.append([np.corrcoef(a[rows, v], b[rows, v])[0, 1] for v in range(3)])
    assert np.allclose([low, high], np.quantile(plain, [0.025, 0.975], axis=0))
    covered = []
    for seed in range(60):
        x, y = noisy(100, (1.0,), seed)
        low, high = bootstrap_interval(x, y, np.random.default_rng(seed), resamples=200)
        covered.append(low[0] <= np.sqrt(0.5) <= high[0])
    assert 0.85 <= np.mean(covered) <= 1


def test_permutation_p_is_small_for_signal_and_uniform_without():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(60, 200)), rng.normal(size=(60, 200))
    p = permutation_p(x, y, rng, 199)
    assert p.min() >= 1 / 200 and 0.3 < p.mean() < 0.7 and (p <= 0.05).mean() < 0.12
    signal = permutation_p(x, x + y, rng, 199)
    assert (signal == 1 / 200).mean() > 0.95
    assert np.all(permutation_p(np.ones_like(x), y, rng, 20) == 1), "a constant prediction is never significant"


def test_fdr_is_benjamini_hochberg():
    from scipy.stats import false_discovery_control

    p = np.random.default_rng(0).uniform(size=50) ** 3
    assert np.allclose(false_discovery(p), false_discovery_control(p))
    assert false_discovery(np.zeros(0)).shape == (0,)
