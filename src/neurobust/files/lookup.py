"""Where ids lie in an ascending list of ids."""

from __future__ import annotations

import numpy as np


def find_rows(wanted: np.ndarray, present: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(rows (n,) of `present`, ascending, that hold `wanted` (n,); found (n,) bool: whether each is really there)."""
    rows = np.searchsorted(present, wanted)
    found = rows < len(present)
    found[found] = present[rows[found]] == wanted[found]
    return rows, found
