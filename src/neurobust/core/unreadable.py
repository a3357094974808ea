"""A file that cannot be read is not always damaged: it may be locked, or somebody else's."""

from __future__ import annotations

from pathlib import Path

from neurobust.core.errors import InputError


class OutOfReach(InputError):
    """A file that may be sound, but cannot be opened now or by this user."""


def unreadable(path: Path | str, error: Exception, damaged: str) -> InputError:
    """The error for a file that `error` keeps from being read. damaged: "<what it is>; <way out>", if it is broken."""
    reason = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, BlockingIOError) or "unable to lock file" in reason:
        return OutOfReach(
            f"{path}: locked ({reason}), which says nothing of damage; wait until the process that writes it is done, "
            "or where its file system has no locks set HDF5_USE_FILE_LOCKING=FALSE"
        )
    if isinstance(error, PermissionError):
        return OutOfReach(f"{path}: may not be read ({reason}); ask its owner, or correct its permissions")
    problem, _, way = damaged.partition("; ")
    return InputError(f"{path}: {problem} ({reason}); {way}")
