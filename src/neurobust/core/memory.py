"""What becomes of memory that was freed: the process keeps it, for the next tensors of the same size."""

from __future__ import annotations

import ctypes

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # of mallopt(3)
MAPPED = 64 * 2**20  # bytes: larger pieces are mapped one by one, and given back to the system at once
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
