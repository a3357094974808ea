"""Semantic adversarials of a stranger: what they break in each network, beside what its own attack breaks there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from neurobust.core.errors import InputError
from neurobust.core.reference_range import BASELINE
from neurobust.files.semantic_table import ATTACK, read_semantic_table
from neurobust.files.semantic_transfer_table import SemanticTransferRecord, read_semantic_transfer
from neurobust.report.blocks import Row, Tables
from neurobust.report.cells import Cells, by_strength
from neurobust.report.comparisons import difference_rows
from neurobust.report.contents import COLUMNS, NETWORK
from neurobust.report.entries import between, over_seeds, signed
from neurobust.report.guided import compared
from neurobust.report.sections import deltas_of
from neurobust.report.shown import ShownAttack
from neurobust.report.view import View
from neurobust.study.model import Study, title_of

TRANSFER_COLUMNS = [
    *NETWORK, "attack", "axis", "strength", "source_seed", "n_images", "n_shared", "transferred", "own_attack",
    "beyond_own",
]  # fmt: skip


def name_of(attack: str) -> str:
    """The name under which a transferred attack stands in tables of differences."""
    return f"{attack}-transfer"


def tabulate_transfer(study: Study, paths: Iterable[Path], own: Iterable[Path]) -> Tables:
    """`transfer`, a row per network, attack and strength, and `differences` of the accuracy under the adversarials.

    paths: tables of transfer; own: those of the networks' own attacks. n_shared: images that network and surrogate read
    rightly when clean and that the surrogate misreads under attack; over these, the shares that the network misreads
    too (transferred), that its own attack breaks (own_attack), and that only the surrogate's adversarial breaks
    (beyond_own). A difference is over all images, on the same adversarials, in pairs of seeds.
    """
    white: dict[tuple[Any, ...], pd.DataFrame] = {}
    for path in own:
        frame, record = read_semantic_table(path)
        key = (record.task, record.architecture, record.condition, record.seed, record.attack)
        white[key] = frame[frame["variant"] == ATTACK]
    rows: list[Row] = []
    cells: dict[tuple[str, str, str], Cells] = {}
    axes: dict[str, str] = {}
    for path in paths:
        frame, found = read_semantic_transfer(path)
        names = {name: getattr(found, name) for name in NETWORK}
        key = (*names.values(), found.attack)
        if key not in white:
            raise InputError(f"{path}: the network's own table of {found.attack} is missing; run attack_semantic")
        rows += [names | row for row in strength_rows(frame, white[key], found)]
        block = (found.task, found.architecture, found.attack)
        cells.setdefault(block, {})[found.condition, found.seed] = by_strength(frame)
        axes[found.attack] = found.axis
    differences = []
    for (task, architecture, attack), block_cells in cells.items():
        reference = study.reference_strengths.get(attack)
        shown = ShownAttack(name_of(attack), attack, "", axes[attack], reference_budget=reference)
        names = {"task": task, "architecture": architecture, "attack": shown.name, "primary": False, "answer": False}
        differences += [names | row for row in difference_rows(compared(study.conditions), block_cells, shown)]
    return {
        "transfer": pd.DataFrame(rows, columns=TRANSFER_COLUMNS),
        "differences": pd.DataFrame(differences, columns=COLUMNS["differences"]),
    }


def strength_rows(frame: pd.DataFrame, white: pd.DataFrame, found: SemanticTransferRecord) -> list[Row]:
    """One network's rows of the table under one attack; white: the rows of its own attack."""
    joined = frame.merge(
        white[["image", "strength", "success"]], on=["image", "strength"], suffixes=("", "_own"), how="left"
    )
    if joined["success_own"].isna().any():
        raise InputError(
            f"{found.attack} on {found.condition} seed {found.seed}: its own table lacks images or strengths of the "
            "transfer; delete it and run again"
        )
    rows = []
    for strength, part in joined.groupby("strength"):
        shared = part[part["clean_correct"] & part["source_correct"] & part["source_broken"]]
        broken, own = shared["success"].to_numpy(bool), shared["success_own"].to_numpy(bool)
        rows.append(
            {"attack": found.attack, "axis": found.axis, "strength": strength, "source_seed": found.source_seed}
            | {"n_images": len(part), "n_shared": len(shared), "transferred": mean(broken)}
            | {"own_attack": mean(own), "beyond_own": mean(broken & ~own)}
        )
    return rows


def mean(values: np.ndarray) -> float:
    """A share; NaN of nothing."""
    return float(values.mean()) if len(values) else float("nan")


def counted(rows: pd.DataFrame) -> str:
    """How many images the shares of these networks are over: `2 to 4 images`."""
    fewest, most = int(rows["n_shared"].min()), int(rows["n_shared"].max())
    return f"{fewest} to {most} images" if fewest < most else f"{most} image" + "s" * (most != 1)


def delta_text(row: Any) -> str:
    """A difference to `none` in points with its interval; empty where there is none."""
    if row is None or pd.isna(row.difference):
        return ""
    interval = between(row.low, row.high, signed)
    return f"{signed(row.difference)} [{interval}]" if interval else signed(row.difference)


def transfer_tables(view: View, tables: Mapping[str, pd.DataFrame]) -> list[Row]:
    """Per task, architecture and attack: a line per condition, the transferred share by strength with how many images
    it is over, and at the largest one the network's own attack beside it. tables: `transfer` and `differences`."""
    result = []
    groups = tables["transfer"].groupby(["task", "architecture", "attack"], sort=False)
    for (task, architecture, attack), part in groups:
        strengths = sorted(part["strength"].unique())
        last = part[part["strength"] == strengths[-1]]
        differences = tables["differences"]
        chosen = differences[(differences["task"] == task) & (differences["architecture"] == architecture)]
        deltas = deltas_of(chosen)
        lines = []
        for condition in view.in_order(part["condition"]):
            rows, end = part[part["condition"] == condition], last[last["condition"] == condition]
            cells = [over_seeds(rows[rows["strength"] == s]["transferred"], 0, alone="") for s in strengths]
            cells += [over_seeds(end[name], 0, alone="") for name in ("own_attack", "beyond_own")]
            delta = deltas.get((condition, BASELINE, name_of(attack)))
            lines.append({"condition": view.head(condition), "cells": cells, "delta": delta_text(delta)})
        result.append(
            {"task": task, "architecture": architecture, "attack": title_of(attack), "name": attack, "lines": lines}
            | {"axis": part["axis"].iloc[0], "last": f"{strengths[-1]:g}"}
            | {"heads": [{"strength": f"{s:g}", "images": counted(part[part["strength"] == s])} for s in strengths]}
        )
    return result
