"""Fields of voxels in degrees of visual angle: those of a predictor beside the measured pRF maps."""

from __future__ import annotations

import numpy as np

from neurobust.predictors.evaluate import pearson


def prf_fields(angle: np.ndarray, eccentricity: np.ndarray, size: np.ndarray) -> np.ndarray:
    """NSD's pRF maps as (V, 3) of x, y and size in degrees.

    `angle` is in degrees, 0 to the right and 90 up; the others are in degrees of visual angle.
    """
    radians = np.radians(angle)
    return np.stack([eccentricity * np.cos(radians), eccentricity * np.sin(radians), size], 1)


def compare_fields(fields: np.ndarray, prf: np.ndarray) -> dict[str, float | int | None]:
    """How fields (V, 3) agree with pRFs (V, 3), both x, y, size in degrees, over the voxels that have both.

    Medians of the distance of centres (degrees) and of the ratio of sizes; correlations of x, y, eccentricity, size.
    """
    both = np.isfinite(fields).all(1) & np.isfinite(prf).all(1)
    a, b = fields[both], prf[both]
    if len(a) < 3:
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
