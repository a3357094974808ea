"""`networks/{network}/history.parquet`: how a network was trained, a row per epoch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neurobust.core.io import write_parquet

if TYPE_CHECKING:
    import pandas as pd


def history_path(results: Path | str, network: str) -> Path:
    """Where a network's history lies; network: its names as a path (`NetworkName.path`)."""
    return Path(results) / "networks" / network / "history.parquet"


def write_history(path: Path, frame: pd.DataFrame, made: Mapping[str, Any]) -> None:
    """Write a row per epoch, atomically; made: whose it is and how it came to be."""
    write_parquet(path, frame, made)
