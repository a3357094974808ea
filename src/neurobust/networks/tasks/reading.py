"""What the readers of tasks share: splits and sources."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from neurobust.core.errors import InputError
from neurobust.core.seeding import numpy_rng


def stratified_split(labels: np.ndarray, fractions: Sequence[float], *stream: object) -> np.ndarray:
    """Split index (N,) uint8 with the given fractions (summing to 1) in every class, drawn from a named stream."""
    rng = numpy_rng(*stream)
    split = np.empty(len(labels), np.uint8)
    for label in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == label))
        ends = np.rint(np.cumsum(fractions) * len(rows)).astype(int)
        split[rows] = np.searchsorted(ends, np.arange(len(rows)), side="right")
    return split


def required_source(source: Path | None, kind: str, brings: str) -> Path:
    """The file or folder that a reader wants; an InputError that says what to give (`brings`) where there is none."""
    if source is None or not Path(source).exists():
        raise InputError(f"task kind '{kind}': source {source or 'is missing and'} does not exist; give {brings}")
    return Path(source)
