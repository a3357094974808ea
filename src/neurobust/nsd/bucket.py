"""The public S3 bucket: an anonymous client, listings, and ranged reads that survive a bad network."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any, TypeVar

import botocore
import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError, IncompleteReadError

from neurobust.core.errors import InputError
from neurobust.core.io import read_json
from neurobust.nsd import layout
from neurobust.nsd.manifest import TERMS

logger = logging.getLogger("neurobust")

TRIES = 8  # failures in a row of one request
BACKOFF = 0.5  # s, doubled with every failure and drawn at random below that
LONGEST_WAIT = 30.0  # s
CONNECT_TIMEOUT, READ_TIMEOUT = 10, 30  # s without a byte
BLOCK = 1 << 18  # bytes
Result = TypeVar("Result")


@dataclass(frozen=True)
class Source:
    """A server that has the bucket; `endpoint` None is Amazon's."""

    endpoint: str | None = None
    region: str = layout.REGION

    def __str__(self) -> str:
        return f"s3://{layout.BUCKET} at {self.endpoint or self.region}"


@dataclass(frozen=True)
class Listed:
    """What the listing says of a file: size in bytes, ETag without its quotes, date of the last change."""

    key: str
    size: int
    etag: str
    modified: str
    checksums: tuple[str, ...] = ()


class Transient(Exception):
    """A failure of the network or the server that may be gone in a moment."""


class Changed(InputError):
    """The file in the bucket is not the one that was listed."""


def read_source(root: Path) -> Source:
    """The server that the mirror `root` is fetched from; InputError unless the terms were accepted."""
    path = layout.terms(root)
    if not path.exists():
        raise InputError(TERMS)
    noted = read_json(path)
    if not isinstance(noted, dict) or noted.get("terms_accepted") is not True:
        raise InputError(TERMS)
    return Source(noted.get("endpoint"), noted.get("region") or layout.REGION)


@cache
def session() -> botocore.session.Session:
    """One for all clients: it reads the description of S3 (seconds on a slow disk) only once."""
    return botocore.session.get_session()


@cache
def connect(source: Source, workers: int = 8) -> Any:
    """An unsigned S3 client for `workers` threads. Retries are `retrying`'s, so that there is one rule for all."""
    config = Config(
        signature_version=botocore.UNSIGNED, connect_timeout=CONNECT_TIMEOUT, read_timeout=READ_TIMEOUT,
        max_pool_connections=workers, retries={"total_max_attempts": 1, "mode": "standard"},
        s3={"addressing_style": "path" if source.endpoint else "auto"}, response_checksum_validation="when_required",
    )  # fmt: skip
    return session().create_client("s3", region_name=source.region, endpoint_url=source.endpoint, config=config)


def asked(call: Callable[..., Result], key: str, **arguments: Any) -> Result:
    """`call(**arguments)` of the client, its errors sorted: Transient, Changed, or an InputError for the user."""
    try:
        return call(Bucket=layout.BUCKET, **arguments)
    except ClientError as error:
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        code = error.response.get("Error", {}).get("Code", "")
        if status >= 500 or status in (408, 429) or code in ("SlowDown", "RequestTimeout", "RequestTimeTooSkewed"):
            raise Transient(f"the server answered {status} {code}") from error
        if status == 412:
            raise Changed(f"{key}: changed in the bucket while it was being fetched; run again") from error
        if status == 403:
            raise InputError(f"{key}: the server refuses it (403 {code}); see whether the file is public") from error
        if status == 404:
            raise InputError(f"{key}: the server has no such file (404 {code}); check data.endpoint") from error
        raise InputError(f"{key}: the server answered {status} {code}; check data.endpoint and data.region") from error
    except (BotoCoreError, HTTPClientError) as error:
        raise Transient(str(error)) from error


def retrying(call: Callable[[], Result], what: str) -> Result:
    """`call()`, again after a growing and random pause while it fails with Transient; then one InputError."""
    for failures in range(1, TRIES + 1):
        try:
            return call()
        except Transient as error:
            last = error
            wait(failures, what, error)
    raise InputError(f"{what}: given up after {TRIES} attempts ({' '.join(str(last).split())}); run again to continue")


def wait(failures: int, what: str, error: Exception) -> None:
    """Pause after the n-th failure in a row."""
    if failures >= TRIES:
        return
    pause = random.uniform(0.5, 1) * min(LONGEST_WAIT, BACKOFF * 2 ** (failures - 1))
    logger.info("%s: %s; attempt %d of %d in %.1f s", what, error, failures + 1, TRIES, pause)
    time.sleep(pause)


def listing(client: Any, prefix: str, page_size: int = 1000) -> Iterator[Listed]:
    """Every file whose key begins with `prefix`, in the order of their keys."""
    page = partial(asked, client.list_objects_v2, prefix, Prefix=prefix, MaxKeys=page_size)
    while True:
        answer = retrying(page, f"listing {prefix}")
        for item in answer.get("Contents", ()):
            checksums = item.get("ChecksumAlgorithm", ())
            yield Listed(
                item["Key"], item["Size"], item["ETag"].strip('"'), item["LastModified"].isoformat(), tuple(checksums)
            )
        if not answer.get("IsTruncated"):
            return
        page = partial(page, ContinuationToken=answer["NextContinuationToken"])


def find(client: Any, key: str) -> Listed:
    """What the listing says of exactly this key. Asked first: an anonymous 403 also stands for a missing file."""
    for listed in listing(client, key):
        if listed.key == key:
            return listed
    raise InputError(f"{key}: not in the bucket's listing; check the config's subjects and sessions, or data.endpoint")


def read_range(client: Any, listed: Listed, start: int, stop: int) -> Iterator[bytes]:
    """Bytes start..stop-1 of a file in blocks; Transient if they break off, Changed if the file is another by now."""
    answer = asked(
        client.get_object, listed.key, Key=listed.key, Range=f"bytes={start}-{stop - 1}", IfMatch=f'"{listed.etag}"'
    )
    wanted, given = f"bytes {start}-{stop - 1}/{listed.size}", answer.get("ContentRange")
    if given != wanted:
        raise Changed(f"{listed.key}: the server sent '{given}' instead of '{wanted}'; is its length what it lists?")
    left = stop - start
    while left:
        try:
            block = answer["Body"].read(min(BLOCK, left))
        except (BotoCoreError, HTTPClientError, IncompleteReadError, OSError) as error:
            raise Transient(str(error)) from error
        if not block:
            raise Transient(f"the server stopped {left} bytes early")
        left -= len(block)
        yield block
