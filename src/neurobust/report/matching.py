"""Clean-accuracy matching: robust accuracy of conditions compared where their clean accuracy is the same.

A condition trained with several weights of its neural loss is a curve in the plane of clean and robust accuracy. Two
conditions are compared along the clean accuracies that both curves reach; nothing is extrapolated.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


def curve(clean: ArrayLike, robust: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """A sweep as a function: clean accuracies (k,), strictly ascending, and the robust accuracy at each.

    Give one value per weight, averaged over seeds. Weights of equal clean accuracy are averaged.
    """
    given, values = np.asarray(clean, float), np.asarray(robust, float)
    if given.shape != values.shape or given.ndim != 1 or len(given) == 0:
        raise ValueError(
            f"a sweep needs as many clean as robust accuracies, at least one: {given.shape} {values.shape}"
        )
    levels, inverse, counts = np.unique(given, return_inverse=True, return_counts=True)
    return levels, np.bincount(inverse, values) / counts


def shared_range(*sweeps: ArrayLike) -> tuple[float, float] | None:
    """The clean accuracies that all sweeps reach, lowest and highest; None where they have none in common."""
    low, high = (float(end) for end in (max(map(np.min, sweeps)), min(map(np.max, sweeps))))
    return (low, high) if low <= high else None


def matched_difference(
    clean_a: ArrayLike, robust_a: ArrayLike, clean_b: ArrayLike, robust_b: ArrayLike
) -> float | None:
    """Robust accuracy of a minus b, averaged over the clean accuracies that both reach; None where there are none.

    Exact for the piecewise linear curves: the integral of their difference over the shared range, by its length.
    """
    span = shared_range(clean_a, clean_b)
    if span is None:
        return None
    (levels_a, a), (levels_b, b) = curve(clean_a, robust_a), curve(clean_b, robust_b)
    knots = np.unique(np.clip(np.concatenate([levels_a, levels_b, span]), *span))
    difference = np.interp(knots, levels_a, a) - np.interp(knots, levels_b, b)
    if len(knots) == 1:
        return float(difference[0])
    return float(np.trapezoid(difference, knots) / (knots[-1] - knots[0]))


def seed_differences(
    clean_a: np.ndarray, robust_a: np.ndarray, clean_b: np.ndarray, robust_b: np.ndarray
) -> np.ndarray:
    """`matched_difference` of each seed's own curves, (seeds,); all arrays are (seeds, weights).

    NaN for a seed whose curves share no clean accuracy.
    """
    found = [matched_difference(*curves) for curves in zip(clean_a, robust_a, clean_b, robust_b, strict=True)]
    return np.array(found, dtype=float)
