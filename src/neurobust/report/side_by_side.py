"""A bounded norm beside semantic attacks: the same networks, summarised alike, in one table and one figure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from neurobust.core.errors import InputError
from neurobust.core.io import read_parquet
from neurobust.report.blocks import Tables, block_titles, blocks
from neurobust.report.cells import Cell
from neurobust.report.comparisons import Cells, difference_rows, summary_rows
from neurobust.report.figures import draw_curves, legend_handles, uncrowded
from neurobust.report.sections import answer_cell, budget_of, clean_cell, condition_cell, header, in_block
from neurobust.report.study import Study, attack_label, attack_settings, in_order, primary_attack
from neurobust.report.style import is_leftmost, panel_blocks, rc, to_svg
from neurobust.report.tables import COLUMNS

NAMES = {"cadv": "cAdv (colour)", "tadv": "tAdv (texture)", "semanticadv": "SemanticAdv (faces)"}


def semantic_cell(path: Path) -> Cell:
    """One network under one semantic attack as a cell whose budgets are the strengths.

    Raises InputError where the file is not that.
    """
    frame, attrs = read_parquet(Path(path))
    try:
        own = frame[frame["variant"] == "attack"]
        broken = own.pivot(index="image", columns="strength", values="success").astype(bool)
    except (KeyError, ValueError) as error:
        raise InputError(f"{path}: not the rows of a semantic attack ({error}); delete it and run again") from error
    return Cell(broken.index.to_numpy(), broken.columns.to_numpy(float), ~broken.to_numpy(), {}, attrs)


def summarise(study: Study, paths: list[Path], networks: pd.DataFrame) -> Tables:
    """The rows of semantic attacks, at their reference strength, in the tables `summary` and `differences`.

    networks: the table of that name, for the clean accuracy.
    """
    found: dict[tuple[str, str, str], Cells] = {}
    for path in paths:
        cell = semantic_cell(path)
        attrs = cell.attrs
        cells = found.setdefault((attrs["task"], attrs["architecture"], attrs["attack"]), {})
        cells[attrs["condition"], attrs["seed"]] = cell
    rows: dict[str, list[dict[str, Any]]] = {"summary": [], "differences": []}
    for (task, architecture, attack), cells in found.items():
        names = {"task": task, "architecture": architecture, "attack": attack}
        settings = {"unit": next(iter(cells.values())).attrs["axis"]}
        settings["reference_budget"] = study.get("reference_strengths", {}).get(attack)
        here = in_block(networks, task, architecture)
        clean = {(row.condition, row.seed): row.clean_accuracy for row in here.itertuples()}
        rows["summary"] += [names | row for row in summary_rows(cells, settings, clean)]
        rows["differences"] += [names | {"primary": False} | row for row in difference_rows(study, cells, settings)]
    return {name: pd.DataFrame(found, columns=COLUMNS[name]) for name, found in rows.items()}


def side_by_side(study: Study, frames: Tables, semantic: Tables) -> list[dict[str, Any]]:
    """Per task: a line per attacked condition, a column for the primary attack and for each semantic one.

    frames: the study's tables; semantic: `summary` and `differences` of semantic attacks.
    """
    result = []
    for task, architecture, own in blocks(semantic["summary"]):
        summary, differences, networks = (
            pd.concat([in_block(source[name], task, architecture) for source in (frames, semantic) if name in source])
            for name in ("summary", "differences", "networks")
        )
        attacks = [name for name in (primary_attack(study), *own["attack"].unique()) if name in set(summary["attack"])]
        rows = {(row.condition, row.attack): row for row in summary.itertuples()}
        measured = differences[differences["measure"] == "robust_accuracy"]
        deltas = {(row.condition, row.baseline, row.attack): row for row in measured.itertuples()}
        lines = [
            {"condition": condition_cell(study, name), "cells": [
                clean_cell(networks[networks["condition"] == name]),
                *(answer_cell(study, name, rows.get((name, attack)), deltas) for attack in attacks),
            ]} for name in in_order(study, own["condition"])
        ]  # fmt: skip
        heads = [header(title(study, name), budget_of(summary, name)) for name in attacks]
        images = {title(study, name): int(summary[summary["attack"] == name]["n_images"].max()) for name in attacks}
        names = {"task": task, "architecture": architecture, "images": images}
        result.append(names | {"heads": [header("clean", "whole test set"), *heads], "lines": lines})
    return result


def title(study: Study, attack: str) -> str:
    """An attack's name for readers, semantic or not."""
    return NAMES.get(attack) or attack_label(study, attack)


def draw_side_by_side(study: Study, frames: Tables, semantic: pd.DataFrame) -> str:
    """Accuracy against budget of the primary attack, and against strength of each semantic one, on one scale.

    semantic: the table of that name.
    """
    own = semantic[semantic["variant"] == "attack"]
    attacks, bounded = list(own["attack"].unique()), primary_attack(study)
    robust = frames["robust_accuracy"]
    curves = own.rename(columns={"strength": "budget", "accuracy": "robust_accuracy"})
    table = pd.concat([robust[robust["attack"] == bounded], curves], ignore_index=True)
    pairs = set(zip(own["task"], own["condition"], strict=True))
    table, crowded = uncrowded(
        study, table[[pair in pairs for pair in zip(table["task"], table["condition"], strict=True)]]
    )
    settings = {bounded: attack_settings(study)[bounded]} if bounded else {}
    settings |= {name: {"norm": None, "unit": part["axis"].iloc[0]} for name, part in own.groupby("attack", sort=False)}
    parts = blocks(table)
    with rc():
        handles = legend_handles(study, in_order(study, table["condition"]))
        figure, axes = panel_blocks(block_titles(study, parts), len(settings), 2.3, handles)
        for (_, _, part), grid in zip(parts, axes, strict=True):
            for index, (axis, attack) in enumerate(zip(grid, settings, strict=True)):
                if attack not in set(part["attack"]):
                    axis.axis("off")
                    continue
                draw_curves(study, axis, part, attack, settings, bands=not crowded)
                axis.set_title(title(study, attack))
                axis.tick_params(labelleft=is_leftmost(index, len(settings)))
                axis.set_ylabel("images that stand" if is_leftmost(index, len(settings)) else "")
                if attack in attacks:
                    axis.set_xlabel(settings[attack]["unit"])
        return to_svg(figure, "Accuracy under a bounded norm and under semantic attacks, per condition")
