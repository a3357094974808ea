"""Which studies use a mirror, and which of its sessions may be deleted: what one fetched itself and no other needs."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated

from neurobust.core.errors import InputError
from neurobust.core.io import READ_ONLY, read_json, write_json
from neurobust.core.locks import alone
from neurobust.core.settings import Settings, about, read, written
from neurobust.files.betas import betas_path
from neurobust.nsd import layout
from neurobust.nsd.manifest import add_record, is_as_fetched, key_of, read_records
from neurobust.nsd.settings import Data

logger = logging.getLogger("neurobust")


class Note(Settings, frozen=True, omit_defaults=True):
    """What a study says of a mirror."""

    subjects: Annotated[tuple[str, ...], about("whose sessions it reads")]
    format: Annotated[str, about("in which it reads them")]
    keep_betas: Annotated[bool, about("whether it keeps them")]
    space: Annotated[str, about("in which space")] = layout.PUBLISHED.space
    betas: Annotated[str, about("of which version")] = layout.PUBLISHED.version

    def same_betas(self, other: Note) -> bool:
        """Whether both read the same betas of a subject, in whichever format."""
        return (self.space, self.betas) == (other.space, other.betas)


def read_studies(root: Path) -> dict[str, Note]:
    """The notes of the studies that use a mirror, by `layout.study_id`."""
    path = layout.studies(root)
    if not path.exists():
        return {}
    found = read_json(path)
    if not isinstance(found, dict):
        raise InputError(f"{path}: not the notes of studies; delete it, then start each study of this mirror again")
    return {study: read(Note, note, f"{path}: {study}") for study, note in found.items()}


def enter(data: Data, results: Path) -> None:
    """Note in the mirror that the study with these results uses it. A mirror that cannot be written needs no notes."""
    root = data.folder
    results.mkdir(parents=True, exist_ok=True)  # a study whose results are gone needs nothing any more
    note = Note(
        subjects=tuple(data.subjects), format=data.format, keep_betas=data.keep_betas, space=data.space,
        betas=data.betas,
    )  # fmt: skip
    try:
        with alone(_lock(root), f"{root}"):
            notes = read_studies(root)
            study = layout.study_id(root, results)
            if notes.get(study) != note:
                write_json(layout.studies(root), written(notes | {study: note}))
    except OSError as error:
        if error.errno not in READ_ONLY:
            raise


def release(root: Path, results: Path, subject: str, sessions: Iterable[Path]) -> list[Path]:
    """Delete the `sessions` of a subject that this study has extracted; those that are deleted.

    Only those that it fetched itself, if neither it nor any other study keeps sessions of the subject, and no other
    has still to read them. What somebody copied there is nobody's to delete.
    """
    if not layout.studies(root).exists():
        return []
    try:
        return _release(root, results, subject, sessions)
    except OSError as error:
        if error.errno not in READ_ONLY:
            raise
        logger.info("the sessions of %s stay: %s can only be read", subject, root)
        return []


def _release(root: Path, results: Path, subject: str, sessions: Iterable[Path]) -> list[Path]:
    """`release` of a mirror that can be written."""
    study, deleted, kept = layout.study_id(root, results), [], []
    with alone(_lock(root), f"{root}"):
        notes = read_studies(root)
        if study not in notes or (holder := _holder(root, notes, study, subject)) is not None:
            if study in notes:
                logger.info("the sessions of %s stay: %s", subject, holder)
            return []
        records = read_records(root)
        for path in sessions:
            record = records.get(key_of(root, path)) if path.is_relative_to(root) else None
            if record is not None and record.get("study") == study and is_as_fetched(record, path):
                path.unlink()
                add_record(root, {**record, "study": None})  # what lies there from now on is another file
                deleted.append(path)
            elif path.exists():
                kept.append(path)
    logger.info("%s: %d sessions deleted, data.keep_betas is false", subject, len(deleted))
    if kept:
        logger.info("%s: %d sessions stay, as %s: not as this study fetched them", subject, len(kept), kept[0])
    return deleted


def _holder(root: Path, notes: Mapping[str, Note], study: str, subject: str) -> str | None:
    """Why the sessions of a subject stay; None if nobody needs them."""
    for other, note in notes.items():
        if subject not in note.subjects or not note.same_betas(notes[study]):
            continue
        folder = layout.study_folder(root, other)
        if note.keep_betas and note.format == notes[study].format:
            return f"the study in {folder} keeps them"
        if other != study and folder.exists() and not betas_path(str(folder), subject).exists():
            return f"the study in {folder} has not read them yet"
    return None


def _lock(root: Path) -> Path:
    return layout.studies(root).with_name(".studies.lock")
