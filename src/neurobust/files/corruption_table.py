"""`attacks/{network}/corruptions.parquet`: a network's answers to corrupted images, a row per image, type, severity."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from neurobust.core.errors import InputError
from neurobust.core.io import Provenance, read_parquet, write_parquet
from neurobust.files.records import attributes_of

if TYPE_CHECKING:
    import pandas as pd


class CorruptionRecord(Struct, frozen=True, kw_only=True):
    """Whose table it is and how it was made; set: of strengths; types: all that were shown; scored: those that enter
    the corruption errors."""

    task: str
    architecture: str
    condition: str
    seed: int
    set: str
    types: list[str]
    scored: list[str]
    versions: dict[str, str]
    provenance: Provenance


def corruption_table_path(results: Path | str, network: str) -> Path:
    """Where a network's answers lie; network: its names as a path (`NetworkName.path`)."""
    return Path(results) / "attacks" / network / "corruptions.parquet"


def write_corruption_table(path: Path, frame: pd.DataFrame, record: CorruptionRecord) -> None:
    """Write the answers of one network, atomically."""
    write_parquet(path, frame, attributes_of(record))


def read_corruption_table(path: Path) -> tuple[pd.DataFrame, list[str]]:
    """The rows (image, corruption, severity, clean_correct, correct) and the types that enter the corruption errors."""
    if not path.exists():
        raise InputError(f"{path}: missing; run the pipeline for it, or take `corruptions` out of the study")
    frame, attrs = read_parquet(path)
    if "scored" not in attrs:
        raise InputError(f"{path}: does not say which types are scored; delete it and run again")
    return frame, list(attrs["scored"])
