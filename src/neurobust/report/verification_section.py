"""What a page says of face verification: pairs that stand by false-positive rate, thresholds, attributes, pictures."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from neurobust.files.verification_table import ATTACK, IDENTITY, read_verification_examples
from neurobust.report.blocks import Row, Tables, blocks, in_block
from neurobust.report.contents import VERIFICATION_TABLES
from neurobust.report.entries import Entry, over_seeds, percent, plain
from neurobust.report.examples import changed_cell, png_data, thin
from neurobust.report.figures import legend_handles
from neurobust.report.sections import notes_of
from neurobust.report.style import NEUTRAL, inline_svg, label_shares, panel_blocks, rc, to_svg
from neurobust.report.tables import read_section
from neurobust.report.verification_tables import ANY
from neurobust.report.view import View
from neurobust.study.model import NetworkName

GOALS = {"targeted": "taken for another", "untargeted": "no longer the same"}
VARIANTS = {"random-edit": "best of random edits", "edit-only": "edit only", "reconstruction": "given back"}
STYLES: dict[str, Any] = {"random-edit": ":", "edit-only": "-."}  # of the baselines that a figure shows
SHOWN = 1  # pairs per goal
HEADS = ("image", "reference", "edit", "attack")  # of the pictures


def verification_section(view: View, paths: Iterable[Path]) -> Row | None:
    """What the template shows, from the tables and the examples among `paths`; None where there are no tables."""
    from markupsafe import Markup

    paths = list(paths)
    tables = read_section(paths, VERIFICATION_TABLES, "face verification")
    if not tables:
        return None
    found = tables["verification"]
    figure = Markup(inline_svg(draw_verification(view, found), "verification")) if len(found) else ""
    return {
        "figure": figure,
        "tables": [one_table(view, tables, *block) for block in blocks(tables["thresholds"])],
        "failed": sorted(set(found[~found["gates_passed"].astype(bool)]["task"])),
        "grids": galleries([path for path in paths if path.suffix == ".npz"]),
    }


def one_table(view: View, tables: Tables, task: str, architecture: str, thresholds: pd.DataFrame) -> Row:
    """One task and architecture: a line per condition and baseline, a column per goal and rate."""
    found, differences = (in_block(tables[name], task, architecture) for name in ("verification", "differences"))
    columns = [(goal, rate) for goal in found["goal"].unique() for rate in sorted(found["rate"].unique())[::-1]]
    worst = found[found["attribute"] == ANY]
    conditions = view.in_order(thresholds["condition"])
    own = worst[worst["variant"] == ATTACK]
    lines = [
        {"condition": view.head(name), "name": "", "cells": [
            standing_cell(view, own[own["condition"] == name], differences, name, column) for column in columns
        ]} for name in conditions if columns
    ]  # fmt: skip
    for variant, name in VARIANTS.items():
        part = worst[worst["variant"] == variant]
        if len(part):
            cells = [over_seeds(at(part, column)["stands"], alone="") for column in columns]
            lines.append({"condition": None, "name": name, "cells": cells})
    return {
        "task": task, "architecture": architecture, "lines": lines,
        "heads": [{"goal": GOALS.get(goal, goal), "rate": f"{rate:g}"} for goal, rate in columns],
        "pairs": int(found["n_pairs"].max()) if len(found) else 0,
        "attributes": attribute_lines(view, found, conditions, columns),
        "thresholds": threshold_lines(view, thresholds, conditions), "split": thresholds["split"].iloc[0],
        "missing": missing_rates(thresholds),
    }  # fmt: skip


def at(part: pd.DataFrame, column: tuple[str, float]) -> pd.DataFrame:
    """The rows of one goal and rate."""
    return part[(part["goal"] == column[0]) & (part["rate"] == column[1])]


def standing_cell(
    view: View, own: pd.DataFrame, differences: pd.DataFrame, condition: str, column: tuple[str, float]
) -> Entry:
    """A condition's pairs that stand: mean, range over seeds, difference to `none` and to its own control."""
    entry, here = over_seeds(at(own, column)["stands"]), at(differences, column)
    rows = {row.baseline: row for row in here[here["condition"] == condition].itertuples()}
    return replace(entry, notes=notes_of(view.study, condition, rows.get))


def attribute_lines(
    view: View, found: pd.DataFrame, conditions: list[str], columns: list[tuple[str, float]]
) -> list[Row]:
    """Success of the attack per condition and attribute, and what else was looked at, at the strictest rate."""
    own, lines = found[(found["variant"] == ATTACK) & (found["attribute"] != ANY)], []
    for condition in conditions:
        for attribute, part in own[own["condition"] == condition].groupby("attribute", sort=False):
            last = part[part["rate"] == part["rate"].min()]
            lines.append(
                {"condition": view.head(condition), "attribute": attribute}
                | {"cells": [over_seeds(at(part, column)["success"], digits=0, alone="") for column in columns]}
                | {name: percent(last[name].mean(), 0) for name in ("identity_success", "oracle_correct")}
                | {"ciede2000": plain(last["ciede2000"].mean())}
            )
    return lines


