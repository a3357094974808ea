"""Survival against the worst of all attacks of a norm: one panel per norm, one line per condition."""

from __future__ import annotations

import pandas as pd

from neurobust.report.blocks import MANY, block_titles, blocks
from neurobust.report.study import NORMS, Study, attack_settings, in_order, is_control
from neurobust.report.style import condition_style, empty_svg, is_leftmost, panel_blocks, rc, to_svg


def draw_survival(study: Study, tables: dict[str, pd.DataFrame]) -> str:
    """Share of images whose smallest breaking budget, over all attacks of a norm, is larger; a block per task."""
    table = tables["survival"]
    table = table.assign(unit=table["unit"].fillna(""))
    table = table[table["norm"].isin(merged_norms(study))]
    if not len(table):
        return empty_svg("No norm has two attacks to merge.")
    names = in_order(study, table["condition"])
    if len(names) > MANY:
        names = [name for name in names if not is_control(study, name)]
    norms = list(table[["norm", "unit"]].drop_duplicates().itertuples(index=False, name=None))
    parts = blocks(table)
    with rc():
        from matplotlib.lines import Line2D

        handles = [Line2D([], [], label=name, **line_style(study, name)) for name in names]
        figure, axes = panel_blocks(block_titles(study, parts), len(norms), 2.3, handles)
        for (_, _, part), grid in zip(parts, axes, strict=True):
            for index, (axis, (norm, unit)) in enumerate(zip(grid, norms, strict=True)):
                here = part[(part["norm"] == norm) & (part["unit"] == unit)]
                for name in names:
                    rows = here[here["condition"] == name]
                    curve = rows.groupby("budget")["robust_accuracy"].agg(["mean", "min", "max"])
                    style = line_style(study, name)
                    if len(names) <= MANY:
                        axis.fill_between(curve.index, curve["min"], curve["max"], color=style["color"], alpha=0.15,
                                          step="post", linewidth=0)  # fmt: skip
                    axis.step(curve.index, curve["mean"], where="post", **style)
                axis.set_ylim(0, 1.03)
                axis.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0", "25 %", "50 %", "75 %", "100 %"])
                axis.tick_params(labelleft=is_leftmost(index, len(norms)))
                axis.set_ylabel("images that stand" if is_leftmost(index, len(norms)) else "")
                shown = unit if unit and unit != NORMS.get(norm) else ""
                axis.set(title=f"worst case {NORMS.get(norm, norm)}", xlabel=f"budget ({shown})" if shown else "budget")
        return to_svg(figure, "Images that stand against the worst of all attacks of a norm, per condition")


def merged_norms(study: Study) -> list[str]:
    """The norms that two attacks or more share, noise included."""
    return [settings["norm"] for settings in attack_settings(study).values() if "members" in settings]


def line_style(study: Study, condition: str) -> dict[str, object]:
    """A condition's colour and dash, without its marker."""
    style = condition_style(study, condition)
    return {key: style[key] for key in ("color", "linestyle")}
