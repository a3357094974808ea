"""Why: through which measure the gain of guidance goes, what goes with robustness, and what guidance changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from operator import itemgetter
from typing import Any, NamedTuple, Protocol

import pandas as pd

from neurobust.report.blocks import Row, blocks
from neurobust.report.entries import Entry, between, plain, short, signed, text
from neurobust.report.style import INK, NEUTRAL, empty_svg, is_leftmost, label_rows, panel_blocks, rc, tip, to_svg
from neurobust.report.view import View
from neurobust.study.pairs import Gain, gains_of

LEVEL = 0.05  # of q: a measure with a smaller one is said to carry a gain
LEAST_CONDITIONS = 6  # with fewer, no association between conditions at equal clean accuracy has a p
SHOWN = 12  # measures that a page lists of the changes; all are in the table


class Number(Protocol):
    """A row of the table `why`: a number with its interval, NaN where it has none; of what measure and ROI."""

    of: str
    roi: str
    value: float
    low: float
    high: float


class Part(NamedTuple):
    """What one measure carries of a gain: its name, rows of the table `why` by what they say, and whether it is said to
    carry part of the gain."""

    name: str
    rows: Mapping[str, Number]
    carries: bool


def why_sections(view: View) -> list[Row]:
    """Per task and architecture: `sentences`, one a guided condition; `parts`, what each measure carries of its gain;
    `associated`, what goes with robust accuracy; `changes`, what guidance changed most surely."""
    found = []
    for task, architecture, table in blocks(view.tables["why"]):
        gains = list(carried(view, task, table))
        found.append(
            {"task": task, "architecture": architecture}
            | {"sentences": [sentence(gain, parts) for gain, parts in gains]}
            | {"parts": [line for gain, parts in gains for line in part_lines(view, gain, parts)]}
            | {"associated": association_lines(table), "changes": change_lines(view, table)}
        )
    return found


def name_of(row: Any) -> str:
    """A measure with the ROI and the layer that it is of."""
    return ", ".join(part for part in (text(row.of), text(row.roi), text(row.layer)) if part)


def carried(view: View, task: str, table: pd.DataFrame) -> Iterator[tuple[Gain, list[Part]]]:
    """Each gain that was explained with its measures: those that carry it, the most completely first; then the rest."""
    rows = table[table["analysis"] == "mediation"]
    for gain in gains_of(view.study, task):
        found = []
        own = rows[rows["condition"] == gain.condition]
        for _, part in own.groupby(["of", own["roi"].map(text)], sort=False):
            numbers = {row.measure: row for row in part.itertuples()}
            found.append(Part(name_of(numbers["through"]), numbers, carries(numbers)))
        if found:
            yield gain, sorted(found, key=_rank)


def _rank(part: Part) -> tuple[bool, float, float]:
    """What comes first: of measures that carry a gain those that leave least of it, of others those nearest to that."""
    q, left, carried = part.rows["q"].value, part.rows["direct"].value, part.rows["through"].value
    if part.carries:
        return False, abs(left), 0.0
    unknown = 3.0 if pd.isna(part.rows["total"].low) else 2.0
    return True, unknown if pd.isna(q) else q, 0.0 if pd.isna(carried) else -abs(carried)


def carries(rows: Mapping[str, Number]) -> bool:
    """Whether part of a gain is said to go through a measure: q below LEVEL and an interval above 0."""
    through, q = rows["through"], rows["q"].value
    return bool(through.low > 0 and q < LEVEL)


def sentence(gain: Gain, parts: list[Part]) -> str:
    """What may be said of why a condition gains."""
    total, first = parts[0].rows["total"], parts[0]
    gained = f"{gain.condition}’s gain over {gain.control} ({of_interval(total)})"
    if pd.isna(total.low):
        return f"Too few seeds to say through what {gained} goes: it takes three, and five to see much."
    if not total.low > 0:
        return f"There is no sure gain of {gain.condition} over {gain.control} to explain: {of_interval(total)}."
    if pd.isna(first.rows["q"].value):
        return (
            f"It cannot be told through what {gained} goes: that takes a measure that differs among seeds of a "
            f"condition and between at least {LEAST_CONDITIONS} conditions."
        )
    if not first.carries:
        nearest = f"{spoken(first)}: {through(first)}"
        return f"No measure that was asked about is shown to carry {gained}; nearest comes {nearest}."
    also = [spoken(part) for part in parts[1:] if part.carries]
    more = f" Taken alone, part of it goes with {', '.join(also)} too." if also else ""
    rest = of_interval(first.rows["direct"])
    return f"Of {gained}, {through(first)} goes with the change in {spoken(first)} and {rest} does not.{more}"


def spoken(part: Part) -> str:
    """A measure's name as a sentence has it: the ROI that it is of in brackets."""
    row = part.rows["through"]
    return f"{row.of} ({text(row.roi)})" if text(row.roi) else str(row.of)


def through(part: Part) -> str:
    """What goes through a measure, with its interval."""
    return of_interval(part.rows["through"])


