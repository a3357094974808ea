"""How long a piece of work takes on this machine."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable

import psutil

BLOCK = 2**24  # bytes that are digested at a time


def seconds_of(run: Callable[[], object], least: float) -> float:
    """Wall seconds of a call, over calls that take `least` seconds in all after one that does not count.

    `run` must end with something that is read from the device, or a GPU is still at work when it is over.
    """
    run()
    count, start = 0, time.perf_counter()
    while count == 0 or time.perf_counter() - start < least:
        count += 1
        run()
    return (time.perf_counter() - start) / count


def digest_seconds(least: float) -> float:
    """Wall seconds per byte of SHA-256, over digests that take `least` seconds in all after one that does not count."""
    block = bytes(BLOCK)
    return seconds_of(lambda: hashlib.sha256(block).digest(), least) / BLOCK


def age() -> float:
    """Wall seconds since this process began, or was forked."""
    began: float = psutil.Process().create_time()
    return max(0.0, time.time() - began)
