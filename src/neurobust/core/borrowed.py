"""Inputs that are somebody else's, as those of a mirror of the bucket: neither their place nor their clock is a change.

Snakemake runs a job again when the names of its inputs differ from last time, and it deletes a finished output that is
older than an input: a mirror that moved, the other twin of a session, or a file with a date in the future would cost
hours of downloads and of work. It has no flag for either.
"""

from __future__ import annotations

import logging
import math
import os
import time
from datetime import datetime
from typing import Any

from snakemake.dag import DAG
from snakemake.io import flag, is_flagged
from snakemake.persistence import PersistenceBase

FLAG = "borrowed"

logger = logging.getLogger("snakemake")


def borrowed(files: Any) -> Any:
    """`files`, one, a list or a function, as inputs whose names are no reason to run a job again. Their content is."""
    return flag(files, FLAG)


def borrow() -> None:
    """Teach Snakemake the flag, and to keep outputs of jobs whose inputs have dates in the future. Twice is once."""
    names, check = PersistenceBase._input, DAG.check_output_mtime
    if getattr(check, FLAG, False):
        return

    def _input(persistence: Any, job: Any) -> list[str]:
        return [name for name in names(persistence, job) if not is_flagged(name, FLAG)]

    async def check_output_mtime(dag: Any, job: Any, outputs: Any) -> None:
        await follow(job.input, outputs)
        await check(dag, job, outputs)

    setattr(check_output_mtime, FLAG, True)
    PersistenceBase._input, DAG.check_output_mtime = _input, check_output_mtime


async def follow(inputs: Any, outputs: Any) -> None:
    """Give outputs the date of the newest input if that lies in the future: they were made from it all the same."""
    newest, name = max([(await date_of(file), file) for file in inputs if await file.exists_local()], default=(0.0, ""))
    if newest <= time.time():
        return
    for file in outputs:
        if await file.exists_local() and await date_of(file) < newest:
            os.utime(file, (math.ceil(newest), math.ceil(newest)))
            when = datetime.fromtimestamp(newest).isoformat(" ", "minutes")
            logger.warning(f"{file} gets the date of {name}, {when}, which lies in the future: is a clock wrong?")


async def date_of(file: Any) -> float:
    """When a file was changed, in seconds, as Snakemake sees it."""
    return float((await file.mtime_uncached(skip_storage=True)).local())
