"""Whose a phantom's root is: a file there says that the pipeline planted it, what, and for which studies.

A root is planted where it is empty of what the phantom writes, or where this file lies; and again with something else
only by the one study that uses it. Everything else there belongs to somebody.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Annotated, NoReturn

from neurobust.core.errors import InputError
from neurobust.core.io import read_json, write_json
from neurobust.core.locks import alone
from neurobust.core.settings import Settings, about, read, written
from neurobust.nsd import layout

OURS = ("coco", "tasks", "truth", layout.OWN)  # folders of a phantom beside those of the bucket


class Marker(Settings, frozen=True):
    """What lies in the file."""

    digest: Annotated[str, about("of the settings of all that is planted")]
    studies: Annotated[tuple[str, ...], about("that use it, by `layout.study_id`")]
    planted: Annotated[str | None, about("digest of the brains' settings and code; null: not whole")] = None


def digest_of(text: str) -> str:
    """A short name of settings that are given as canonical JSON."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def read_marker(root: Path) -> Marker | None:
    """The marker of a root; None where there is none."""
    path = layout.phantom_marker(root)
    return read(Marker, read_json(path), f"{path}") if path.exists() else None


def write_marker(root: Path, marker: Marker) -> None:
    """Write the marker of a root."""
    write_json(layout.phantom_marker(root), written(marker))


def only_one(root: Path, what: str) -> AbstractContextManager[None]:
    """The lock of a root's marker and of its planting."""
    return alone(layout.phantom_marker(root).with_name(".phantom.lock"), what)


def foreign_file(root: Path) -> Path | None:
    """The first file of an unmarked root under a name that the phantom would write."""
    if not root.is_dir():
        return root if root.exists() else None
    for entry in sorted(root.iterdir()):
        if not (entry.name.startswith("nsddata") or entry.name in OURS):
            continue
        if not entry.is_dir():
            return entry
        for folder, below, files in os.walk(entry, followlinks=True):
            below.sort()
            if shown := sorted(name for name in files if not name.startswith(".")):
                return Path(folder) / shown[0]
    return None


def check(root: Path, study: str, digest: str) -> Marker | None:
    """The marker of a root that a study may plant with settings of this digest; InputError where it may not."""
    marker = read_marker(root)
    if marker is None:
        refuse_foreign(root)
    elif marker.digest != digest:
        others = set(marker.studies) - {study}
        if found := living(root, others):
            refuse_other(root, marker.digest, digest, f"the study in {layout.study_folder(root, found[0])}")
        if study not in marker.studies:  # Snakemake here does not know what it was planted with
            refuse_other(root, marker.digest, digest, "a study whose results are gone", f"remove {root}, or ")
    return marker


def refuse_other(root: Path, there: str, here: str, whose: str, way: str = "") -> NoReturn:
    """Raise InputError for a root with the phantom of another study."""
    raise InputError(
        f"config.data.root: {root} has the phantom {there} of {whose}, and this study's is {here}; {way}give this "
        "study a data.root of its own"
    )


def refuse_foreign(root: Path) -> None:
    """Raise InputError for an unmarked root that holds something."""
    if (found := foreign_file(root)) is not None:
        raise InputError(
            f"config.data.root: {root} holds {found}, which this pipeline has not planted and would replace; give the "
            "phantom a data.root of its own, or say data.source: nsd to use what is there (an old phantom without "
            f"{layout.phantom_marker(root).name}: remove its folder)"
        )


def refuse_planted(root: Path) -> None:
    """Raise InputError where a root that should be a mirror of the bucket is a phantom's."""
    if layout.phantom_marker(root).exists():
        raise InputError(
            f"config.data.root: {root} is planted with a phantom ({layout.phantom_marker(root)}) and no mirror of the "
            "bucket; give another data.root, or say data.source: phantom"
        )


def living(root: Path, studies: set[str]) -> list[str]:
    """Those of some studies whose results are still there, in order."""
    return sorted(study for study in studies if layout.study_folder(root, study).exists())


def claim(root: Path, results: Path, digest: str) -> None:
    """Note that the study with these results plants or uses what has this digest; InputError where it may not."""
    study = layout.study_id(root, results)
    with only_one(root, f"{root}"):
        marker = check(root, study, digest)
        results.mkdir(parents=True, exist_ok=True)  # from now on the study lives
        users = {study} if marker is None else {study, *living(root, set(marker.studies))}
        planted = None if marker is None else marker.planted
        claimed = Marker(digest=digest, studies=tuple(sorted(users)), planted=planted)
        if claimed != marker:
            write_marker(root, claimed)
