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
    return Path(f"{results}/attacks/{network}/{attack}.parquet")


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


def least_distances(columns: Mapping[str, np.ndarray], budgets: int) -> np.ndarray | None:
    """Of sorted columns, of so many budgets, the size of each image's verified adversarial (images,), images ascending,
    NaN where there is none; None where sizes were not recorded."""
    if "distance" not in columns:
        return None
    sizes = columns["distance"].astype(float).reshape(-1, max(budgets, 1))
    least: np.ndarray = np.fmin.reduce(sizes, axis=1, initial=np.nan)
    return least


def grid_of(columns: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray] | None:
    """Images (n,) and budgets (b,), both ascending, of columns that hold every image at every budget, sorted by image
    and budget; None of any others."""
    image, budget = columns["image"], columns["budget"]
    if not len(image):
        return image, budget
    width = int((image != image[0]).argmax()) or len(image)
    if len(image) % width:
        return None
    by_image, by_budget = image.reshape(-1, width), budget.reshape(-1, width)
    images, budgets = by_image[:, 0], by_budget[0]
    whole = (by_image == images[:, None]).all() and (by_budget == budgets).all()
    return (images, budgets) if whole and (np.diff(images) > 0).all() and (np.diff(budgets) > 0).all() else None


def read_attack_columns(path: Path) -> tuple[dict[str, np.ndarray], AttackRecord]:
    """The columns, rows sorted by image and budget, and how they were made; no rows where the attack failed.

    Raises InputError where the file, a column, an image or a budget is missing.
    """
    if not path.exists():
        raise InputError(f"{path}: missing; run the pipeline for this attack, or take it out of the study")
    columns, attrs = read_parquet_columns(path)
    if missing := sorted(set(COLUMNS) - set(columns)):
        raise InputError(f"{path}: no column '{missing[0]}' (has {list(columns)}); delete it and run again")
    if grid_of(columns) is None:
        order = np.lexsort((columns["budget"], columns["image"]))
        columns = {name: values[order] for name, values in columns.items()}
        if grid_of(columns) is None:
            images, budgets = (len(np.unique(columns[name])) for name in ("image", "budget"))
            raise InputError(f"{path}: {len(order)} rows for {images} images x {budgets} budgets; delete it, run again")
    return columns, as_record(path, attrs, AttackRecord, "the record of an attack")
