"""The figures of a report: each is a function (study, tables) -> SVG text."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from neurobust.core.errors import InputError
from neurobust.core.io import write_text
from neurobust.report.blocks import MANY, Tables, block_titles, blocks
from neurobust.report.comparisons import pairs
from neurobust.report.corruptions import draw_corruptions
from neurobust.report.inside_figure import draw_inside
from neurobust.report.predictor_figure import draw_predictors
from neurobust.report.study import (
    NORMS,
    Study,
    attack_label,
    attack_settings,
    format_budget,
    is_control,
    is_noise,
    target_of,
)
from neurobust.report.style import (
    INK,
    MOST_COLUMNS,
    NEUTRAL,
    condition_style,
    empty_svg,
    grid_of,
    is_leftmost,
    panel_blocks,
    rc,
    roi_style,
    to_svg,
)
from neurobust.report.survival_figure import draw_survival
from neurobust.report.tables import read_tables
from neurobust.report.transfer import draw_transfer


def uncrowded(study: Study, table: pd.DataFrame) -> tuple[pd.DataFrame, bool]:
    """Without the controls where there are too many conditions to tell apart, and whether that was so."""
    names = list(dict.fromkeys(table["condition"]))
    if len(names) <= MANY:
        return table, False
    return table[~table["condition"].isin([name for name in names if is_control(study, name)])], True


def draw_robust_accuracy(study: Study, tables: Tables) -> str:
    """Robust accuracy against budget, a panel per attack, a block per task; dotted: noise of the same norm."""
    table, crowded = uncrowded(study, tables["robust_accuracy"])
    settings = attack_settings(study)
    present = set(table["attack"])
    panels = [name for name in settings if name in present and "members" not in settings[name]]
    loud = [name for name in panels if not is_noise(name, settings[name])]
    norms = {settings[name].get("norm") for name in loud}
    panels = [name for name in panels if name in loud or settings[name].get("norm") not in norms]
    if not panels:
        return empty_svg("No attack was configured.")
    parts = blocks(table)
    with rc():
        handles = legend_handles(study, list(dict.fromkeys(table["condition"])), noise=len(loud) < len(present))
        figure, axes = panel_blocks(block_titles(study, parts), len(panels), 2.15, handles)
        for (_, _, part), grid in zip(parts, axes, strict=True):
            for index, (axis, attack) in enumerate(zip(grid, panels, strict=True)):
                draw_curves(study, axis, part, attack, settings, bands=not crowded)
                axis.set_title(attack_label(study, attack))
                axis.tick_params(labelleft=is_leftmost(index, len(panels)))
                axis.set_ylabel("robust accuracy" if is_leftmost(index, len(panels)) else "")
        return to_svg(figure, "Robust accuracy against attack budget, per condition")


def draw_curves(
    study: Study, axis: Any, part: pd.DataFrame, attack: str, settings: dict[str, Any], bands: bool = True
) -> None:
    """One panel: the mean over seeds as a line, their range as a band, the noise of the same norm dotted."""
    norm, unit = settings[attack].get("norm"), settings[attack].get("unit", "")
    here = part[part["attack"] == attack]
    noises = [
        n
        for n, s in settings.items()
        if is_noise(n, s) and s.get("norm") == norm and s.get("unit", "") == unit and n != attack
    ]
    for condition, rows in here.groupby("condition", sort=False):
        style = condition_style(study, condition)
        curve = rows.groupby("budget")["robust_accuracy"].agg(["mean", "min", "max"])
        if bands:
            axis.fill_between(curve.index, curve["min"], curve["max"], color=style["color"], alpha=0.18, linewidth=0)
        axis.plot(curve.index, curve["mean"], markersize=3.2, clip_on=False, zorder=3, **style)
        for noise in noises:
            quiet = part[(part["attack"] == noise) & (part["condition"] == condition)]
            level = quiet.groupby("budget")["robust_accuracy"].mean()
            axis.plot(level.index, level, color=style["color"], linestyle=":", linewidth=1, alpha=0.9)
    axis.set_ylim(0, 1.03)
    axis.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0", "25 %", "50 %", "75 %", "100 %"])
    axis.set_xlabel(budget_axis(norm, unit))


def budget_axis(norm: str | None, unit: str) -> str:
    """Label of a budget axis: `L∞ budget (1/255)`."""
    name = f"{NORMS[norm]} budget" if norm in NORMS else "budget"
    shown = unit if unit and unit != NORMS.get(norm) else ""
    return f"{name} ({shown})" if shown else name


def legend_handles(study: Study, conditions: list[str], noise: bool = False) -> list[Any]:
    """One legend over all panels."""
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], label=name, markersize=4, **condition_style(study, name)) for name in conditions]
    if noise:
        handles.append(Line2D([], [], label="noise, same norm", color=NEUTRAL, linestyle=":", linewidth=1))
    return handles


def draw_differences(study: Study, tables: Tables) -> str:
    """The answer as a forest plot: area under the curve of each guided condition minus `none` and minus its control."""
    table = tables["differences"]
    table = table[(table["measure"] == "area") & table["difference"].notna()]
    attacks = [name for name in attack_settings(study) if name in set(table["attack"])]
    rows = [pair for pair in pairs(study) if pair in set(zip(table["condition"], table["baseline"], strict=True))]
    if not attacks or not rows:
        return empty_svg("Nothing to compare: the study needs `none` or a control beside a guided condition.")
    parts = blocks(table)
    width = 108 * max(*(float(table[name].abs().max()) for name in ("low", "high", "seed_min", "seed_max")), 0.01)
    with rc():
        figure, axes = panel_blocks(block_titles(study, parts), len(attacks), 0.75 + 0.2 * len(rows))
        for (_, _, part), grid in zip(parts, axes, strict=True):
            for index, (axis, attack) in enumerate(zip(grid, attacks, strict=True)):
                draw_forest(study, axis, part[part["attack"] == attack], rows)
                axis.set(xlim=(-width, width), title=attack_label(study, attack))
                axis.tick_params(labelleft=is_leftmost(index, len(attacks)))
                if index + grid_of(len(attacks))[1] >= len(attacks):
                    axis.set_xlabel("difference in area (pp)")
        return to_svg(figure, "Difference in robust accuracy between conditions, with 95 % intervals")


def draw_forest(study: Study, axis: Any, table: pd.DataFrame, rows: list[tuple[str, str]]) -> None:
    """One panel: mean with its interval over images (line) and each row's range over seeds (thick, pale)."""
    axis.axvline(0, color=INK, linewidth=0.7, alpha=0.6)
    axis.grid(axis="y", visible=False)
    for row in table.itertuples():
        y = len(rows) - 1 - rows.index((row.condition, row.baseline))
        style = roi_style(study, target_of(study, row.condition))
        own = row.baseline != "none"
        axis.plot(
            [100 * row.seed_min, 100 * row.seed_max],
            [y, y],
            color=style["color"],
            alpha=0.3,
            linewidth=6,
            solid_capstyle="butt",
        )
        axis.plot([100 * row.low, 100 * row.high], [y, y], color=style["color"], linewidth=1.4)
        face = style["color"] if own else "none"
        axis.plot([100 * row.difference], [y], markersize=5, markerfacecolor=face, linestyle="none", **style)
    axis.set_ylim(-0.6, len(rows) - 0.4)
    axis.set_yticks(range(len(rows)), [f"{condition} − {baseline}" for condition, baseline in reversed(rows)])


