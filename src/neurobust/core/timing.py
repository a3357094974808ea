"""How long a piece of work takes on this machine."""

from __future__ import annotations

import time
from collections.abc import Callable


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
