"""Correlation of matching columns, and ranks."""

from __future__ import annotations

import numpy as np


def pearson(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Correlation of matching columns of (N, V) arrays: (V,); 0 where a column is constant. float64 inside."""
    a = a.astype(np.float64) - a.mean(0, dtype=np.float64)
    b = b.astype(np.float64) - b.mean(0, dtype=np.float64)
    norm = np.sqrt((a * a).sum(0) * (b * b).sum(0))
    r: np.ndarray = np.divide((a * b).sum(0), norm, out=np.zeros(a.shape[1]), where=norm > 1e-12)
    return r


def ranks(values: np.ndarray) -> np.ndarray:
    """Ranks (n,) of numbers (n,) from 1, ties at their mean: what scipy's `rankdata` gives, without its import, which
    costs a job of a small network more than all that it measures."""
    _, where, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    found: np.ndarray = (last - (counts - 1) / 2)[where]
    return found
