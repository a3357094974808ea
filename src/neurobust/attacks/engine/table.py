"""What every evaluation writes: rows per image and budget, attributes of a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from neurobust.attacks.engine.run import Arrays
from neurobust.attacks.engine.subject import Bench, Subject


def rows_of(images: np.ndarray, axis: str, budgets: Sequence[float], columns: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """One row per image (N,) and budget (B), in this order; columns are (N,) or (N, B). `axis`: the budgets' name."""
    size = len(budgets)
    frame = {"image": np.repeat(images, size), axis: np.tile(np.array(budgets, dtype=np.float64), len(images))}
    for name, values in columns.items():
        frame[name] = np.repeat(values, size) if values.ndim == 1 else values.ravel()
    return pd.DataFrame(frame)


def attributes(
    subject: Subject, bench: Bench, attack: str, settings: Mapping[str, Any], cell: Arrays, counts: Sequence[str]
) -> dict[str, Any]:
    """What travels in every table beside its rows; `counts` names the columns of the cell's `counts`."""
    return {
        "task": bench.data.task, "seed": subject.seed, **subject.names, "attack": attack, "settings": settings,
        "seconds": float(cell["seconds"].sum()), "verification": verification(cell, counts),
    }  # fmt: skip


def verification(cell: Arrays, counts: Sequence[str]) -> dict[str, int]:
    """What the verification of a cell counted, by name."""
    return dict(zip(counts, cell["counts"].sum(0).tolist(), strict=True))
