"""The public S3 bucket: an anonymous client, listings, and ranged reads that survive a bad network."""

from __future__ import annotations

import logging
import os
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
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError, IncompleteReadError, SSLError
from botocore.loaders import Loader
from botocore.parsers import ResponseParserError

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


class Refused(InputError):
    """The server says 403: forbidden, or to an anonymous client also that there is no such file."""


@cache
def session() -> botocore.session.Session:
    """One for all clients: it reads the description of S3 (seconds on a slow disk) only once.

    It is deaf to the profiles, files and variables of other AWS tools (AWS_PROFILE, AWS_CONFIG_FILE, AWS_ENDPOINT_URL,
    ...): this client is nobody's, and its server is the configuration's. Proxies (HTTPS_PROXY, NO_PROXY) and
    REQUESTS_CA_BUNDLE are of the network and stay.
    """
    known = botocore.session.Session.SESSION_VARIABLES.items()
    plain = {name: (None, None, default, convert) for name, (_, _, default, convert) in known}
    plain |= dict.fromkeys(("config_file", "credentials_file"), (None, None, os.devnull, None))
    made = botocore.session.Session(session_vars=plain)
    made.get_component("config_store").set_config_variable("s3", {})
    made.register_component("data_loader", Loader([Loader.BUILTIN_DATA_PATH], include_default_search_paths=False))
    return made


@cache
def connect(source: Source, workers: int = 8) -> Any:
    """An unsigned S3 client for `workers` threads. Retries are `retrying`'s, so that there is one rule for all."""
    config = Config(
        signature_version=botocore.UNSIGNED, connect_timeout=CONNECT_TIMEOUT, read_timeout=READ_TIMEOUT,
        max_pool_connections=workers, retries={"total_max_attempts": 1, "mode": "standard"},
        s3={"addressing_style": "path" if source.endpoint else "auto"}, response_checksum_validation="when_required",
        ignore_configured_endpoint_urls=True,
    )  # fmt: skip
    client = session().create_client("s3", region_name=source.region, endpoint_url=source.endpoint, config=config)
    client.meta.events.register_last("before-endpoint-resolution.s3", stay)
    client.meta.events.register("needs-retry.s3", refuse_page)
    return client


class Page(Exception):
    """A web page where S3's XML should be."""


def stay(context: dict[str, Any], **_: Any) -> None:
    """Follow no redirect: botocore asks for the bucket's region then, without end where that is redirected too."""
    context.get("s3_redirect", {})["redirected"] = True


def refuse_page(response: Any, **_: Any) -> None:
    """Raise Page for a page that claims success: botocore takes it for an answer that broke off, to be asked again."""
    answer = response[0] if response else None
    if answer is not None and answer.raw.status == 200 and "html" in answer.headers.get("content-type", ""):
        raise Page


def asked(call: Callable[..., dict[str, Any]], key: str, sign: str, **arguments: Any) -> dict[str, Any]:
    """`call(**arguments)` of the client, its errors sorted: Transient, Changed, or an InputError for the user.

    sign: an entry that S3's answer always has. Without it something else has answered, such as a hotel's network.
    """
    try:
        answer = call(Bucket=layout.BUCKET, **arguments)
    except ClientError as error:
        raise sorted_error(key, error) from error
    except (Page, ResponseParserError) as error:
        raise no_s3(key) from error
    except SSLError as error:
        raise InputError(
            f"{key}: no trusted connection ({one_line(error)}); is a captive portal or a proxy in between? log in to "
            "the network, or name your proxy's certificates in REQUESTS_CA_BUNDLE"
        ) from error
    except (BotoCoreError, HTTPClientError) as error:
        raise Transient(one_line(error)) from error
    if sign not in answer:
        raise no_s3(key)
    return answer


