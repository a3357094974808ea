"""What stands in a page's tables: numbers as text, and cells of a mean, its spread and notes beneath."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pandas as pd

MISSING = "–"


def percent(value: float, digits: int = 1) -> str:
    """A share as percent: 0.4123 -> 41.2."""
    return MISSING if pd.isna(value) else f"{round(100 * value, digits) + 0.0:.{digits}f}"


def signed(value: float) -> str:
    """A difference of shares in percentage points with its sign: 0.012 -> +1.2."""
    return MISSING if pd.isna(value) else f"{round(100 * value, 1) + 0.0:+.1f}".replace("-", "−")


def plain(value: float, digits: int = 2) -> str:
    """A number with this many decimals and a real minus; what rounds to zero has no sign."""
    return MISSING if pd.isna(value) else f"{round(value, digits) + 0.0:.{digits}f}".replace("-", "−")


def short(value: float) -> str:
    """A number of any unit with three significant digits and a real minus."""
    return MISSING if pd.isna(value) else f"{value:.3g}".replace("-", "−")


def between(low: float, high: float, show: Callable[[float], str] = percent) -> str:
    """A range: `41.2 to 43.0`; empty where an end is missing."""
    return "" if pd.isna(low) or pd.isna(high) else f"{show(low)} to {show(high)}"


def with_range(value: float, low: float, high: float, show: Callable[[float], str]) -> str:
    """A number with the range that it comes from: `0.31 (0.24 to 0.38)`; without one where an end is missing."""
    ends = between(low, high, show)
    return show(value) + (f" ({ends})" if ends else "")


def with_interval(
    value: float, low: float, high: float, unit: str = "pp", show: Callable[[float], str] = signed
) -> str:
    """A difference with its interval: `+1.2 pp [−0.3 to +2.7]`; without one where an end is missing."""
    if pd.isna(value):
        return MISSING
    interval = between(low, high, show)
    return " ".join(filter(None, [show(value), unit, f"[{interval}]" if interval else ""]))


def difference_of(row: Any, unit: str = "pp") -> str:
    """The same of a row with `difference`, `low` and `high`."""
    return with_interval(row.difference, row.low, row.high, unit)


def duration(seconds: float) -> str:
    """Seconds for readers: 7.3 s, 4.2 min, 1.5 h."""
    if pd.isna(seconds):
        return MISSING
    for size, unit in ((3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"


def text(value: Any) -> str:
    """A CSV text field: empty where missing."""
    return "" if pd.isna(value) else str(value)


@dataclass(frozen=True)
class Note:
    """A line under a cell's value: its difference to a baseline, and the interval, empty where there is none."""

    baseline: str
    value: str
    interval: str


@dataclass(frozen=True)
class Entry:
    """A cell: its value, below it how far that spreads, and notes."""

    main: str = MISSING
    spread: str = ""
    notes: tuple[Note, ...] = ()


def over_seeds(values: pd.Series, digits: int = 1, alone: str = "one seed") -> Entry:
    """Mean over networks in percent and its range over seeds; `alone` stands for the range of one."""
    values = values.dropna()
    if not len(values):
        return Entry()
    spread = between(values.min(), values.max(), lambda value: percent(value, digits)) if len(values) > 1 else alone
    return Entry(percent(values.mean(), digits), spread)
