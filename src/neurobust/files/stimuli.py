"""`stimuli/{subject}/{size}.h5`: the images that a subject saw, resized once and memory-mapped from then on."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from neurobust.core.errors import InputError
from neurobust.core.io import Provenance, canonical_json, memmap_dataset, replacing
from neurobust.core.unreadable import unreadable
from neurobust.files.lookup import find_rows


@dataclass(frozen=True)
class Stimuli:
    """images uint8 (M, S, S, 3), memory-mapped; nsd_id int64 (M,), ascending: the image of each row."""

    path: Path
    images: np.ndarray
    nsd_id: np.ndarray

    @property
    def side(self) -> int:
        """Side of the images in pixels."""
        return int(self.images.shape[1])

    def rows(self, nsd_id: np.ndarray, of: Path) -> np.ndarray:
        """Rows (n,) of the images (n,) that the file `of` names; InputError if a picture is missing."""
        rows, found = find_rows(nsd_id, self.nsd_id)
        if not found.all():
            raise InputError(
                f"{self.path}: no picture for nsd_id {nsd_id[~found][0]} of {of}; delete both files and run again"
            )
        return rows


def stimuli_path(results: Path | str, subject: str, size: int | str) -> Path:
    """Where the images of a subject at a side of `size` pixels lie."""
    return Path(results) / "stimuli" / subject / f"{size}.h5"


def write_stimuli(
    path: Path, nsd_id: np.ndarray, size: int, blocks: Iterable[np.ndarray], provenance: Callable[[], Provenance]
) -> None:
    """Write the images of a subject, atomically: `blocks` uint8 (n, size, size, 3) in the order of `nsd_id`.

    `provenance` is called when all blocks are written, so that their source may be digested while it is read.
    """
    import h5py

    row = 0
    with replacing(path) as temporary, h5py.File(temporary, "w") as file:
        images = file.create_dataset("images", (len(nsd_id), size, size, 3), np.uint8)
        for block in blocks:
            images[row : row + len(block)] = block
            row += len(block)
        file["nsd_id"] = nsd_id.astype(np.int64)
        file.attrs["provenance"] = canonical_json(provenance())


def read_stimuli(path: Path) -> Stimuli:
    """Open the images of a subject; InputError for a file that is unreadable or lacks a part."""
    import h5py

    path = Path(path)
    try:
        with h5py.File(path, "r") as file:
            if "nsd_id" not in file:
                raise InputError(f"{path}: no dataset 'nsd_id' (has {sorted(file)}); delete the file and run again")
            nsd_id = file["nsd_id"][()]
    except OSError as error:
        raise unreadable(path, error, "not a readable file of stimuli; delete it and run again") from error
    images = memmap_dataset(path, "images")
    if len(images) != len(nsd_id):
        raise InputError(f"{path}: {len(images)} images but {len(nsd_id)} ids; delete the file and run again")
    return Stimuli(path, images, nsd_id)
