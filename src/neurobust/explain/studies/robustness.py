"""What goes with robust accuracy, and through what a gain goes: numbers in, numbers out."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from neurobust.core.seeding import numpy_rng
from neurobust.statistics import LEVEL

LEAST_SEEDS = 3  # with fewer no interval says anything


class Estimate(NamedTuple):
    """A number with its interval and two-sided p; NaN where there is none."""

    value: float
    low: float = math.nan
    high: float = math.nan
    p: float = math.nan


NOTHING = Estimate(math.nan)


def residuals(values: np.ndarray, given: np.ndarray) -> np.ndarray:
    """What of values (n,) a constant and the columns of `given` (n, k) do not explain linearly."""
    design = np.column_stack([np.ones(len(values)), given])
    left: np.ndarray = values - design @ np.linalg.lstsq(design, values, rcond=None)[0]
    return left


def correlation(x: ArrayLike, y: ArrayLike, given: ArrayLike | None = None, used: int = 0) -> Estimate:
    """Pearson's r of x and y (n,), partial where columns `given` (n, k) are held fixed.

    The interval is Fisher's, with n - k - used - 3 in the place of n - 3; p is Student's with n - k - used - 2 degrees
    of freedom; used: degrees that were spent before, such as on the means of groups. NaN where one of them does not
    vary, and no interval or p where too few are left.
    """
    from scipy.stats import norm, t

    x, y = np.asarray(x, float), np.asarray(y, float)
    columns = np.zeros((len(x), 0)) if given is None else np.asarray(given, float).reshape(len(x), -1)
    free = len(x) - columns.shape[1] - used
    if free < 3:
        return NOTHING
    a, b = residuals(x, columns), residuals(y, columns)
    if _flat(a, x) or _flat(b, y):
        return NOTHING
    r = float(np.clip(a @ b / math.sqrt((a @ a) * (b @ b)), -1, 1))
    if free < 5:
        return Estimate(r)
    reach = norm.ppf(0.5 + LEVEL / 2) / math.sqrt(free - 3)
    z = math.atanh(np.clip(r, -1 + 1e-12, 1 - 1e-12))
    statistic = abs(r) * math.sqrt((free - 2) / max(1 - r * r, 1e-300))
    return Estimate(r, math.tanh(z - reach), math.tanh(z + reach), float(2 * t.sf(statistic, free - 2)))


def _flat(left: np.ndarray, values: np.ndarray) -> bool:
    """Whether nothing but rounding is left of some values."""
    return float(np.abs(left).max()) <= 1e-9 * max(float(np.abs(values).max()), 1e-300)


def group_means(values: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """The mean of each group (n,) of the values (n, k), in the order of sorted names: (groups, k)."""
    return np.stack([values[groups == name].mean(0) for name in np.unique(groups)])


def deviations(values: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Values (n, k) less the mean of their group (n,)."""
    names, index = np.unique(groups, return_inverse=True)
    left: np.ndarray = values - group_means(values, groups)[index]
    return left


class Slope(NamedTuple):
    """A slope, its standard error and its degrees of freedom."""

    value: float
    error: float
    df: int


def within_slope(x: np.ndarray, y: np.ndarray, given: np.ndarray, groups: np.ndarray) -> Slope:
    """How much y (n,) moves with x (n,) among members of one group (n,), at equal `given` (n,): the pooled slope of
    least squares with a constant for each group. NaN where too little is left to tell."""
    raw, (x, y, given) = x, (deviations(values[:, None], groups)[:, 0] for values in (x, y, given))
    held = given[:, None] if np.ptp(given) > 1e-12 else np.zeros((len(x), 0))
    df = len(x) - len(np.unique(groups)) - held.shape[1] - 1
    if df < 1:
        return Slope(math.nan, math.nan, 0)
    own = x
    if held.shape[1]:
        x, y = (values - held[:, 0] * (held[:, 0] @ values) / (held[:, 0] @ held[:, 0]) for values in (x, y))
    spread = float(x @ x)
    if _flat(own, raw) or _flat(x, own):
        return Slope(math.nan, math.nan, 0)
    slope = float(x @ y) / spread
    error = math.sqrt(float(np.square(y - slope * x).sum()) / df / spread)
    return Slope(slope, error, df)


class Parts(NamedTuple):
    """A gain and its parts: total, through the measure, direct; how far it moved and the slope that was used."""

    total: Estimate
    through: Estimate
    direct: Estimate
    moved: Estimate
    slope: Estimate


def parts_of(gain: ArrayLike, moved: ArrayLike, slope: Slope, draws: int = 20000, seed: int = 0) -> Parts:
    """What of a gain goes through a measure; gain, moved: of each seed (S,), guided less control.

    through = mean(moved) x slope, direct = mean(gain) - through. Intervals from draws of both paths: the means of gain
    and moved, which are paired, from Student's distribution in two dimensions with S - 1 degrees of freedom, the slope
    from its own (the distribution of the product, MacKinnon et al. 2004). With fewer than three seeds there are numbers
    without intervals; without a slope only the whole gain and how far the measure moved have numbers.
    """
    gain, moved = np.asarray(gain, float), np.asarray(moved, float)
    seeds = len(gain)
    if not seeds or not np.isfinite([*gain, *moved]).all():
        return Parts(*[NOTHING] * 5)
    means = np.array([gain.mean(), moved.mean()])
    through = means[1] * slope.value
    values = (means[0], through, means[0] - through, means[1], slope.value)
    if seeds < LEAST_SEEDS:
        return Parts(*(Estimate(float(value)) for value in values))
    rng = numpy_rng(seed, "explain", "mediation")
    cov = np.cov(np.stack([gain, moved])) / seeds
    pulled = rng.multivariate_normal(np.zeros(2), cov, draws, method="eigh")
    pulled /= np.sqrt(rng.chisquare(seeds - 1, draws) / (seeds - 1))[:, None]
    total, shift = (means + pulled).T
    if slope.df < 1:
        return Parts(drawn(means[0], total), NOTHING, NOTHING, drawn(means[1], shift), NOTHING)
    tilt = slope.value + slope.error * rng.standard_t(slope.df, draws)
    columns = (total, shift * tilt, total - shift * tilt, shift, tilt)
    return Parts(*(drawn(value, column) for value, column in zip(values, columns, strict=True)))


def drawn(value: float, draws: np.ndarray) -> Estimate:
    """A number with the interval of its draws, and a two-sided p of 0: twice the smaller share on one side of it."""
    low, high = np.quantile(draws, [0.5 - LEVEL / 2, 0.5 + LEVEL / 2])
    side = min((draws <= 0).sum(), (draws >= 0).sum())
    return Estimate(float(value), float(low), float(high), float(min(2 * (side + 1) / (len(draws) + 1), 1)))
