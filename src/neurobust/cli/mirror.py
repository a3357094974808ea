"""What a folder has of NSD, as far as a new study needs to know."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from neurobust.core.errors import InputError
from neurobust.core.settings import Given
from neurobust.nsd import layout
from neurobust.nsd.settings import SessionFormat

FORMATS: tuple[SessionFormat, ...] = ("nii.gz", "hdf5")


class Found(NamedTuple):
    """A mirror: its root, the format of its sessions, whether they are kept (true or false), which
    images it has, its subjects with their sessions, what is said of these, and whether they are all of NSD's."""

    root: str
    format: str
    keep: str
    stimuli: str
    subjects: dict[str, int]
    said: str
    whole: bool

    @property
    def there(self) -> bool:
        """Whether it has any session."""
        return self.keep == "true"


def look(root: str, ran: Given) -> Found:
    """A mirror by its folder. ran: `data.subjects` of the shipped study, with the sessions that NSD's subjects ran.

    Where no session lies there, everything is still to be fetched. InputError for a root that is no folder.
    """
    if "://" in root:
        raise InputError(f"--nsd: {root}: an address; name a folder, into which what is missing is fetched")
    folder = Path(os.path.expanduser(root))  # noqa: PTH111  # Path's own raises RuntimeError for a user that is not there
    if str(folder).startswith("~"):
        raise InputError(f"--nsd: {root}: there is no such user; write the folder out")
    if folder.exists() and not folder.is_dir():
        raise InputError(f"--nsd: {root}: not a folder; name one in the layout of the NSD bucket, or say phantom")
    if layout.phantom_marker(folder).exists():
        raise InputError(f"--nsd: {root}: a phantom that some study planted, and no mirror; say --nsd phantom")
    everything = {subject: int(each["sessions"]) for subject, each in ran.items()}
    there = {suffix: sessions(folder, everything, suffix) for suffix in FORMATS}
    suffix = max(FORMATS, key=lambda suffix: sum(there[suffix].values()))
    found = {subject: count for subject, count in there[suffix].items() if count}
    stimuli = "all" if layout.stimuli(folder).exists() else "needed"
    if not found:
        return Found(str(folder), suffix, "false", stimuli, everything, "sessions that each subject ran", True)
    said = "sessions that are there" if found != everything else "sessions that each subject ran"
    return Found(str(folder), suffix, "true", stimuli, found, said, found == everything)


def sessions(folder: Path, subjects: Mapping[str, int], suffix: str) -> dict[str, int]:
    """How many sessions of each subject lie there, without a gap, from the first on."""
    counts = {}
    for subject, most in subjects.items():
        numbers = range(1, most + 1)
        missing = (number for number in numbers if not layout.session(folder, subject, number, suffix).exists())
        counts[subject] = next(missing, most + 1) - 1
    return counts
