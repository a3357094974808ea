"""Fixes for snakemake-executor-plugin-slurm 2.8, whose driver waits forever in five situations (docs/slurm.md).

1. sacct writes `CANCELLED by 0`, the plugin knows `CANCELLED` alone: a cancelled job never ends.
2. When every status query of one cycle fails (slurmctld or slurmdbd away), the plugin forgets all its jobs.
3. While slurmctld is away MinJobAge is unknown, and the plugin turns from squeue to sacct, which may not work at all.
4. A pre-empted job that SLURM does not requeue (`slurm-no-requeue`) stays PREEMPTED; the plugin waits for its return.
5. A job that ended and left squeue (after MinJobAge) while the driver was asleep is never heard of again.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections.abc import Awaitable, Callable
from importlib.metadata import PackageNotFoundError, version
from typing import Any

PACKAGE = "snakemake-executor-plugin-slurm"
MODULE = PACKAGE.replace("-", "_")
FIXED = ("2.8.",)  # versions that behave as described above; others are left alone until they are looked at
PATIENCE = 6 * 3600.0  # seconds to wait for an absent cluster
ALMOST = {"PREEMPTED": "CANCELLED"}  # final under slurm-no-requeue: to be run again by a retry
FINAL = {
    "COMPLETED", "BOOT_FAIL", "CANCELLED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "TIMEOUT", "UNKNOWN",
}  # fmt: skip

Query = Callable[[str, Any], Awaitable[tuple[dict[str, str] | None, float | None]]]

logger = logging.getLogger("snakemake")


def guard(workflow: Any) -> bool:
    """Fix the plugin if this Snakemake submits jobs by it and its version needs it; whether it did."""
    plugin: Any = sys.modules.get(MODULE)
    if plugin is None or not submits(workflow) or getattr(plugin, "guarded", False) or not needs_guard():
        return False
    settings = workflow.executor_settings
    plugin.query_job_status = patient(plugin.query_job_status, final_preemption=bool(settings.no_requeue))
    plugin.get_min_job_age = remembering(plugin.get_min_job_age)
    plugin.guarded = True
    return True


def submits(workflow: Any) -> bool:
    """Whether this Snakemake sends its jobs to SLURM. Known from the start of a run on, not while rules are read."""
    return type(getattr(workflow, "executor_settings", None)).__module__ == MODULE


def status_settings(workflow: Any) -> tuple[str | None, float]:
    """The status command of this run and the seconds before its first use; (None, 0) where SLURM is not used."""
    if not submits(workflow):
        return None, 0.0
    settings = workflow.executor_settings
    return settings.status_command or "sacct", float(settings.init_seconds_before_status_checks)


def needs_guard() -> bool:
    """Whether the installed plugin is of a version with these faults."""
    try:
        return version(PACKAGE).startswith(FIXED)
    except PackageNotFoundError:
        return False


def patient(query: Query, final_preemption: bool, patience: float = PATIENCE, first_wait: float = 2.0) -> Query:
    """`query` that asks again until the cluster answers, answers with bare states, and tells the end of lost jobs."""
    running: set[str] = set()

    async def ask(command: str, log: Any) -> tuple[dict[str, str] | None, float | None]:
        wait, end = first_wait, time.monotonic() + patience
        while True:
            states, seconds = await query(command, log)
            if states is not None or time.monotonic() > end:
                return states, seconds
            log.warning(f"SLURM does not answer; asking again in {wait:.0f} s.")
            await asyncio.sleep(wait)
            wait = min(60.0, 2 * wait)

    async def query_job_status(command: str, log: Any) -> tuple[dict[str, str] | None, float | None]:
        states, seconds = await ask(command, log)
        if states is None:
            return None, None
        states = {job: bare_state(state, final_preemption) for job, state in states.items()}
        if command.startswith("squeue"):
            for job in running - set(states):
                known, _ = await query(f"sacct -X -n -P -o JobIDRaw,State -j {job}", log)
                # Without a word Snakemake is told that it ended, and looks for its outputs.
                states[job] = bare_state((known or {}).get(job, "UNKNOWN"), final_preemption)
        running.clear()
        running.update(job for job, state in states.items() if state not in FINAL)
        return states, seconds

    return query_job_status


def bare_state(state: str, final_preemption: bool) -> str:
    """`CANCELLED by 0` -> `CANCELLED`; with `final_preemption` PREEMPTED -> CANCELLED."""
    word = (state.split() or [state])[0]
    return ALMOST.get(word, word) if final_preemption else word


def remembering(ask: Callable[[], int | None]) -> Callable[[], int | None]:
    """`ask` that gives its last answer where it has none now."""
    known: list[int] = []

    def get_min_job_age() -> int | None:
        answer = ask()
        if answer is not None:
            known[:] = [answer]
        return known[0] if known else None

    return get_min_job_age
