"""Whose a phantom's root is: a file there says that the pipeline planted it, what, and for which studies.

A root is planted where it is empty of what the phantom writes, or where this file lies; and again with something else,
or by other code, only by the study that uses it, or the studies of one folder. All else there belongs to somebody.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Annotated, NamedTuple, NoReturn

from msgspec import field
from msgspec.structs import replace

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
    code: Annotated[str | None, about("hash of the code that the studies plant by; null: not known")] = None
    folders: Annotated[dict[str, str], about("of studies, where Snakemake runs for them, by the way from the root")] = (
        field(default_factory=dict)
    )


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


class Planter(NamedTuple):
    """Who would plant a root: the folder that Snakemake runs in, and what gives the hash of the code there."""

    folder: Path
    code: Callable[[], str]


def check(root: Path, study: str, digest: str, planter: Planter | None = None) -> Marker | None:
    """The marker of a root that a study may plant with settings of this digest; InputError where it may not.

    planter: None: by whatever code, which nobody is asked about.
    """
    marker = read_marker(root)
    if marker is None:
        refuse_foreign(root)
    elif marker.digest != digest:
        others = set(marker.studies) - {study}
        if found := living(root, others):
            refuse_other(root, marker.digest, digest, f"the study in {layout.study_folder(root, found[0])}")
        if study not in marker.studies:  # Snakemake here does not know what it was planted with
            refuse_other(root, marker.digest, digest, "a study whose results are gone", f"remove {root}, or ")
    elif planter is not None:
        check_code(root, marker, planter)
    return marker


def check_code(root: Path, marker: Marker, planter: Planter) -> None:
    """Raise InputError where a phantom that other code planted is not one folder's alone.

    Studies of one folder have one code, and what Snakemake notes of their jobs: there a changed line plants again, for
    all of them.
    """
    if marker.code is None or marker.code == planter.code():
        return
    here = way_to(root, planter.folder)
    others = {study for study, folder in marker.folders.items() if folder != here}
    whose, way = "a study whose results are gone", ""
    if found := living(root, others):
        whose, way = f"the study in {layout.study_folder(root, found[0])}", "bring both to one version and "
    elif here in marker.folders.values():
        return
    raise InputError(
        f"config.data.root: {root} has a phantom that another version of this pipeline planted for {whose}; "
        f"{way}remove {root}, or give this study a data.root of its own"
    )


def way_to(root: Path, folder: Path) -> str:
    """The way from a root to a folder, which a move of both keeps."""
    return os.path.relpath(folder.resolve(), root.resolve())


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


def claim(root: Path, results: Path, digest: str, planter: Planter | None = None) -> None:
    """Note that the study with these results plants or uses what has this digest; InputError where it may not."""
    study = layout.study_id(root, results)
    with only_one(root, f"{root}"):
        marker = check(root, study, digest, planter)
        results.mkdir(parents=True, exist_ok=True)  # from now on the study lives
        known = Marker(digest=digest, studies=()) if marker is None else marker
        users = {study, *living(root, set(known.studies))}
        folders = {user: folder for user, folder in known.folders.items() if user in users}
        claimed = replace(known, digest=digest, studies=tuple(sorted(users)), folders=folders)
        if planter is not None:
            folders = folders | {study: way_to(root, planter.folder)}
            claimed = replace(claimed, code=planter.code(), folders=folders)
        if claimed != marker:
            write_marker(root, claimed)