def draw_clean_vs_robust(study: Study, tables: Tables) -> str:
    """Clean against robust accuracy at the reference budget: a small dot per network, a large one per condition."""
    table, crowded = uncrowded(study, tables["summary"])
    settings = attack_settings(study)
    merged = {member for values in settings.values() for member in values.get("members", [])}
    present = set(table[table["reference_budget"].notna()]["attack"])
    attacks = [
        name for name, values in settings.items() if name in present and name not in merged
    ]  # the worst case stands for its members
    attacks = [name for name in attacks if not is_noise(name, settings[name])][:MOST_COLUMNS]
    if not attacks:
        return empty_svg("No attack was configured.")
    parts = blocks(table)
    with rc():
        handles = legend_handles(study, list(dict.fromkeys(table["condition"]))) if crowded else None
        figure, axes = panel_blocks(block_titles(study, parts), len(attacks), 2.4, handles)
        for (task, architecture, part), grid in zip(parts, axes, strict=True):
            for axis, attack in zip(grid, attacks, strict=True):
                rows = part[part["attack"] == attack]
                seeds = seeds_of(tables, task, architecture, attack, rows)
                draw_plane(study, axis, rows, seeds, labels=not crowded)
                budget = format_budget(rows["reference_budget"].iloc[0], settings[attack].get("unit", ""))
                axis.set(
                    title=attack_label(study, attack), xlabel="clean accuracy (%)", ylabel=f"robust at {budget} (%)"
                )
        return to_svg(figure, "Clean accuracy against robust accuracy, per condition")