def sorted_error(key: str, error: ClientError) -> Exception:
    """What an answer that is an error means: Transient, Changed, Refused or another InputError."""
    about = error.response.get("ResponseMetadata", {})
    status, headers = about.get("HTTPStatusCode", 0), about.get("HTTPHeaders", {})
    code = error.response.get("Error", {}).get("Code", "")
    said = str(status) if code in ("", str(status)) else f"{status} {code}"
    page = "html" in headers.get("content-type", "") and error.operation_name != "HeadObject"  # it has no content
    if status == 511 or (page and status != 404 and status < 500):
        return no_s3(key, said, headers.get("location"))
    if status >= 500 or status in (408, 429) or code in ("SlowDown", "RequestTimeout", "RequestTimeTooSkewed"):
        return Transient(f"the server answered {said}")
    if status == 412:
        return Changed(f"{key}: changed in the bucket while it was being fetched; run again")
    if status == 403:
        return Refused(f"{key}: the server refuses it ({said}); see whether the file is there and public")
    if status == 404:
        return InputError(f"{key}: the server has no such file ({said}); check data.endpoint")
    if 300 <= status < 400 and (region := headers.get("x-amz-bucket-region")):
        return InputError(f"{key}: the server answered {said}: the bucket is in {region}; write that in data.region")
    if 300 <= status < 400 and headers.get("location"):
        return no_s3(key, said, headers["location"])
    return InputError(f"{key}: the server answered {said}; check data.endpoint and data.region")


def no_s3(key: str, said: str = "200", location: str | None = None) -> InputError:
    """The error for an answer that S3 does not give."""
    where = f", to {location}" if location else ""
    return InputError(
        f"{key}: what answers is no S3 server (a page or nothing of S3's, {said}{where}); is it a captive portal, a "
        "login page or a proxy? log in to the network, or check data.endpoint, and run again"
    )


def one_line(error: Exception) -> str:
    """The text of an error on one line."""
    return " ".join(str(error).split())


def retrying(call: Callable[[], Result], what: str) -> Result:
    """`call()`, again after a growing and random pause while it fails with Transient; then one InputError."""
    for failures in range(1, TRIES + 1):
        try:
            return call()
        except Transient as error:
            last = error
            wait(failures, what, error)
    raise InputError(f"{what}: given up after {TRIES} attempts ({one_line(last)}); run again to continue")


def wait(failures: int, what: str, error: Exception) -> None:
    """Pause after the n-th failure in a row."""
    if failures >= TRIES:
        return
    pause = random.uniform(0.5, 1) * min(LONGEST_WAIT, BACKOFF * 2 ** (failures - 1))
    logger.info("%s: %s; attempt %d of %d in %.1f s", what, error, failures + 1, TRIES, pause)
    time.sleep(pause)


def listing(client: Any, prefix: str, page_size: int = 1000) -> Iterator[Listed]:
    """Every file whose key begins with `prefix`, in the order of their keys."""
    page = partial(asked, client.list_objects_v2, prefix, "Name", Prefix=prefix, MaxKeys=page_size)
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
    """What the listing says of exactly this key. Asked first: an anonymous 403 also stands for a missing file.

    A server that does not let itself be listed is asked for the file itself.
    """
    try:
        for listed in listing(client, key):
            if listed.key == key:
                return listed
    except Refused:
        return head(client, key)
    raise InputError(f"{key}: not in the bucket's listing; check the config's subjects and sessions, or data.endpoint")


def head(client: Any, key: str) -> Listed:
    """What the server says of a file without a listing."""
    answer = retrying(lambda: asked(client.head_object, key, "ETag", Key=key), key)
    return Listed(key, answer["ContentLength"], answer["ETag"].strip('"'), answer["LastModified"].isoformat())


def read_range(client: Any, listed: Listed, start: int, stop: int) -> Iterator[bytes]:
    """Bytes start..stop-1 of a file in blocks; Transient if they break off, Changed if the file is another by now."""
    wanted_bytes = {"Range": f"bytes={start}-{stop - 1}", "IfMatch": f'"{listed.etag}"'}
    answer = asked(client.get_object, listed.key, "ETag", Key=listed.key, **wanted_bytes)
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
