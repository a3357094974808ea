"""What a page says of semantic attacks: success by strength beside baselines, how far images moved, gates, pictures.

`tabulate_semantic` collects every network's rows into tables; the page is drawn from those and a few examples.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from neurobust.core.io import canonical_json
from neurobust.core.settings import written
from neurobust.files.semantic_table import ATTACK, SemanticRecord, read_semantic_examples, read_semantic_table
from neurobust.report.blocks import Row, blocks
from neurobust.report.contents import NETWORK, SEMANTIC_TABLES
from neurobust.report.entries import over_seeds, percent, plain, text
from neurobust.report.examples import ClassNames, changed_cell, png_data, thin
from neurobust.report.semantic_transfer import tabulate_transfer, transfer_tables
from neurobust.report.side_by_side import draw_side_by_side, side_by_side, summarise
from neurobust.report.style import NEUTRAL, inline_svg, panel_blocks, rc, to_svg
from neurobust.report.tables import read_csv, read_section, write_tables
from neurobust.report.transfer_gallery import transfer_galleries
from neurobust.report.view import View
from neurobust.study.model import NetworkName, Study, title_of

VARIANTS = {
    "attack": "attack", "reconstruction": "given back", "colouriser-only": "colouriser only",
    "random-hints": "random hints", "texture-only": "texture only", "noise": "noise of the same L2",
    "jpeg-only": "JPEG only",
    "edit-only": "edit only", "random-edit": "random edit",
}  # fmt: skip
APART, HIGHEST = 8, 92  # percent between the names of two lines, and where the uppermost may stand
STYLES = (":", "-.", (0, (1, 3)))  # of baselines
DISTANCES = ("ciede2000", "ssim", "l2", "feature_distance")
OUTCOMES = ("target", "third", "unchanged")  # of an attack that aims at a class: shares that end there
COLUMNS = [
    *NETWORK, "attack", "axis", "variant", "strength", "n_images", "n_clean", "accuracy", "success", "abstained",
    *OUTCOMES,
    *DISTANCES, "oracle_correct", "same_person", "n_forward", "n_backward", "gates_passed", "settings",
]  # fmt: skip
ATTRIBUTE_COLUMNS = [*NETWORK, "attack", "attribute", "strength", "n_clean", "success"]
GATE_COLUMNS = ["task", "network", "gate", "value", "threshold", "at_most", "passed", "note"]
SHOWN = 2  # images per attack


def tabulate_semantic(
    study: Study, paths: list[Path], networks: Path, outputs: dict[str, Path], transfers: Iterable[Path] = ()
) -> None:
    """Write `semantic`, a row per network, attack, variant and strength, `gates`, a row per gate, and four more.

    `attributes` has a row per attribute that an attack turned, and strength. `summary` and `differences` hold what the
    tables of these names say of other attacks, `transfer` what a stranger's adversarials do (tables: `transfers`).
    networks: the table of that name.
    `success` and the oracle's agreement are over the images that the network reads rightly when clean, `accuracy` over
    all; distances are means over the images that the variant breaks. Of an attack that aims at a class, `target`,
    `third` and `unchanged` are the shares of the former that end at the target, at a third class and at their own.
    """
    rows, turned, found = [], [], {}
    for path in paths:
        frame, record = read_semantic_table(path)
        names = {name: getattr(record, name) for name in NETWORK}
        rows += [names | row for row in variant_rows(frame, record)]
        turned += [names | row for row in attribute_rows(frame, record)]
        for gate in record.gates:
            found[record.task, gate.network, gate.gate] = {"task": record.task, **written(gate)}
    table = pd.DataFrame(rows, columns=COLUMNS)
    tables = {"semantic": table, "gates": pd.DataFrame(found.values(), columns=GATE_COLUMNS)}
    tables["attributes"] = pd.DataFrame(turned, columns=ATTRIBUTE_COLUMNS)
    tables |= summarise(study, paths, read_csv(networks))
    shown = tabulate_transfer(study, transfers, paths)
    tables["transfer"] = shown["transfer"]
    if len(shown["differences"]):
        tables["differences"] = pd.concat([tables["differences"], shown["differences"]], ignore_index=True)
    write_tables(tables, outputs)


def variant_rows(frame: pd.DataFrame, record: SemanticRecord) -> list[Row]:
    """One network's rows of the table under one attack."""
    rows = []
    for (variant, strength), part in frame.groupby(["variant", "strength"], sort=False):
        clean = part[part["clean_correct"]]
        broken = clean[clean["success"]]
        row = {"attack": record.attack, "axis": record.axis, "variant": variant, "strength": strength}
        row |= {"n_images": len(part), "n_clean": len(clean), "accuracy": 1 - part["success"].mean()}
        row |= {"success": clean["success"].mean(), "oracle_correct": clean["oracle_correct"].mean()}
        row |= {"abstained": part["abstained"].mean() if "abstained" in part else np.nan}
        row |= outcomes(clean)
        row |= {name: broken[name].mean() for name in DISTANCES}
        row |= {"same_person": clean["same_person"].mean() if "same_person" in part else np.nan}
        row |= {name: part[name].mean() for name in ("n_forward", "n_backward")}
        rows.append(row | {"gates_passed": record.gates_passed, "settings": canonical_json(record.settings)})
    return rows


