"""Survival against the worst of all attacks of a norm: one panel per norm, one line per condition."""

from __future__ import annotations

import numpy as np
import pandas as pd

from neurobust.report.blocks import MANY, blocks, in_block
from neurobust.report.entries import percent
from neurobust.report.figures import curves_of
from neurobust.report.shown import NORMS, beside_norm, format_budget
from neurobust.report.style import Style, empty_svg, label_shares, panel_blocks, rc, tip, to_svg
from neurobust.report.view import View


def draw_survival(view: View) -> str:
    """Share of images whose smallest breaking budget, over all attacks of a norm, is larger; a block per task."""
    table = view.tables["survival"]
    table = table.assign(unit=table["unit"].fillna(""))
    table = table[table["norm"].isin([attack.norm for attack in view.attacks.values() if attack.members])]
    if not len(table):
        return empty_svg("No norm has two attacks to merge.")
    names = view.in_order(table["condition"])
    if len(names) > MANY:
        names = [name for name in names if not view.is_control(name)]
    norms = list(table[["norm", "unit"]].drop_duplicates().itertuples(index=False, name=None))
    parts = blocks(table)
    with rc():
        from matplotlib.lines import Line2D

        handles = [Line2D([], [], label=name, **line_style(view, name)) for name in names]
        figure, axes = panel_blocks(view.titles(parts), len(norms), 2.3, handles)
        for (task, architecture, part), grid in zip(parts, axes, strict=True):
            for index, (axis, (norm, unit)) in enumerate(zip(grid, norms, strict=True)):
                curves = curves_of(part[(part["norm"] == norm) & (part["unit"] == unit)])
                told = attacked_at(view, task, architecture, norm)
                for name, curve in ((name, curves[name]) for name in names if name in curves):
                    style = line_style(view, name)
                    if len(names) <= MANY:
                        axis.fill_between(curve.index, curve["min"], curve["max"], color=style["color"], alpha=0.15,
                                          step="post", linewidth=0)  # fmt: skip
                    (line,) = axis.step(curve.index, curve["mean"], where="post", **style)
                    tip(line, [said_of(name, curve["mean"], told, unit)])
                label_shares(axis, index, len(norms), "images that stand")
                shown = beside_norm(norm, unit)
                axis.set(title=f"worst case {NORMS.get(norm, norm)}", xlabel=f"budget ({shown})" if shown else "budget")
        return to_svg(figure, "Images that stand against the worst of all attacks of a norm, per condition")


def attacked_at(view: View, task: str, architecture: str, norm: str) -> list[float]:
    """The budgets at which attacks of a norm were tried on a task, ascending."""
    curves = in_block(view.tables["robust_accuracy"], task, architecture)
    names = [attack.name for attack in view.attacks.values() if attack.norm == norm]
    return sorted(curves[curves["attack"].isin(names)]["budget"].astype(float).unique().tolist())


def said_of(condition: str, curve: pd.Series, budgets: list[float], unit: str) -> str:
    """What a pointer is told of a line: its name and its value at each of the budgets that it reaches.

    curve: shares of images by budget, a step function. Its ends are told too.
    """
    ends = [float(curve.index[0]), float(curve.index[-1])]
    listed = sorted({*ends, *(budget for budget in budgets if ends[0] <= budget <= ends[1])})
    places = np.searchsorted(curve.index.to_numpy(float), np.array(listed) + 1e-9, side="right") - 1
    shares = curve.to_numpy(float)[places]
    said = (f"{percent(share)} % at {format_budget(at, unit)}" for at, share in zip(listed, shares, strict=True))
    return f"{condition}: {', '.join(said)}"


def line_style(view: View, condition: str) -> Style:
    """A condition's colour and dash, without its marker."""
    style = view.style(condition)
    return {key: style[key] for key in ("color", "linestyle")}
