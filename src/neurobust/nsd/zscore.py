"""Per-session z-scores and averages over repeats. A session in which a voxel is constant is NaN until averaged away."""

from __future__ import annotations

import numpy as np


def zscore_sessions(betas: np.ndarray, session: np.ndarray, fit: np.ndarray | None = None) -> np.ndarray:
    """Z-score (trials, voxels) betas of any unit within each session (ddof 1), as float32.

    `fit` (trials,) bool chooses the trials that mean and standard deviation are taken from (all by default). A voxel
    that is constant over them, as outside the field of view, is NaN in that session.
    """
    scores = np.empty(betas.shape, np.float32)
    for number in np.unique(session):
        rows = np.flatnonzero(session == number)
        values = betas[rows].astype(np.float64)
        fitted = values if fit is None else values[fit[rows]]
        if len(fitted) < 2:
            scores[rows] = np.nan
            continue
        deviation = fitted.std(axis=0, ddof=1)
        # Compared with the first trial, not with a tiny deviation: integers that are equal are constant.
        deviation[(fitted == fitted[0]).all(axis=0)] = np.nan
        scores[rows] = (values - fitted.mean(axis=0)) / deviation
    return scores


def average_repeats(scores: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Average (trials, voxels) over the trials of each image in `table` (images, most, -1 for none), as float32.

    NaN trials are left out; an image without any valid trial is 0, the mean of a z-score.
    """
    total = np.zeros((len(table), scores.shape[1]))
    count = np.zeros_like(total)
    for trials in table.T:
        has = trials >= 0
        values = scores[trials[has]]
        valid = ~np.isnan(values)
        total[has] += np.where(valid, values, 0)
        count[has] += valid
    return (total / np.maximum(count, 1)).astype(np.float32)
