"""`attacks/{task}/corruptions.h5`: a task's corrupted test images, made once."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from neurobust.core.errors import InputError
from neurobust.core.io import Provenance, canonical_json, replacing
from neurobust.core.unreadable import unreadable

if TYPE_CHECKING:
    import h5py


@dataclass(frozen=True)
class Corrupted:
    """What the images are: `image` int64 (n,), the rows of dataset.h5; set: of strengths."""

    task: str
    set: str
    types: Sequence[str]
    severities: Sequence[int]
    image: np.ndarray
    provenance: Provenance


@dataclass(frozen=True)
class CorruptedFile(Corrupted):
    """An open file: `images` uint8 (types, severities, n, S, S, 3), a chunk per image."""

    images: h5py.Dataset


def corruptions_path(results: Path | str, task: str) -> Path:
    """Where a task's corrupted images lie."""
    return Path(results) / "attacks" / task / "corruptions.h5"


def write_corruptions(path: Path, found: Corrupted, shape: tuple[int, ...], images: Iterable[np.ndarray]) -> None:
    """Write corrupted images, atomically: each uint8 of `shape` (S, S, 3), by type, then by row, then by severity."""
    import h5py

    size = len(found.types), len(found.severities), len(found.image)
    with replacing(path) as temporary, h5py.File(temporary, "w") as file:
        corrupted = file.create_dataset(
            "images", (*size, *shape), np.uint8, chunks=(1, 1, 1, *shape), compression="gzip", compression_opts=1
        )
        file["image"] = found.image
        file.attrs["types"], file.attrs["severities"] = canonical_json(found.types), canonical_json(found.severities)
        file.attrs["set"], file.attrs["task"] = found.set, found.task
        file.attrs["provenance"] = canonical_json(found.provenance)
        places = ((kind, level, row) for kind in range(size[0]) for row in range(size[2]) for level in range(size[1]))
        for place, image in zip(places, images, strict=True):
            corrupted[place] = image


@contextmanager
def open_corruptions(path: Path) -> Iterator[CorruptedFile]:
    """Open a task's corrupted images; InputError for a file that is unreadable or lacks a part."""
    import h5py

    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise unreadable(path, error, "not a readable file of corrupted images; delete it, run again") from error
    with file:
        try:
            types, severities, record = (json.loads(file.attrs[name]) for name in ("types", "severities", "provenance"))
            found = CorruptedFile(
                str(file.attrs["task"]), str(file.attrs["set"]), types, severities, file["image"][:], record,
                file["images"],
            )  # fmt: skip
        except KeyError as error:
            raise InputError(f"{path}: lacks a part of corrupted images ({error}); delete it and run again") from error
        yield found
