"""Moment matching: one set of responses given the mean, covariance and so the spectrum of another."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

TOLERANCE = 1e-8  # smallest share of the first component's variance that float32 responses carry with meaning
ROWS = 4096  # images mapped at a time: bounds the float64 copy


@dataclass(frozen=True)
class MomentMap:
    """(x - mean) @ weight + bias, float64: mean (d,), weight (d, v), bias (v,)."""

    mean: np.ndarray
    weight: np.ndarray
    bias: np.ndarray

    def __call__(self, responses: np.ndarray) -> np.ndarray:
        """Responses (N, d) mapped to float32 (N, v)."""
        mapped = np.empty((len(responses), len(self.bias)), np.float32)
        for start in range(0, len(responses), ROWS):
            block = responses[start : start + ROWS].astype(np.float64)
            mapped[start : start + ROWS] = (block - self.mean) @ self.weight + self.bias
        return mapped


def match_moments(source: np.ndarray, target: np.ndarray) -> MomentMap:
    """The map that gives `source` (N, d) the mean and covariance of `target` (N, v) over these N images.

    The k-th principal pattern of the source over the images takes the place of the k-th of the target: with the
    source's U S V' and the target's A B C', the result is U B C'. Dimension, variance of every voxel, covariance and
    spectrum are then the target's, and which image evokes what is the source's. Where the source has fewer components
    than the target, the total variance is kept. Memory: about 24 (d^2 + v^2) bytes.
    """
    mean, spread, patterns = principal(source)
    bias, wanted, voxels = principal(target)
    count = min(len(spread), len(wanted))
    gain = wanted[:count] / spread[:count] * np.sqrt((wanted**2).sum() / max((wanted[:count] ** 2).sum(), 1e-300))
    return MomentMap(mean, (patterns[:, :count] * gain) @ voxels[:, :count].T, bias)


def principal(responses: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean (v,), SD of each principal component (k,), descending, and its axis (v, k), all float64.

    Components below TOLERANCE of the first one's variance are left out; each axis has its largest entry positive.
    """
    mean = responses.mean(0, dtype=np.float64)
    count, width = responses.shape
    if count < width:  # the same by way of the images
        _, sizes, axes = np.linalg.svd(responses - mean, full_matrices=False)
        values, axes = sizes**2 / count, axes.T
    else:
        covariance = np.zeros((width, width))
        for start in range(0, count, ROWS):
            block = responses[start : start + ROWS].astype(np.float64) - mean
            covariance += block.T @ block
        values, axes = np.linalg.eigh(covariance / count)
        values, axes = values[::-1], axes[:, ::-1]
    kept = values > TOLERANCE * max(values[0], 1e-300)
    values, axes = values[kept], axes[:, kept]
    largest = np.abs(axes).argmax(0)
    return mean, np.sqrt(values), axes * np.sign(axes[largest, np.arange(axes.shape[1])])
