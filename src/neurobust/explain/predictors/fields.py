"""Fields of voxels in degrees of visual angle: those of a predictor beside the measured pRF maps."""

from __future__ import annotations

import numpy as np

from neurobust.core.correlation import pearson

FEWEST = 3  # voxels that have both, below which nothing is said
AXES = ("x", "y", "size")


def prf_fields(angle: np.ndarray, eccentricity: np.ndarray, size: np.ndarray) -> np.ndarray:
    """NSD's pRF maps as (V, 3) of x, y and size in degrees.

    `angle` is in degrees, 0 to the right and 90 up; the others are in degrees of visual angle.
    """
    radians = np.radians(angle)
    return np.stack([eccentricity * np.cos(radians), eccentricity * np.sin(radians), size], 1)


def have_both(fields: np.ndarray, prf: np.ndarray) -> np.ndarray:
    """Rows of fields (V, 3) and pRFs (V, 3) that are finite in both."""
    return np.flatnonzero(np.isfinite(fields).all(1) & np.isfinite(prf).all(1))


def compare_fields(fields: np.ndarray, prf: np.ndarray) -> dict[str, float | int | None]:
    """How fields (V, 3) agree with pRFs (V, 3), both x, y, size in degrees, over the voxels that have both.

    Medians of the distance of centres (degrees) and of the ratio of sizes; correlations of x, y, eccentricity, size.
    """
    both = have_both(fields, prf)
    a, b = fields[both], prf[both]
    if len(a) < FEWEST:
        missing = ("centre_error", "size_ratio", "r_x", "r_y", "r_eccentricity", "r_size")
        return {"voxels": len(a), **dict.fromkeys(missing)}
    columns = [np.column_stack([f, np.hypot(f[:, 0], f[:, 1])]) for f in (a, b)]
    r_x, r_y, r_size, r_eccentricity = (float(value) for value in pearson(*columns))
    return {
        "voxels": len(a),
        "centre_error": float(np.median(np.hypot(*(a - b)[:, :2].T))),
        "size_ratio": float(np.median(a[:, 2] / np.maximum(b[:, 2], 1e-6))),
        "r_x": r_x, "r_y": r_y, "r_eccentricity": r_eccentricity, "r_size": r_size,
    }  # fmt: skip


def field_intervals(
    fields: np.ndarray, prf: np.ndarray, rng: np.random.Generator, *, resamples: int = 1000, level: float = 0.95
) -> dict[str, tuple[float, float]]:
    """Percentile intervals of the correlations of x, y and size over voxels drawn with replacement; NaN below three.

    Neighbouring voxels share noise and fields, so the intervals are a little too narrow.
    """
    both = have_both(fields, prf)
    if len(both) < FEWEST:
        return dict.fromkeys(AXES, (float("nan"), float("nan")))
    drawn = both[rng.integers(len(both), size=(resamples, len(both)))]  # draws, voxels
    r = np.stack([pearson(fields[drawn, k].T, prf[drawn, k].T) for k in range(3)])
    low, high = np.quantile(r, [(1 - level) / 2, (1 + level) / 2], axis=1)
    return {axis: (float(low[k]), float(high[k])) for k, axis in enumerate(AXES)}


def chance_fields(
    fields: np.ndarray, prf: np.ndarray, rng: np.random.Generator, permutations: int = 1000
) -> dict[str, float]:
    """The 95 % quantile of |r| of x, y and size where the pRFs are dealt out among the voxels at random."""
    both = have_both(fields, prf)
    if len(both) < FEWEST:
        return dict.fromkeys(AXES, float("nan"))
    dealt = both[np.argsort(rng.random((permutations, len(both))), 1)]
    kept = np.broadcast_to(both, dealt.shape)
    return {
        axis: float(np.quantile(np.abs(pearson(fields[kept, k].T, prf[dealt, k].T)), 0.95))
        for k, axis in enumerate(AXES)
    }
