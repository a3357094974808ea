"""Finished pieces of work, kept under a hash of everything that makes them, so that a killed job loses little.

A cell is one attack on up to CELL_IMAGES images of one network. Cells lie beside the outputs and are not declared to
the workflow, which would delete them with a failed job's outputs.
"""

from __future__ import annotations

import hashlib
import logging
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from neurobust.core.io import canonical_json, replacing
from neurobust.core.sources import closure

logger = logging.getLogger("neurobust")

# Images per cell. A constant and not a setting: it is part of what the cells' names stand for.
CELL_IMAGES = 256


@cache
def source_hash(*modules: str) -> str:
    """SHA-256 over the sources of this stage that these modules run: a changed attack never meets an old cell.

    The registries are left out: an attack that is added to the code keeps every finished cell.
    """
    ours, registries = Path(__file__).parent, ("methods.py", "kinds.py")
    files = frozenset().union(*(closure(module) for module in modules))
    digest = hashlib.sha256()
    for path in sorted(path for path in files if path.is_relative_to(ours) and path.name not in registries):
        digest.update(path.relative_to(ours).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def cell_path(folder: Path, **parts: Any) -> Path:
    """Where the cell with these parts (settings, hashes, seed, images) lies."""
    return folder / f"{hashlib.sha256(canonical_json(parts).encode()).hexdigest()}.npz"


def write_cell(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write a cell atomically."""
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)


def read_cell(path: Path, names: set[str]) -> dict[str, np.ndarray] | None:
    """Read a cell that has the arrays `names`; None where there is none or it is damaged (with a warning)."""
    if not path.exists():
        return None
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        if not names <= set(arrays):
            raise ValueError(f"lacks {sorted(names - set(arrays))}")
    except Exception as error:  # zip, npy and zlib each raise their own; whatever it is, the work is done again
        logger.warning("%s: damaged cell (%s), computed again", path, error)
        return None
    return arrays
