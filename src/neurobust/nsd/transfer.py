"""Pieces of a remote file, fetched side by side into a local one; a killed transfer is taken up where it was."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from neurobust.core.errors import InputError
from neurobust.core.io import canonical_json
from neurobust.core.progress import Progress
from neurobust.nsd.bucket import TRIES, Listed, Transient, read_range, wait

PIECE = 8 << 20  # bytes of a whole file that one request asks for


@dataclass(frozen=True)
class Piece:
    """`length` bytes from `source` in the remote file to `target` in the local one."""

    source: int
    target: int
    length: int


def whole(size: int, piece: int = PIECE) -> list[Piece]:
    """A file of `size` bytes as pieces."""
    return [Piece(at, at, min(piece, size - at)) for at in range(0, size, piece)]


class Journal:
    """Which pieces a half-fetched file has: a header that names the remote file, then a number per line."""

    def __init__(self, path: Path, listed: Listed, pieces: Sequence[Piece]):
        self.path = path
        digest = hashlib.sha256(canonical_json([asdict(piece) for piece in pieces]).encode()).hexdigest()
        self.header = canonical_json({"key": listed.key, "etag": listed.etag, "size": listed.size, "pieces": digest})
        self.count = len(pieces)

    def read(self) -> set[int]:
        """The pieces that are there; none if the journal is missing, broken or of another file."""
        try:
            lines = self.path.read_text(encoding="utf-8").split("\n")[:-1]  # a torn last line does not count
            done = {int(line) for line in lines[1:]}
        except (OSError, ValueError):
            return set()
        return done if lines and lines[0] == self.header and done <= set(range(self.count)) else set()

    def start(self, done: set[int]) -> None:
        """Begin the journal again, with the pieces that are there."""
        self.path.write_text("\n".join([self.header, *map(str, sorted(done))]) + "\n", encoding="utf-8")

    def add(self, index: int) -> None:
        """Note that a piece is there."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(f"{index}\n")


class Meter:
    """Progress in MB with the rate, from several threads."""

    def __init__(self, total: int, done: int, label: str):
        self.progress = Progress(max(1, total // 1_000_000), f"{label} [MB]", done=done // 1_000_000)
        self.lock, self.start, self.bytes, self.shown = threading.Lock(), time.monotonic(), 0, 0

    def count(self, size: int) -> None:
        """Count bytes that came."""
        with self.lock:
            self.bytes += size
            whole_mb = self.bytes // 1_000_000 - self.shown
            if whole_mb:
                self.shown += whole_mb
                rate = self.bytes / 1e6 / max(time.monotonic() - self.start, 1e-3)
                self.progress.step(whole_mb, note=f"{rate:.1f} MB/s")


def partial_paths(path: Path) -> tuple[Path, Path]:
    """Where a file lies until it is whole, and its journal."""
    return path.with_name(f"{path.name}.part"), path.with_name(f"{path.name}.part.journal")


def lock_path(path: Path) -> Path:
    """The lock of who fetches a file, from its first byte until it is verified and in place."""
    return path.with_name(f"{path.name}.part.lock")


def fetch_pieces(client: Any, listed: Listed, pieces: Sequence[Piece], part: Path, journal: Path, workers: int) -> int:
    """Bring all `pieces` into the file `part`, which is made if need be; bytes fetched. The caller holds its lock.

    Pieces that `journal` says are there already are not asked for again. Raises InputError when the server gives up,
    the file changed or the disk is full; `part` and `journal` stay then, for the next run to go on.
    """
    size = max((piece.target + piece.length for piece in pieces), default=0)
    with opened(part) as handle:
        notes = Journal(journal, listed, pieces)
        done = notes.read() if os.fstat(handle).st_size >= size else set()
        todo = [index for index in range(len(pieces)) if index not in done]
        missing = sum(pieces[index].length for index in todo)
        check_space(part, missing)
        if os.fstat(handle).st_size < size:
            os.ftruncate(handle, size)
        notes.start(done)
        meter = Meter(sum(piece.length for piece in pieces), sum(pieces[i].length for i in done), Path(listed.key).name)
        stop = threading.Event()
        with ThreadPoolExecutor(workers) as pool:
            jobs = {pool.submit(fetch_piece, client, listed, pieces[i], handle, meter, stop): i for i in todo}
            try:
                for job in as_completed(jobs):
                    job.result()
                    notes.add(jobs[job])
            except BaseException:
                stop.set()
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        os.fsync(handle)
    return missing


def fetch_piece(client: Any, listed: Listed, piece: Piece, handle: int, meter: Meter, stop: threading.Event) -> None:
    """Bring one piece, going on after each failure with the byte that was reached."""
    at, failures = 0, 0
    while at < piece.length:
        try:
            for block in read_range(client, listed, piece.source + at, piece.source + piece.length):
                if stop.is_set():
                    return
                write_at(handle, block, piece.target + at, listed.key)
                at, failures = at + len(block), 0
                meter.count(len(block))
        except Transient as error:
            failures += 1
            if failures >= TRIES or stop.is_set():
                reason = " ".join(str(error).split())
                raise InputError(
                    f"{listed.key}: given up after {TRIES} attempts ({reason}); run again to go on"
                ) from error
            wait(failures, listed.key, error)


def write_at(handle: int, block: bytes, offset: int, key: str) -> None:
    """Write all of `block` at `offset`."""
    view = memoryview(block)
    try:
        while view:
            written = os.pwrite(handle, view, offset)
            view, offset = view[written:], offset + written
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise InputError(f"{key}: the disk is full; free some space and run again to go on") from error
        raise


def check_space(part: Path, missing: int) -> None:
    """InputError unless the disk has room for `missing` bytes more. What is fetched already lies in holes' place."""
    free = shutil.disk_usage(part.parent).free
    if missing > free:
        raise InputError(
            f"{part}: needs {missing / 1e9:.2f} GB more, but the disk has {free / 1e9:.2f} GB free; make room"
        )


@contextlib.contextmanager
def opened(part: Path) -> Iterator[int]:
    """A handle of the half-fetched file."""
    part.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(part, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        yield handle
    finally:
        os.close(handle)
