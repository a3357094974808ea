"""The answer as figures: robust accuracy by budget, differences between conditions, the plane of both accuracies."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from neurobust.core.reference_range import BASELINE
from neurobust.report.blocks import MANY, blocks
from neurobust.report.contents import NETWORK
from neurobust.report.entries import between, percent, with_interval
from neurobust.report.guided import compared
from neurobust.report.shown import NORMS, ShownAttack, beside_norm, format_budget
from neurobust.report.style import (
    INK,
    MOST_COLUMNS,
    NEUTRAL,
    Mark,
    empty_svg,
    grid_of,
    is_leftmost,
    label_rows,
    label_shares,
    panel_blocks,
    plot_marks,
    rc,
    tip,
    to_svg,
)
from neurobust.report.view import View

ByAttack = dict[str, dict[str, pd.DataFrame]]  # robust accuracy by budget, by attack and condition
ALONE = 5.0  # percent above and below networks that are all as robust


def uncrowded(view: View, table: pd.DataFrame) -> tuple[pd.DataFrame, bool]:
    """Without the controls where there are too many conditions to tell apart, and whether that was so."""
    names = list(dict.fromkeys(table["condition"]))
    if len(names) <= MANY:
        return table, False
    return table[~table["condition"].isin([name for name in names if view.is_control(name)])], True


def draw_robust_accuracy(view: View) -> str:
    """Robust accuracy against budget, a panel per attack, a block per task; dotted: noise of the same norm."""
    table, crowded = uncrowded(view, view.tables["robust_accuracy"])
    present = set(table["attack"])
    shown = [attack for name, attack in view.attacks.items() if name in present and not attack.members]
    loud = [attack for attack in shown if not attack.noise]
    norms = {attack.norm for attack in loud}
    panels = [attack for attack in shown if attack in loud or attack.norm not in norms]
    if not panels:
        return empty_svg("No attack was configured.")
    parts = blocks(table)
    met = [[attack for attack in panels if attack.name in set(part["attack"])] for _, _, part in parts]
    with rc():
        handles = legend_handles(view, list(dict.fromkeys(table["condition"])), noise=len(loud) < len(present))
        figure, axes = panel_blocks(view.titles(parts), [len(own) for own in met], 2.15, handles)
        for (_, _, part), own, grid in zip(parts, met, axes, strict=True):
            curves = curves_by_attack(part)
            for index, (axis, attack) in enumerate(zip(grid, own, strict=True)):
                draw_curves(view, axis, curves, attack, bands=not crowded)
                axis.set_title(attack.label)
                label_shares(axis, index, len(own), "robust accuracy")
        return to_svg(figure, "Robust accuracy against attack budget, per condition")


def draw_curves(view: View, axis: Any, curves: ByAttack, attack: ShownAttack, bands: bool = True) -> None:
    """One panel: the mean over seeds as a line, their range as a band, the noise of the same norm dotted."""
    alike = [name for name, other in view.attacks.items() if other.noise and other.measure == attack.measure]
    quiet = [curves[name] for name in alike if name in curves and name != attack.name]
    for condition, curve in curves[attack.name].items():
        style = view.style(condition)
        if bands:
            axis.fill_between(curve.index, curve["min"], curve["max"], color=style["color"], alpha=0.18, linewidth=0)
        (marks,) = axis.plot(curve.index, curve["mean"], markersize=3.2, clip_on=False, zorder=3, **style)
        tip(marks, [
            f"{condition}, {format_budget(budget, attack.unit)}: {percent(mean)} % ({between(low, high)})"
            for budget, mean, low, high in curve.itertuples()
        ])  # fmt: skip
        for levels in quiet:
            if condition in levels:
                level = levels[condition]["mean"]
                axis.plot(level.index, level, color=style["color"], linestyle=":", linewidth=1, alpha=0.9)
    axis.set_xlabel(budget_axis(attack.norm, attack.unit))


def curves_by_attack(part: pd.DataFrame) -> ByAttack:
    """`curves_of` each attack of a task."""
    return {name: curves_of(rows) for name, rows in part.groupby("attack", sort=False)}


def curves_of(rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Robust accuracy by condition, in their order: mean, min and max over seeds by budget."""
    found = rows.groupby(["condition", "budget"])["robust_accuracy"].agg(["mean", "min", "max"])
    return {name: found.loc[name] for name in dict.fromkeys(rows["condition"])}


