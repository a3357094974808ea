"""Intervals and areas: how sure the report is of each number it prints."""

from __future__ import annotations

import math

import numpy as np

from neurobust.core.seeding import numpy_rng

LEVEL = 0.95
DRAWS = 2000
BATCH = 250


def wilson_interval(successes: int, n: int, level: float = LEVEL) -> tuple[float, float]:
    """Wilson score interval of a proportion (Wilson 1927): stays in [0, 1] and is not empty at 0 and at n."""
    if n == 0:
        return math.nan, math.nan
    from scipy.stats import norm

    z = norm.ppf(0.5 + level / 2)
    share, weight = successes / n, z * z / n
    centre = (share + weight / 2) / (1 + weight)
    half = z / (1 + weight) * math.sqrt(share * (1 - share) / n + weight / (4 * n))
    # Exact at the edges, where rounding would leave the share itself outside.
    return (centre - half if successes > 0 else 0.0), (centre + half if successes < n else 1.0)


def t_interval(values: np.ndarray, level: float = LEVEL) -> tuple[float, float]:
    """Student's interval of the mean of `values` (one per trained network); NaN for fewer than two."""
    values = np.asarray(values, dtype=float)
    if len(values) < 2:
        return math.nan, math.nan
    from scipy.stats import t

    half = t.ppf(0.5 + level / 2, len(values) - 1) * values.std(ddof=1) / math.sqrt(len(values))
    return float(values.mean() - half), float(values.mean() + half)


def curve_area(robust: np.ndarray, budgets: np.ndarray) -> np.ndarray:
    """Area under each row's accuracy-budget curve over the budget range: the mean accuracy over budgets.

    robust: (..., budgets), budgets ascending. NaN where there are fewer than two budgets.
    """
    robust, budgets = np.asarray(robust, dtype=float), np.asarray(budgets, dtype=float)
    if len(budgets) < 2:
        return np.full(robust.shape[:-1], math.nan)
    return np.trapezoid(robust, budgets, axis=-1) / (budgets[-1] - budgets[0])


def paired_bootstrap(differences: np.ndarray, draws: int = DRAWS, level: float = LEVEL) -> np.ndarray:
    """Percentile interval of the mean of each column, resampling rows (images) with replacement.

    differences: (images, comparisons), each row one image's difference between two conditions, so that an image's own
    difficulty cancels. Every column sees the same resamples. Returns (2, comparisons), low and high; NaN for no images.
    """
    differences = np.asarray(differences, dtype=float)
    n, columns = differences.shape
    if n == 0 or columns == 0:
        return np.full((2, columns), math.nan)
    rng = numpy_rng("report", "bootstrap", n, draws)
    means = np.empty((draws, columns))
    for start in range(0, draws, BATCH):
        stop = min(start + BATCH, draws)
        counts = rng.multinomial(n, np.full(n, 1 / n), size=stop - start)
        means[start:stop] = counts @ differences / n
    return np.quantile(means, [0.5 - level / 2, 0.5 + level / 2], axis=0)
