"""`attacks/{network}/{attack}.parquet`: what one attack did to one network, a row per image and budget."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from msgspec import Struct

from neurobust.core.errors import InputError
from neurobust.core.io import Provenance, read_parquet_columns, write_parquet
from neurobust.files.records import as_record, attributes_of

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("image", "budget", "clean_correct", "success", "n_forward", "n_backward")  # of every attack


class AttackRecord(Struct, frozen=True):
    """How a table was made: whose it is, the settings in full, the norm and the unit of budgets, seconds of work, what
    verification counted, versions of the software; space: what an adaptive attack acted on; failed: why there are no
    rows, where the attack could not be carried out."""

    attack: str = ""
    norm: str = ""
    unit: str = ""
    task: str | None = None
    architecture: str | None = None
    condition: str | None = None
    seed: int | None = None
    settings: dict[str, Any] | None = None
    seconds: float | None = None
    verification: Any = None
    versions: Any = None
    space: str | None = None
    failed: str | None = None
    provenance: Provenance | None = None


def attack_table_path(results: Path | str, network: str, attack: str) -> Path:
    """Where an attack's table lies; network: its names as a path (`NetworkName.path`)."""
    return Path(results) / "attacks" / network / f"{attack}.parquet"


def write_attack_table(path: Path, frame: pd.DataFrame, record: AttackRecord) -> None:
    """Write a row per image and budget, and how they were made, atomically."""
    write_parquet(path, frame, attributes_of(record))


def write_failed_table(path: Path, record: AttackRecord) -> None:
    """Write, in the place of a table, the record of an attack that could not be carried out (`record.failed`)."""
    import pandas as pd

    write_attack_table(path, pd.DataFrame({name: [] for name in COLUMNS}), record)


def read_attack_table(path: Path) -> tuple[pd.DataFrame, AttackRecord]:
    """`read_attack_columns` as a frame."""
    import pandas as pd

    columns, record = read_attack_columns(path)
    return pd.DataFrame(columns), record


def least_distances(columns: Mapping[str, np.ndarray]) -> np.ndarray | None:
    """Of sorted columns the size of each image's verified adversarial (images,), images ascending, NaN where there is
    none; None where sizes were not recorded."""
    if "distance" not in columns:
        return None
    budgets = len(np.unique(columns["budget"]))
    sizes = columns["distance"].astype(float).reshape(-1, max(budgets, 1))
    least: np.ndarray = np.fmin.reduce(sizes, axis=1, initial=np.nan)
    return least


def read_attack_columns(path: Path) -> tuple[dict[str, np.ndarray], AttackRecord]:
    """The columns, rows sorted by image and budget, and how they were made; no rows where the attack failed.

    Raises InputError where the file, a column, an image or a budget is missing.
    """
    if not path.exists():
        raise InputError(f"{path}: missing; run the pipeline for this attack, or take it out of the study")
    columns, attrs = read_parquet_columns(path)
    if missing := sorted(set(COLUMNS) - set(columns)):
        raise InputError(f"{path}: no column '{missing[0]}' (has {list(columns)}); delete it and run again")
    order = np.lexsort((columns["budget"], columns["image"]))
    columns = {name: values[order] for name, values in columns.items()}
    images, budgets = np.unique(columns["image"]), np.unique(columns["budget"])
    rows, shape = len(order), (len(images), len(budgets))
    if rows != images.size * budgets.size or not (
        (columns["image"].reshape(shape) == images[:, None]).all()
        and (columns["budget"].reshape(shape) == budgets).all()
    ):
        raise InputError(f"{path}: {rows} rows for {shape[0]} images x {shape[1]} budgets; delete it, run again")
    return columns, as_record(path, attrs, AttackRecord, "the record of an attack")
