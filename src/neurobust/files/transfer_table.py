"""`attacks/{task}/{architecture}/transfer.parquet`: what networks' adversarials do to each other, by pair."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from neurobust.core.errors import InputError
from neurobust.core.io import Provenance, read_parquet, write_parquet
from neurobust.files.records import attributes_of

if TYPE_CHECKING:
    import pandas as pd

ENSEMBLE = -1  # the seed of a source that is all seeds of a condition together


class TransferRecord(Struct, frozen=True):
    """Whose networks they are, and how the table was made."""

    task: str
    architecture: str
    settings: dict[str, Any]
    provenance: Provenance


def transfer_table_path(results: Path | str, task: str, architecture: str) -> Path:
    """Where the transfer between the networks of a task and an architecture lies."""
    return Path(results) / "attacks" / task / architecture / "transfer.parquet"


def write_transfer_table(path: Path, frame: pd.DataFrame, record: TransferRecord) -> None:
    """Write a row per source and target, atomically."""
    write_parquet(path, frame, attributes_of(record))


def read_transfer_table(path: Path) -> pd.DataFrame:
    """A row per source and target; InputError where there is no such file."""
    if not path.exists():
        raise InputError(f"{path}: missing; run the pipeline for it, or take `transfer` out of the study")
    return read_parquet(path)[0]
