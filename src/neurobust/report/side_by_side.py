"""A bounded norm beside semantic attacks: the same networks, summarised alike, in one table and one figure."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from neurobust.files.semantic_table import ATTACK
from neurobust.report.blocks import Row, Tables, blocks, in_block
from neurobust.report.cells import Cells
from neurobust.report.comparisons import difference_rows, summary_rows
from neurobust.report.contents import COLUMNS
from neurobust.report.figures import curves_by_attack, draw_curves, legend_handles, uncrowded
from neurobust.report.guided import compared
from neurobust.report.sections import answer_cell, budget_of, clean_cell, deltas_of
from neurobust.report.semantic_evidence import semantic_cell
from neurobust.report.shown import ShownAttack
from neurobust.report.style import label_shares, panel_blocks, rc, to_svg
from neurobust.report.view import Head, View
from neurobust.study.model import Study, title_of


def summarise(study: Study, paths: list[Path], networks: pd.DataFrame) -> Tables:
    """The rows of semantic attacks, at their reference strength, in the tables `summary` and `differences`.

    networks: the table of that name, for the clean accuracy.
    """
    found: dict[tuple[str, str, str], Cells] = {}
    axes: dict[str, str] = {}
    for path in paths:
        cell, record = semantic_cell(path)
        cells = found.setdefault((record.task, record.architecture, record.attack), {})
        cells[record.condition, record.seed] = cell
        axes[record.attack] = record.axis
    shown = strengths_of(axes, study.reference_strengths)
    rows: dict[str, list[Row]] = {"summary": [], "differences": []}
    for (task, architecture, name), cells in found.items():
        names = {"task": task, "architecture": architecture, "attack": name}
        here = in_block(networks, task, architecture)
        clean = {(row.condition, row.seed): row.clean_accuracy for row in here.itertuples()}
        rows["summary"] += [names | row for row in summary_rows(cells, shown[name], clean)]
        differences = difference_rows(compared(study.conditions), cells, shown[name])
        rows["differences"] += [names | {"primary": False, "answer": False} | row for row in differences]
    return {name: pd.DataFrame(found, columns=COLUMNS[name]) for name, found in rows.items()}


def strengths_of(axes: Mapping[str, str], references: Mapping[str, float | None]) -> dict[str, ShownAttack]:
    """Semantic attacks for readers, their strengths as budgets; axes: what the strengths of each are."""
    return {
        name: ShownAttack(name, title_of(name), norm="", unit=axis, reference_budget=references.get(name))
        for name, axis in axes.items()
    }


def attacks_beside(view: View, axes: Mapping[str, str]) -> list[ShownAttack]:
    """What stands side by side: the attack of the answer, then the semantic ones."""
    primary = [view.primary] if view.primary else []
    return [*primary, *strengths_of(axes, view.study.reference_strengths).values()]


def side_by_side(view: View, semantic: Tables) -> list[Row]:
    """Per task: a line per attacked condition, a column for the primary attack and for each semantic one.

    semantic: `summary` and `differences` of semantic attacks.
    """
    result = []
    for task, architecture, own in blocks(semantic["summary"]):
        summary, differences, networks = (
            pd.concat(
                [in_block(source[name], task, architecture) for source in (view.tables, semantic) if name in source]
            )
            for name in ("summary", "differences", "networks")
        )
        present = set(summary["attack"])
        axes = own.drop_duplicates("attack").set_index("attack")["unit"].to_dict()
        attacks = [attack for attack in attacks_beside(view, axes) if attack.name in present]
        rows = {(row.condition, row.attack): row for row in summary.itertuples()}
        deltas = deltas_of(differences)
        lines = [
            {"condition": view.head(name), "cells": [
                clean_cell(networks[networks["condition"] == name]),
                *(answer_cell(view.study, name, rows.get((name, attack.name)), deltas) for attack in attacks),
            ]} for name in view.in_order(own["condition"])
        ]  # fmt: skip
        heads = [Head(attack.label, sub=budget_of(summary, attack.name)) for attack in attacks]
        images = {a.label: int(summary[summary["attack"] == a.name]["n_images"].max()) for a in attacks}
        names = {"task": task, "architecture": architecture, "images": images}
        result.append(names | {"heads": [Head("clean", sub="whole test set"), *heads], "lines": lines})
    return result


def draw_side_by_side(view: View, semantic: pd.DataFrame) -> str:
    """Accuracy against budget of the primary attack, and against strength of each semantic one, on one scale.

    semantic: the table of that name.
    """
    own = semantic[semantic["variant"] == ATTACK]
    shown = attacks_beside(view, own.drop_duplicates("attack").set_index("attack")["axis"].to_dict())
    robust = view.tables["robust_accuracy"]
    curves = own.rename(columns={"strength": "budget", "accuracy": "robust_accuracy"})
    table = pd.concat(
        [robust[robust["attack"] == (view.primary.name if view.primary else "")], curves], ignore_index=True
    )
    pairs = set(zip(own["task"], own["condition"], strict=True))
    table, crowded = uncrowded(
        view, table[[pair in pairs for pair in zip(table["task"], table["condition"], strict=True)]]
    )
    parts = blocks(table)
    with rc():
        handles = legend_handles(view, view.in_order(table["condition"]))
        figure, axes = panel_blocks(view.titles(parts), len(shown), 2.3, handles)
        for (_, _, part), grid in zip(parts, axes, strict=True):
            found = curves_by_attack(part)
            for index, (axis, attack) in enumerate(zip(grid, shown, strict=True)):
                if attack.name not in found:
                    axis.axis("off")
                    continue
                draw_curves(view, axis, found, attack, bands=not crowded)
                axis.set_title(attack.label)
                label_shares(axis, index, len(shown), "images that stand")
                if attack is not view.primary:
                    axis.set_xlabel(attack.unit)
        return to_svg(figure, "Accuracy under a bounded norm and under semantic attacks, per condition")
