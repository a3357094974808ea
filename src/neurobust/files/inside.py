"""`explain/{network}/inside.parquet`: measures of a trained network's inside, a row each."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from neurobust.core.io import Provenance, read_parquet, write_parquet
from neurobust.files.records import attributes_of

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("measure", "roi", "value", "unit")


class InsideRecord(Struct, frozen=True):
    """How a table was made; images: the rows of dataset.h5 that were looked at."""

    seed: int
    n_images: int
    images: list[int]
    provenance: Provenance


def inside_path(results: Path | str, network: str) -> Path:
    """Where a network's measures lie; network: its names as a path (`NetworkName.path`)."""
    return Path(results) / "explain" / network / "inside.parquet"


def write_inside(path: Path, frame: pd.DataFrame, record: InsideRecord) -> None:
    """Write the measures of one network (COLUMNS), atomically."""
    write_parquet(path, frame[list(COLUMNS)], attributes_of(record))


def read_inside(path: Path) -> pd.DataFrame:
    """The measures; `roi` is empty for one that looks at no ROI."""
    return read_parquet(path)[0][list(COLUMNS)]
