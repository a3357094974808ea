"""Finished pieces of work, kept under a hash of everything that makes them, so that a killed job loses little.

A cell is one attack on some images of one network. Cells lie beside the outputs and are not declared to the workflow,
which would delete them with a failed job's outputs.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Collection, Mapping
from functools import cache
from pathlib import Path

import numpy as np

from neurobust.core.io import canonical_json
from neurobust.core.sources import PACKAGE, closure, source_hash

logger = logging.getLogger("neurobust")

Parts = Mapping[str, object]  # what a cell is known by: settings and hashes of sources and files, as JSON types

OURS = Path(__file__).parents[1]
# Lists of names: an attack that is added to the code keeps every finished cell.
REGISTRIES = ("registry.py",)


@cache
def cell_sources(*modules: str) -> tuple[Path, ...]:
    """The sources of this stage and of packages outside that these modules run, sorted, registries left out."""
    files: frozenset[Path] = frozenset().union(*(closure(module) for module in modules))
    chosen = (path for path in files if path.is_relative_to(OURS) or not path.is_relative_to(PACKAGE))
    return tuple(sorted(path for path in chosen if path.name not in REGISTRIES))


@cache
def cell_hash(*modules: str) -> str:
    """A hash of the sources that these modules run (`cell_sources`): a changed attack never meets an old cell."""
    return source_hash(cell_sources(*modules))


def cell_path(folder: Path, parts: Parts) -> Path:
    """Where the cell with these parts (settings, hashes, seed, images) lies."""
    return folder / f"{hashlib.sha256(canonical_json(dict(parts)).encode()).hexdigest()}.npz"


def read_cell(path: Path, names: Collection[str]) -> dict[str, np.ndarray] | None:
    """Read a cell that has the arrays `names`; None where there is none or it is damaged (with a warning)."""
    if not path.exists():
        return None
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        if missing := sorted(set(names) - set(arrays)):
            raise ValueError(f"lacks {missing}")
    except Exception as error:  # zip, npy and zlib each raise their own; whatever it is, the work is done again
        logger.warning("%s: damaged cell (%s), computed again", path, error)
        return None
    return arrays
