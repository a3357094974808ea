"""`cortex/{subject}/quality.json`: the evidence that a subject's betas are its own, in place and in order."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from neurobust.core.io import Provenance
from neurobust.files.records import read_record, write_record


class SessionQuality(Struct, frozen=True, kw_only=True):
    """What was found of one session; None where it could not be measured, as of one that is empty.

    session: its number, from 1; mean over trials and voxels, and the typical voxel's standard deviation over trials,
    both in percent signal change; correlation over voxels of its mean and the published one; mean correlation of its
    trials with their repeats in other sessions.
    """

    session: int
    mean: float | None = None
    scale: float | None = None
    mean_r: float | None = None
    repeats_r: float | None = None


class Quality(Struct, frozen=True, kw_only=True):
    """What was found of a subject; None where it could not be measured.

    sessions, and which of them are empty; voxels that were looked at, and images with three trials; correlation over
    voxels of the recomputed and the published ncsnr, and the lowest one of a session's mean and the published mean;
    mean correlation of a trial with its repeats in other sessions, the same one trial early and late and with other
    images; the smallest and largest spread of a session, in that of the median session; tables that list the trials;
    correlation over voxels of the ncsnr of every other image with that of the rest; each session (none in a file that
    an earlier version wrote).
    """

    subject: str
    sessions: int
    empty_sessions: tuple[int, ...]
    n_voxels: int
    n_images: int
    ncsnr_r: float | None
    mean_r: float | None
    repeats_r: float | None
    early_r: float | None
    late_r: float | None
    chance_r: float | None
    scale_low: float | None
    scale_high: float | None
    tables: tuple[str, ...]
    halves_r: float | None = None
    by_session: tuple[SessionQuality, ...] = ()
    provenance: Provenance | None = None


def quality_path(results: Path | str, subject: str) -> Path:
    """Where the evidence on a subject lies."""
    return Path(results) / "cortex" / subject / "quality.json"


def write_quality(path: Path, quality: Quality) -> None:
    """Write the evidence on a subject, atomically."""
    write_record(path, quality)


def read_quality(path: Path) -> Quality:
    """The evidence on a subject; InputError where the file is no such record."""
    return read_record(path, Quality, "the evidence on a subject's betas")
