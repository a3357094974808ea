"""One file of the bucket into the mirror: listed, fetched in parts, verified, recorded, renamed into place."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from neurobust.core.errors import InputError
from neurobust.nsd.bucket import Changed, Source, connect, find
from neurobust.nsd.manifest import add_record, key_of
from neurobust.nsd.transfer import fetch_pieces, partial_paths, whole
from neurobust.nsd.verify import check_etag, verify

logger = logging.getLogger("neurobust")

WORKERS = 8  # parts of a file that are fetched at a time


def download(source: Source, root: Path, path: Path, workers: int = WORKERS) -> dict[str, Any]:
    """Bring the file `path` of the mirror `root` from the bucket; its record, as the mirror's manifest has it.

    A killed download goes on where it was as long as the file in the bucket is the same. `path` appears only when it
    is whole and verified. A file that is wrong or that changed meanwhile is fetched once more; then InputError.
    """
    key, client = key_of(root, path), connect(source, workers)
    try:
        record = attempt(client, root, key, path, workers)
    except (Changed, BadFile) as error:
        logger.warning("%s; fetching it again", error)
        try:
            record = attempt(client, root, key, path, workers)
        except (Changed, BadFile) as again:
            raise InputError(f"{key}: wrong twice, not kept ({again}); see whether {source} is sound") from again
    logger.info("%s: %d bytes, SHA-256 %s", key, record["size"], record["sha256"])
    return record


class BadFile(Exception):
    """What was fetched is not what it should be."""


def attempt(client: Any, root: Path, key: str, path: Path, workers: int) -> dict[str, Any]:
    """List, fetch and verify a file, and rename it to `path`; Changed or BadFile leave nothing to go on with."""
    part, journal = partial_paths(path)
    listed = find(client, key)
    try:
        fetch_pieces(client, listed, whole(listed.size), part, journal, workers)
        try:
            sha256, etag_is = check_etag(client, listed, part)
            facts = verify(key, part)
        except InputError as error:
            raise BadFile(str(error)) from error
    except (Changed, BadFile):
        part.unlink(missing_ok=True)
        journal.unlink(missing_ok=True)
        raise
    record = {
        "key": key, "size": listed.size, "etag": listed.etag, "etag_is": etag_is, "sha256": sha256,
        "last_modified": listed.modified, "checksums": list(listed.checksums), "facts": facts,
    }  # fmt: skip
    add_record(root, record)  # first: a session without a record would count as the user's own and be kept forever
    part.replace(path)
    journal.unlink(missing_ok=True)
    return record