def budget_axis(norm: str, unit: str) -> str:
    """Label of a budget axis: `L∞ budget (1/255)`."""
    name = f"{NORMS[norm]} budget" if norm in NORMS else "budget"
    shown = beside_norm(norm, unit)
    return f"{name} ({shown})" if shown else name


def legend_handles(view: View, conditions: list[str], noise: bool = False) -> list[Any]:
    """One legend over all panels."""
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], label=name, markersize=4, **view.style(name)) for name in conditions]
    if noise:
        handles.append(Line2D([], [], label="noise, same norm", color=NEUTRAL, linestyle=":", linewidth=1))
    return handles


def draw_differences(view: View) -> str:
    """A forest plot: accuracy at the reference budget of each guided condition minus `none` and minus its control.

    A panel per attack and a line per comparison, or the other way round where comparisons are fewer.
    """
    table = view.tables["differences"]
    table = table[(table["measure"] == "robust_accuracy") & table["difference"].notna()]
    table = table.assign(pair=table["condition"] + " − " + table["baseline"])
    pairs = [f"{condition} − {baseline}" for condition, baseline in compared(view.study.conditions)]
    names = {"attack": {name: attack.label for name, attack in view.attacks.items()}, "pair": {n: n for n in pairs}}
    names = {key: {n: label for n, label in own.items() if n in set(table[key])} for key, own in names.items()}
    if not all(names.values()):
        return empty_svg("Nothing to compare: the study needs `none` or a control beside a guided condition.")
    across, down = sorted(names, key=lambda key: len(names[key]))
    parts = blocks(table)
    panels = [[name for name in names[across] if name in set(part[across])] for _, _, part in parts]
    lines, most = names[down], max(map(len, panels))
    heights = {line: height for height, line in enumerate(reversed(lines))}
    width = forest_width(table)
    with rc():
        figure, axes = panel_blocks(view.titles(parts), [len(own) for own in panels], 0.75 + 0.2 * len(lines))
        columns = grid_of(most)[1]
        for (_, _, part), own, grid in zip(parts, panels, axes, strict=True):
            for index, (axis, name) in enumerate(zip(grid, own, strict=True)):
                here = part[part[across] == name]
                draw_forest(view, axis, here, [heights[line] for line in here[down]])
                axis.set(xlim=(-width, width), title=names[across][name])
                label_rows(axis, list(lines.values()), is_leftmost(index, most))
                if index + columns >= len(own):
                    axis.set_xlabel("difference in accuracy (pp)")
        return to_svg(figure, "Difference in robust accuracy between conditions, with 95 % intervals")


def forest_width(table: pd.DataFrame) -> float:
    """Half the width of the panels in percentage points: holds every seed's difference and most intervals.

    One over two seeds is so wide that it would leave the others no room: its line runs out of the panel.
    """
    seeds, ends = (float(table[names].abs().max().max()) for names in (["seed_min", "seed_max"], ["low", "high"]))
    return 108 * max(seeds if np.isnan(ends) else min(max(seeds, ends), 3 * seeds), 0.01)


def draw_forest(view: View, axis: Any, table: pd.DataFrame, heights: list[int]) -> None:
    """One panel: mean with its interval over seeds and images (line), and the range over seeds (thick, pale)."""
    axis.axvline(0, color=INK, linewidth=0.7, alpha=0.6)
    axis.grid(axis="y", visible=False)
    styles = [view.roi_style(view.study.conditions[name].roi) for name in table["condition"]]
    for ends, look in (
        (["seed_min", "seed_max"], {"alpha": 0.3, "linewidth": 6}),
        (["low", "high"], {"linewidth": 1.4}),
    ):
        known = table[ends].notna().all(axis="columns").to_numpy()
        lines = 100 * table[ends].to_numpy(float)[known]
        colors = [style["color"] for style, there in zip(styles, known, strict=True) if there]
        axis.hlines(np.array(heights)[known], lines[:, 0], lines[:, 1], colors=colors, capstyle="butt", **look)
    points = []
    for row, y, style in zip(table.itertuples(), heights, styles, strict=True):
        attack = view.attacks[row.attack].label
        said = f"{row.condition} − {row.baseline}, {attack}: {with_interval(row.difference, row.low, row.high)}"
        face = "none" if row.baseline == BASELINE else style["color"]
        points.append(Mark(100 * row.difference, y, said, {**style, "markerfacecolor": face}))
    plot_marks(axis, points, markersize=5)


