"""What a page says of common corruptions and of published test sets: accuracy and the errors of each condition."""

from __future__ import annotations

import pandas as pd

from neurobust.report.blocks import Row, blocks, in_block
from neurobust.report.entries import Entry, over_seeds
from neurobust.report.view import View


def corruption_tables(view: View) -> list[Row]:
    """Per task: a line per condition with accuracy by severity over the scored types, and both errors.

    Each table has `heads`, `lines` of cells, `count` of images, and `types`: how many types entered the errors.
    """
    return tables_of(view, view.tables["corruptions"], view.tables["corruption_errors"])


def shifted_tables(view: View) -> list[Row]:
    """The same of every published test set, with its name as `set`, how many `classes` it shows, and whether it has
    corruptions (`corrupted`); one without has no severities."""
    table, every = view.tables["shifted"], view.tables["shifted_errors"]
    result = []
    for name in table["set"].unique():
        own, errors = table[table["set"] == name], every[every["set"] == name]
        for found in tables_of(view, own, errors):
            classes = int(in_block(own, found["task"], found["architecture"])["classes"].max())
            result.append(found | {"set": name, "classes": classes, "corrupted": bool((own["severity"] > 0).any())})
    return result


def tables_of(view: View, table: pd.DataFrame, every: pd.DataFrame) -> list[Row]:
    """Tables of accuracy by severity over the scored types of `table`, and of both errors, `every` network's."""
    scored = table[table["scored"].astype(bool)]
    result = []
    for task, architecture, part in blocks(scored):
        errors = in_block(every, task, architecture)
        severities = sorted(int(severity) for severity in part["severity"].unique() if severity > 0)
        lines = []
        for condition in view.in_order(part["condition"]):
            own, found = part[part["condition"] == condition], errors[errors["condition"] == condition]
            cells: list[Entry] = [over_seeds(own.groupby("seed")["clean_accuracy"].mean())]
            cells += [over_seeds(own[own["severity"] == s].groupby("seed")["accuracy"].mean()) for s in severities]
            cells += [over_seeds(own.groupby("seed")["accuracy"].mean())]
            cells += [over_seeds(found["mce"]), over_seeds(found["relative_mce"])]
            lines.append({"condition": view.head(condition), "cells": cells})
        heads = ["uncorrupted", *(f"severity {s}" for s in severities), "all severities", "mCE", "relative mCE"]
        if not severities:
            heads = ["own images", "the set", "error", "error beyond own"]
        result.append(
            {"task": task, "architecture": architecture, "heads": heads, "lines": lines, "count": int(part["n"].max())}
            | {"scored": part["corruption"].nunique(), "types": fewest(errors["n_types"])}
            | {"relative": fewest(errors["n_relative"])}
        )
    return result


def fewest(counts: pd.Series) -> int:
    """The smallest of some counts; 0 without any."""
    return int(counts.min()) if len(counts) else 0
