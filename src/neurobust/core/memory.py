"""What becomes of memory that was freed: the process keeps it, for the next tensors of the same size. And how often
garbage is looked for."""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Iterator
from contextlib import contextmanager

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # of mallopt(3)
MAPPED = 64 * 2**20  # bytes: larger pieces are mapped one by one, and given back to the system at once
SELDOM = (50_000, 20, 100)  # objects, and rounds, between two looks for garbage: Python's own are 700, 10 and 10
KEPT = 2**29  # bytes that may lie free at the end of the heap


def keep_freed_memory() -> None:
    """Let glibc's malloc keep what is freed. Nothing is done where there is another C library.

    By itself it gives activations of a few megabytes back after every operation: for the next one the system has to
    map and to clear the same pages anew, which takes a sixth of the CPU time of a small network's training.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(MMAP_THRESHOLD, MAPPED)
        mallopt(TRIM_THRESHOLD, KEPT)


@contextmanager
def seldom_collected() -> Iterator[None]:
    """Look for garbage seldom, as a context or a decorator: for what makes a hundred thousand objects and needs them
    all, such as a figure. Looking is a sixth of the CPU time of a page of figures."""
    before = gc.get_threshold()
    gc.set_threshold(*SELDOM)
    try:
        yield
    finally:
        gc.set_threshold(*before)
