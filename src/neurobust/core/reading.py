"""Reading ahead of use, in threads."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")


def read_ahead(read: Callable[[Key], Value], keys: Iterable[Key], threads: int = 1) -> Iterator[Value]:
    """`read(key)` for each key, in order, while the caller works on the values before.

    `threads` read at a time, and at most `threads` values wait or are being read. What `read` raises is raised in the
    place of its value; what nobody has begun to read by then, or when the caller leaves, is not read.
    """
    waiting: deque[Future[Value]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for key in keys:
                waiting.append(pool.submit(read, key))
                if len(waiting) > threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for following in waiting:
                following.cancel()
