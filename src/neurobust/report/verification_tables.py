"""Face verification as tables: which pairs stand, by false-positive rate, attribute and network, and the differences.

A pair stands where the network is right about it when clean and no attribute, turned by the attack, changes that.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from neurobust.core.io import canonical_json
from neurobust.core.settings import written
from neurobust.files.verification_table import ATTACK, VerificationRecord, read_verification_table
from neurobust.report.blocks import Row, Tables
from neurobust.report.cells import Cell, Cells
from neurobust.report.comparisons import difference_rows
from neurobust.report.contents import NETWORK
from neurobust.report.guided import compared
from neurobust.report.shown import ShownAttack
from neurobust.report.tables import write_tables
from neurobust.study.model import Study

ANY = "any"  # in the place of an attribute: the worst case over all of them
COLUMNS = {
    "verification": [
        *NETWORK, "goal", "attribute", "variant", "rate", "n_pairs", "n_right", "stands", "success", "identity_success",
        "oracle_correct", "ciede2000", "n_forward", "gates_passed", "settings",
    ],
    "thresholds": [
        *NETWORK, "verifier", "rate", "threshold", "impostors", "passing", "people", "genuine", "accepted", "split",
    ],
    "differences": [
        "task", "architecture", "goal", "rate", "condition", "baseline", "difference", "low", "high", "df", "n_seeds",
        "n_images", "seed_min", "seed_max",
    ],
}  # fmt: skip
OF_PAIR = ["image", "reference", "goal", "variant", "rate"]


def tabulate_verification(study: Study, paths: list[Path], outputs: dict[str, Path]) -> None:
    """Write `verification`, a row per network, goal, attribute (and `any` of them), variant and rate; `thresholds`, a
    row per network, verifier and rate; and `differences` between conditions in the share of pairs that stand.

    `stands` is over all pairs, `success` over those that the network is right about when clean; the identity network,
    the oracle and the colour distance are asked about the images that the variant broke, the identity network where it
    was right itself. Where a rate could not be measured there is a row of `thresholds` that says so, and no other.
    """
    rows: dict[str, list[Row]] = {name: [] for name in COLUMNS}
    cells: dict[tuple[str, str, str], Cells] = {}
    for path in paths:
        frame, record = read_verification_table(path)
        names = {name: getattr(record, name) for name in NETWORK}
        rows["verification"] += [names | row for row in network_rows(frame, record)]
        rows["thresholds"] += [names | written(limit) | {"split": record.split} for limit in record.thresholds]
        for goal, part in worst_case(frame[frame["variant"] == ATTACK]).groupby("goal", sort=False):
            found = cells.setdefault((record.task, record.architecture, str(goal)), {})
            found[record.condition, record.seed] = pair_cell(part)
    for (task, architecture, goal), found in cells.items():
        names = {"task": task, "architecture": architecture, "goal": goal}
        rows["differences"] += [names | row for row in differences_of(study, found)]
    tables: Tables = {name: pd.DataFrame(found, columns=COLUMNS[name]) for name, found in rows.items()}
    write_tables(tables, outputs)


def network_rows(frame: pd.DataFrame, record: VerificationRecord) -> list[Row]:
    """One network's rows of the table."""
    rows = []
    last = {"gates_passed": record.gates_passed, "settings": canonical_json(record.settings)}
    by = ["goal", "attribute", "variant", "rate"]
    for part in (worst_case(frame).assign(attribute=ANY), frame):
        for names, pairs in part.groupby(by, sort=False):
            right = pairs[~pairs["clean_wrong"]]
            row = dict(zip(by, names, strict=True)) | {"n_pairs": len(pairs), "n_right": len(right)}
            row |= {"stands": (~pairs["success"]).mean(), "success": right["success"].mean()}
            if "n_forward" in part:
                broken = right[right["success"]]
                row["identity_success"] = broken[~broken["identity_clean_wrong"]]["identity_success"].mean()
                row |= {name: broken[name].mean() for name in ("oracle_correct", "ciede2000")}
                row["n_forward"] = right["n_forward"].mean()
            rows.append(row | last)
    return rows


def worst_case(frame: pd.DataFrame) -> pd.DataFrame:
    """A row per pair, variant and rate: whether any attribute breaks it."""
    return frame.groupby(OF_PAIR, sort=False)[["clean_wrong", "success"]].any().reset_index()


def pair_cell(part: pd.DataFrame) -> Cell:
    """One network's pairs of one goal, whose budgets are the rates: which stand."""
    broken = part.pivot(index="image", columns="rate", values="success").astype(bool)
    wrong = part.pivot(index="image", columns="rate", values="clean_wrong").to_numpy(bool)
    clean = ~wrong.any(axis=1)
    return Cell(broken.index.to_numpy(), broken.columns.to_numpy(float), ~broken.to_numpy(), {}, clean=clean)


def differences_of(study: Study, cells: Cells) -> list[Row]:
    """Each guided condition minus `none` and minus its controls, at every rate, in the share of pairs that stand."""
    rates = next(iter(cells.values())).budgets
    rows = []
    for rate in np.sort(rates)[::-1]:
        shown = ShownAttack("verification", "", norm="", unit="", reference_budget=float(rate))
        found = difference_rows(compared(study.conditions), cells, shown)
        rows += [{"rate": rate} | row for row in found if row["measure"] == "robust_accuracy"]
    return rows
