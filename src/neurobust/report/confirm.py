"""The last look at a study's attacks: did each of them run on every network?"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from neurobust.core.errors import InputError
from neurobust.core.io import write_text
from neurobust.files.checks import read_checks

logger = logging.getLogger("neurobust")


def confirm_attacks(checks: Sequence[Path], output: Path) -> None:
    """Write down how many networks met every attack; checks: their `checks.json`, after pages were written.

    Raises InputError where an attack failed on a network: its table has no rows and says why. The log has all of them.
    """
    faults = [
        f"{path.parent / entry.attack}.parquet: failed: {entry.note}; change the attack, or delete the file, run again"
        for path in checks
        for entry in read_checks(path)
        if entry.check == "ran" and not entry.passed
    ]
    if faults:
        for fault in faults:
            logger.error(fault)
        more = f" (and {len(faults) - 1} more, in the log)" if len(faults) > 1 else ""
        raise InputError(f"{faults[0]}{more}")
    write_text(output, f"{len(checks)} networks, each under every attack\n")
