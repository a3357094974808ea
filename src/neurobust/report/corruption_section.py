"""What a page says of common corruptions: accuracy by severity and the corruption errors of each condition."""

from __future__ import annotations

from typing import Any

import pandas as pd

from neurobust.report.blocks import Tables, blocks
from neurobust.report.sections import MISSING, between, condition_cell, in_block, percent
from neurobust.report.study import Study, in_order


def corruption_tables(study: Study, tables: Tables) -> list[dict[str, Any]]:
    """Per task: a line per condition with accuracy by severity over the scored types, and both errors.

    Each table has `heads`, `lines` of cells, `count` of images, and `types`: how many types entered the errors.
    """
    scored = tables["corruptions"][tables["corruptions"]["scored"].astype(bool)]
    result = []
    for task, architecture, part in blocks(scored):
        errors = in_block(tables["corruption_errors"], task, architecture)
        severities = sorted(int(severity) for severity in part["severity"].unique())
        lines = []
        for condition in in_order(study, part["condition"]):
            own, found = part[part["condition"] == condition], errors[errors["condition"] == condition]
            cells = [over_seeds(own.groupby("seed")["clean_accuracy"].mean())]
            cells += [over_seeds(own[own["severity"] == s].groupby("seed")["accuracy"].mean()) for s in severities]
            cells += [over_seeds(own.groupby("seed")["accuracy"].mean())]
            cells += [over_seeds(found["mce"]), over_seeds(found["relative_mce"])]
            lines.append({"condition": condition_cell(study, condition), "cells": cells})
        heads = ["uncorrupted", *(f"severity {s}" for s in severities), "all severities", "mCE", "relative mCE"]
        result.append(
            {"task": task, "architecture": architecture, "heads": heads, "lines": lines, "count": int(part["n"].max())}
            | {"scored": part["corruption"].nunique(), "types": fewest(errors["n_types"])}
            | {"relative": fewest(errors["n_relative"])}
        )
    return result


def over_seeds(values: pd.Series) -> dict[str, str]:
    """Mean over networks in percent and its range over seeds."""
    values = values.dropna()
    if not len(values):
        return {"main": MISSING, "spread": ""}
    spread = between(values.min(), values.max()) if len(values) > 1 else "one seed"
    return {"main": percent(values.mean()), "spread": spread}


def fewest(counts: pd.Series) -> int:
    return int(counts.min()) if len(counts) else 0
