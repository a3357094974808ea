"""How well a voxel's response tells whether a concept is shown: area under the ROC curve, and d'."""

from __future__ import annotations

import numpy as np
from scipy.stats import rankdata


def concept_auc(responses: np.ndarray, shown: np.ndarray) -> np.ndarray:
    """Area under the ROC curve of each voxel for each concept: (concepts, voxels).

    responses (n, voxels), NaN where unknown; shown bool (n, concepts). The chance that an image with the concept gets
    the larger response than one without it, ties counting half (Mann-Whitney). NaN where a voxel has seen no image of
    either kind.
    """
    return auc_of_ranks(ranked(responses), shown, responses.shape[1])


Ranked = list[tuple[np.ndarray, np.ndarray, np.ndarray]]  # rows, columns, ranks (rows, columns) of voxels seen alike


def ranked(responses: np.ndarray) -> Ranked:
    """The ranks of responses (n, V) over the images that each voxel has seen."""
    return [
        (rows, columns, rankdata(responses[np.ix_(rows, columns)], axis=0)) for rows, columns in alike(responses)
    ]  # fmt: skip


def auc_of_ranks(parts: Ranked, shown: np.ndarray, voxels: int) -> np.ndarray:
    """`concept_auc` of responses whose ranks are known."""
    found = np.full((shown.shape[1], voxels), np.nan)
    for rows, columns, ranks in parts:
        with_it = shown[rows].astype(np.float64)
        count = with_it.sum(0)[:, None]
        pairs = count * (len(rows) - count)
        surplus = with_it.T @ ranks - count * (count + 1) / 2
        found[:, columns] = np.divide(surplus, pairs, out=np.full(surplus.shape, np.nan), where=pairs > 0)
    return found


def concept_d(responses: np.ndarray, shown: np.ndarray) -> np.ndarray:
    """d' of each voxel for each concept (concepts, voxels): the difference of the means with and without it, in units
    of the root mean of both variances. NaN with fewer than two images of either kind, or without variance."""
    found = np.full((shown.shape[1], responses.shape[1]), np.nan)
    for rows, columns in alike(responses):
        values = responses[np.ix_(rows, columns)].astype(np.float64)
        values = values - values.mean(0)
        moments = [side_moments(values, mask) for mask in (shown[rows], ~shown[rows])]
        spread = np.sqrt((moments[0][1] + moments[1][1]) / 2)
        gap = moments[0][0] - moments[1][0]
        found[:, columns] = np.divide(gap, spread, out=np.full(gap.shape, np.nan), where=spread > 1e-12)
    return found


def side_moments(values: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance (ddof 1) of values (n, V) over the images of each mask (n, C): twice (C, V), NaN below two."""
    weight = mask.astype(np.float64).T
    count = weight.sum(1)[:, None]
    some = np.where(count >= 2, count, np.nan)
    mean = weight @ values / some
    return mean, np.maximum(weight @ values**2 / some - mean**2, 0) * some / (some - 1)


def alike(responses: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Voxels that have seen the same images, with these: (rows, columns) in parts. responses (n, V), NaN if unseen."""
    seen = np.isfinite(responses)
    patterns, which = np.unique(seen, axis=1, return_inverse=True)
    return [
        (np.flatnonzero(patterns[:, k]), np.flatnonzero(which.ravel() == k)) for k in range(patterns.shape[1])
    ]  # fmt: skip


def enough(shown: np.ndarray, fewest: int) -> np.ndarray:
    """Indices of the concepts of shown (n, C) with at least `fewest` images with and without them."""
    count = shown.sum(0)
    return np.flatnonzero((count >= fewest) & (len(shown) - count >= fewest))


def chance_auc(
    responses: np.ndarray, shown: np.ndarray, rng: np.random.Generator, permutations: int = 100, level: float = 0.95
) -> np.ndarray:
    """Per concept the quantile of the largest |AUC - 1/2| of any voxel under permuted images, above 1/2: (concepts,).

    The labels of an image stay together, so that concepts that exclude each other do so under the null too. A voxel
    beyond this limit is selective with the family of all voxels taken into account (max-statistic).
    """
    parts, most = ranked(responses), np.empty((permutations, shown.shape[1]))
    for k in range(permutations):
        auc = auc_of_ranks(parts, shown[rng.permutation(len(shown))], responses.shape[1])
        most[k] = np.nanmax(np.abs(auc - 0.5), axis=1, initial=0.0)
    limit: np.ndarray = 0.5 + np.quantile(most, level, axis=0)
    return limit
