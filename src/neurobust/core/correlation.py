"""Correlation of matching columns."""

from __future__ import annotations

import numpy as np


def pearson(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Correlation of matching columns of (N, V) arrays: (V,); 0 where a column is constant. float64 inside."""
    a = a.astype(np.float64) - a.mean(0, dtype=np.float64)
    b = b.astype(np.float64) - b.mean(0, dtype=np.float64)
    norm = np.sqrt((a * a).sum(0) * (b * b).sum(0))
    r: np.ndarray = np.divide((a * b).sum(0), norm, out=np.zeros(a.shape[1]), where=norm > 1e-12)
    return r
