"""Two studies of one folder: the end of one run leaves the locks of the other.

A Snakemake that ends removes the folder of all locks. A second run of the study that still works would then find none,
and both would make the same files. It has no flag for this.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from snakemake.persistence.file import FilePersistence

FLAG = "own_locks"


def keep_locks_of_others() -> None:
    """Teach Snakemake to remove its own locks alone, but at `--unlock`, which removes all. Twice is once."""
    every = FilePersistence._delete_locks
    if getattr(every, FLAG, False):
        return

    def _delete_locks(persistence: Any) -> None:
        if not persistence._lockfile:  # it holds none: somebody asked for --unlock
            every(persistence)
            return
        for path in persistence._lockfile.values():
            Path(path).unlink(missing_ok=True)
        persistence._lockfile.clear()  # the folder stays: another run may be about to write there

    setattr(_delete_locks, FLAG, True)
    FilePersistence._delete_locks = _delete_locks
