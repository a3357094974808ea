"""Outputs that Snakemake never removes: files below `data.root`, which other studies may use.

Snakemake removes the outputs of a job before it runs and after it failed, and all of them when asked for
`--delete-all-output`. A file that another study made meanwhile, or that somebody copied there, is not its to remove.
Snakemake has no flag for this: `update` restores what was there before the job, and so removes what came during it.
"""

from __future__ import annotations

import logging
from typing import Any

from snakemake.io import _IOFile, flag, is_flagged

FLAG = "spared"

logger = logging.getLogger("snakemake")


def spared(files: Any) -> Any:
    """`files`, one or a list, as outputs that are made, renamed into place by their job, and never removed."""
    return flag(files, FLAG)


def spare() -> None:
    """Teach Snakemake the flag. Twice is as good as once: one process may read the rules several times."""
    remove = _IOFile.remove
    if getattr(remove, FLAG, False):
        return

    async def remove_unless_spared(file: _IOFile, *arguments: Any, **options: Any) -> None:
        if not is_flagged(file, FLAG):
            await remove(file, *arguments, **options)
        elif await file.exists_local():
            logger.info(f"{file} stays: other studies may use it.")

    setattr(remove_unless_spared, FLAG, True)
    _IOFile.remove = remove_unless_spared
