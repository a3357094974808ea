"""Only the images that a subject saw, out of the bucket's one file of all 73,000 (39.6 GB), by ranged reads."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from neurobust.core.errors import InputError
from neurobust.core.io import replacing, sha256_file, write_json
from neurobust.core.locks import alone
from neurobust.core.unreadable import OutOfReach, unreadable
from neurobust.nsd import layout
from neurobust.nsd.betas import HDF5_ERRORS
from neurobust.nsd.bucket import Listed, Source, connect, find, read_range, retrying
from neurobust.nsd.design import load_design
from neurobust.nsd.download import WORKERS, download
from neurobust.nsd.header import one_line_errors
from neurobust.nsd.layout import Root
from neurobust.nsd.manifest import Record, add_record, key_of
from neurobust.nsd.stimuli import check_brick_shape, open_brick
from neurobust.nsd.transfer import PIECE, Piece, fetch_pieces, lock_path, partial_paths

logger = logging.getLogger("neurobust")


def fetch_stimuli(
    source: Callable[[], Source], root: Root, subject: str, n_sessions: int, output: Path, workers: int = WORKERS
) -> None:
    """Write `imgBrick` uint8 (images, S, S, 3) and `nsd_id` (ascending, 0-based) of what a subject saw to `output`.

    Rows are fetched by their byte ranges, which needs a contiguous imgBrick; for any other layout the whole file is
    fetched once into the mirror and the rows are copied. A killed transfer goes on where it was. A file that has all
    of these images stays as it is: one of more sessions than asked for is another study's. `source` is asked for only
    where something has to be fetched: not where the mirror has the whole file.
    """
    design = load_design(root)
    images = np.unique(design.nsd_ids(subject, n_sessions)).astype(np.int64)
    with alone(lock_path(output), f"{output}"):
        if has_images(output, images):
            logger.info("%s: has all %d images already", output, len(images))
        elif theirs := next((p for p in layout.their_stimuli(root, subject) if has_images(p, images)), None):
            link(theirs, output)
            logger.info("%s: a link to %s, which has all %d images", output, theirs, len(images))
        elif (whole := layout.stimuli(root)).exists():
            copy_rows(whole, design.pool, images, output)
            logger.info("%s: %d images of %s", output, len(images), whole)
        else:
            fetch_images(source(), root, design.pool, images, output, n_sessions, workers)


def link(path: Path, output: Path) -> None:
    """Make `output` a link to a file that is there."""
    output.parent.mkdir(parents=True, exist_ok=True)
    made = output.with_name(f"{output.name}.link")
    made.unlink(missing_ok=True)
    made.symlink_to(path.resolve())
    made.replace(output)


def has_images(path: Path, images: np.ndarray) -> bool:
    """Whether a file of single images is there and has all of `images`; OutOfReach where it cannot be looked at."""
    try:
        with h5py.File(path, "r") as file:
            return bool(np.isin(images, file["nsd_id"][()]).all()) and len(file["imgBrick"]) == len(file["nsd_id"])
    except (*HDF5_ERRORS, ValueError) as error:
        if isinstance(problem := unreadable(path, error, "damaged; "), OutOfReach):
            raise problem from error
        return False


def fetch_images(
    source: Source, root: Root, pool: int, images: np.ndarray, output: Path, sessions: int, workers: int = WORKERS
) -> None:
    """Write the `images` (ascending, seen in so many sessions) of the `pool` in the bucket to `output`; record it."""
    path = layout.stimuli(root)
    key, client = key_of(root, path), connect(source, workers)
    listed = find(client, key)
    shape, offset = brick_layout(client, listed, pool)
    if offset is None:
        logger.info("imgBrick is not contiguous: fetching the whole file")
        download(source, root, path)
        copy_rows(path, pool, images, output)
    else:
        part, journal = partial_paths(output)
        target = prepare(part, journal, images, shape[1:])
        fetch_pieces(
            client, listed, row_pieces(images, int(np.prod(shape[1:])), offset, target), part, journal, workers
        )
        part.replace(output)
        journal.unlink(missing_ok=True)
    record: Record = {
        "key": output.relative_to(layout.ours(root)).as_posix(),
        "size": output.stat().st_size,
        "etag": listed.etag,
        "sha256": sha256_file(output),
        "last_modified": listed.modified,
        "facts": {
            "images": len(images), "sessions": sessions, "shape": list(shape), "contiguous": offset is not None,
        },
    }  # fmt: skip
    add_record(root, record)
    logger.info("%s: %d images of %s", output, len(images), key)


class RemoteFile(io.RawIOBase):
    """A file of the bucket to read and seek in, a block at a time: enough for HDF5 to find its way."""

    BLOCK = 1 << 20

    def __init__(self, client: Any, listed: Listed):
        super().__init__()
        self.client, self.listed, self.at = client, listed, 0
        self.blocks: dict[int, bytes] = {}

    def readable(self) -> bool:
        """It can be read."""
        return True

    def seekable(self) -> bool:
        """It can be read from anywhere."""
        return True

    def tell(self) -> int:
        """The byte that is read next."""
        return self.at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a byte, from the start, from here or from the end; the byte that is read next."""
        self.at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self.at, io.SEEK_END: self.listed.size}[whence]
        return self.at

    def readinto(self, buffer) -> int:
        """Fill a buffer from the block that is under the reading head; the bytes that came, 0 at the end."""
        index, start = divmod(self.at, self.BLOCK)
        block = self.block(index) if self.at < self.listed.size else b""
        piece = block[start : start + len(buffer)]
        buffer[: len(piece)] = piece
        self.at += len(piece)
        return len(piece)

    def block(self, index: int) -> bytes:
        """A block of the file, fetched once."""
        if index not in self.blocks:
            start, stop = index * self.BLOCK, min(self.listed.size, (index + 1) * self.BLOCK)
            read = lambda: b"".join(read_range(self.client, self.listed, start, stop))  # noqa: E731
            self.blocks[index] = retrying(read, self.listed.key)
        return self.blocks[index]


