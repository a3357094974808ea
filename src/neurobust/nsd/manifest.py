"""Which files of the bucket a study needs: an explicit list from its config, and what is known of those fetched.

Imported by the workflow in every job, so nothing heavy here.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import TypedDict, get_args

from neurobust.core.errors import InputError
from neurobust.core.io import canonical_json, sha256_file, write_json
from neurobust.files.prf_maps import MAPS
from neurobust.nsd import layout
from neurobust.nsd.layout import Copies, Root
from neurobust.nsd.settings import Data, most_images

DATED = 3600  # s at most from the last byte of a file to the end of its job
TERMS = (
    "the Natural Scenes Dataset is fetched only for those who have accepted its terms: read "
    "https://cvnlab.slite.page/p/IB6BSeW_7o/Terms-and-Conditions, fill in https://forms.gle/xue2bCdM9LaFNMeb7, then "
    "set data.accept_terms: true in the config or NSD_ACCEPT_TERMS=yes in the environment"
)


class Facts(TypedDict, total=False):
    """What is known of a file that was looked at, of those that its kind has: shape and type of its numbers; of NIfTI
    the affine; of HDF5 its chunks and attributes; dtypes of the design's variables; rows and columns of a table; labels
    of a colour table. Of single images: how many, of how many sessions, and whether they lay in one piece."""

    shape: list[int]
    dtype: str
    affine: list[list[float]]
    chunks: list[int] | None
    attrs: list[str]
    dtypes: dict[str, str]
    rows: int
    columns: list[str]
    labels: int
    images: int
    sessions: int
    contiguous: bool


class Record(TypedDict, total=False):
    """A line of the manifest: what is known of a file of a mirror. Of one that was there before: key, `identity` and
    facts.

    etag, last_modified, checksums: what the bucket said; etag_is: what its ETag was found to be ("md5", "parts",
    "unknown"). study: whose run fetched it, so that the run may delete it; None: nobody may.
    """

    key: str
    size: int
    inode: int
    changed: int
    etag: str
    etag_is: str
    sha256: str
    last_modified: str
    checksums: list[str]
    facts: Facts
    study: str | None


class Identity(TypedDict):
    """What of a record says that a file is still the one that was fetched: size in bytes, inode, and when it was
    changed, in s."""

    size: int
    inode: int
    changed: int


def accept_terms(data: Data, environment: Mapping[str, str] = os.environ) -> None:
    """Note in the mirror that the terms are accepted and which server to use; else InputError that says what to do.

    For those who have something to fetch: whoever has all that they need is not asked.
    """
    if not data.accept_terms and environment.get("NSD_ACCEPT_TERMS", "").lower() != "yes":
        raise InputError(TERMS)
    source = {"endpoint": data.endpoint, "region": data.region}
    write_json(layout.terms(data.folder), {"bucket": layout.BUCKET, "terms_accepted": True, **source})


def label_files(
    root: Root, subject: str, wanted: Collection[str] = layout.ATLASES, space: str = "func1pt8mm"
) -> list[Path]:
    """The label volumes of all atlases: both hemispheres in one, left, and right.

    Of an atlas that is not `wanted` only what is there: it is of use, and nobody's loss.
    """
    sides = (None, *layout.HEMISPHERES)
    every = {layout.roi(root, subject, atlas, side, space): atlas for atlas in layout.ATLASES for side in sides}
    return [path for path, atlas in every.items() if atlas in wanted or path.exists()]


def session_files(
    root: Root, subject: str, n_sessions: int, suffix: str, prepared: layout.Preparation = layout.PUBLISHED
) -> list[Path]:
    """The betas of every session that a subject ran, in numeric order: of each the twin that is there.

    Both hold the same numbers. Where both are there, or neither, it is the one with `suffix`.
    """
    files = []
    for number in range(1, n_sessions + 1):
        twins = (suffix, *get_args(layout.SessionFormat))
        named = {twin: layout.session(root, subject, number, twin, prepared) for twin in twins}
        files.append(next((path for path in named.values() if path.exists()), named[suffix]))
    return files


def evidence_files(
    root: Root, subject: str, n_sessions: int, prepared: layout.Preparation = layout.PUBLISHED
) -> list[Path]:
    """What says whether a subject's betas are its own, besides themselves and ncsnr; a mirror may lack any of them."""
    means = [layout.mean_beta(root, subject, number, prepared) for number in range(1, n_sessions + 1)]
    return [layout.responses(root, subject), layout.stim_info(root), *means]


def doctor_files(root: Root, subject: str, prepared: layout.Preparation = layout.PUBLISHED) -> list[Path]:
    """Small files that no stage computes with, but that say whether a mirror is what it should be."""
    halves = [layout.ncsnr_split(root, subject, half, prepared) for half in (1, 2)]
    return [layout.responses(root, subject), layout.valid(root, subject, prepared.space), *halves]


