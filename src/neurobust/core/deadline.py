"""Leaving in time: a job that sees its time limit or its pre-emption coming stops at a boundary where all is saved.

`script.run` keeps the watch. Long work calls `check()` before each piece (an epoch, a cell): it returns at once, or
raises `OutOfTime`, which ends the script with exit status 75. The retry takes up what was saved. Outside SLURM no limit
is enforced and none is watched.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from types import FrameType
from typing import Any

logger = logging.getLogger("neurobust")

EXIT_STATUS = 75  # EX_TEMPFAIL of sysexits.h: try again
GRACE = 25.0  # seconds between SIGTERM and SIGKILL that SLURM grants by default (KillWait), less a reserve
MARGIN = 15.0  # seconds before the limit that belong to the end of the job: files closed, log written


class OutOfTime(BaseException):
    """The job is about to be ended from outside. No `Exception`, like KeyboardInterrupt: nothing in between eats it."""


class Watch:
    """What is known of this process's end. Times are those of `time.monotonic`, in seconds."""

    def __init__(self, left: float | None = None):
        self.end = None if left is None else time.monotonic() + left
        self.signal: str | None = None  # the one that asked this process to leave
        self.begun: float | None = None  # when the piece of work that runs was begun
        self.longest = 0.0  # piece so far

    def check(self) -> None:
        """Begin a piece of work, or raise OutOfTime: if asked to leave, or if such a piece may pass the limit."""
        now = time.monotonic()
        if self.begun is not None:
            self.longest = max(self.longest, now - self.begun)
        self.begun = now
        if self.signal:
            raise OutOfTime(f"{self.signal} received: left with everything saved; a retry goes on from here")
        if self.end is not None and now + self.longest + MARGIN > self.end:
            raise OutOfTime(
                f"left {max(self.end - now, 0):.0f} s before the job's time limit (a piece of work takes up to "
                f"{self.longest:.0f} s) with everything saved; a retry goes on from here, or raise `runtime`"
            )

    def on_signal(self, number: int, frame: FrameType | None) -> None:
        """Leave before the next piece if the one that runs ends within the grace, else here and now."""
        self.signal = signal.Signals(number).name
        rest = (self.begun or 0.0) + self.longest - time.monotonic()
        if not 0 < rest < GRACE:
            raise OutOfTime(f"{self.signal} received: left at once; a retry goes on from what was saved last")


current = Watch()


def check() -> None:
    """Call this where everything is saved, before each piece of long work."""
    current.check()


@contextlib.contextmanager
def watching(resources: Any = None) -> Iterator[None]:
    """Watch this process's limit and SIGTERM meanwhile. `resources`: those of the Snakemake job."""
    global current
    before, current = current, Watch(time_left(resources))
    if current.end is not None:
        logger.info("time limit in %.0f s", current.end - time.monotonic())
    main = threading.current_thread() is threading.main_thread()
    handler = signal.signal(signal.SIGTERM, current.on_signal) if main else None
    try:
        yield
    finally:
        current = before
        if main:
            signal.signal(signal.SIGTERM, handler)


def time_left(resources: Any = None) -> float | None:
    """Seconds until SLURM ends this job: what squeue says, else the rule's `runtime` (minutes). None: no limit."""
    job = os.environ.get("SLURM_JOB_ID")
    if job is None:
        return None
    if shutil.which("squeue"):
        try:
            command = ["squeue", "--noheader", "--jobs", job, "--format", "%L"]
            answer = subprocess.run(command, capture_output=True, text=True, timeout=20).stdout.strip()
        except (OSError, subprocess.TimeoutExpired):
            answer = ""
        if answer == "UNLIMITED":
            return None
        if (left := parse_duration(answer)) is not None:
            return left
    runtime = getattr(resources, "runtime", None)
    return None if runtime is None else 60.0 * runtime


def parse_duration(text: str) -> float | None:
    """SLURM's `[days-][[hours:]minutes:]seconds` in seconds; None for anything else."""
    match = re.fullmatch(r"(?:(\d+)-)?(?:(?:(\d+):)?(\d+):)?(\d+)", text)
    if match is None:
        return None
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return float(((days * 24 + hours) * 60 + minutes) * 60 + seconds)
