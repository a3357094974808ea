"""One process at a time, on one machine or on several that share a file system.

Not by the library filelock: it leaves its files behind, which would be one beside each file of a mirror, and does not
notice on NFS that one was removed and made again while it waited (there the old one keeps a link).
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path

from neurobust.core.progress import clock

logger = logging.getLogger("neurobust")

PAUSE = 0.1  # s between two tries
NEWS = 30.0  # s between two lines of who waits


@contextlib.contextmanager
def alone(lock: Path, what: str) -> Iterator[None]:
    """Hold the file `lock`, waiting for who has it; `what` is named in the log. The kernel frees that of a killed one.

    The file is there only while somebody holds it, or was killed holding it.
    """
    handle = _wait(lock, what)
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)  # still held: who waits for this file will find another one, or none
        os.close(handle)


def _wait(lock: Path, what: str) -> int:
    """A handle of `lock` that nobody else holds."""
    start = time.monotonic()
    news = start
    while True:
        lock.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is(handle, lock):
                return handle
        except BlockingIOError:
            if time.monotonic() >= news:
                logger.info(
                    "%s: waiting for another process that is at it, %s so far", what, clock(time.monotonic() - start)
                )
                news = time.monotonic() + NEWS
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)
        time.sleep(PAUSE)


def _is(handle: int, path: Path) -> bool:
    """Whether an open file is still the one of this name: its last holder has removed it otherwise."""
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False
