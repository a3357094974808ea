"""Which files of the bucket a study needs: an explicit list from its config, and what is known of those fetched.

Imported by the workflow in every job, so nothing heavy here.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from neurobust.core.errors import InputError
from neurobust.core.io import canonical_json, write_json
from neurobust.nsd import layout
from neurobust.nsd.settings import Data

TERMS = (
    "the Natural Scenes Dataset is fetched only for those who have accepted its terms: read "
    "https://cvnlab.slite.page/p/IB6BSeW_7o/Terms-and-Conditions, fill in https://forms.gle/xue2bCdM9LaFNMeb7, then "
    "set data.accept_terms: true in the config or NSD_ACCEPT_TERMS=yes in the environment"
)


def accept_terms(data: Data, environment: Mapping[str, str] = os.environ) -> None:
    """Note in the mirror that the terms are accepted and which server to use; else InputError that says what to do.

    Nothing is asked where nothing is missing.
    """
    if not data.accept_terms and environment.get("NSD_ACCEPT_TERMS", "").lower() != "yes":
        if all(path.exists() for paths in study_files(data).values() for path in paths):
            return
        raise InputError(TERMS)
    source = {"endpoint": data.endpoint, "region": data.region}
    write_json(layout.terms(data.folder), {"bucket": layout.BUCKET, "terms_accepted": True, **source})


def label_files(root: Path, subject: str) -> list[Path]:
    """The label volumes of all atlases: both hemispheres in one, left, and right."""
    sides = (None, *layout.HEMISPHERES)
    return [layout.roi(root, subject, atlas, side) for atlas in layout.ATLASES for side in sides]


def session_files(root: Path, subject: str, n_sessions: int, suffix: str) -> list[Path]:
    """The betas of every session that a subject ran, in numeric order."""
    return [layout.session(root, subject, number, suffix) for number in range(1, n_sessions + 1)]


def evidence_files(root: Path, subject: str, n_sessions: int) -> list[Path]:
    """What says whether a subject's betas are its own, besides themselves and ncsnr; a mirror may lack any of them."""
    means = [layout.mean_beta(root, subject, number) for number in range(1, n_sessions + 1)]
    return [layout.responses(root, subject), layout.stim_info(root), *means]


def doctor_files(root: Path, subject: str) -> list[Path]:
    """Small files that no stage computes with, but that say whether a mirror is what it should be."""
    halves = [layout.ncsnr_split(root, subject, half) for half in (1, 2)]
    return [layout.responses(root, subject), layout.valid(root, subject), *halves]


def small_files(root: Path, subjects: Iterable[str]) -> list[Path]:
    """Everything but betas and images: a few MB per subject."""
    files = [layout.expdesign(root), layout.stim_info(root)]
    files += [layout.ctab(root, "", atlas) for atlas in layout.VOLUME_ATLASES]
    for subject in subjects:
        files += [layout.brainmask(root, subject), layout.ncsnr(root, subject), *label_files(root, subject)]
        files += [layout.ctab(root, subject, atlas) for atlas in layout.SURFACE_ATLASES]
        files += doctor_files(root, subject)
    return files


def study_files(data: Data) -> dict[str, list[Path]]:
    """What a study reads from the bucket, by group: small files, betas, images."""
    root = data.folder
    betas = [
        path
        for subject, sessions in data.sessions.items()
        for path in session_files(root, subject, sessions, data.format)
    ]
    return {"tables and labels": small_files(root, data.subjects), "betas": betas, "images": [layout.stimuli(root)]}


def key_of(root: Path, path: Path) -> str:
    """The bucket's key of a file in a mirror."""
    try:
        key = Path(path).relative_to(root).as_posix()
    except ValueError as error:
        raise InputError(f"{path}: not inside the mirror {root}; give a path below data.root") from error
    if not key.startswith("nsddata"):
        raise InputError(f"{path}: '{key}' is not a key of the bucket; keys begin with nsddata")
    return key


def read_records(root: Path) -> dict[str, dict[str, Any]]:
    """What is known of each fetched file by key: size, etag, last_modified, sha256, facts; later lines win."""
    path = layout.records(root)
    if not path.exists():
        return {}
    records = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            record = json.loads(line)
            records[record["key"]] = record
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path}: line {number} is not a record ({error}); remove that line") from error
    return records


def add_record(root: Path, record: Mapping[str, Any]) -> None:
    """Append a file's record. Jobs run side by side, so the line is written at once and under a lock."""
    path = layout.records(root)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(canonical_json(dict(record)) + "\n")
        file.flush()
        os.fsync(file.fileno())


def identity(path: Path) -> dict[str, int]:
    """What of a record says that a file is still the one that was fetched, and not another that took its place."""
    status = path.stat()
    return {"size": status.st_size, "inode": status.st_ino}


def is_fetched(record: Mapping[str, Any], path: Path) -> bool:
    """Whether the file `path` is there and the one that a record is of."""
    return path.exists() and identity(path).items() <= record.items()
