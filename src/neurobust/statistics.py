"""Intervals, the rule of a verdict, trend and power: numbers in, numbers out.

A contrast is an array of differences (seeds, images): outcome of one condition minus another's, paired over seeds and
images. Both are samples: the claim is about networks that were not trained and images that were not shown. So the
variance of its mean is that of a crossed two-way table, and the degrees of freedom are those of the seeds.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

LEVEL = 0.95  # of intervals, wherever none is named
EQUIVALENCE = 0.9  # level of the two-sided interval whose upper end must lie below the margin
MARGIN = 0.03  # accuracy: the smallest effect that a study is made to see
POWER = 0.8
FEWEST_SEEDS = 3  # no verdict below: two seeds agree in sign by chance in every second study
READINGS = 2  # of the clean-accuracy confound that must agree
MOST_SEEDS = 1000
SAME = 1e-9  # two outcomes closer than this are one
SUPPORTED, CONTRADICTED, NOT_SUPPORTED, UNDETERMINED = "supported", "contradicted", "not supported", "undetermined"


class Interval(NamedTuple):
    """A mean, the ends of its interval (NaN where there is none) and the degrees of freedom."""

    mean: float
    low: float
    high: float
    df: float


class Components(NamedTuple):
    """Standard deviations of paired differences in accuracy: between seeds; between images, the same for all seeds; of
    one image under one seed."""

    seed: float
    image: float
    residual: float


# Assumed before a study has its own: 1 pp between seeds, two networks that differ on every eleventh image (.3 ** 2).
TYPICAL = Components(seed=0.01, image=0.04, residual=0.3)


class Gate(NamedTuple):
    """A condition without which a study may say nothing: range, sensitivity, recovery, prediction, masking."""

    name: str
    passed: bool
    sentence: str


class Verdict(NamedTuple):
    """What may be said of a claim: one of the four words, why, and the 95 % interval of the contrast that decides."""

    word: str
    reason: str
    interval: Interval


class Trend(NamedTuple):
    """p: of Page's test for an ascending order, NaN where it cannot be made; slope: accuracy per step."""

    p: float
    slope: Interval


@lru_cache(maxsize=4096)
def wilson_interval(successes: int, n: int, level: float = LEVEL) -> tuple[float, float]:
    """Wilson score interval of a proportion (Wilson 1927): stays in [0, 1] and is not empty at 0 and at n."""
    if n == 0:
        return math.nan, math.nan
    from scipy.special import ndtri

    z = ndtri(0.5 + level / 2)
    share, weight = successes / n, z * z / n
    centre = (share + weight / 2) / (1 + weight)
    half = z / (1 + weight) * math.sqrt(share * (1 - share) / n + weight / (4 * n))
    # Exact at the edges, where rounding would leave the share itself outside.
    return (centre - half if successes > 0 else 0.0), (centre + half if successes < n else 1.0)


def seed_interval(values: ArrayLike, level: float = LEVEL) -> Interval:
    """Student's interval of the mean of one number per seed, (seeds,).

    None for one seed, for a seed without a number (NaN), and where all numbers are equal: an interval of width 0 would
    be the strongest statement from the least information.
    """
    found = np.asarray(values, dtype=float)
    if not len(found):
        return Interval(math.nan, math.nan, math.nan, 0)
    mean, df = float(found.mean()), len(found) - 1
    if df < 1 or not np.isfinite(found).all() or np.ptp(found) < SAME:
        return Interval(mean, math.nan, math.nan, df)
    return _student(mean, float(found.std(ddof=1)) / math.sqrt(len(found)), df, level)


def crossed_interval(differences: ArrayLike, level: float = LEVEL) -> Interval:
    """Interval of the mean of paired differences (seeds, images) when both seeds and images are drawn anew.

    Var = max(MS_seed, MS_seed + MS_image - MS_res) / (seeds * images) (Cornfield and Tukey 1956), Student's t with
    the seeds' degrees of freedom (Satterthwaite's leak for few seeds). One seed or no image: no interval. Never of
    width 0: see `crossed_error`. Too narrow with fewer images than seeds, of which `verdict` says nothing. Raises
    ValueError where a difference is missing, and for a level that is none.
    """
    table = _table(differences)
    mean, error = crossed_error(table)
    return _student(float(mean), float(error), len(table) - 1, level)


