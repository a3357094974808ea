"""Principal components of responses, fitted on training images only."""

from __future__ import annotations

import numpy as np


def principal_components(responses: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of responses (N, V): mean (V,), components (V, R) by falling variance, and their variances (R,). float64.

    R is the rank. Signs are fixed (each component's largest entry is positive), so a fit is reproducible.
    """
    mean = responses.mean(0, dtype=np.float64)
    _, singular, rows = np.linalg.svd(responses - mean, full_matrices=False)
    rank = (
        int((singular > singular[:1] * max(responses.shape) * 1e-7).sum()) if len(singular) and singular[0] > 0 else 0
    )
    components = rows[:rank].T
    components *= np.sign(components[np.abs(components).argmax(0), np.arange(rank)])
    return mean, components, singular[:rank] ** 2 / max(len(responses) - 1, 1)


def count_components(variances: np.ndarray, share: float) -> int:
    """How many of the leading components hold at least this share of the variance."""
    held = np.cumsum(variances) / max(variances.sum(), 1e-300)
    return int(np.searchsorted(held, share - 1e-12) + 1) if len(variances) else 0
