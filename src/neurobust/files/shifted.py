"""`attacks/{task}/shifted/{set}.h5`: a published test set as a task's networks are shown it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
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
class ShiftedImages:
    """What the images are: labels int64 (n,), classes of the task; every type at every severity shows these n. classes
    int64 (k,): those that the published set shows, whether or not an image of each was drawn."""

    task: str
    kind: str
    types: Sequence[str]
    severities: Sequence[int]
    labels: np.ndarray
    classes: np.ndarray


@dataclass(frozen=True)
class ShiftedFile(ShiftedImages):
    """An open file: `images` uint8 (types, severities, n, S, S, 3), a chunk per image."""

    provenance: Provenance
    images: h5py.Dataset


def shifted_path(results: Path | str, task: str, name: str) -> Path:
    """Where a set lies, by the name that the study gives it."""
    return Path(results) / "attacks" / task / "shifted" / f"{name}.h5"


def write_shifted(
    path: Path, found: ShiftedImages, side: int, blocks: Iterable[np.ndarray], record: Callable[[], Provenance]
) -> None:
    """Write a set, atomically: blocks of images uint8 (m, side, side, 3), by type, then by severity, then by row.

    record: the provenance, asked for once the blocks are drawn. Raises InputError where there are too few or too many.
    """
    import h5py

    size, shape = (len(found.types), len(found.severities), len(found.labels)), (side, side, 3)
    with replacing(path) as temporary, h5py.File(temporary, "w") as file:
        images = file.create_dataset(
            "images", (*size, *shape), np.uint8, chunks=(1, 1, 1, *shape), compression="gzip", compression_opts=1
        )
        every = (image for block in blocks for image in block)
        try:
            for place, image in zip(np.ndindex(size), every, strict=True):
                images[place] = image
        except ValueError as error:  # of zip: one of the two is longer
            raise InputError(f"{path}: not {size} images in the set's files ({error}); complete the set") from error
        file["labels"], file["classes"] = found.labels.astype(np.int64), found.classes.astype(np.int64)
        file.attrs["types"], file.attrs["severities"] = canonical_json(found.types), canonical_json(found.severities)
        file.attrs["task"], file.attrs["kind"] = found.task, found.kind
        file.attrs["provenance"] = canonical_json(record())


@contextmanager
def open_shifted(path: Path) -> Iterator[ShiftedFile]:
    """Open a set; InputError for a file that is unreadable or lacks a part."""
    import h5py

    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise unreadable(path, error, "not a readable file of shifted images; delete it, run again") from error
    with file:
        try:
            types, severities, record = (json.loads(file.attrs[name]) for name in ("types", "severities", "provenance"))
            found = ShiftedFile(
                str(file.attrs["task"]), str(file.attrs["kind"]), types, severities, file["labels"][:],
                file["classes"][:], record, file["images"],
            )  # fmt: skip
        except KeyError as error:
            raise InputError(f"{path}: lacks a part of shifted images ({error}); delete it and run again") from error
        yield found
