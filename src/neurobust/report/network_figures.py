"""What guidance changed in the networks, as pictures: similarity by layer, Fourier maps, cue bias."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from neurobust.report.blocks import Block, blocks, in_block
from neurobust.report.entries import percent, plain, with_range
from neurobust.report.figures import legend_handles
from neurobust.report.style import (
    INK,
    MOST_COLUMNS,
    empty_svg,
    grid_of,
    is_leftmost,
    key_beside,
    panel_blocks,
    rc,
    say_cells,
    tip,
    to_svg,
)
from neurobust.report.view import View
from neurobust.statistics import FEWEST_SEEDS, seed_interval

BRAIN = "CKA with the brain"
CURVES = {"CKA with the predictor": "predictor of {roi}", BRAIN: "measured {roi}"}
CEILING = "CKA ceiling"


class Picture(NamedTuple):
    """A figure of the page: its analysis and title, a caption, how to read it, and the table with its numbers."""

    figure: str
    title: str
    caption: str
    meaning: str
    table: str


# figure -> its analysis, its table, its caption
CAPTIONS = {
    "layers": (
        "layers", "inside",
        "Similarity of every layer to each ROI: its predictor, and its measured responses. Band: 95 % interval over "
        "seeds; dotted: what the noise of the measurement allows.",
    ),
    "fourier": (
        "fourier", "fourier",
        "Share of images that a condition’s networks misread with one wave on them, by the wave’s cycles per image; "
        "means over seeds. One scale for all conditions of a task.",
    ),
    "cue_bias": (
        "cue-bias", "inside",
        "Decisions that follow the cue, of those that follow cue or shape, on images whose cue is another class’s. Bar "
        "and line: mean over seeds and its 95 % interval; marks: networks; dotted: guessing.",
    ),
}  # fmt: skip


def pictures(view: View) -> list[Picture]:
    """The figures of networks that have something to show."""
    facts = view.study.explain
    there = {
        "layers": len(measured(view, *CURVES)) > 0,
        "fourier": len(view.tables["fourier"]) > 0,
        "cue_bias": len(measured(view, "cue bias")) > 0,
    }
    return [
        Picture(name, capitalised(facts[analysis].title), caption, facts[analysis].meaning, table)
        for name, (analysis, table, caption) in CAPTIONS.items()
        if there[name] and analysis in facts
    ]


def capitalised(title: str) -> str:
    """A title at the head of a part."""
    return title[:1].upper() + title[1:]


def measured(view: View, *names: str) -> pd.DataFrame:
    """The rows of some measures of networks that have a value, `layer` and `roi` empty where there is none."""
    table = view.tables["inside"]
    table = table[table["measure"].isin(names) & table["value"].notna()]
    return table.assign(layer=table["layer"].fillna(""), roi=table["roi"].fillna(""))


def draw_layers(view: View) -> str:
    """Similarity of every layer to each ROI's predictor and measured responses: means over seeds with intervals."""
    table = measured(view, *CURVES)
    if not len(table):
        return empty_svg("No similarity of layers was computed.")
    ceilings, parts = measured(view, CEILING), blocks(table)
    panels = [list(part[["roi", "measure"]].drop_duplicates().itertuples(index=False)) for _, _, part in parts]
    with rc():
        handles = legend_handles(view, view.in_order(table["condition"]))
        figure, axes = panel_blocks(view.titles(parts), list(map(len, panels)), 2.6, handles)
        for (task, architecture, part), shown, grid in zip(parts, panels, axes, strict=True):
            limits = in_block(ceilings, task, architecture).groupby("roi")["value"].mean()
            means = part.groupby(["measure", "roi", "condition", "layer"])["value"].mean()
            ordered = sorted(shown, key=lambda panel: list(CURVES).index(panel[1]))
            for axis, (roi, name) in zip(grid, ordered, strict=True):
                rows = part[(part["measure"] == name) & (part["roi"] == roi)]
                draw_curves(view, axis, rows, limits.get(roi, np.nan) if name == BRAIN else np.nan)
                axis.set(
                    title=CURVES[name].format(roi=roi), ylim=(min(-0.05, means.min()), 1.15 * max(means.max(), 0.1))
                )
            label_first(grid, "debiased CKA", max(map(len, panels)))
        return to_svg(figure, "Similarity of every layer to predictors and to measured responses, per condition")


def label_first(grid: list[Any], label: str, panels: int) -> None:
    """The name of the y axis at the first column alone; panels: of the largest block of the figure."""
    for index, axis in enumerate(grid):
        axis.set_ylabel(label if is_leftmost(index, panels) else "")


def draw_curves(view: View, axis: Any, rows: pd.DataFrame, ceiling: float) -> None:
    """One panel: a line per condition, its interval over seeds as a band; dotted: 0, and what noise allows."""
    layers = list(dict.fromkeys(rows["layer"]))
    axis.axhline(0, color=INK, linewidth=0.7, alpha=0.6)
    if np.isfinite(ceiling):
        axis.axhline(ceiling, color=INK, linewidth=0.9, linestyle=":", alpha=0.8)
        axis.annotate(f"ceiling {ceiling:.2f}", (1, 1), xycoords="axes fraction", va="top", ha="right", fontsize=7.5)
    for condition in view.in_order(rows["condition"]):
        part = rows[rows["condition"] == condition]
        found = [seed_interval(part[part["layer"] == layer]["value"]) for layer in layers]
        style = view.style(condition)
        ends = np.array([[one.low, one.high] for one in found]).T
        if part["seed"].nunique() >= FEWEST_SEEDS:  # the interval of two holds everything
            axis.fill_between(range(len(layers)), *ends, color=style["color"], alpha=0.13, linewidth=0)
        (marks,) = axis.plot(range(len(layers)), [one.mean for one in found], markersize=3.4, zorder=3, **style)
        tip(marks, [
            f"{condition}, {layer}: {with_range(one.mean, one.low, one.high, plain)}"
            for layer, one in zip(layers, found, strict=True)
        ])  # fmt: skip
    axis.set_xticks(range(len(layers)), layers, rotation=35, ha="right", rotation_mode="anchor")
    axis.margins(x=0.06)