def small_files(
    root: Root,
    subjects: Iterable[str],
    wanted: Collection[str] = layout.ATLASES,
    prepared: layout.Preparation = layout.PUBLISHED,
) -> list[Path]:
    """Everything but betas and images: a few MB per subject. Of atlases that are not `wanted` only what is there."""
    files = [layout.expdesign(root), layout.stim_info(root)]
    tables = [layout.ctab(root, "", atlas) for atlas in layout.VOLUME_ATLASES if atlas in wanted]
    for subject in subjects:
        files += [layout.brainmask(root, subject, prepared.space), layout.ncsnr(root, subject, prepared)]
        files += label_files(root, subject, wanted, prepared.space)
        tables += [layout.ctab(root, subject, atlas) for atlas in layout.SURFACE_ATLASES if atlas in wanted]
        files += doctor_files(root, subject, prepared)
    return files + tables


def study_files(data: Data) -> dict[str, list[Path]]:
    """What a study reads from the bucket, by group: small files, betas, images."""
    root = data.mirror
    betas = [
        path
        for subject, sessions in data.sessions.items()
        for path in session_files(root, subject, sessions, data.format, data.prepared)
    ]
    small = small_files(root, data.subjects, prepared=data.prepared)
    small += [layout.prf(root, subject, name, data.space) for subject in data.subjects for name in MAPS]
    return {"tables and labels": small, "betas": betas, "images": [layout.stimuli(root)]}


def key_of(root: Root, path: Path) -> str:
    """The bucket's key of a file in a mirror; of an uncompressed copy, x.nii, that of x.nii.gz."""
    folders = (root.cache, root.root) if isinstance(root, Copies) else (Path(root),)
    inside = next((folder for folder in folders if Path(path).is_relative_to(folder)), None)
    if inside is None:
        raise InputError(f"{path}: not inside the mirror {folders[0]}; give a path below data.root or data.cache")
    key = Path(path).relative_to(inside).as_posix()
    if not key.startswith("nsddata"):
        raise InputError(f"{path}: '{key}' is not a key of the bucket; keys begin with nsddata")
    return f"{key}.gz" if key.endswith(".nii") else key


def read_records(root: Root) -> dict[str, Record]:
    """What is known of each fetched file by key; later lines win."""
    path = layout.records(root)
    if not path.exists():
        return {}
    records: dict[str, Record] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            record: Record = json.loads(line)
            records[record["key"]] = record
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path}: line {number} is not a record ({error}); remove that line") from error
    return records


def has_stimuli(root: Path, subject: str, n_sessions: int) -> bool:
    """Whether the images that a subject saw in so many sessions were fetched into a folder, by its records: of older
    ones, which say no sessions, by the number of images."""
    path = layout.subject_stimuli(root, subject)
    record = read_records(root).get(path.relative_to(root).as_posix())
    if record is None or not path.exists():
        return False
    facts = record.get("facts", {})
    sessions = facts.get("sessions")
    return bool(facts.get("images", 0) >= most_images(n_sessions) if sessions is None else sessions >= n_sessions)


def known_digest(root: Root, key: str) -> tuple[str, Path] | None:
    """SHA-256 in hex of a file that the user knows how it should be, and the list that says so; None where none does.

    Of a mirror that is only read, its own list is asked too: what it lacks is fetched into the cache.
    """
    for path in layout.all_digests(root):
        if (digest := read_digests(path).get(key)) is not None:
            return digest, path
    return None


def read_digests(path: Path) -> dict[str, str]:
    """SHA-256 in hex by key, of a list as `sha256sum` prints them; empty where there is no such list."""
    if not path.exists():
        return {}
    known = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        digest, _, key = line.strip().partition(" ")
        if line.strip() and not (re.fullmatch("[0-9a-fA-F]{64}", digest) and key.strip()):
            raise InputError(f"{path}: line {number} is no SHA-256 and a key, as sha256sum prints them; mend that line")
        known[key.strip(" *").removeprefix("./")] = digest.lower()
    return known


def add_record(root: Root, record: Record) -> None:
    """Append a file's record. Jobs run side by side, so the line is written at once and under a lock."""
    path = layout.records(root)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(canonical_json(dict(record)) + "\n")
        file.flush()
        os.fsync(file.fileno())


def identity(path: Path) -> Identity:
    """The identity of a file."""
    status = path.stat()
    return {"size": status.st_size, "inode": status.st_ino, "changed": int(status.st_mtime)}


def is_fetched(record: Record, path: Path) -> bool:
    """Whether the file `path` is there and the one that a record is of, and not another that took its place."""
    if not path.exists():
        return False
    now = identity(path)
    return record.get("size") == now["size"] and record.get("inode") == now["inode"]


def is_as_fetched(record: Record, path: Path) -> bool:
    """The same, and nobody has copied another into it since: as old as it was, or of the same bytes.

    Snakemake dates what a job has made anew when the job ends. Records of earlier versions have no date.
    """
    if not is_fetched(record, path):
        return False
    now = identity(path)["changed"]
    return 0 <= now - record.get("changed", now) < DATED or sha256_file(path) == record["sha256"]
