"""Survival against the worst of all attacks of a norm: one panel per norm, one line per condition."""

from __future__ import annotations

from neurobust.report.blocks import MANY, blocks
from neurobust.report.shown import NORMS, beside_norm
from neurobust.report.style import Style, empty_svg, label_shares, panel_blocks, rc, to_svg
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
        for (_, _, part), grid in zip(parts, axes, strict=True):
            for index, (axis, (norm, unit)) in enumerate(zip(grid, norms, strict=True)):
                here = part[(part["norm"] == norm) & (part["unit"] == unit)]
                for name in names:
                    rows = here[here["condition"] == name]
                    curve = rows.groupby("budget")["robust_accuracy"].agg(["mean", "min", "max"])
                    style = line_style(view, name)
                    if len(names) <= MANY:
                        axis.fill_between(curve.index, curve["min"], curve["max"], color=style["color"], alpha=0.15,
                                          step="post", linewidth=0)  # fmt: skip
                    axis.step(curve.index, curve["mean"], where="post", **style)
                label_shares(axis, index, len(norms), "images that stand")
                shown = beside_norm(norm, unit)
                axis.set(title=f"worst case {NORMS.get(norm, norm)}", xlabel=f"budget ({shown})" if shown else "budget")
        return to_svg(figure, "Images that stand against the worst of all attacks of a norm, per condition")


def line_style(view: View, condition: str) -> Style:
    """A condition's colour and dash, without its marker."""
    style = view.style(condition)
    return {key: style[key] for key in ("color", "linestyle")}
