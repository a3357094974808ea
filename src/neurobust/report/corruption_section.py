"""What a page says of common corruptions: accuracy by severity and the corruption errors of each condition."""

from __future__ import annotations

import pandas as pd

from neurobust.report.blocks import Row, blocks, in_block
from neurobust.report.entries import Entry, over_seeds
from neurobust.report.view import View


def corruption_tables(view: View) -> list[Row]:
    """Per task: a line per condition with accuracy by severity over the scored types, and both errors.

    Each table has `heads`, `lines` of cells, `count` of images, and `types`: how many types entered the errors.
    """
    table = view.tables["corruptions"]
    scored = table[table["scored"].astype(bool)]
    result = []
    for task, architecture, part in blocks(scored):
        errors = in_block(view.tables["corruption_errors"], task, architecture)
        severities = sorted(int(severity) for severity in part["severity"].unique())
        lines = []
        for condition in view.in_order(part["condition"]):
            own, found = part[part["condition"] == condition], errors[errors["condition"] == condition]
            cells: list[Entry] = [over_seeds(own.groupby("seed")["clean_accuracy"].mean())]
            cells += [over_seeds(own[own["severity"] == s].groupby("seed")["accuracy"].mean()) for s in severities]
            cells += [over_seeds(own.groupby("seed")["accuracy"].mean())]
            cells += [over_seeds(found["mce"]), over_seeds(found["relative_mce"])]
            lines.append({"condition": view.head(condition), "cells": cells})
        heads = ["uncorrupted", *(f"severity {s}" for s in severities), "all severities", "mCE", "relative mCE"]
        result.append(
            {"task": task, "architecture": architecture, "heads": heads, "lines": lines, "count": int(part["n"].max())}
            | {"scored": part["corruption"].nunique(), "types": fewest(errors["n_types"])}
            | {"relative": fewest(errors["n_relative"])}
        )
    return result


def fewest(counts: pd.Series) -> int:
    """The smallest of some counts; 0 without any."""
    return int(counts.min()) if len(counts) else 0
