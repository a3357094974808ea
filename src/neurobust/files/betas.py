"""`cortex/{subject}/betas.h5`: the single-trial betas of every labelled voxel of a subject, extracted once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from neurobust.core.errors import InputError
from neurobust.core.io import Provenance, canonical_json, replacing
from neurobust.core.unreadable import unreadable

if TYPE_CHECKING:
    import h5py

CHUNK_VOXELS = 128  # an ROI reads the chunks that hold its voxels, not the whole file
INDEX = ("voxel_index", "nsd_id", "session")  # in the order in which they are written


@dataclass(frozen=True)
class BetasIndex:
    """What the rows (trials) and columns (voxels) of a subject's betas are.

    voxel_index int64 (voxels,) ascending, C-order flat index into `shape` (X, Y, Z), which `affine` (4, 4) places in
    mm; nsd_id int64 (trials,), 0-based; session int16 (trials,), from 1. space and version: NSD's names of the
    preparation.
    """

    subject: str
    shape: tuple[int, int, int]
    affine: np.ndarray
    voxel_index: np.ndarray
    nsd_id: np.ndarray
    session: np.ndarray
    space: str = field(default="func1pt8mm", kw_only=True)
    version: str = field(default="b3", kw_only=True)


@dataclass(frozen=True)
class BetasFile(BetasIndex):
    """An open file: `betas` int16 (trials, voxels), percent signal change x 300; `sha256` is that of the arrays."""

    betas: h5py.Dataset
    sha256: str

    def columns(self, wanted: np.ndarray) -> np.ndarray:
        """int16 (trials, n) betas of ascending columns (n,), reading only the chunks that hold them."""
        width = self.betas.chunks[1]
        result = np.empty((self.betas.shape[0], len(wanted)), np.int16)
        for block in np.unique(wanted // width):
            here = np.flatnonzero(wanted // width == block)
            result[:, here] = self.betas[:, block * width : (block + 1) * width][:, wanted[here] - block * width]
        return result


def betas_path(results: Path | str, subject: str) -> Path:
    """Where the betas of a subject lie."""
    return Path(results) / "cortex" / subject / "betas.h5"


def write_betas(
    path: Path, index: BetasIndex, sessions: Iterable[np.ndarray], provenance: Callable[[], Provenance]
) -> None:
    """Write the betas of a subject, atomically, session by session: int16 (trials of the session, voxels) each.

    `provenance` is called when all sessions are written, since their digests are known only then.
    """
    import h5py

    trials, voxels = len(index.nsd_id), len(index.voxel_index)
    longest = int(np.unique(index.session, return_counts=True)[1].max())
    digest, row = hashlib.sha256(), 0
    with replacing(path) as temporary, h5py.File(temporary, "w") as file:
        chunks = (longest, min(CHUNK_VOXELS, voxels))
        dataset = file.create_dataset("betas", (trials, voxels), np.int16, chunks=chunks)
        for session in sessions:
            dataset[row : row + len(session)] = session
            digest.update(session.data)
            row += len(session)
        for name in INDEX:
            values = getattr(index, name)
            file[name] = values
            digest.update(values.data)
        file.attrs.update(
            affine=index.affine, shape=np.array(index.shape), subject=index.subject, sha256=digest.hexdigest(),
            space=index.space, version=index.version, provenance=canonical_json(provenance()),
        )  # fmt: skip


@contextmanager
def open_betas(path: Path) -> Iterator[BetasFile]:
    """Open the betas of a subject; InputError for a file that is unreadable or lacks a part."""
    import h5py

    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise unreadable(path, error, "not a readable betas file; delete it and run again") from error
    with file:
        try:
            arrays = {name: file[name][()] for name in INDEX}
            x, y, z = (int(n) for n in file.attrs["shape"])
            found = BetasFile(
                subject=str(file.attrs["subject"]), shape=(x, y, z), affine=file.attrs["affine"], betas=file["betas"],
                sha256=str(file.attrs["sha256"]),
                # a file of an earlier copy has neither, and its sessions may be gone
                space=str(file.attrs.get("space", "func1pt8mm")), version=str(file.attrs.get("version", "b3")),
                **arrays,
            )  # fmt: skip
        except (KeyError, ValueError) as error:
            raise InputError(f"{path}: lacks a part of a betas file ({error}); delete it and run again") from error
        yield found