def draw_clean_vs_robust(view: View) -> str:
    """Clean against robust accuracy at the reference budget: a small dot per network, a large one per condition."""
    table, crowded = uncrowded(view, view.tables["summary"])
    merged = {member for attack in view.attacks.values() for member in attack.members}
    present = set(table[table["reference_budget"].notna()]["attack"])
    attacks = [  # the worst case stands for its members
        attack for name, attack in view.attacks.items() if name in present and name not in merged and not attack.noise
    ]
    first = view.primary.name if view.primary else ""
    attacks = sorted(attacks, key=lambda attack: (attack.name != first, not attack.members))[:MOST_COLUMNS]
    if not attacks:
        return empty_svg("No attack was configured.")
    parts = blocks(table)
    with rc():
        handles = legend_handles(view, list(dict.fromkeys(table["condition"]))) if crowded else None
        figure, axes = panel_blocks(view.titles(parts), len(attacks), 2.4, handles)
        for (task, architecture, part), grid in zip(parts, axes, strict=True):
            for axis, attack in zip(grid, attacks, strict=True):
                rows = part[(part["attack"] == attack.name) & part["reference_budget"].notna()]
                if not len(rows):  # not attacked on this task, or not at the budget of its norm
                    axis.axis("off")
                    continue
                draw_plane(view, axis, rows, seeds_of(view, task, architecture, rows), labels=not crowded)
                budget = format_budget(rows["reference_budget"].iloc[0], attack.unit)
                axis.set(title=attack.label, xlabel="clean accuracy (%)", ylabel=f"robust at {budget} (%)")
        return to_svg(figure, "Clean accuracy against robust accuracy, per condition")


def seeds_of(view: View, task: str, architecture: str, summary: pd.DataFrame) -> pd.DataFrame:
    """One row per network: its clean accuracy and its robust accuracy at the reference budget of one attack's rows."""
    curves, (attack, budget) = view.tables["robust_accuracy"], summary[["attack", "reference_budget"]].iloc[0]
    here = (curves["task"] == task) & (curves["architecture"] == architecture) & (curves["attack"] == attack)
    at_budget = curves[here & np.isclose(curves["budget"].astype(float), budget)]
    at_budget = at_budget[at_budget["condition"].isin(summary["condition"])]
    networks = view.tables["networks"][[*NETWORK, "clean_accuracy"]]
    return at_budget[[*NETWORK, "robust_accuracy"]].merge(networks, on=NETWORK)


def draw_plane(view: View, axis: Any, summary: pd.DataFrame, seeds: pd.DataFrame, labels: bool = True) -> None:
    """One panel of the plane; a condition's label stands beside its mean."""
    axis.grid(axis="both", visible=True)
    networks = []
    for row in seeds.itertuples():
        said = f"clean {percent(row.clean_accuracy)} %, robust {percent(row.robust_accuracy)} %"
        style = view.roi_style(view.study.conditions[row.condition].roi)
        point = 100 * row.clean_accuracy, 100 * row.robust_accuracy
        networks.append(Mark(*point, f"{row.condition}, seed {row.seed}: {said}", style))
    plot_marks(axis, networks, markersize=3, alpha=0.55, clip_on=False)
    placed: list[float] = []
    low, high = 100 * seeds["robust_accuracy"].min(), 100 * seeds["robust_accuracy"].max()
    flat = high - low < 1  # percent: an axis of hundredths would make much of nothing
    gap = (2 * ALONE if flat else max(high - low, 2)) / 9
    for row in summary.sort_values("robust_accuracy", kind="stable").itertuples():
        style = view.style(row.condition)
        x, y = 100 * row.clean_accuracy, 100 * row.robust_accuracy
        (marks,) = axis.plot([x], [y], markersize=7, **(style | {"linestyle": "none"}), clip_on=False, zorder=4)
        ends = between(row.robust_accuracy_min, row.robust_accuracy_max)
        tip(marks, [f"{row.condition}: clean {x:.1f} %, robust {y:.1f} % ({ends})"])
        if not labels:
            continue
        height = y if not placed else max(y, placed[-1] + gap)
        placed.append(height)
        label = {"fontsize": 8, "color": style["color"], "va": "center", "annotation_clip": False}
        axis.annotate(row.condition, (1.02, height), xycoords=("axes fraction", "data"), **label)
    axis.margins(0.12)
    if flat:
        axis.set_ylim(low - ALONE, high + ALONE)
    axis.xaxis.get_major_locator().set_params(nbins=4)  # numbers of four digits side by side