def draw_fourier(view: View) -> str:
    """Fourier maps, `none` beside the guided conditions: means over seeds, one scale for all of a task."""
    table = view.tables["fourier"]
    if not len(table):
        return empty_svg("No Fourier map was computed.")
    parts = blocks(table)
    shown = [mapped(view, part) for _, _, part in parts]
    with rc():
        figure, axes = panel_blocks(view.titles(parts), list(map(len, shown)), 2.05, wide=2.3)
        for (_, _, part), names, grid in zip(parts, shown, axes, strict=True):
            largest = max(float(part["error"].max()), 1e-9)
            for axis, condition in zip(grid, names, strict=True):
                colours = draw_map(axis, part[part["condition"] == condition], largest)
                axis.set_title(condition, color=view.style(condition)["color"])
            label_first(grid, "cycles down", max(map(len, shown)))
            last = min(len(grid), grid_of(max(map(len, shown)))[1]) - 1
            key_beside(grid[last], colours, "share of images misread")
        return to_svg(figure, "Fourier maps: error with one wave on every image, per condition")


def mapped(view: View, table: pd.DataFrame) -> list[str]:
    """The conditions whose maps are shown: as many as fit two rows, without controls where there are more."""
    names = view.in_order(table["condition"])
    if len(names) > 2 * MOST_COLUMNS:
        names = [name for name in names if not view.is_control(name)]
    return names[: 2 * MOST_COLUMNS]


def draw_map(axis: Any, rows: pd.DataFrame, largest: float) -> Any:
    """One heat map: frequency 0 in the middle; bright is where waves make the network err.

    Of an even side, the lowest frequency is the highest too: it is shown at both ends.
    """
    table = rows.pivot_table(index="down", columns="across", values="error")
    values, down, across = table.to_numpy(), np.asarray(table.index, float), np.asarray(table.columns, float)
    if down[0] < -down[-1]:
        values, down = np.vstack([values, values[0]]), np.append(down, -down[0])
    if across[0] < -across[-1]:
        values, across = np.column_stack([values, values[:, 0]]), np.append(across, -across[0])
    axis.grid(visible=False)
    colours = axis.pcolormesh(
        across, down, values, cmap="viridis", vmin=0, vmax=largest, shading="nearest", edgecolors="none", linewidth=0
    )
    say = "{:g} across, {:g} down: {} % misread"
    said = say_cells(values, down.tolist(), across.tolist(), lambda y, x, error: say.format(x, y, percent(error)))
    tip(colours, [words.replace("-", "−") for words in said])
    axis.set_aspect("equal")
    axis.spines[:].set_visible(False)
    axis.set_xlabel("cycles across")
    return colours


def draw_cue_bias(view: View) -> str:
    """Cue bias of every condition as bars, means over seeds with intervals; a mark per network."""
    table = measured(view, "cue bias")
    if not len(table):
        return empty_svg("No cue bias was measured: the tasks' images bear no cue.")
    parts: list[Block] = blocks(table)
    conditions = view.in_order(table["condition"])
    with rc():
        figure, axes = panel_blocks(view.titles(parts), 1, 0.75 + 0.24 * len(conditions), wide=5.2)
        for (_, _, part), (axis,) in zip(parts, axes, strict=True):
            draw_bars(view, axis, part, conditions)
            axis.set_xlabel("share of decisions that follow the cue")
        return to_svg(figure, "Cue bias: decisions by the cue where shape and cue disagree, per condition")


def draw_bars(view: View, axis: Any, rows: pd.DataFrame, conditions: list[str]) -> None:
    """One panel: a bar per condition from 0 to its mean; dotted: one half, where guessing lies."""
    axis.grid(axis="y", visible=False)
    axis.grid(axis="x", visible=True)
    for height, condition in enumerate(reversed(conditions)):
        values = rows[rows["condition"] == condition]["value"].to_numpy(float)
        if not len(values):
            continue
        style, found = view.style(condition), seed_interval(values)
        hollow = view.is_control(condition)
        fill = {"color": "none", "linestyle": "--"} if hollow else {"color": style["color"], "alpha": 0.55}
        axis.barh(height, found.mean, height=0.62, linewidth=1, edgecolor=style["color"], **fill)
        axis.plot([max(found.low, 0), min(found.high, 1)], [height] * 2, color=INK, linewidth=1.3)
        axis.plot(values, [height] * len(values), linestyle="none", marker=style["marker"], color=style["color"],
                  markersize=3.2, markeredgecolor=INK, markeredgewidth=0.4)  # fmt: skip
    axis.axvline(0.5, color=INK, linewidth=0.9, linestyle=":", alpha=0.8)
    axis.set(xlim=(0, 1), ylim=(-0.6, len(conditions) - 0.4))
    axis.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0: shape", "25 %", "50 %", "75 %", "1: cue"])
    axis.set_yticks(range(len(conditions)), list(reversed(conditions)))