def threshold_lines(view: View, thresholds: pd.DataFrame, conditions: list[str]) -> list[Row]:
    """Who verifies, by rate: the threshold, the pairs that set it, the pairs of one person that it accepts."""
    lines = []
    parts = [(thresholds[(thresholds["condition"] == name) & (thresholds["verifier"] != IDENTITY)], name)
             for name in conditions]  # fmt: skip
    parts.append((thresholds[thresholds["verifier"] == IDENTITY].drop_duplicates("rate"), ""))
    for part, name in parts:
        for rate, rows in part.groupby("rate", sort=False):
            known = rows.dropna(subset=["threshold"])
            first = rows.iloc[0]
            lines.append({
                "condition": view.head(name) if name else None, "name": "identity network", "rate": f"{rate:g}",
                "threshold": plain(known["threshold"].mean(), 3) if len(known) else "not measured",
                "passing": f"{known['passing'].mean():g} of" if len(known) else "of",
                "impostors": int(first["impostors"]), "people": int(first["people"]),
                "accepted": percent(known["accepted"].mean()),
            })  # fmt: skip
    return lines


def missing_rates(thresholds: pd.DataFrame) -> list[Row]:
    """The rates that no pair of two people could measure."""
    rows = thresholds[thresholds["threshold"].isna()].drop_duplicates("rate")
    return [{"rate": f"{row.rate:g}", "impostors": int(row.impostors)} for row in rows.itertuples()]


def draw_verification(view: View, table: pd.DataFrame) -> str:
    """Pairs that stand, by false-positive rate: a panel per goal, a block per task; grey: baselines."""
    from matplotlib.lines import Line2D

    worst = table[table["attribute"] == ANY]
    goals, parts = list(dict.fromkeys(worst["goal"])), blocks(worst)
    with rc():
        handles = legend_handles(view, view.in_order(worst["condition"]))
        for variant, line in STYLES.items():
            handles.append(Line2D([], [], label=VARIANTS[variant], color=NEUTRAL, linestyle=line, linewidth=1.3))
        figure, axes = panel_blocks(view.titles(parts), len(goals), 2.4, handles)
        for (_, _, part), grid in zip(parts, axes, strict=True):
            for index, (axis, goal) in enumerate(zip(grid, goals, strict=True)):
                draw_goal(view, axis, part[part["goal"] == goal])
                axis.set_title(GOALS.get(goal, goal))
                label_shares(axis, index, len(goals), "pairs that stand")
        return to_svg(figure, "Pairs of faces about which a network stays right under attack, by false-positive rate")


def draw_goal(view: View, axis: Any, part: pd.DataFrame) -> None:
    """One panel: the mean over seeds as a line, their range as a band; baselines over all networks."""
    for condition, rows in part[part["variant"] == ATTACK].groupby("condition", sort=False):
        style = view.style(condition)
        curve = rows.groupby("rate")["stands"].agg(["mean", "min", "max"])
        axis.fill_between(curve.index, curve["min"], curve["max"], color=style["color"], alpha=0.15, linewidth=0)
        axis.plot(curve.index, curve["mean"], markersize=4, clip_on=False, zorder=3, **style)
    for variant, line in STYLES.items():
        level = part[part["variant"] == variant].groupby("rate")["stands"].mean()
        axis.plot(level.index, level, color=NEUTRAL, linestyle=line, linewidth=1.3)
    rates = sorted(part["rate"].unique())
    axis.set_xscale("log")
    axis.set_xticks(rates, [f"{rate:g}" for rate in rates])
    axis.minorticks_off()
    axis.set_xlabel("false-positive rate of the threshold")


def galleries(paths: list[Path]) -> list[Row]:
    """Per task the pictures of the first seed of the first condition: a pair, and every attribute's edit and attack."""
    grids: dict[str, Row] = {}
    for path in paths:
        network = NetworkName.of(path.parent)
        if network.task not in grids:
            grids[network.task] = network._asdict() | gallery(path)
    return [grid for grid in grids.values() if grid["rows"]]


def gallery(path: Path) -> Row:
    """One network's pictures: a row per goal and attribute."""
    found, rows = read_verification_examples(path), []
    for k, goal, name in np.ndindex(*found.success[:SHOWN].shape):
        clean, note = found.clean[k], "broken" if found.success[k, goal, name] else "stands"
        pair = [{"picture": png_data(thin(picture)), "note": ""} for picture in (clean, found.references[k, goal])]
        changed = [(found.edited[k, goal, name], ""), (found.attacked[k, goal, name], note)]
        pictures = pair + [changed_cell(clean, *each) for each in changed]
        goal_name = str(found.goals[goal])
        rows.append(
            {"goal": GOALS.get(goal_name, goal_name), "attribute": str(found.attributes[name]), "cells": pictures}
        )
    return {"rows": rows, "heads": HEADS}
