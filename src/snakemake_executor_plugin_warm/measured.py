"""Snakemake's record of what a job has cost, for one that runs in a fork of a warm worker.

Snakemake's own measurement looks at a process twice a second and adds up its memory page by page. That takes some 25
ms of CPU time for one that has torch imported, 5 % of a core for every job that runs; and what a job does after the
last look is lost. Here the kernel says at the end what the job has cost. Only memory that is not shared is looked for,
more and more seldom.
"""

from __future__ import annotations

import contextlib
import time

import psutil
from snakemake.benchmark import BenchmarkRecord

from neurobust.core.warm import Job, Usage

FIRST, LAST = 1.0, 30.0  # seconds to the first look, and at most between two
MIB = 2**20


def watch(process: Job, record: BenchmarkRecord) -> None:
    """Wait for the end of a process and note how long that took, and the most memory that it was seen to hold."""
    start, pause = time.time(), FIRST
    while not process.wait_for(pause):
        look(process.pid, record)
        pause = min(2 * pause, LAST)
    record.running_time = time.time() - start


def look(pid: int, record: BenchmarkRecord) -> None:
    """Note the memory of a process and of those that it has started, in MiB, where it is more than before."""
    held = dict.fromkeys(("rss", "vms", "uss", "pss"), 0.0)
    with contextlib.suppress(psutil.Error, OSError):  # it has ended
        process = psutil.Process(pid)
        for part in (process, *process.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):
                memory = part.memory_full_info()
                for name in held:
                    held[name] += getattr(memory, name, 0) / MIB
    for name, size in held.items():
        field = f"max_{name}"
        setattr(record, field, max(getattr(record, field) or 0, size) or None)


def account(usage: Usage | None, record: BenchmarkRecord) -> None:
    """Enter what the kernel says of a process that has ended: seconds of CPU, largest memory and transfers, in MiB."""
    if usage is None:
        return
    record.data_collected = True
    record.cpu_time = usage.cpu
    record.cpu_usage = 100 * usage.cpu  # Snakemake gives its mean, in percent
    record.max_rss = max(record.max_rss or 0, usage.memory / 1024)
    record.io_in, record.io_out = (512 * blocks / MIB for blocks in (usage.read, usage.written))
