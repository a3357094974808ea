"""The codes of `split` in every file of the contract, and the rows that they name."""

from __future__ import annotations

import numpy as np

TRAIN, VALIDATION, TEST = 0, 1, 2


def rows_of(split: np.ndarray, code: int, most: int | None = None) -> np.ndarray:
    """Ascending rows (n,) of one split of (N,), at most the first `most`."""
    return np.flatnonzero(split == code)[:most]
