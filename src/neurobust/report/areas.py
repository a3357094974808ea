"""Areas under curves of accuracy over budgets: numbers in, numbers out."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike


def curve_area(robust: ArrayLike, budgets: ArrayLike) -> np.ndarray:
    """Area under each row's accuracy-budget curve over the budget range: the mean accuracy over budgets.

    robust: (..., budgets), budgets ascending. NaN where there are fewer than two budgets.
    """
    values, sizes = np.asarray(robust, dtype=float), np.asarray(budgets, dtype=float)
    if len(sizes) < 2:
        return np.full(values.shape[:-1], math.nan)
    return np.trapezoid(values, sizes, axis=-1) / (sizes[-1] - sizes[0])


def relative_area(robust: ArrayLike, budgets: ArrayLike) -> np.ndarray:
    """What is left of one network's clean accuracy, averaged over the budgets above 0: a number per image, (images,).

    robust: (images, budgets) bool, budgets ascending from 0. The mean is the area from the first budget above 0,
    divided by the accuracy at 0; a network that only reads more clean images gains nothing. Each number is that ratio's
    linear term, so that intervals have the spread of the divisor. NaN where nothing is read or no budget lies above 0.
    """
    survived, sizes = np.asarray(robust, dtype=float), np.asarray(budgets, dtype=float)
    if len(sizes) < 2 or sizes[0] != 0 or not survived[:, 0].any():
        return np.full(len(survived), math.nan)
    clean = survived[:, 0]
    area = curve_area(survived[:, 1:], sizes[1:]) if len(sizes) > 2 else survived[:, 1]
    ratio = area.mean() / clean.mean()
    return ratio + (area - ratio * clean) / clean.mean()
