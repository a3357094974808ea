"""How well predicted responses match measured ones, voxel by voxel."""

from __future__ import annotations

import numpy as np


def pearson(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Correlation of matching columns of (N, V) arrays: (V,); 0 where a column is constant. float64 inside."""
    a = a.astype(np.float64) - a.mean(0, dtype=np.float64)
    b = b.astype(np.float64) - b.mean(0, dtype=np.float64)
    norm = np.sqrt((a * a).sum(0) * (b * b).sum(0))
    return np.divide((a * b).sum(0), norm, out=np.zeros(a.shape[1]), where=norm > 1e-12)


def normalise_r(r: np.ndarray, noise_ceiling: np.ndarray, minimum: float = 1.0) -> np.ndarray:
    """r / sqrt(NC / 100) per voxel; NaN where the ceiling (percent of variance) is below `minimum`.

    The noise ceiling is a share of variance, so the ceiling of a correlation is its square root.
    """
    share = np.where(noise_ceiling >= minimum, noise_ceiling, np.nan) / 100
    return r / np.sqrt(share)


def summarise(r: np.ndarray, noise_ceiling: np.ndarray) -> dict[str, float | int | None]:
    """Medians over voxels for a table; None where nothing is defined (an empty ROI)."""

    def median(values: np.ndarray) -> float | None:
        values = values[np.isfinite(values)]
        return float(np.median(values)) if len(values) else None

    return {
        "voxels": len(r),
        "median_r": median(r),
        "median_noise_ceiling": median(noise_ceiling),
        "median_r_normalised": median(normalise_r(r, noise_ceiling)),
    }
