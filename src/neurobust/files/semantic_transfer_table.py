"""`attacks/{network}/semantic/transfer/{attack}.parquet`: what a surrogate's semantic adversarials do to a network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from neurobust.core.io import Provenance, write_parquet
from neurobust.files.records import attributes_of, read_table

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("image", "strength", "source_correct", "source_broken", "clean_correct", "success", "answer")


class SemanticTransferRecord(Struct, frozen=True):
    """Whose table it is and how it was made; the source is the surrogate, settings those of its attack."""

    task: str
    architecture: str
    condition: str
    seed: int
    attack: str
    axis: str
    source_condition: str
    source_seed: int
    settings: dict[str, Any]
    provenance: Provenance


def semantic_transfer_path(results: Path | str, network: str, attack: str) -> Path:
    """Where the table of a network that meets a surrogate's adversarials lies."""
    return Path(results) / "attacks" / network / "semantic" / "transfer" / f"{attack}.parquet"


def write_semantic_transfer(path: Path, frame: pd.DataFrame, record: SemanticTransferRecord) -> None:
    """Write a row per image and strength, and how they were made, atomically."""
    write_parquet(path, frame, attributes_of(record))


def read_semantic_transfer(path: Path) -> tuple[pd.DataFrame, SemanticTransferRecord]:
    """A row per image and strength, and how they were made; InputError where the file is not that."""
    return read_table(path, SemanticTransferRecord, "rows of a semantic transfer", COLUMNS)
