"""What a page says of semantic attacks: success by strength beside baselines, how far images moved, gates, pictures.

`tabulate_semantic` collects every network's rows into tables; the page is drawn from those and a few examples.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from neurobust.core.errors import InputError
from neurobust.core.io import canonical_json, read_parquet, write_text
from neurobust.report.blocks import Tables
from neurobust.report.examples import class_names, png_data, thin
from neurobust.report.sections import MISSING, between, condition_cell, percent, plain
from neurobust.report.side_by_side import NAMES, draw_side_by_side, side_by_side, summarise
from neurobust.report.study import Network, Study, in_order
from neurobust.report.style import NEUTRAL, condition_style, inline_svg, panel_blocks, rc, to_svg
from neurobust.report.tables import read_csv

VARIANTS = {
    "attack": "attack", "reconstruction": "given back", "colouriser-only": "colouriser only",
    "random-hints": "random hints", "texture-only": "texture only", "noise": "noise of the same L2",
    "edit-only": "edit only", "random-edit": "random edit",
}  # fmt: skip
APART = 8  # percent between the names of two lines
STYLES = (":", "-.", (0, (1, 3)))  # of baselines
NETWORK = ["task", "architecture", "condition", "seed"]
DISTANCES = ("ciede2000", "ssim", "l2", "feature_distance")
COLUMNS = [
    *NETWORK, "attack", "axis", "variant", "strength", "n_images", "n_clean", "accuracy", "success", *DISTANCES,
    "oracle_correct", "same_person", "n_forward", "n_backward", "gates_passed", "settings",
]  # fmt: skip
GATE_COLUMNS = ["task", "network", "gate", "value", "threshold", "at_most", "passed", "note"]
# Files and the names of their tables.
TABLES = {
    "semantic": "semantic", "semantic_gates": "gates", "semantic_summary": "summary",
    "semantic_differences": "differences",
}  # fmt: skip
SHOWN = 2  # images per attack


def tabulate_semantic(study: Study, paths: list[Path], networks: Path, outputs: dict[str, Path]) -> None:
    """Write `semantic`, a row per network, attack, variant and strength, `gates`, a row per gate, and two more.

    `summary` and `differences` hold what the tables of these names say of other attacks. networks: the table of that
    name.
    `success` and the oracle's agreement are over the images that the network reads rightly when clean, `accuracy` over
    all; distances are means over the images that the variant breaks.
    """
    rows, found = [], {}
    for path in paths:
        frame, attrs = read_parquet(Path(path))
        names = {name: attrs[name] for name in NETWORK}
        rows += [names | row for row in variant_rows(frame, attrs)]
        for gate in attrs["gates"]:
            found[attrs["task"], gate["network"], gate["gate"]] = {"task": attrs["task"], **gate}
    table = pd.DataFrame(rows, columns=COLUMNS)
    tables = {"semantic": table, "gates": pd.DataFrame(found.values(), columns=GATE_COLUMNS)}
    tables |= summarise(study, paths, read_csv(networks))
    for name, path in outputs.items():
        write_text(path, tables[name].to_csv(index=False, lineterminator="\n"))


def variant_rows(frame: pd.DataFrame, attrs: dict[str, Any]) -> list[dict[str, Any]]:
    """One network's rows of the table under one attack."""
    rows = []
    for (variant, strength), part in frame.groupby(["variant", "strength"], sort=False):
        clean = part[part["clean_correct"]]
        broken = clean[clean["success"]]
        row = {"attack": attrs["attack"], "axis": attrs["axis"], "variant": variant, "strength": strength}
        row |= {"n_images": len(part), "n_clean": len(clean), "accuracy": 1 - part["success"].mean()}
        row |= {"success": clean["success"].mean(), "oracle_correct": clean["oracle_correct"].mean()}
        row |= {name: broken[name].mean() for name in DISTANCES}
        row |= {"same_person": clean["same_person"].mean() if "same_person" in part else np.nan}
        row |= {name: part[name].mean() for name in ("n_forward", "n_backward")}
        rows.append(row | {"gates_passed": attrs["gates_passed"], "settings": canonical_json(attrs["settings"])})
    return rows


