"""What the report is made of: tables, their rows and columns, and what figures and sections take them apart by."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager
from typing import Any

import pandas as pd

Tables = dict[str, pd.DataFrame]
Row = dict[str, Any]  # of a table, by column
Block = tuple[str, str, pd.DataFrame]
MANY = 8  # conditions that a panel can tell apart; with more, controls are drawn on the pages per ROI only


def plain_texts() -> AbstractContextManager[None]:
    """Where tables are made whose texts are Python's own: they are gone through one by one everywhere, and each of
    Arrow's would be made anew each time."""
    return pd.option_context("mode.string_storage", "python")


def blocks(table: pd.DataFrame) -> list[Block]:
    """(task, architecture, rows) in the order of the study."""
    if not len(table):
        return []
    return [
        (task, architecture, part) for (task, architecture), part in table.groupby(["task", "architecture"], sort=False)
    ]


def in_block(table: pd.DataFrame, task: str, architecture: str) -> pd.DataFrame:
    """The rows of one task and architecture."""
    return table[(table["task"] == task) & (table["architecture"] == architecture)]


def in_roi(table: pd.DataFrame, roi: str) -> pd.DataFrame:
    """The rows of one ROI."""
    return table[table["roi"] == roi]


def records(table: pd.DataFrame) -> list[Row]:
    """The rows of a table, as `to_dict("records")` gives them in five times the time."""
    names = list(table.columns)
    columns = [table[name].to_numpy(dtype=object) for name in names]
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def number(value: float | None) -> float:
    """A number that may be missing, as a float."""
    return math.nan if value is None else float(value)
