"""Files that jobs make are compared by content, whatever their size, and each is read once.

Snakemake notes a digest of each input of a finished job, and leaves the job alone where an input is newer and the same.
It does so for files of at most 1 MB and reads them once for each output; larger ones are compared by date, so that a
dataset which was touched or copied would train everything again. `max-checksum-file-size` moves the limit and not the
reading: a dataset of 10 GB would be read for every network, in the one process that drives the run. Here a digest is
kept for as long as the file has its size, date and inode.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from snakemake.io import _IOFile, is_flagged

DEFAULT = 1_000_000  # bytes: Snakemake's limit where nobody gave another
LIMIT = 20_000_000_000  # bytes: ours in its place. Above it dates are compared: reading takes a minute
MARK = "by_content"

Version = tuple[str, int, int, int]


def raised(threshold: int | None) -> int | None:
    """A limit in bytes as it was given, but for Snakemake's default."""
    return LIMIT if threshold == DEFAULT else threshold


def version_of(path: Path) -> Version | None:
    """What tells one content of a path from the next: its size, date and inode. None where there is no file."""
    try:
        status = path.stat()
    except OSError:
        return None
    return str(path), status.st_size, status.st_mtime_ns, status.st_ino


def compare_content() -> None:
    """Teach Snakemake. Twice is as good as once: one process may read the rules several times."""
    checksum, eligible = _IOFile.checksum, _IOFile.is_checksum_eligible
    if getattr(checksum, MARK, False):
        return
    known: dict[Version, str | None] = {}

    async def is_checksum_eligible(file: _IOFile, threshold: int) -> bool:
        return bool(await eligible(file, raised(threshold)))

    async def kept_checksum(
        file: _IOFile, threshold: int | None = None, force: bool = False, algorithm: Any = None
    ) -> str | None:
        if force or file.is_storage or algorithm not in (None, "sha256"):
            asked: str | None = await checksum(file, threshold, force, algorithm)
            return asked
        if is_flagged(file, "ancient"):  # its date does not count, so nobody asks for its content
            return None
        version = version_of(Path(file.file))
        if version is None:
            return None
        if version not in known:
            known[version] = await checksum(file, threshold, force, algorithm)
        return known[version]

    setattr(kept_checksum, MARK, True)
    _IOFile.checksum, _IOFile.is_checksum_eligible = kept_checksum, is_checksum_eligible
