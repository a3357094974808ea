"""How well predicted responses match measured ones, voxel by voxel."""

from __future__ import annotations

import numpy as np

from neurobust.files.predictor_tables import LEAST_CEILING, RESAMPLES


def normalise_r(r: np.ndarray, noise_ceiling: np.ndarray, minimum: float = LEAST_CEILING) -> np.ndarray:
    """r / sqrt(NC / 100) per voxel; NaN where the ceiling (percent of variance) is below `minimum`.

    The noise ceiling is a share of variance, so the ceiling of a correlation is its square root.
    """
    share = np.where(noise_ceiling >= minimum, noise_ceiling, np.nan) / 100
    return r / np.sqrt(share)


def explained_fraction(
    predicted: np.ndarray, measured: np.ndarray, noise_ceiling: np.ndarray, minimum: float = LEAST_CEILING
) -> np.ndarray:
    """Fraction of explainable variance: (1 - SSE / SST) / (NC / 100) per voxel; NaN where the ceiling is too low.

    (N, V), (N, V), ceiling of the averages in percent (V,). Unlike a correlation it also counts errors of scale and
    offset, and is negative where the mean would predict better.
    """
    error = np.square(measured - predicted, dtype=np.float64).sum(0)
    spread = np.square(measured - measured.mean(0, dtype=np.float64)).sum(0)
    explained = 1 - np.divide(error, spread, out=np.full(len(error), np.nan), where=spread > 1e-12)
    return explained / (np.where(noise_ceiling >= minimum, noise_ceiling, np.nan) / 100)


def standardised(x: np.ndarray) -> np.ndarray:
    """Columns with mean 0 and norm 1, in float64; constant columns are 0."""
    x = x.astype(np.float64) - x.mean(0, dtype=np.float64)
    norm = np.sqrt(np.square(x).sum(0))
    return np.divide(x, norm, out=np.zeros_like(x), where=norm > 1e-12)


def bootstrap_interval(
    predicted: np.ndarray, measured: np.ndarray, rng: np.random.Generator, *, level: float = 0.95,
    resamples: int = RESAMPLES, voxel_batch: int = 2048,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Percentile interval of the correlation over images drawn with replacement: two (V,).

    All voxels share the draws, so their intervals can be compared. A draw is a vector of counts, and the correlation
    under counts is made of five matrix products.
    """
    n, voxels = measured.shape
    counts = rng.multinomial(n, np.full(n, 1 / n), resamples) / n  # (B, N)
    low, high = np.empty(voxels), np.empty(voxels)
    for start in range(0, voxels, voxel_batch):
        columns = slice(start, start + voxel_batch)
        a, b = standardised(predicted[:, columns]), standardised(measured[:, columns])
        mean_a, mean_b = counts @ a, counts @ b
        cross = counts @ (a * b) - mean_a * mean_b
        norm = np.sqrt(
            np.maximum(counts @ (a * a) - mean_a**2, 0) * np.maximum(counts @ (b * b) - mean_b**2, 0)
        )  # fmt: skip
        r = np.divide(cross, norm, out=np.zeros_like(cross), where=norm > 1e-15)
        low[columns], high[columns] = np.quantile(r, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return low, high


def permutation_p(
    predicted: np.ndarray, measured: np.ndarray, rng: np.random.Generator, permutations: int = RESAMPLES
) -> np.ndarray:
    """One-sided p (V,) of the correlation under random pairings of images: (1 + #{null >= r}) / (1 + permutations)."""
    a, b = standardised(predicted), standardised(measured)
    r = np.einsum("nv,nv->v", a, b)
    reached = np.zeros(len(r))
    for _ in range(permutations):
        reached += np.einsum("nv,nv->v", a[rng.permutation(len(a))], b) >= r - 1e-12
    return (1 + reached) / (1 + permutations)


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
