"""`stimuli/labels.parquet`: COCO's categories of each NSD image, inside the crop that subjects saw."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from neurobust.core.errors import InputError
from neurobust.core.io import read_parquet
from neurobust.files.lookup import find_rows

KEYS = ("nsd_id", "flagged")  # the columns that are no category


def stimulus_labels_path(results: Path | str) -> Path:
    """Where the categories of the images lie."""
    return Path(results) / "stimuli" / "labels.parquet"


def read_categories(path: Path, nsd_id: np.ndarray) -> np.ndarray:
    """Bool (n, categories): whether an object of the category is inside the crop of each of these images (n,).

    Raises InputError for a file without categories or without one of the images.
    """
    table, _ = read_parquet(path)
    names = [name for name in table.columns if name not in KEYS]
    if "nsd_id" not in table.columns or not names:
        raise InputError(f"{path}: no categories of images (has {list(table.columns)}); delete it and run again")
    rows, found = find_rows(nsd_id, table["nsd_id"].to_numpy(np.int64))
    if not found.all():
        raise InputError(f"{path}: nothing on nsd_id {nsd_id[~found][0]}; delete it and run again")
    covered: np.ndarray = table[names].to_numpy()[rows] > 0
    return covered


def category_names(path: Path) -> list[str]:
    """The names of the categories, in the order of the columns of `read_categories`."""
    return [name for name in read_parquet(path)[0].columns if name not in KEYS]