def of_interval(row: Any) -> str:
    """A difference of shares in percentage points with its interval."""
    spread = between(row.low, row.high, signed)
    return f"{signed(row.value)} pp" + (f", {spread}" if spread else "")


def part_lines(view: View, gain: Gain, parts: list[Part]) -> list[Row]:
    """A line per measure: what it carries of a gain, how far guidance moves it, and its q."""
    return [
        {"condition": view.head(gain.condition), "control": gain.control, "measure": part.name, "sure": part.carries}
        | {name: entry(part.rows[name], signed) for name in ("total", "through", "direct")}
        | {"moved": entry(part.rows["moved"], short), "between": entry(part.rows["between"], plain)}
        | {"q": plain(part.rows["q"].value, 3)}
        for part in parts
    ]


def entry(row: Any, show: Any) -> Entry:
    """A number with its interval."""
    return Entry() if pd.isna(row.value) else Entry(show(row.value), between(row.low, row.high, show))


def association_lines(table: pd.DataFrame) -> list[Row]:
    """A line per measure: how it goes with robust accuracy, those that do so most surely first."""
    rows = table[table["analysis"] == "association"]
    found = []
    for _, part in rows.groupby(["of", rows["roi"].map(text)], sort=False):
        numbers = {row.measure: row for row in part.itertuples()}
        partial = numbers["partial correlation"]
        line: Row = {"measure": name_of(partial), "plain": plain(numbers["correlation"].value)}
        line |= {"partial": entry(partial, plain), "within": entry(numbers["within conditions"], plain)}
        line |= {"q": plain(numbers["q"].value, 3), "sure": bool(numbers["q"].value < LEVEL)}
        found.append((-abs(partial.value) if pd.notna(partial.value) else 1.0, line))
    return [line for _, line in sorted(found, key=itemgetter(0))]


def change_lines(view: View, table: pd.DataFrame) -> list[Row]:
    """What guidance changed, those changes first whose intervals are farthest from 0; at most SHOWN per condition."""
    rows = table[(table["analysis"] == "changes") & table["low"].notna()]
    rows = rows.assign(sure=rows["value"].abs() / (rows["high"] - rows["low"]))
    lines = []
    for condition in view.in_order(rows["condition"]):
        part = rows[rows["condition"] == condition].sort_values("sure", ascending=False, kind="stable").head(SHOWN)
        lines += [
            {"condition": view.head(condition), "measure": name_of(row), "change": entry(row, short)}
            for row in part.itertuples()
        ]  # fmt: skip
    return lines


def draw_mediation(view: View) -> str:
    """A forest per task and guided condition: what of its gain goes through each measure; a band for the whole gain."""
    table = view.tables["why"]
    shown = []
    for task, architecture, part in blocks(table):
        gains = [(gain, parts) for gain, parts in carried(view, task, part) if pd.notna(parts[0].rows["total"].low)]
        if gains:
            shown.append((task, architecture, gains))
    if not shown:
        return empty_svg("Nothing says through what a gain goes: it takes a guided condition and three seeds.")
    counts = [len(gains) for *_, gains in shown]
    names = max(len(parts) for *_, gains in shown for _, parts in gains)
    with rc():
        titles = view.titles([(task, architecture, table) for task, architecture, _ in shown])
        figure, axes = panel_blocks(titles, counts, 0.8 + 0.22 * names, wide=4.6)
        for (*_, gains), grid in zip(shown, axes, strict=True):
            for index, (axis, (gain, parts)) in enumerate(zip(grid, gains, strict=True)):
                draw_parts(view, axis, gain, parts)
                axis.set_xlabel("gain in robust accuracy (pp)" if is_leftmost(index, max(counts)) else "pp")
        return to_svg(figure, "What of each gain goes through each measure, with 95 % intervals")


def draw_parts(view: View, axis: Any, gain: Gain, parts: list[Part]) -> None:
    """One panel: a line and a mark per measure, filled where it is said to carry part of the gain."""
    total = parts[0].rows["total"]
    axis.axvspan(100 * total.low, 100 * total.high, color=NEUTRAL, alpha=0.15, linewidth=0)
    axis.axvline(100 * total.value, color=NEUTRAL, linewidth=1.2)
    axis.axvline(0, color=INK, linewidth=0.7, alpha=0.6)
    color = view.style(gain.condition)["color"]
    for height, part in enumerate(reversed(parts)):
        row = part.rows["through"]
        if pd.isna(row.value):
            continue
        if pd.notna(row.low):
            axis.plot([100 * row.low, 100 * row.high], [height, height], color=color, linewidth=1.4)
        face = color if part.carries else "none"
        look = {"linestyle": "none", "marker": "o", "markersize": 5, "color": color, "markerfacecolor": face}
        (mark,) = axis.plot([100 * row.value], [height], **look)
        tip(mark, [f"{gain.condition} − {gain.control} through {part.name}: {of_interval(row)}"])
    reach = 100 * max(abs(total.low), abs(total.high), 0.01)
    axis.set_xlim(-2 * reach, 2 * reach)
    label_rows(axis, [part.name for part in parts])
    axis.grid(axis="y", visible=False)
    axis.set_title(f"{gain.condition} − {gain.control}")
