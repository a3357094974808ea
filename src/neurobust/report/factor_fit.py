"""How much of a gain goes with a factor: effects with intervals that hold with few ROIs and few seeds.

The data are gains (conditions, seeds): every condition belongs to one ROI and is trained with every seed. Factors of
two kinds are estimated where their information is:

- factors of an ROI (its place in the hierarchy, the quality of its data) have one independent value per ROI. Each ROI's
  gain, adjusted for the factors of conditions, is one number, and the numbers are regressed on the factors over ROIs
  with Student's G - 1 - k degrees of freedom: exact for a balanced design with normal ROI effects (a summary-measures
  analysis; Murray 1998, "Design and Analysis of Group-Randomized Trials", chapter 7);
- factors of a condition (weight, loss, layer) or of a network (alignment) are compared within ROIs, by least squares
  with an intercept per ROI and per seed, and their variance is taken over ROIs by bias-reduced linearisation ("CR2",
  Bell and McCaffrey 2002; Pustejovsky and Tipton 2018, doi:10.1080/07350015.2016.1247004) with its Satterthwaite
  degrees of freedom: G - 1 in a balanced design.

Seeds are the second, crossed random factor: variance = max(V_roi, V_roi + V_seed - V_cell) as for the study's other
intervals (Cameron, Gelbach and Miller 2011, doi:10.1198/jbes.2010.07136), degrees of freedom the smaller of both
(Cameron and Miller 2015, doi:10.3368/jhr.50.2.317). A mixed model (`statsmodels` MixedLM) has the same estimates in a
balanced design, but its Wald intervals take Student's t for the normal distribution, which costs eight points of
coverage at six ROIs (tests/report/test_factor_fit.py), and its fit is singular where a variance component is zero.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from neurobust.statistics import LEVEL

VIF_LIMIT = 10.0  # beyond it two factors cannot be told apart (Marquardt 1970, doi:10.1080/00401706.1970.10488699)
LEAST_DF = 0.99  # Satterthwaite's are at least 1 where there is a variance at all


class Effects(NamedTuple):
    """Per factor (..., factors): estimate, ends of its interval (NaN where there is none) and degrees of freedom."""

    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    df: np.ndarray


class Gains(NamedTuple):
    """Gains (..., conditions, seeds) and the ROI of each condition (conditions,), numbered from 0 without a gap."""

    values: np.ndarray
    rois: np.ndarray


def carried(units: int, means: int = 2) -> int:
    """How many factors so many independent values carry in one model: two values per factor, (units - means) // 2.

    units: ROIs, less one for their mean and one for their scatter; or conditions (networks), less the `means` of the
    ROIs. Two subjects per variable are the fewest with which the intervals of a linear regression keep their level
    (Austin and Steyerberg 2015, doi:10.1016/j.jclinepi.2014.12.014); power needs many more.
    """
    return max(0, (units - means) // 2)


def inflation(x: np.ndarray) -> np.ndarray:
    """Variance inflation factor of each column of x (n, k): 1 / (1 - R2) on the others and a mean; inf where exact."""
    centred = x - x.mean(0)
    found = np.ones(x.shape[1])
    for column in range(x.shape[1]):
        own, others = centred[:, column], np.delete(centred, column, 1)
        left = own - others @ (np.linalg.pinv(others) @ own)
        total, rest = float(own @ own), float(left @ left)
        found[column] = np.inf if rest <= 1e-10 * total else total / rest
    return found


def within_rois(x: np.ndarray, rois: np.ndarray) -> np.ndarray:
    """Columns of x (n, k) less their mean within each ROI (n,)."""
    centred = np.array(x, dtype=float)
    for roi in np.unique(rois):
        centred[rois == roi] -= centred[rois == roi].mean(0)
    return centred


def roi_effects(gains: Gains, factors: np.ndarray, conditions: np.ndarray, level: float = LEVEL) -> Effects:
    """Effects of factors of ROIs.

    factors: (ROIs, k), one row per ROI; conditions: (conditions, p), the factors of conditions that each ROI's gain is
    adjusted for (its gain is that at their mean). Needs ROIs > k + 1; no interval with one seed.
    """
    values, rois = gains
    seeds, count = values.shape[-1], len(factors)
    dummies = np.equal.outer(rois, np.arange(count)).astype(float)
    adjust = np.linalg.pinv(np.column_stack([dummies, conditions - conditions.mean(0)]))[:count]
    own = np.einsum("rc,...cs->...rs", adjust, values)  # each ROI's gain, per seed
    design = np.column_stack([np.ones(count), factors])
    slopes, left = np.linalg.pinv(design)[1:], np.eye(count) - design @ np.linalg.pinv(design)
    scale = np.square(slopes).sum(1)  # the diagonal of (X'X)^-1
    df = count - 1.0 - factors.shape[1]
    by_seed = np.einsum("kr,...rs->...ks", slopes, own)
    of_rois = np.square(np.einsum("qr,...r->...q", left, own.mean(-1))).sum(-1)[..., None] / df * scale
    if seeds > 1:
        apart = np.einsum("qr,...rs->...qs", left, own - own.mean(-1, keepdims=True))
        of_cells = np.square(apart).sum((-2, -1))[..., None] / (df * (seeds - 1)) * scale / seeds
        of_seeds = by_seed.var(-1, ddof=1) / seeds
    else:
        of_cells = of_seeds = np.zeros_like(of_rois)
    return student_interval(by_seed.mean(-1), (of_rois, of_seeds, of_cells), np.full(len(slopes), df), seeds, level)


def condition_effects(gains: Gains, factors: np.ndarray, level: float = LEVEL) -> Effects:
    """Effects of factors of conditions (conditions, p), or of networks (conditions, seeds, p), within ROIs.

    No interval with one seed, or for a factor that varies within a single ROI.
    """
    values, rois = gains
    count, seeds = values.shape[-2:]
    if factors.ndim == 2:
        factors = np.repeat(factors[:, None], seeds, 1)
    place = np.repeat(rois, seeds)
    seed = np.tile(np.arange(seeds), count)
    keep = np.isfinite(factors).all(-1).ravel()
    fixed = [np.equal.outer(place, np.unique(rois)), np.equal.outer(seed, np.arange(1, seeds))]
    columns = factors.reshape(count * seeds, -1)
    design = np.column_stack([*fixed, columns]).astype(float)[keep]
    outcome, place, seed = values.reshape(*values.shape[:-2], count * seeds)[..., keep], place[keep], seed[keep]
    wanted = np.arange(design.shape[1] - columns.shape[1], design.shape[1])
    mean = outcome @ np.linalg.pinv(design)[wanted].T
    of_rois, df = clustered(design, wanted, place, outcome)
    of_seeds, _ = clustered(design, wanted, seed, outcome)
    of_cells, _ = clustered(design, wanted, place * seeds + seed, outcome)
    return student_interval(mean, (of_rois, of_seeds, of_cells), df, seeds, level)


def clustered(
    design: np.ndarray, wanted: np.ndarray, clusters: np.ndarray, outcome: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """CR2 variances (..., wanted) of some columns of a design (n, q) under outcomes (..., n), and their degrees of
    freedom (wanted,); clusters: (n,), within which errors may depend on each other in any way."""
    bread = np.linalg.pinv(design.T @ design)
    left = np.eye(len(design)) - design @ bread @ design.T
    residuals, variance, directions = outcome @ left, 0.0, []
    for cluster in np.unique(clusters):
        rows = clusters == cluster
        score = root_inverse(left[np.ix_(rows, rows)]) @ design[rows] @ bread[:, wanted]
        variance = variance + np.square(residuals[..., rows] @ score)
        directions.append(left[:, rows] @ score)
    spread = np.einsum("gnk,hnk->kgh", np.array(directions), np.array(directions))
    total = np.einsum("kgg->k", spread)
    with np.errstate(invalid="ignore", divide="ignore"):
        df = total**2 / np.square(spread).sum((1, 2))
    return np.asarray(variance), np.where(total > 1e-12 * np.diag(bread)[wanted], df, np.nan)


def root_inverse(matrix: np.ndarray) -> np.ndarray:
    """The inverse square root of a symmetric matrix on its range."""
    values, vectors = np.linalg.eigh(matrix)
    kept = values > 1e-8
    return (vectors[:, kept] / np.sqrt(values[kept])) @ vectors[:, kept].T


def student_interval(
    mean: np.ndarray, variances: tuple[np.ndarray, np.ndarray, np.ndarray], df: np.ndarray, seeds: int, level: float
) -> Effects:
    """Estimates with Student's interval for crossed ROIs and seeds; variances: over ROIs, seeds and their cells."""
    from scipy.stats import t

    of_rois, of_seeds, of_cells = variances
    found = np.minimum(df, seeds - 1.0)
    found = np.where(found > LEAST_DF, found, np.nan)
    half = t.ppf(0.5 + level / 2, found) * np.sqrt(np.maximum(of_rois, of_rois + of_seeds - of_cells))
    return Effects(mean, mean - half, mean + half, np.broadcast_to(found, mean.shape))
