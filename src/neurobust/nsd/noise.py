"""Noise-ceiling signal-to-noise ratio and noise ceilings (Allen et al. 2022, Nature Neuroscience 25, Methods)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from neurobust.core.errors import InputError
from neurobust.nsd.design import REPEATS


def ncsnr(scores: np.ndarray, table: np.ndarray, half: int | None = None) -> np.ndarray:
    """(voxels,) float64 ratio of signal to noise standard deviation, from per-session z-scores (trials, voxels).

    `table` (images, most) is `repeats_table`'s: images with exactly three trials count. The noise variance is the mean
    over images of the variance of the three scores (ddof 1); signal variance is what is left of the unit total.
    `half` 0 or 1 takes every other image, as the published splits do (in ascending image number). NaN where no image
    has three valid trials.
    """
    if table.shape[1] < REPEATS:
        return np.full(scores.shape[1], np.nan)
    trials = table[(table[:, :REPEATS] >= 0).all(axis=1), :REPEATS]
    trials = trials if half is None else trials[half::2]
    total, count = np.zeros(scores.shape[1]), np.zeros(scores.shape[1])
    for start in range(0, len(trials), 1024):  # bounds memory: (images, 3, voxels) of all would be a second copy
        variance = scores[trials[start : start + 1024]].astype(np.float64).var(axis=1, ddof=1)
        valid = ~np.isnan(variance)
        total += np.where(valid, variance, 0).sum(axis=0)
        count += valid.sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        noise = total / count
        return np.sqrt(np.maximum(0, 1 - noise)) / np.sqrt(noise)


def noise_ceiling(ncsnr: np.ndarray, counts: Sequence[int] | np.ndarray) -> np.ndarray:
    """(voxels,) explainable variance in percent of responses averaged over repeats.

    `counts` are the numbers of images with 1, 2, 3, ... repeats (zeros allowed). With ncsnr s the ceiling is
    100 s^2 / (s^2 + k), k being the mean over images of 1 / repeats; the ceiling of a correlation is sqrt(NC / 100).
    """
    images = np.asarray(counts, np.float64)
    if images.sum() <= 0:
        raise InputError("noise ceiling: no image to compute it for; are there test images in these sessions?")
    k = (images / np.arange(1, len(images) + 1)).sum() / images.sum()
    with np.errstate(divide="ignore"):
        return 100 / (1 + k / np.square(ncsnr))
