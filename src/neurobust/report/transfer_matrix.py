"""Transfer: what the adversarials of one network do to the others, as rows, as a check and as a heat map."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from neurobust.files.transfer_table import ENSEMBLE, read_transfer_table, transfer_table_path
from neurobust.report.blocks import Row, blocks, records
from neurobust.report.entries import percent
from neurobust.report.shown import NORMS, format_budget
from neurobust.report.style import WIDTH, empty_svg, key_beside, panel_blocks, rc, say_cells, tip, to_svg
from neurobust.report.view import View
from neurobust.study.model import Study

BEYOND = 0.02  # share of images that another network's adversarials may break where the network's own do not
LEGIBLE = 12  # conditions up to which a cell carries its number


def transfer_rows(study: Study) -> list[Row]:
    """Every source and target of the study, from each task and architecture's transfer.parquet."""
    rows: list[Row] = []
    for task, architecture in study.blocks():
        table = read_transfer_table(transfer_table_path(study.root, task, architecture))
        names = {"task": task, "architecture": architecture}
        rows += [names | row for row in records(table)]
    return rows


def transfer_checks(rows: list[Row], guests: Collection[str] = ()) -> list[Row]:
    """Per target: no other network's adversarials break images that the network's own leave standing.

    guests: the networks from outside, which are no part of it: what others trained moves no number of the study's own.
    """
    worst: dict[tuple[Any, ...], Row] = {}
    for row in rows:
        if is_own(row) or row["source_seed"] == ENSEMBLE or not row["n_shared"]:
            continue
        if row["source_condition"] in guests or row["target_condition"] in guests:
            continue
        key = (row["task"], row["architecture"], row["target_condition"], row["target_seed"])
        if key not in worst or row["beyond_white_box"] > worst[key]["beyond_white_box"]:
            worst[key] = row
    note = "largest share of images that another network's adversarials break and the network's own do not"
    return [
        dict(zip(("task", "architecture", "condition", "seed"), key, strict=True))
        | {"attack": f"from {row['source_condition']} seed {row['source_seed']}", "check": "transfer", "note": note}
        | {"passed": not beaten(row), "value": float(row["beyond_white_box"])}
        for key, row in worst.items()
    ]


def beaten(row: Row) -> bool:
    """Whether more than BEYOND of the shared images break, and more than one of them: few images resolve no less."""
    broken = round(row["beyond_white_box"] * row["n_shared"])
    return bool(broken > max(1, BEYOND * row["n_shared"]))


def is_own(row: Row) -> bool:
    """Whether source and target are the same network: a white-box attack."""
    return (row["source_condition"], row["source_seed"]) == (row["target_condition"], row["target_seed"])


class Matrix(NamedTuple):
    """The accuracy (sources, targets) of one task, and what its rows are: one network's adversarials, or all seeds'."""

    title: str
    sources: list[str]
    targets: list[str]
    accuracy: np.ndarray


def matrices(order: list[str], table: pd.DataFrame) -> Iterator[Matrix]:
    """One task's accuracies, means over pairs of seeds; `order`: the conditions, in the study's order.

    The first has a row per condition, its own condition's other seeds included, and a last one for the white-box
    attack; the second, where there is one, has a row per ensemble.
    """
    own = (table["source_condition"] == table["target_condition"]) & (table["source_seed"] == table["target_seed"])
    together = table["source_seed"] == ENSEMBLE
    apart = mean_matrix(table[~own & ~together], order)
    white = table[own].groupby("target_condition")["accuracy"].mean().reindex(order).to_numpy()
    yield Matrix("one network", [*order, "itself (white-box)"], order, np.vstack([apart, white]))
    if together.any():
        yield Matrix("all seeds together", order, order, mean_matrix(table[together], order))


def mean_matrix(table: pd.DataFrame, order: list[str]) -> np.ndarray:
    """Mean accuracy (sources, targets) over pairs of seeds; NaN where there is no pair."""
    means = table.groupby(["source_condition", "target_condition"])["accuracy"].mean().unstack()
    return means.reindex(index=order, columns=order).to_numpy(float)


def draw_transfer(view: View) -> str:
    """Heat map source x target of the accuracy under transferred adversarials, a block per task."""
    table = view.tables["transfer"]
    if not len(table):
        return empty_svg("No transfer was measured.")
    parts = blocks(table)
    drawn = [list(matrices(names_in(view, part), part)) for _, _, part in parts]
    count = max(len(found[0].targets) for found in drawn)
    panels = max(len(found) for found in drawn)
    with rc():
        columns = panels if count <= LEGIBLE else 1  # a name under each column needs the page's width
        height, wide = 1.1 + (0.24 if count <= LEGIBLE else 0.15) * (count + 1), min(1.6 + 0.42 * count, WIDTH)
        figure, axes = panel_blocks(view.titles(parts), panels, height, wide=wide, columns=columns)
        for found, grid in zip(drawn, axes, strict=True):
            for index, axis in enumerate(grid):
                if index >= len(found):
                    axis.axis("off")
                    continue
                matrix = found[index]
                draw_matrix(axis, matrix.accuracy, matrix.sources, matrix.targets)
                axis.set_title(f"from {matrix.title}", pad=8)
                axis.set_ylabel("adversarials of" if index % columns == 0 else "")
        return to_svg(figure, "Accuracy under the adversarials of other networks, source by target")


def names_in(view: View, table: pd.DataFrame) -> list[str]:
    """The networks of one matrix: conditions in the study's order, then those from outside."""
    found = set(table["target_condition"])
    return [*view.in_order(found), *(name for name in view.study.outside if name in found)]


def draw_matrix(axis: Any, values: np.ndarray, sources: list[str], targets: list[str], beside: str = "on") -> None:
    """One heat map: bright is accurate; a number in percent in each cell where there is room, else a key.

    beside: the word between source and target where a cell says what it is.
    """
    from matplotlib import colormaps

    colours = colormaps["viridis"]
    axis.grid(visible=False)
    cells = axis.pcolormesh(values, cmap=colours, vmin=0, vmax=1, edgecolors="none", linewidth=0)
    tip(cells, say_cells(values, sources, targets, lambda row, column, x: f"{row} {beside} {column}: {percent(x)} %"))
    axis.invert_yaxis()
    turned = 40 if len(targets) <= LEGIBLE else 90
    middle = "baseline" if len(targets) <= LEGIBLE else "center"
    axis.set_xticks(
        np.arange(len(targets)) + 0.5, targets, rotation=turned, ha="right", va=middle, rotation_mode="anchor"
    )
    axis.set_yticks(np.arange(len(sources)) + 0.5, sources)
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    axis.set_xlabel("shown to")
    if len(targets) > LEGIBLE:
        key_beside(axis, cells, "accuracy (%)", [0, 0.5, 1], percent=True)
        return
    for row, column in np.ndindex(values.shape):
        value = values[row, column]
        if np.isfinite(value):
            ink = "#111111" if value > 0.55 else "#ffffff"
            axis.text(column + 0.5, row + 0.5, f"{100 * value:.0f}", ha="center", va="center", color=ink, fontsize=8)


def transfer_note(study: Study) -> str:
    """The budget of the transferred adversarials: `L∞ 8/255`; empty where there are none."""
    if not study.transfer:
        return ""
    norm, budget = study.transfer.norm, study.transfer.budget
    return f"{NORMS[norm]} {format_budget(budget, '1/255') if norm == 'linf' else f'{budget:g}'}"