def attribute_rows(frame: pd.DataFrame, record: SemanticRecord) -> list[Row]:
    """One network's images by the attribute that an attack turned; none for an attack that turns none."""
    if "attribute" not in frame:
        return []
    own = frame[(frame["variant"] == ATTACK) & frame["clean_correct"]]
    return [
        {"attack": record.attack, "attribute": attribute, "strength": strength, "n_clean": len(part)}
        | {"success": part["success"].mean()}
        for (attribute, strength), part in own.groupby(["attribute", "strength"])
    ]


def outcomes(clean: pd.DataFrame) -> Row:
    """Where the images that were read rightly end under a variant, as shares; missing where no class is aimed at."""
    if "reached_target" not in clean:
        return dict.fromkeys(OUTCOMES, np.nan)
    target, broken = clean["reached_target"].mean(), clean["success"].mean()
    return dict(zip(OUTCOMES, (target, broken - target, 1 - broken), strict=True))


def semantic_section(view: View, paths: Iterable[Path]) -> Row | None:
    """What the template shows, from the tables and the examples among `paths`, and the tables of transfer of those that
    pictures are shown of; None where there are no tables."""
    from markupsafe import Markup

    paths = list(paths)
    tables = read_section(paths, SEMANTIC_TABLES, "semantic attacks")
    if not tables:
        return None
    table, gates = tables["semantic"], tables["gates"]
    axes = dict(zip(table["attack"], table["axis"], strict=True))
    lent = transfer_galleries(view, [path for path in paths if path.suffix == ".parquet"])
    return {
        "beside": side_by_side(view, {name: tables[name] for name in ("summary", "differences")}),
        "beside_figure": Markup(inline_svg(draw_side_by_side(view, table), "beside")),
        "figure": Markup(inline_svg(draw_semantic(view, table), "semantic")),
        "tables": [
            one_table(view, task, architecture, attack, part)
            | {"attributes": attribute_lines(view, tables["attributes"], task, architecture, attack)}
            for (task, architecture, attack), part in table.groupby(["task", "architecture", "attack"], sort=False)
        ],
        "gates": [gate_row(row) for row in gates.itertuples()],
        "failed": sorted({f"{row.network} ({row.task})" for row in gates.itertuples() if not row.passed}),
        "transfers": [
            shown | {"gallery": lent.get((shown["task"], shown["architecture"], shown["name"]))}
            for shown in transfer_tables(view, tables)
        ],
        "grids": [
            grid | {"axis": axes[grid["name"]]}
            for grid in galleries(
                view.study, [path for path in paths if path.suffix == ".npz" and path.parent.name == "semantic"]
            )
        ],
    }