def brick_layout(client: Any, listed: Listed, pool: int) -> tuple[tuple[int, ...], int | None]:
    """(shape of imgBrick, byte at which its first image lies), None for a layout that is not contiguous."""
    remote = io.BufferedReader(RemoteFile(client, listed), RemoteFile.BLOCK)
    with one_line_errors(Path(listed.key), HDF5_ERRORS), h5py.File(remote, "r") as file:
        brick = file.get("imgBrick")
        check_brick_shape(Path(listed.key), file, pool)
        offset = brick.id.get_offset() if brick.chunks is None else None
        if offset is not None and offset + brick.size > listed.size:
            raise InputError(f"{listed.key}: shorter than its imgBrick {brick.shape}; is the server's copy whole?")
        return brick.shape, offset


def row_pieces(images: np.ndarray, row_bytes: int, source: int, target: int, largest: int = PIECE) -> list[Piece]:
    """The byte ranges of `images` (ascending); neighbours go together up to `largest` bytes."""
    starts = np.flatnonzero(np.diff(images, prepend=-2) != 1)
    ends = np.r_[starts[1:], len(images)]
    step = max(1, largest // row_bytes)
    return [
        Piece(source + int(images[at]) * row_bytes, target + at * row_bytes, (min(at + step, end) - at) * row_bytes)
        for start, end in zip(starts.tolist(), ends.tolist(), strict=True)
        for at in range(start, end, step)
    ]


def prepare(part: Path, journal: Path, images: np.ndarray, image_shape: tuple[int, ...]) -> int:
    """Byte in `part` at which the rows go; an empty file of the right size is made unless one is there already."""
    shape = (len(images), *image_shape)
    try:
        with h5py.File(part, "r") as file:
            if file["imgBrick"].shape == shape and np.array_equal(file["nsd_id"], images):
                return file["imgBrick"].id.get_offset()
    except (*HDF5_ERRORS, ValueError):
        pass
    journal.unlink(missing_ok=True)
    part.unlink(missing_ok=True)
    part.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(part, "w") as file:
        file["nsd_id"] = images
        properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        properties.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
        properties.set_fill_time(h5py.h5d.FILL_TIME_NEVER)  # holes, and not 5 GB of zeros
        properties.set_obj_track_times(False)  # the same images give the same bytes
        space = h5py.h5s.create_simple(shape)
        return h5py.h5d.create(file.id, b"imgBrick", h5py.h5t.STD_U8LE, space, properties).get_offset()


def copy_rows(path: Path, pool: int, images: np.ndarray, output: Path) -> None:
    """Copy `images` out of a whole local file."""
    with open_brick(path, pool) as source, replacing(output) as temporary, h5py.File(temporary, "w") as file:
        brick = source["imgBrick"]
        file["nsd_id"] = images
        target = file.create_dataset("imgBrick", (len(images), *brick.shape[1:]), np.uint8)
        for row, image in enumerate(images):
            target[row] = brick[image]


def fetch_shared(source: Callable[[], Source], root: Root, output: Path, workers: int = WORKERS) -> None:
    """Bring the PNGs of the shared images, whose names follow from the design, and list them in `output`.

    `source` is asked for only where one is missing.
    """
    design = load_design(root)
    paths = [layout.shared_png(root, number, int(image)) for number, image in enumerate(design.shared, start=1)]
    todo = [path for path in paths if not path.exists()]
    if todo:
        server = source()
        connect(server, workers)  # before the threads: all use this one
        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(lambda path: download(server, root, path, workers=workers), todo))
    write_json(output, {"files": [key_of(root, path) for path in paths]})
