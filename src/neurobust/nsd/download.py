"""One file of the bucket into the mirror: listed, fetched in parts, verified, recorded, renamed into place."""

from __future__ import annotations

import contextlib
import errno
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from neurobust.core.errors import InputError
from neurobust.core.io import READ_ONLY
from neurobust.core.locks import alone
from neurobust.core.unreadable import OutOfReach
from neurobust.nsd import layout
from neurobust.nsd.bucket import Changed, Source, connect, find
from neurobust.nsd.layout import Root
from neurobust.nsd.manifest import Record, add_record, identity, is_fetched, key_of, known_digest, read_records
from neurobust.nsd.transfer import fetch_pieces, lock_path, partial_paths, whole
from neurobust.nsd.verify import check_etag, verify

logger = logging.getLogger("neurobust")

NO_LINKS = (errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP, errno.EMLINK, errno.EACCES)
WORKERS = 8  # parts of a file that are fetched at a time


def download(source: Source, root: Root, path: Path, study: str | None = None, workers: int = WORKERS) -> Record:
    """Bring the file `path` of the mirror `root` from the bucket; its record, as the mirror's manifest has it.

    A killed download goes on where it was as long as the file in the bucket is the same. `path` appears only when it
    is whole and verified, and is never replaced: who finds it there is done, once another process is done with it. A
    file that is wrong or that changed meanwhile is fetched once more; then InputError. study: its `layout.study_id`,
    for the record.
    """
    key = key_of(root, path)
    with writable(path), alone(lock_path(path), key):
        if path.exists():
            return found(root, key, path)
        if path.is_symlink():
            raise InputError(
                f"{path}: a link to {path.readlink()}, which is not there; bring what it leads to (with git-annex: get "
                "it), or remove the link and run again"
            )
        client = connect(source, workers)
        try:
            record = attempt(client, root, key, path, workers)
        except (Changed, BadFile) as error:
            logger.warning("%s; fetching it again", error)
            try:
                record = attempt(client, root, key, path, workers)
            except (Changed, BadFile) as again:
                raise InputError(f"{key}: wrong twice, not kept ({again}); see whether {source} is sound") from again
        record["study"] = study
        if not finish(root, path, record):
            return found(root, key, path)
    logger.info("%s: %d bytes, SHA-256 %s", key, record["size"], record["sha256"])
    return record


@contextlib.contextmanager
def writable(path: Path) -> Iterator[None]:
    """InputError, with the way out, where a file's folder turns out to be somebody else's: a link to one, mostly."""
    try:
        yield
    except OSError as error:
        if error.errno not in READ_ONLY:
            raise
        raise InputError(
            f"{path}: missing, and nothing can be written there ({error.strerror}); name a folder of yours in "
            "data.cache"
        ) from error


class BadFile(Exception):
    """What was fetched is not what it should be."""


def found(root: Root, key: str, path: Path) -> Record:
    """The record of a file that is there; InputError for one that was copied there and is not whole."""
    record = read_records(root).get(key)
    if record is not None and is_fetched(record, path):
        logger.info("%s: fetched already", key)
        return record
    try:
        facts = verify(key, path)
    except OutOfReach:
        raise
    except InputError as error:
        raise InputError(
            f"{path}: was not fetched by this pipeline and is not whole ({error}); is it still being copied? finish "
            "that or delete it, and run again"
        ) from error
    logger.info("%s: there already, not fetched by this pipeline; it is used and never deleted", key)
    return {"key": key, **identity(path), "facts": facts}


def attempt(client: Any, root: Root, key: str, path: Path, workers: int) -> Record:
    """List, fetch and verify a file, for `finish`; its record. Changed or BadFile leave nothing to go on with."""
    part, journal = partial_paths(path)
    listed = find(client, key)
    try:
        fetch_pieces(client, listed, whole(listed.size), part, journal, workers)
        try:
            sha256, etag_is = check_etag(client, listed, part)
            check_digest(root, key, sha256, etag_is)
            facts = verify(key, part)
        except InputError as error:
            raise BadFile(str(error)) from error
    except (Changed, BadFile):
        part.unlink(missing_ok=True)
        journal.unlink(missing_ok=True)
        raise
    return {
        "key": key, "etag": listed.etag, "etag_is": etag_is, "sha256": sha256, "last_modified": listed.modified,
        "checksums": list(listed.checksums), "facts": facts, **identity(part),
    }  # fmt: skip


def check_digest(root: Root, key: str, sha256: str, etag_is: str) -> None:
    """InputError if a fetched file has not the SHA-256 that a list says; a warning if nothing says one."""
    known = known_digest(root, key)
    if known is not None and known[0] != sha256:
        raise InputError(f"{key}: its SHA-256 is {sha256}, and {known[1]} says {known[0]}")
    if known is None and etag_is == "unknown":
        logger.warning(
            "%s: its ETag is no checksum, so only length and structure were checked; a digest in %s would say more",
            key, layout.digests(root),
        )  # fmt: skip


def finish(root: Root, path: Path, record: Record) -> bool:
    """Record a fetched file and give it its name; False where somebody has put a file of this name there meanwhile,
    which stays."""
    part, journal = partial_paths(path)
    add_record(root, record)  # first: a file without a record counts as the user's own and is kept forever
    mine = named(part, path)
    part.unlink(missing_ok=True)
    journal.unlink(missing_ok=True)
    return mine


def named(part: Path, path: Path) -> bool:
    """Give a file a name in the place of nothing; False, and nothing done, where something has it."""
    try:
        path.hardlink_to(part)
    except FileExistsError:
        return False
    except OSError as error:  # a file system without hard links, where a moment is left for somebody else
        if error.errno not in NO_LINKS:
            raise
        if path.exists():
            return False
        part.replace(path)
    return True