def semantic_section(study: Study, frames: Tables, paths: list[Path]) -> dict[str, Any] | None:
    """What the template shows, from the tables and the examples among `paths`; None where there are none.

    frames: the study's other tables.
    """
    from markupsafe import Markup

    files = {path.stem: path for path in map(Path, paths) if path.suffix == ".csv"}
    if not files:
        return None
    if set(files) != set(TABLES):
        raise InputError(f"semantic attacks: tables {sorted(files)}; give {', '.join(sorted(TABLES))}")
    tables = {name: read_csv(files[stem]) for stem, name in TABLES.items()}
    table, gates = tables["semantic"], tables["gates"]
    summaries = {name: tables[name] for name in ("summary", "differences")}
    examples = [path for path in map(Path, paths) if path.suffix == ".npz"]
    return {
        "beside": side_by_side(study, frames, summaries),
        "beside_figure": Markup(inline_svg(draw_side_by_side(study, frames, table), "beside")),
        "figure": Markup(inline_svg(draw_semantic(study, table), "semantic")),
        "tables": [one_table(study, *names, part) for names, part in table.groupby(["task", "attack"], sort=False)],
        "gates": [gate_row(row) for row in gates.itertuples()],
        "failed": sorted({f"{row.network} ({row.task})" for row in gates.itertuples() if not row.passed}),
        "grids": galleries(study, examples),
    }


def one_table(study: Study, task: str, attack: str, part: pd.DataFrame) -> dict[str, Any]:
    """The table of one task and attack: a line per condition at each strength, the baselines of all beneath."""
    strengths = sorted(part["strength"].unique())
    own = part[part["variant"] == "attack"]
    lines = []
    for condition in in_order(study, own["condition"]):
        found = own[own["condition"] == condition]
        cells = [seeds_cell(found[found["strength"] == strength]["success"]) for strength in strengths]
        last = found[found["strength"] == strengths[-1]]
        lines.append({"condition": condition_cell(study, condition), "name": "", "cells": cells} | distances(last))
    for variant in [name for name in part["variant"].unique() if name != "attack"]:
        found = part[part["variant"] == variant]
        cells = [seeds_cell(found[found["strength"] == strength]["success"]) for strength in strengths]
        last = found[found["strength"] == strengths[-1]]
        lines.append({"condition": None, "name": VARIANTS.get(variant, variant), "cells": cells} | distances(last))
    return {
        "task": task, "attack": NAMES.get(attack, attack), "axis": part["axis"].iloc[0], "lines": lines,
        "strengths": [f"{strength:g}" for strength in strengths], "images": int(part["n_images"].max()),
        "failed": not part["gates_passed"].astype(bool).all(), "people": bool(part["same_person"].notna().any()),
    }  # fmt: skip


def distances(rows: pd.DataFrame) -> dict[str, str]:
    """Means over networks at one strength, as text."""
    shown = {name: plain(rows[name].mean()) for name in DISTANCES}
    return shown | {name: percent(rows[name].mean(), 0) for name in ("oracle_correct", "same_person")}


def seeds_cell(values: pd.Series) -> dict[str, str]:
    """Mean over networks in percent and its range."""
    values = values.dropna()
    if not len(values):
        return {"main": MISSING, "spread": ""}
    return {"main": percent(values.mean(), 0), "spread": between(values.min(), values.max()) if len(values) > 1 else ""}


def gate_row(row: Any) -> dict[str, Any]:
    """One gate as text."""
    sign = "at most" if row.at_most else "at least"
    value = plain(row.value, 3)
    note = row.note if pd.notna(row.note) else ""
    return {"task": row.task, "network": row.network, "gate": row.gate, "value": value, "note": note,
            "wanted": f"{sign} {row.threshold:g}", "passed": bool(row.passed)}  # fmt: skip


def draw_semantic(study: Study, table: pd.DataFrame) -> str:
    """Per task: success by strength of each condition, the baselines of all, and how far the broken images moved."""
    attacks = list(dict.fromkeys(table["attack"]))
    tasks = list(dict.fromkeys(table["task"]))
    with rc():
        figure, axes = panel_blocks(tasks, 2 * len(attacks), 2.3, legend(study, table))
        for task, grid in zip(tasks, axes, strict=True):
            for k, attack in enumerate(attacks):
                part = table[(table["task"] == task) & (table["attack"] == attack)]
                for axis, draw in ((grid[k], draw_success), (grid[len(attacks) + k], draw_distance)):
                    if not len(part):
                        axis.axis("off")
                        continue
                    draw(study, axis, part)
                    axis.set(title=NAMES.get(attack, attack), xlabel=part["axis"].iloc[0])
        return to_svg(figure, "Success of semantic attacks by strength, and the colour distance that it took")


