"""Transfer: what the adversarials of one network do to the others, as rows, as a check and as a heat map."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from neurobust.core.errors import InputError
from neurobust.core.io import read_parquet
from neurobust.report.blocks import block_titles, blocks
from neurobust.report.study import NORMS, Study, format_budget, in_order
from neurobust.report.style import empty_svg, is_leftmost, panel_blocks, rc, to_svg

ENSEMBLE = -1  # the seed of a source that is all seeds of a condition together
BEYOND = 0.02  # share of images that another network's adversarials may break where the network's own do not
LEGIBLE = 12  # conditions up to which a cell carries its number


def transfer_rows(study: Study) -> list[dict[str, Any]]:
    """Every source and target of the study, from each task and architecture's transfer.parquet."""
    rows: list[dict[str, Any]] = []
    for task in study["tasks"]:
        for architecture in study["architectures"]:
            path = Path(study["root"]) / "attacks" / task / architecture / "transfer.parquet"
            if not path.exists():
                raise InputError(f"{path}: missing; run the pipeline for it, or take `transfer` out of the study")
            names = {"task": task, "architecture": architecture}
            rows += [names | row for row in read_parquet(path)[0].to_dict("records")]
    return rows


def transfer_checks(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Per target: no other network's adversarials break images that the network's own leave standing."""
    worst: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in rows:
        if is_own(row) or row["source_seed"] == ENSEMBLE or not row["n_shared"]:
            continue
        key = (row["task"], row["architecture"], row["target_condition"], row["target_seed"])
        if key not in worst or row["beyond_white_box"] > worst[key]["beyond_white_box"]:
            worst[key] = row
    note = "largest share of images that another network's adversarials break and the network's own do not"
    return [
        dict(zip(("task", "architecture", "condition", "seed"), key, strict=True))
        | {"attack": f"from {row['source_condition']} seed {row['source_seed']}", "check": "transfer", "note": note}
        | {"passed": bool(row["beyond_white_box"] <= BEYOND), "value": float(row["beyond_white_box"])}
        for key, row in worst.items()
    ]


def is_own(row: Any) -> bool:
    """Whether source and target are the same network: a white-box attack."""
    return (row["source_condition"], row["source_seed"]) == (row["target_condition"], row["target_seed"])


def matrices(study: Study, table: pd.DataFrame) -> Iterator[tuple[str, list[str], list[str], np.ndarray]]:
    """(title, sources, targets, accuracy (sources, targets)) of one task: means over pairs of seeds.

    The first has a row per condition, its own condition's other seeds included, and a last one for the white-box
    attack; the second, where there is one, has a row per ensemble.
    """
    order = in_order(study, table["target_condition"])
    own = (table["source_condition"] == table["target_condition"]) & (table["source_seed"] == table["target_seed"])
    together = table["source_seed"] == ENSEMBLE
    apart = mean_matrix(table[~own & ~together], order)
    white = table[own].groupby("target_condition")["accuracy"].mean().reindex(order).to_numpy()
    yield "one network", [*order, "itself (white-box)"], order, np.vstack([apart, white])
    if together.any():
        yield "all seeds together", order, order, mean_matrix(table[together], order)


def mean_matrix(table: pd.DataFrame, order: list[str]) -> np.ndarray:
    """Mean accuracy (sources, targets) over pairs of seeds; NaN where there is no pair."""
    means = table.groupby(["source_condition", "target_condition"])["accuracy"].mean().unstack()
    return means.reindex(index=order, columns=order).to_numpy(float)


def draw_transfer(study: Study, tables: dict[str, pd.DataFrame]) -> str:
    """Heat map source x target of the accuracy under transferred adversarials, a block per task."""
    table = tables["transfer"]
    if not len(table):
        return empty_svg("No transfer was measured.")
    parts = blocks(table)
    drawn = [list(matrices(study, part)) for _, _, part in parts]
    count = max(len(found[0][2]) for found in drawn)
    panels = max(len(found) for found in drawn)
    with rc():
        figure, axes = panel_blocks(
            block_titles(study, parts), panels, 1.1 + 0.24 * (count + 1), wide=1.6 + 0.42 * count
        )
        for found, grid in zip(drawn, axes, strict=True):
            for index, axis in enumerate(grid):
                if index >= len(found):
                    axis.axis("off")
                    continue
                title, sources, targets, values = found[index]
                draw_matrix(axis, values, sources, targets)
                axis.set_title(f"from {title}", pad=8)
                axis.set_ylabel("adversarials of" if is_leftmost(index, panels) else "")
        return to_svg(figure, "Accuracy under the adversarials of other networks, source by target")


def draw_matrix(axis: Any, values: np.ndarray, sources: list[str], targets: list[str]) -> None:
    """One heat map: dark is accurate; a number in percent in each cell where there is room."""
    from matplotlib import colormaps

    colours = colormaps["viridis"]
    axis.grid(visible=False)
    axis.pcolormesh(values, cmap=colours, vmin=0, vmax=1, edgecolors="none", linewidth=0)
    axis.invert_yaxis()
    axis.set_xticks(np.arange(len(targets)) + 0.5, targets, rotation=40, ha="right", rotation_mode="anchor")
    axis.set_yticks(np.arange(len(sources)) + 0.5, sources)
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    axis.set_xlabel("shown to")
    if len(targets) > LEGIBLE:
        return
    for row, column in np.ndindex(values.shape):
        value = values[row, column]
        if np.isfinite(value):
            ink = "#111111" if value > 0.55 else "#ffffff"
            axis.text(column + 0.5, row + 0.5, f"{100 * value:.0f}", ha="center", va="center", color=ink, fontsize=8)


def transfer_note(study: Study) -> str:
    """The budget of the transferred adversarials: `L∞ 8/255`."""
    settings = study.get("transfer")
    if not settings:
        return ""
    unit = "1/255" if settings["norm"] == "linf" else ""
    size = format_budget(settings["budget"], unit) if unit else f"{settings['budget']:g}"
    return f"{NORMS[settings['norm']]} {size}"
