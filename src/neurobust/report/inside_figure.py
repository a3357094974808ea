"""What changed inside: one panel per measure and ROI, one line per condition, one dot per network."""

from __future__ import annotations

import textwrap
from typing import Any

import pandas as pd

from neurobust.core.architecture_names import PENULTIMATE
from neurobust.report.blocks import blocks
from neurobust.report.entries import short, text, with_range
from neurobust.report.explained import asked
from neurobust.report.style import Mark, empty_svg, is_leftmost, label_rows, panel_blocks, plot_marks, rc, to_svg
from neurobust.report.view import View

PANEL = ["measure", "roi", "unit"]  # what has a panel
TITLE = 27  # letters of a line above a panel


def draw_inside(view: View) -> str:
    """The measures that the study asks about, of every network, a block per task; the large mark is the mean over
    seeds. Where a measure has layers, the penultimate one is drawn."""
    table = view.tables["inside"]
    table = table.assign(**{name: table[name].map(text) for name in ("roi", "unit", "layer")})
    shown = table["measure"].isin(asked(view.study)) & table["layer"].isin(["", PENULTIMATE])
    table = table[shown & table["value"].notna()]
    if not len(table):
        return empty_svg("No inside measure was computed.")
    parts = blocks(table)
    panels = [list(part[PANEL].drop_duplicates().itertuples(index=False, name=None)) for _, _, part in parts]
    most = max(part["condition"].nunique() for _, _, part in parts)
    with rc():
        figure, axes = panel_blocks(view.titles(parts), list(map(len, panels)), 0.95 + 0.2 * most)
        for (_, _, part), measures, grid in zip(parts, panels, axes, strict=True):
            conditions = view.in_order(part["condition"])
            for index, (axis, (measure, roi, unit)) in enumerate(zip(grid, measures, strict=True)):
                rows = part[(part["measure"] == measure) & (part["roi"] == roi) & (part["unit"] == unit)]
                draw_measure(view, axis, rows, conditions)
                label_rows(axis, conditions, is_leftmost(index, max(map(len, panels))))
                axis.set_title(textwrap.fill(f"{measure}, {roi}" if roi else measure, TITLE), fontsize=9)
                axis.set_xlabel(unit)
        return to_svg(figure, "Inside measures of the networks, per condition")


def draw_measure(view: View, axis: Any, rows: pd.DataFrame, conditions: list[str]) -> None:
    """One panel: a line per condition, a mark per network."""
    axis.grid(axis="x", visible=True)
    heights = {condition: height for height, condition in enumerate(reversed(conditions))}
    networks, means = [], []
    for condition, part in rows.groupby("condition", sort=False):
        values, height, style = part["value"].to_numpy(float), heights[condition], view.style(condition)
        small = style | {"markerfacecolor": style["color"]}
        for seed, value in zip(part["seed"], values, strict=True):
            networks.append(Mark(value, height, f"{condition}, seed {seed}: {short(value)}", small))
        said = f"{condition}: {with_range(values.mean(), values.min(), values.max(), short)}"
        means.append(Mark(values.mean(), height, said, style))
    plot_marks(axis, networks, markersize=4, alpha=0.5, markeredgewidth=0)
    plot_marks(axis, means, markersize=6.5)
    axis.margins(x=0.15)