def one_table(view: View, task: str, architecture: str, attack: str, part: pd.DataFrame) -> Row:
    """One table: a line per condition at each strength, the baselines of all beneath.

    Never over architectures: one that nothing breaks would hide the failure of another.
    """
    strengths = sorted(part["strength"].unique())
    own = part[part["variant"] == ATTACK]
    lines = []
    for condition in view.in_order(own["condition"]):
        found = own[own["condition"] == condition]
        lines.append({"condition": view.head(condition), "name": ""} | line_of(found, strengths))
    for variant in [name for name in part["variant"].unique() if name != ATTACK]:
        found = part[part["variant"] == variant]
        lines.append({"condition": None, "name": VARIANTS.get(variant, variant)} | line_of(found, strengths))
    return {
        "task": task, "architecture": architecture, "attack": title_of(attack), "lines": lines,
        "axis": part["axis"].iloc[0], "strengths": [f"{strength:g}" for strength in strengths],
        "images": int(part["n_images"].max()),
        "failed": not part["gates_passed"].astype(bool).all(), "people": bool(part["same_person"].notna().any()),
        "aimed": bool(part["target"].notna().any()),
    }  # fmt: skip


def line_of(rows: pd.DataFrame, strengths: list[float]) -> Row:
    """A line's cells of success by strength, and means over networks at the largest one, as text."""
    cells = [over_seeds(rows[rows["strength"] == strength]["success"], digits=0, alone="") for strength in strengths]
    last = rows[rows["strength"] == strengths[-1]]
    shown = {name: plain(last[name].mean()) for name in DISTANCES}
    shares = (*OUTCOMES, "oracle_correct", "same_person")
    return {"cells": cells} | shown | {name: percent(last[name].mean(), 0) for name in shares}


def attribute_lines(view: View, table: pd.DataFrame, task: str, architecture: str, attack: str) -> list[Row]:
    """Images broken by strength: a line per condition and attribute that the attack turned."""
    own = table[(table["task"] == task) & (table["architecture"] == architecture) & (table["attack"] == attack)]
    lines = []
    for condition in view.in_order(own["condition"]):
        for attribute, part in own[own["condition"] == condition].groupby("attribute"):
            cells = [over_seeds(rows["success"], digits=0, alone="") for _, rows in part.groupby("strength")]
            most = int(part["n_clean"].max())
            lines.append({"condition": view.head(condition), "attribute": attribute, "images": most, "cells": cells})
    return lines


def gate_row(row: Any) -> Row:
    """One gate as text."""
    sign = "at most" if row.at_most else "at least"
    value = plain(row.value, 3)
    return {"task": row.task, "network": row.network, "gate": row.gate, "value": value, "note": text(row.note),
            "wanted": f"{sign} {row.threshold:g}", "passed": bool(row.passed)}  # fmt: skip


def draw_semantic(view: View, table: pd.DataFrame) -> str:
    """Per block: success by strength of each condition, the baselines of all, and how far the broken images moved."""
    attacks = list(dict.fromkeys(table["attack"]))
    parts = blocks(table)
    with rc():
        figure, axes = panel_blocks(view.titles(parts), 2 * len(attacks), 2.3, legend(view, table))
        for (_, _, block), grid in zip(parts, axes, strict=True):
            for k, attack in enumerate(attacks):
                part = block[block["attack"] == attack]
                for axis, draw in ((grid[k], draw_success), (grid[len(attacks) + k], draw_distance)):
                    if not len(part):
                        axis.axis("off")
                        continue
                    draw(view, axis, part)
                    axis.set(title=title_of(attack), xlabel=part["axis"].iloc[0])
        return to_svg(figure, "Success of semantic attacks by strength, and the colour distance that it took")


def legend(view: View, table: pd.DataFrame) -> list[Any]:
    """A handle per condition and one for each style of baseline."""
    from matplotlib.lines import Line2D

    conditions = view.in_order(table["condition"])
    handles = [Line2D([], [], label=name, **view.style(name)) for name in conditions]
    return [*handles, Line2D([], [], color=NEUTRAL, linestyle=":", label="baselines")]