def crossed_error(differences: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard error of paired differences (..., seeds, images), over both; the error NaN for one seed.

    Outcomes are coarse, so that the means of few seeds often coincide and the mean squares say 0. The error is never
    less than if one image under one seed had come out one step (`step_of`) differently: step / (seeds * images).
    """
    given = np.asarray(differences, dtype=float)
    seeds, images = given.shape[-2:]
    mean = given.mean((-2, -1)) if images else np.full(given.shape[:-2], math.nan)
    if seeds < 2 or not images:
        return mean, np.full(mean.shape, math.nan)
    seed, image, residual = mean_squares(given)
    error, least = np.sqrt(np.maximum(seed, seed + image - residual) / (seeds * images)), 1 / (seeds * images)
    return mean, np.maximum(error, least * step_of(given)) if (error < least).any() else error


def mean_squares(differences: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean squares of two-way tables (..., two or more seeds, images): of seeds, images and the residual; for one image
    the last two are 0."""
    seeds, images = differences.shape[-2:]
    row, column = differences.mean(-1, keepdims=True), differences.mean(-2, keepdims=True)
    whole = row.mean(-2, keepdims=True)
    seed = images * ((row - whole) ** 2).sum((-2, -1)) / (seeds - 1)
    if images < 2:
        return seed, np.zeros_like(seed), np.zeros_like(seed)
    image = seeds * ((column - whole) ** 2).sum((-2, -1)) / (images - 1)
    residual = ((differences - row - column + whole) ** 2).sum((-2, -1)) / ((seeds - 1) * (images - 1))
    return seed, image, residual


def step_of(outcomes: np.ndarray) -> float:
    """The smallest distance of two different outcomes, at most 1; 1 where all are equal."""
    gaps = np.diff(np.unique(outcomes))
    return float(gaps[gaps > SAME].min(initial=1.0))


def one_sided_p(differences: ArrayLike, margin: float = 0.0) -> float:
    """P value of "the mean is at most `margin`" for paired differences (seeds, images): small where it lies above.

    The error and degrees of freedom are those of `crossed_interval`; NaN for one seed.
    """
    from scipy.special import stdtr

    table = _table(differences)
    mean, error = crossed_error(table)
    return float(stdtr(len(table) - 1, -(mean - margin) / error)) if math.isfinite(error) else math.nan


def _table(differences: ArrayLike) -> np.ndarray:
    """Differences as (seeds, images), all there."""
    table: np.ndarray = np.ma.asarray(differences, dtype=float).filled(math.nan)  # masked is missing
    if table.ndim != 2 or not table.shape[0] or not np.isfinite(table).all():
        raise ValueError(f"paired differences are (seeds, images), none missing: {table.shape}")
    return table


def _student(mean: float, error: float, df: int, level: float) -> Interval:
    """Student's interval; none without a degree of freedom."""
    from scipy.special import stdtrit

    if not 0 < level < 1:
        raise ValueError(f"the level of an interval is a share between 0 and 1: {level:g}")
    half = float(stdtrit(df, 0.5 + level / 2)) * error if df > 0 else math.nan
    return Interval(mean, mean - half, mean + half, df)


def holm_levels(p_values: ArrayLike, level: float = LEVEL) -> np.ndarray:
    """The level at which each claim of a family is judged (Holm 1979), from p values (`claim_p`); a missing one counts
    and stands.

    The smallest of m is judged at 1 - (1 - level) / m, the next at m - 1 if the first fell, and so on; from the first
    that stands, all at that one's.
    """
    given = np.asarray(p_values, dtype=float)
    ranked = np.where(np.isnan(given), np.inf, given)
    levels, left, falling = np.empty(given.shape), len(given), True
    for index in np.argsort(ranked, kind="stable"):
        levels[index] = 1 - (1 - level) / left
        falling = falling and ranked[index] <= (1 - level) / left
        left -= falling
    return levels


def claim_p(contrasts: Sequence[ArrayLike]) -> float:
    """Two-sided p value of one claim: what `holm_levels` takes. NaN for fewer seeds or images than a verdict needs.

    Supported means that every contrast lies above 0, which is an intersection-union test: its p is the largest of the
    contrasts', at no cost (Berger 1982). Contradicted means that any lies below: the smallest p, times their number.
    """
    tables = [_table(contrast) for contrast in contrasts]
    if not _enough(tables):
        return math.nan
    above = max(one_sided_p(table) for table in tables)
    below = len(tables) * min(one_sided_p(-table) for table in tables)
    return min(1.0, 2 * above, 2 * below)


def verdict(
    contrasts: Sequence[ArrayLike], *, level: float = LEVEL, gates: Sequence[Gate] = (),
    confound: Sequence[Interval] = (), margin: float = MARGIN, equivalence: float = EQUIVALENCE,
) -> Verdict:  # fmt: skip
    """What a study may say of one claim.

    contrasts: all that must lie above 0, each (seeds, images); one decides (`deciding`). level: that of the family
    (`holm_levels`). confound: readings of the deciding contrast that a difference in clean accuracy cannot make; where
    there are any, two must agree in sign, their interval on that side of 0. margin: accuracy that would matter;
    equivalence: level of the two-sided interval that must lie below it.

    supported: every lower bound above 0. contradicted: an upper bound below 0 (at a level shared by the contrasts).
    not supported: the upper bound at `equivalence` (shared too) lies below the margin, and no reading of what lies
    below 0 is above it. Undetermined otherwise, where a gate failed, with fewer than three seeds or images than seeds.
    """
    tables = [_table(contrast) for contrast in contrasts]
    decides = tables[deciding(tables, level, margin, equivalence)]
    interval, size = crossed_interval(decides), counted(*decides.shape)
    failed = [gate for gate in gates if not gate.passed]
    if failed:
        return Verdict(UNDETERMINED, "; ".join(f"{gate.name}: {gate.sentence}" for gate in failed), interval)
    if few := [table for table in tables if not _enough([table])]:
        said = f"{counted(*few[0].shape)} say nothing; {settled(few[0], margin, level)}"
        return Verdict(UNDETERMINED, said, interval)
    above = all(crossed_interval(table, level).low > 0 for table in tables)
    below = crossed_interval(decides, shared(level, len(tables))).high < 0
    explained = ""
    if above or below:
        word, said = (SUPPORTED, "above") if above else (CONTRADICTED, "below")
        agreeing = sum((reading.low > 0) if above else (reading.high < 0) for reading in confound)
        if not confound or agreeing >= READINGS:
            return Verdict(word, f"{said} 0 with {size}", interval)
        agree = f"{agreeing} of {len(confound)} readings without it agree"
        explained = f"{said} 0, but clean accuracy may explain it: {agree}"
    upper = crossed_interval(decides, shared(equivalence, len(tables))).high
    if upper < margin and not (below and any(reading.low > 0 for reading in confound)):
        reason = f"at most {100 * upper:.1f} pp, less than the {100 * margin:g} that would matter"
        return Verdict(NOT_SUPPORTED, reason, interval)
    return Verdict(UNDETERMINED, explained or settled(decides, margin, level), interval)


def deciding(
    contrasts: Sequence[ArrayLike], level: float = LEVEL, margin: float = MARGIN, equivalence: float = EQUIVALENCE
) -> int:
    """The place of the contrast that decides a claim.

    Where one lies below 0, at a level shared by all, the surest of them (of the smallest p). Else the one of the
    smallest mean; but where that is above 0 and may matter, and another is not, the one of the lowest bound.
    """
    tables = [_table(contrast) for contrast in contrasts]
    if not tables:
        raise ValueError("a claim has one contrast at least")
    smallest = int(np.argmin([table.mean() if table.size else math.nan for table in tables]))
    if not _enough(tables):
        return smallest
    below = [one_sided_p(-table) for table in tables]
    if 2 * len(tables) * min(below) < 1 - level:
        return int(np.argmin(below))
    lows = [crossed_interval(table, level).low for table in tables]
    upper = crossed_interval(tables[smallest], shared(equivalence, len(tables))).high
    return int(np.argmin(lows)) if lows[smallest] > 0 >= min(lows) and upper >= margin else smallest


def shared(level: float, count: int) -> float:
    """The level of each of several statements of which one is picked, so that it is wrong no oftener than one alone."""
    return 1 - (1 - level) / count


def _enough(tables: Sequence[np.ndarray]) -> bool:
    """Whether all contrasts have the seeds of a verdict, and as many images, whose degrees else are fewer."""
    return all(FEWEST_SEEDS <= len(table) <= table.shape[1] for table in tables)


def counted(seeds: int, images: int) -> str:
    """`5 seeds x 256 images` of a contrast."""
    return f"{seeds} seed{'s' * (seeds != 1)} x {images:,} image{'s' * (images != 1)}"


def settled(differences: np.ndarray, margin: float = MARGIN, level: float = LEVEL) -> str:
    """How many seeds would settle a contrast: see its mean, or the margin where that is larger, in 80 % of studies."""
    seeds, images = differences.shape
    if images < seeds:
        return "it takes as many images as seeds" if images else "there are no images"
    found = components(differences)
    effect = max(abs(float(differences.mean())), margin)
    if detectable(seeds, images, *found, level=level) <= effect:  # bad luck so far: ask the finer question
        effect = margin
    needed, seen = seeds_for(effect, images, *found, level=level), f"{100 * effect:.1f} pp"
    if needed is None:
        return f"no number of seeds sees {seen} on {images:,} image{'s' * (images != 1)}; it takes more images"
    needed = max(needed, FEWEST_SEEDS, seeds + 1)
    return f"about {needed} seeds x {images:,} images would settle it ({seen} seen in 80 % of studies)"


def trend(increments: ArrayLike, order: Sequence[float]) -> Trend:
    """Does an increment grow along an order of ROIs? Page's test with seeds as blocks (Page 1963), and the slope.

    increments: (seeds, rois), accuracy; order: of each ROI, equal for ROIs of one step, which are averaged. The slope:
    each seed's least-squares line over the steps 0, 1, ..., with `seed_interval`. Below two seeds or three steps: no p.
    """
    from scipy.stats import page_trend_test

    given, places = np.asarray(increments, dtype=float), np.asarray(order, dtype=float)
    if given.ndim != 2 or given.shape[1] != len(places) or not np.isfinite(given).all():
        raise ValueError(f"increments are (seeds, rois), none missing, with a place for each: {given.shape}")
    steps = np.column_stack([given[:, places == place].mean(1) for place in np.unique(places)])
    count = steps.shape[1]
    if count < 2:
        return Trend(math.nan, seed_interval(np.full(len(steps), math.nan)))
    centred = np.arange(count) - (count - 1) / 2
    slope = seed_interval(steps @ centred / (centred @ centred))
    p = float(page_trend_test(steps).pvalue) if count > 2 and len(steps) > 1 else math.nan
    return Trend(p, slope)


def components(differences: ArrayLike) -> Components:
    """Standard deviations behind paired differences (seeds, images), from the mean squares; none below 0.

    For fewer than three seeds the typical spreads stand in. The residual is at least what `crossed_error` allows.
    """
    table = _table(differences)
    seeds, images = table.shape
    least = step_of(table) / math.sqrt(seeds * images)
    if seeds < 2:
        return TYPICAL._replace(residual=max(float(table.std()), least))
    seed, image, residual = (float(value) for value in mean_squares(table))
    between, own = math.sqrt(max(seed - residual, 0) / images), max(math.sqrt(residual), least)
    if seeds < FEWEST_SEEDS:
        return Components(max(between, TYPICAL.seed), TYPICAL.image, own)
    return Components(between, math.sqrt(max(image - residual, 0) / seeds), own)


def power_of(effect: float, seeds: int, level: float = LEVEL) -> float:
    """Share of studies whose Student interval over seeds excludes 0; effect: in standard errors of its mean.

    The noncentral t as a mixture over the estimated error: scipy's `nct` does not converge for few seeds.
    """
    from scipy.special import ndtr, stdtrit

    df, edge = seeds - 1, stdtrit(seeds - 1, 0.5 + level / 2)
    log_error = np.linspace(-15, 3, 2001)
    weight = np.exp(df * (log_error - np.expm1(2 * log_error) / 2))  # density of log(estimated / true) but for a factor
    bar = edge * np.exp(log_error)
    return float(np.average(ndtr(effect - bar) + ndtr(-effect - bar), weights=weight))


@lru_cache(maxsize=4096)
def effect_of(seeds: int, power: float, level: float) -> float:
    """The smallest effect, in standard errors, that a share `power` of studies of so many seeds tells from 0."""
    from scipy.optimize import brentq

    high = 1.0
    while power_of(high, seeds, level) < power:
        high *= 2
    return float(brentq(lambda effect: power_of(effect, seeds, level) - power, 0.0, high))


def detectable(
    seeds: int, images: int, tau: float, sigma_image: float, sigma_residual: float, power: float = POWER,
    level: float = LEVEL,
) -> float:  # fmt: skip
    """The smallest mean difference (accuracy) that a share `power` of studies tells from 0; NaN for one seed.

    tau, sigma_image, sigma_residual: as in `Components`; without sigma_image it is the paired t test over seeds.
    """
    if seeds < 2 or images < 1:
        return math.nan
    if 0.5 + level / 2 == 1:  # rounded: nothing passes it
        return math.inf
    return effect_of(seeds, power, level) * math.sqrt(
        tau**2 / seeds + sigma_image**2 / images + sigma_residual**2 / (seeds * images)
    )


def seeds_for(
    effect: float, images: int, tau: float, sigma_image: float, sigma_residual: float, power: float = POWER,
    level: float = LEVEL,
) -> int | None:  # fmt: skip
    """The fewest seeds whose detectable difference is at most `effect`; None where 1,000 do not suffice."""

    def enough(seeds: int) -> bool:
        error = math.sqrt(tau**2 / seeds + sigma_image**2 / images + sigma_residual**2 / (seeds * images))
        return error == 0 or power_of(effect / error, seeds, level) >= power

    found = bisect_left(range(2, MOST_SEEDS + 1), True, key=enough) + 2
    return found if found <= MOST_SEEDS else None
