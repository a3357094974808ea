"""`attacks/{network}/shifted/{set}.parquet`: a network's answers to a published test set, a row per image, type and
severity."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from neurobust.core.errors import InputError
from neurobust.core.io import Provenance, read_parquet, write_parquet
from neurobust.files.records import as_record, attributes_of

if TYPE_CHECKING:
    import pandas as pd


class ShiftedRecord(Struct, frozen=True, kw_only=True):
    """Whose table it is and how it was made; kind: of the set; scored: the types that enter the errors; classes: those
    of the task that the set shows, among which the network chose; clean_accuracy: on n_clean of the task's own test
    images of these classes."""

    task: str
    architecture: str
    condition: str
    seed: int
    kind: str
    scored: list[str]
    classes: list[int]
    clean_accuracy: float
    n_clean: int
    versions: dict[str, str]
    provenance: Provenance


def shifted_table_path(results: Path | str, network: str, name: str) -> Path:
    """Where a network's answers lie; network: its names as a path (`NetworkName.path`), name: of the set."""
    return Path(results) / "attacks" / network / "shifted" / f"{name}.parquet"


def write_shifted_table(path: Path, frame: pd.DataFrame, record: ShiftedRecord) -> None:
    """Write the answers of one network, atomically."""
    write_parquet(path, frame, attributes_of(record))


def read_shifted_table(path: Path) -> tuple[pd.DataFrame, ShiftedRecord]:
    """The rows (image, label, corruption, severity, correct) and how they were made."""
    if not path.exists():
        raise InputError(f"{path}: missing; run the pipeline for it, or take the set out of `shifted`")
    frame, attrs = read_parquet(path)
    return frame, as_record(path, attrs, ShiftedRecord, "a network's answers to a shifted set")
