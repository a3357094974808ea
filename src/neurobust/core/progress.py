"""Progress of long work: lines in the log with what is done and what is left."""

from __future__ import annotations

import logging
import time

logger = logging.getLogger("neurobust")


class Progress:
    """Log `label: done/total (percent), elapsed, left` at most every `interval` seconds, and once at the end."""

    def __init__(self, total: int, label: str, interval: float = 10.0, done: int = 0):
        self.total, self.label, self.interval = total, label, interval
        self.done = self.first = done
        self.start = self.last = time.monotonic()

    def step(self, count: int = 1, note: str = "") -> None:
        """Count `count` more units as done; `note` (a loss, an accuracy) is appended to the line."""
        self.done += count
        now = time.monotonic()
        if self.done < self.total and now - self.last < self.interval:
            return
        self.last = now
        elapsed = now - self.start
        left = elapsed / max(self.done - self.first, 1) * (self.total - self.done)
        percent = 100 * self.done / max(self.total, 1)
        logger.info(
            "%s: %d/%d (%.0f %%), %s elapsed, %s left%s",
            self.label, self.done, self.total, percent, clock(elapsed), clock(left), f", {note}" if note else "",
        )  # fmt: skip


def clock(seconds: float) -> str:
    """Seconds as `1:02:03` or `2:03`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
