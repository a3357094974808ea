"""What a page says of the factors of the gain: a table per task, how many factors so many ROIs carry, a forest plot."""

from __future__ import annotations

from typing import Any

import pandas as pd

from neurobust.report.blocks import Row, blocks, in_block
from neurobust.report.entries import Entry, between, signed, text, with_interval
from neurobust.report.factor_fit import carried
from neurobust.report.factors import ALONE, OF_ROI, SAME, TOGETHER
from neurobust.report.style import INK, NEUTRAL, WIDTH, Style, empty_svg, label_rows, panel_blocks, rc, tip, to_svg
from neurobust.report.view import View

MODELS = (ALONE, TOGETHER)
UNSEEN = "At this budget a gain has no room to show, so these effects say little of any factor."


def factor_tables(view: View) -> list[Row]:
    """Per task and architecture: `lines` with the effect of each factor per SD, alone and together, and without each
    ROI in turn; `left_out`, why a factor is not estimated, in sentences; `carry`, how many factors can be; `warning`,
    where the reference budget is out of range."""
    found = []
    for task, architecture, part in blocks(view.tables["factors"]):
        lines, sentences, same = [], [], []
        for name, rows in part.groupby("factor", sort=False):
            models = {row.model: row for row in whole(rows).itertuples()}
            note = text(models[ALONE].note)
            if note.startswith(SAME):
                same.append(f"{name} {note.removeprefix(SAME).strip()}")
                continue
            if not any(pd.notna(row.effect) for row in models.values()):
                sentences.append(f"{name}: {note}.")
                continue
            lines.append(
                {"factor": name, "kind": models[ALONE].kind, "step": step_of(models[ALONE])}
                | {model: entry_of(models[model]) for model in MODELS}
                | {"spread": spread_of(rows)}
            )
            if pd.isna(models[TOGETHER].effect):
                sentences.append(f"{name}, alone only: {text(models[TOGETHER].note)}.")
        if same:
            sentences.insert(0, f"The same in all these networks: {', '.join(same)}.")
        found.append(
            {"task": task, "architecture": architecture, "lines": lines, "left_out": sentences, "carry": carry(part)}
            | {"warning": warning(view, task, architecture)}
        )
    return found


def warning(view: View, task: str, architecture: str) -> str:
    """What a table must say first where the gate `range` failed: its gains are read where no change can be seen."""
    gates = in_block(view.tables["gates"], task, architecture)
    failed = gates[(gates["gate"] == "range") & ~gates["passed"].astype(bool)]
    return "".join(f"The gate range failed: {row.sentence}. {UNSEEN}" for row in failed.itertuples())


def whole(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of `factors` for which no ROI was left out."""
    return rows[rows["left_out"].map(text) == ""]


def step_of(row: Any) -> str:
    """What one step of a factor is."""
    return "" if pd.isna(row.sd) else f"{row.sd:.2g} {text(row.unit)}".strip()


def entry_of(row: Any) -> Entry:
    """The effect of one model in percentage points, with its interval."""
    if pd.isna(row.effect):
        return Entry()
    return Entry(signed(row.effect), between(row.low, row.high, signed) or text(row.note))


def spread_of(rows: pd.DataFrame) -> str:
    """The range of the effect when each ROI in turn is left out, and which ROI's absence gives each end."""
    without = rows.drop(whole(rows).index).reset_index(drop=True)
    if not len(without):
        return ""
    low, high = (without.loc[without["effect"].agg(which)] for which in ("idxmin", "idxmax"))
    return f"{signed(low['effect'])} (without {low['left_out']}) to {signed(high['effect'])} ({high['left_out']})"


def carry(part: pd.DataFrame) -> str:
    """How many factors of an ROI the study carries, in a sentence."""
    own = part[(part["kind"] == OF_ROI) & part["n_rois"].notna()]
    if not len(own):
        return "No factor of an ROI could be estimated: one needs four ROIs among which it varies."
    count, together = int(own["n_rois"].max()), whole(own[own["model"] == TOGETHER])
    names = " and ".join(together["factor"])
    most = carried(count)
    return (
        "A factor of an ROI has as many independent values as there are ROIs, however many networks were trained: "
        f"{count} ROIs carry {most} such factor{'' if most == 1 else 's'} at once (here {names or 'none'}). With so "
        "few, what goes with a factor may go with anything else that differs between these ROIs."
    )


def draw_factors(view: View) -> str:
    """A forest plot: the effect of each factor per SD, alone (hollow) and together (filled), and without each ROI."""
    table = view.tables["factors"]
    table = table[table["effect"].notna()]
    if not len(table):
        return empty_svg("No factor of the gain could be estimated.")
    parts = blocks(table)
    names = list(dict.fromkeys(table["factor"]))
    rois = [roi for roi in dict.fromkeys(table["left_out"].map(text)) if roi]
    reach = max(float(table["effect"].abs().max()), float(whole(table)[["low", "high"]].abs().max(axis=None)), 0.01)
    with rc():
        handles = legend(view, rois)
        figure, axes = panel_blocks(view.titles(parts), 1, 0.75 + 0.32 * len(names), handles, wide=0.8 * WIDTH)
        for (_, _, part), (axis,) in zip(parts, axes, strict=True):
            draw_forest(view, axis, part, names)
            axis.set(xlim=(-105 * reach, 105 * reach), xlabel="change of the gain over the own shuffle (pp)")
        return to_svg(figure, "Effects of factors on the gain over the own shuffle, with 95 % intervals")


def legend(view: View, rois: list[str]) -> list[Any]:
    """One legend over all panels: both models, and a mark per ROI that is left out."""
    from matplotlib.lines import Line2D

    mark: Style = {"color": NEUTRAL, "marker": "o", "markersize": 5, "linewidth": 1.4}
    handles = [Line2D([], [], label="together", **mark), Line2D([], [], label="alone", markerfacecolor="none", **mark)]
    small: Style = {"markersize": 4, "markeredgewidth": 0}
    return handles + [
        Line2D([], [], label=f"without {roi}", **(view.roi_style(roi) | small | {"linestyle": "none"})) for roi in rois
    ]


def draw_forest(view: View, axis: Any, part: pd.DataFrame, names: list[str]) -> None:
    """One panel: per factor a line and a mark per model, and small marks without each ROI beneath them."""
    axis.axvline(0, color=INK, linewidth=0.7, alpha=0.6)
    axis.grid(axis="y", visible=False)
    for row in part.itertuples():
        y = len(names) - 1 - names.index(row.factor)
        left_out = text(row.left_out)
        if left_out:
            style = view.roi_style(left_out) | {"linestyle": "none", "markeredgewidth": 0}
            axis.plot([100 * row.effect], [y - 0.26], markersize=4, alpha=0.8, **style)
            continue
        height = y + (0.12 if row.model == ALONE else -0.04)
        face = "none" if row.model == ALONE else NEUTRAL
        if pd.notna(row.low):
            axis.plot([100 * row.low, 100 * row.high], [height, height], color=NEUTRAL, linewidth=1.4)
        style = {"color": NEUTRAL, "marker": "o", "markerfacecolor": face, "linestyle": "none"}
        (mark,) = axis.plot([100 * row.effect], [height], markersize=5, **style)
        tip(mark, [f"{row.factor}, {row.model}: {with_interval(row.effect, row.low, row.high)}"])
    label_rows(axis, [label_of(part, name) for name in names])


def label_of(part: pd.DataFrame, name: str) -> str:
    """A factor with the step that its effect is for."""
    rows = part[part["factor"] == name]
    step = step_of(next(rows.itertuples())) if len(rows) else ""
    return f"{name} (per {step})" if step else name
