"""`explain/{predictors,networks,study}/.../{analysis}.parquet`: what an analysis found, a row a number; beside it
`.npz`, its arrays, where it has any."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from neurobust.core.io import Provenance, write_parquet
from neurobust.files.records import attributes_of, read_arrays, read_table, write_arrays

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

COLUMNS = ("measure", "layer", "roi", "value", "low", "high", "n_images")
STUDY_COLUMNS = ("of", "condition", "n_networks")  # that tables of the whole study have besides


class ExplainedRecord(Struct, frozen=True):
    """How a table was made: by which analysis; seed: of the predictor or the network, None for a whole study; images:
    the rows of dataset.h5 that were looked at, of a predictor the NSD ids; lacking: why there are no rows, where the
    analysis needs what is not there."""

    analysis: str
    provenance: Provenance
    seed: int | None = None
    images: list[int] = []
    lacking: str | None = None


def predictor_analysis_path(results: Path | str, predictor: str, roi: str, seed: int | str, analysis: str) -> Path:
    """Where an analysis of the predictor of an ROI lies."""
    return Path(results) / "explain" / "predictors" / predictor / roi / f"seed{seed}" / f"{analysis}.parquet"


def network_analysis_path(results: Path | str, network: str, analysis: str) -> Path:
    """Where an analysis of a network lies; network: its names as a path (`NetworkName.path`)."""
    return Path(results) / "explain" / "networks" / network / f"{analysis}.parquet"


def study_analysis_path(results: Path | str, task: str, architecture: str, analysis: str) -> Path:
    """Where an analysis of all networks of a task and an architecture lies."""
    return Path(results) / "explain" / "study" / task / architecture / f"{analysis}.parquet"


def arrays_path(table: Path | str) -> Path:
    """Where the arrays of an analysis lie: beside its table."""
    return Path(table).with_suffix(".npz")


def write_explained(path: Path, frame: pd.DataFrame, record: ExplainedRecord) -> None:
    """Write what an analysis found (COLUMNS, of a whole study also STUDY_COLUMNS), atomically."""
    there = [*COLUMNS, *(name for name in STUDY_COLUMNS if name in frame.columns)]
    write_parquet(path, frame[there], attributes_of(record))


def read_explained(path: Path) -> tuple[pd.DataFrame, ExplainedRecord]:
    """The rows, `layer` and `roi` empty where there is none, and how they were made."""
    return read_table(path, ExplainedRecord, "a table of an analysis", COLUMNS)


def write_explained_arrays(table: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write the arrays of an analysis beside its table, atomically."""
    write_arrays(arrays_path(table), arrays)


def read_explained_arrays(table: Path) -> dict[str, np.ndarray]:
    """The arrays of an analysis by name, none where it could not be made; InputError for what cannot be read."""
    return read_arrays(arrays_path(table), ())