def seeds_of(tables: Tables, task: str, architecture: str, attack: str, summary: pd.DataFrame) -> pd.DataFrame:
    """One row per network: its clean accuracy and its robust accuracy at the reference budget of `attack`."""
    curves, budget = tables["robust_accuracy"], summary["reference_budget"].iloc[0]
    here = (curves["task"] == task) & (curves["architecture"] == architecture) & (curves["attack"] == attack)
    at_budget = curves[here & np.isclose(curves["budget"].astype(float), budget)]
    keys = ["task", "architecture", "condition", "seed"]
    at_budget = at_budget[at_budget["condition"].isin(summary["condition"])]
    return at_budget[[*keys, "robust_accuracy"]].merge(tables["networks"][[*keys, "clean_accuracy"]], on=keys)


def draw_plane(study: Study, axis: Any, summary: pd.DataFrame, seeds: pd.DataFrame, labels: bool = True) -> None:
    """One panel of the plane; a condition's label stands beside its mean."""
    axis.grid(axis="both", visible=True)
    for row in seeds.itertuples():
        style = condition_style(study, row.condition)
        point = [100 * row.clean_accuracy], [100 * row.robust_accuracy]
        axis.plot(
            *point,
            marker=style["marker"],
            color=style["color"],
            markersize=3,
            alpha=0.55,
            linestyle="none",
            clip_on=False,
        )
    placed: list[float] = []
    low, high = 100 * seeds["robust_accuracy"].min(), 100 * seeds["robust_accuracy"].max()
    gap = max(high - low, 2) / 9
    for row in summary.sort_values("robust_accuracy", kind="stable").itertuples():
        style = condition_style(study, row.condition)
        x, y = 100 * row.clean_accuracy, 100 * row.robust_accuracy
        axis.plot([x], [y], markersize=7, **(style | {"linestyle": "none"}), clip_on=False, zorder=4)
        if not labels:
            continue
        height = y if not placed else max(y, placed[-1] + gap)
        placed.append(height)
        label = {"fontsize": 8, "color": style["color"], "va": "center", "annotation_clip": False}
        axis.annotate(row.condition, (1.02, height), xycoords=("axes fraction", "data"), **label)
    axis.margins(0.12)


FIGURES: dict[str, Callable[[Study, Tables], str]] = {
    "differences": draw_differences,
    "robust_accuracy": draw_robust_accuracy,
    "clean_vs_robust": draw_clean_vs_robust,
    "predictors": draw_predictors,
    "inside": draw_inside,
    "survival": draw_survival,
    "transfer": draw_transfer,
    "corruptions": draw_corruptions,
}
WHOLE_STUDY = ("inside", "transfer", "corruptions")  # figures that need more than one ROI's chain


def draw_figures(study: Study, tables: Path, outputs: dict[str, Path]) -> None:
    """Draw the figures named in `outputs` from the CSV tables in the folder `tables` and write them as SVG."""
    if unknown := sorted(set(outputs) - set(FIGURES)):
        raise InputError(f"report: no figure '{unknown[0]}' (there are {sorted(FIGURES)}); correct the rule's outputs")
    frames = read_tables(tables)
    for name, path in outputs.items():
        write_text(path, FIGURES[name](study, frames))