def legend(study: Study, table: pd.DataFrame) -> list[Any]:
    """A handle per condition and one for each style of baseline."""
    from matplotlib.lines import Line2D

    conditions = in_order(study, table["condition"])
    handles = [Line2D([], [], label=name, **condition_style(study, name)) for name in conditions]
    return [*handles, Line2D([], [], color=NEUTRAL, linestyle=":", label="baselines")]


def draw_success(study: Study, axis: Any, part: pd.DataFrame) -> None:
    """Mean over seeds per condition, its range as a band; baselines over all networks."""
    for condition, rows in part[part["variant"] == "attack"].groupby("condition", sort=False):
        seeds = rows.groupby("strength")["success"]
        style = condition_style(study, condition)
        axis.plot(seeds.mean().index, 100 * seeds.mean(), markersize=4, **style)
        axis.fill_between(
            seeds.mean().index, 100 * seeds.min(), 100 * seeds.max(), color=style["color"], alpha=0.15, lw=0
        )
    others = part[part["variant"] != "attack"]
    names = {}
    for (variant, rows), line in zip(others.groupby("variant", sort=False), STYLES, strict=False):
        mean = 100 * rows.groupby("strength")["success"].mean()
        axis.plot(mean.index, mean, color=NEUTRAL, linestyle=line, linewidth=1.3)
        names[VARIANTS.get(variant, variant)] = mean.iloc[-1]
    lowest = -math.inf
    for name, value in sorted(names.items(), key=lambda item: item[1]):
        lowest = max(value, lowest + APART)  # one above the other where lines end together
        axis.annotate(name, (others["strength"].max(), lowest), fontsize=7, ha="right", va="bottom")
    axis.set(ylim=(-3, 103), ylabel="broken, % of clean-correct")


def draw_distance(study: Study, axis: Any, part: pd.DataFrame) -> None:
    """Mean CIEDE2000 of the broken images."""
    for condition, rows in part[part["variant"] == "attack"].groupby("condition", sort=False):
        mean = rows.groupby("strength")["ciede2000"].mean()
        axis.plot(mean.index, mean, markersize=4, **condition_style(study, condition))
    axis.set(ylabel="CIEDE2000 of the broken")
    axis.set_ylim(bottom=0)


def galleries(study: Study, paths: list[Path]) -> list[dict[str, Any]]:
    """Per task and attack the pictures of the first seed of the first condition: clean, baselines, each strength."""
    grids = {}
    for path in paths:
        task, architecture, condition, seed = path.parts[-6:-2]
        network = Network(task, architecture, condition, int(seed.removeprefix("seed")))
        grids.setdefault((task, path.stem), gallery(study, network, path))
    return list(grids.values())


def gallery(study: Study, network: Network, path: Path) -> dict[str, Any]:
    """One network's pictures under one attack."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not a readable examples file ({error}); delete it and run again") from error
    strengths, classes = arrays["strengths"], class_names(study, network.task)
    variants = [
        name.removeprefix("example/") for name in arrays if name.startswith("example/") and name != "example/attack"
    ]
    heads = ["clean", *(VARIANTS.get(name, name) for name in variants), *(f"strength {value:g}" for value in strengths)]
    rows = []
    for k in np.flatnonzero(arrays["clean_correct"])[:SHOWN]:
        label, first = int(arrays["label"][k]), int(arrays["first"][k])
        cells = [
            {
                "picture": png_data(thin(arrays["clean"][k])),
                "note": classes[label] if label < len(classes) else f"class {label}",
            }
        ]
        cells += [{"picture": png_data(thin(arrays[f"example/{name}"][k, -1])), "note": ""} for name in variants]
        for s in range(len(strengths)):
            note = "broken" if first == s else "broken before" if first < s else "stands"
            cells.append({"picture": png_data(thin(arrays["example/attack"][k, s])), "note": note})
        rows.append(cells)
    names = {"task": network.task, "condition": network.condition, "seed": network.seed}
    return names | {"attack": NAMES.get(path.stem, path.stem), "heads": heads, "rows": rows}
