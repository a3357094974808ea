"""Many tests at once: the share of false finds."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


def false_discovery(p_values: ArrayLike) -> np.ndarray:
    """q of each p (m,): those up to q are a set with false discovery rate q (Benjamini and Hochberg 1995).

    NaN stays, and counts for nothing. What scipy's `false_discovery_control` gives, without its import.
    """
    p = np.asarray(p_values, float)
    q = np.full(len(p), np.nan)
    there = np.flatnonzero(np.isfinite(p))
    order = there[np.argsort(p[there])]
    scaled = p[order] * len(order) / np.arange(1, len(order) + 1)
    q[order] = np.minimum.accumulate(scaled[::-1])[::-1].clip(max=1)
    return q