def draw_success(view: View, axis: Any, part: pd.DataFrame) -> None:
    """Mean over seeds per condition, its range as a band; baselines over all networks."""
    for condition, rows in part[part["variant"] == ATTACK].groupby("condition", sort=False):
        seeds = rows.groupby("strength")["success"]
        style = view.style(condition)
        axis.plot(seeds.mean().index, 100 * seeds.mean(), markersize=4, **style)
        axis.fill_between(
            seeds.mean().index, 100 * seeds.min(), 100 * seeds.max(), color=style["color"], alpha=0.15, lw=0
        )
    others = part[part["variant"] != ATTACK]
    ends = {}
    for (variant, rows), line in zip(others.groupby("variant", sort=False), STYLES, strict=False):
        mean = 100 * rows.groupby("strength")["success"].mean()
        axis.plot(mean.index, mean, color=NEUTRAL, linestyle=line, linewidth=1.3)
        ends[VARIANTS.get(variant, variant)] = mean.iloc[-1]
    for name, height in above_lines(ends).items():
        place = (others["strength"].max(), height)
        axis.annotate(name, place, (0, 1), textcoords="offset points", fontsize=7, ha="right", va="bottom")
    axis.set(ylim=(-3, 103), ylabel="broken, % of clean-correct")


def above_lines(ends: Mapping[str, float]) -> dict[str, float]:
    """Where the names of lines stand, in percent, given where the lines end: above its own line, and where several end
    close together, one above the other over the highest of these."""
    heights: dict[str, float] = {}
    together: list[str] = []
    order = sorted(ends, key=lambda name: ends[name])
    for name, following in zip_longest(order, order[1:], fillvalue=""):
        together.append(name)
        if not following or ends[following] >= ends[name] + APART * len(together):
            lowest = min(ends[name], HIGHEST - APART * (len(together) - 1))
            heights |= {one: lowest + APART * step for step, one in enumerate(together)}
            together = []
    return heights


def draw_distance(view: View, axis: Any, part: pd.DataFrame) -> None:
    """Mean CIEDE2000 of the broken images."""
    for condition, rows in part[part["variant"] == ATTACK].groupby("condition", sort=False):
        mean = rows.groupby("strength")["ciede2000"].mean()
        axis.plot(mean.index, mean, markersize=4, **view.style(condition))
    axis.set(ylabel="CIEDE2000 of the broken")
    axis.set_ylim(bottom=0)


def galleries(study: Study, paths: list[Path]) -> list[Row]:
    """Per task and attack the pictures of the first seed of the first condition: clean, baselines, each strength."""
    grids: dict[tuple[str, str], Row] = {}
    for path in paths:
        network = NetworkName.of(path.parents[1])
        if (network.task, path.stem) not in grids:
            grids[network.task, path.stem] = gallery(study, network, path)
    return list(grids.values())


def gallery(study: Study, network: NetworkName, path: Path) -> Row:
    """One network's pictures under one attack."""
    examples, classes = read_semantic_examples(path), ClassNames(study, network.task)
    variants = [name for name in examples.variants if name != ATTACK]
    told = list(zip(*examples.notes.values(), strict=True))  # per image, what the attack says of it
    strengths = [f"strength {value:g}" for value in examples.strengths]
    rows = []
    for k in np.flatnonzero(examples.clean_correct)[:SHOWN]:
        first = int(examples.first[k])
        clean, note = examples.clean[k], " · ".join([classes.name(int(examples.label[k])), *(told[k] if told else ())])
        cells = [{"picture": png_data(thin(clean)), "note": note}]
        cells += [changed_cell(clean, examples.variants[name][k, -1], "") for name in variants]
        for s in range(len(strengths)):
            note = "broken" if first == s else "broken before" if first < s else "stands"
            cells.append(changed_cell(clean, examples.variants[ATTACK][k, s], note))
        rows.append(cells)
    heads = ["clean", *(VARIANTS.get(name, name) for name in variants), *strengths]
    named = {"name": path.stem, "attack": title_of(path.stem), "told": " and ".join(examples.notes)}
    return network._asdict() | named | {"last": f"{examples.strengths[-1]:g}", "heads": heads, "rows": rows}
