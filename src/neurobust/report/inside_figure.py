"""What changed inside: one panel per measure and ROI, one line per condition, one dot per network."""

from __future__ import annotations

from typing import Any

import pandas as pd

from neurobust.core.architecture_names import PENULTIMATE
from neurobust.report.blocks import blocks
from neurobust.report.entries import text
from neurobust.report.explained import asked
from neurobust.report.style import empty_svg, is_leftmost, panel_blocks, rc, to_svg
from neurobust.report.view import View


def draw_inside(view: View) -> str:
    """The measures that the study asks about, of every network, a block per task; the large mark is the mean over
    seeds. Where a measure has layers, the penultimate one is drawn."""
    table = view.tables["inside"]
    table = table.assign(**{name: table[name].map(text) for name in ("roi", "unit", "layer")})
    shown = table["measure"].isin(asked(view.study)) & table["layer"].isin(["", PENULTIMATE])
    table = table[shown & table["value"].notna()]
    if not len(table):
        return empty_svg("No inside measure was computed.")
    measures = list(table[["measure", "roi", "unit"]].drop_duplicates().itertuples(index=False, name=None))
    conditions = view.in_order(table["condition"])
    parts = blocks(table)
    with rc():
        figure, axes = panel_blocks(view.titles(parts), len(measures), 0.75 + 0.2 * len(conditions))
        for (_, _, part), grid in zip(parts, axes, strict=True):
            for index, (axis, (measure, roi, unit)) in enumerate(zip(grid, measures, strict=True)):
                rows = part[(part["measure"] == measure) & (part["roi"] == roi) & (part["unit"] == unit)]
                draw_measure(view, axis, rows, conditions)
                axis.tick_params(labelleft=is_leftmost(index, len(measures)))
                axis.set(title=f"{measure}, {roi}" if roi else measure, xlabel=unit)
        return to_svg(figure, "Inside measures of the networks, per condition")


def draw_measure(view: View, axis: Any, rows: pd.DataFrame, conditions: list[str]) -> None:
    """One panel: a line per condition, a mark per network."""
    axis.grid(axis="x", visible=True)
    for height, condition in enumerate(reversed(conditions)):
        values = rows[rows["condition"] == condition]["value"].to_numpy(float)
        style = view.style(condition) | {"linestyle": "none"}
        small = style | {"markerfacecolor": style["color"], "markeredgewidth": 0}
        axis.plot(values, [height] * len(values), markersize=4, alpha=0.5, **small)
        if len(values):
            axis.plot([values.mean()], [height], markersize=6.5, **style)
    axis.set_ylim(-0.6, len(conditions) - 0.4)
    axis.set_yticks(range(len(conditions)), list(reversed(conditions)))
    axis.margins(x=0.15)
