"""Networks that others trained, as calibration: the same attacks and checks, in a table of their own.

They are no condition: nothing that compares conditions reads these rows.
"""

from __future__ import annotations

import pandas as pd

from neurobust.files.checks import checks_path, read_checks
from neurobust.files.corruption_table import corruption_table_path, read_corruption_table
from neurobust.files.network_metrics import metrics_path, read_metrics
from neurobust.report.attacked import read_cells
from neurobust.report.blocks import Row, number
from neurobust.report.comparisons import curve_rows
from neurobust.report.entries import MISSING, Entry, between, over_seeds, percent
from neurobust.report.shown import answering, format_budget, shown_attacks
from neurobust.report.view import View
from neurobust.study.model import BASELINE, NetworkName, Study


def outside_rows(study: Study) -> list[Row]:
    """Robust accuracy of every network from outside, by attack (worst cases among them) and budget.

    On each row stand also its clean accuracy, over the whole test set, its mean accuracy over the scored corruptions,
    and how many of its checks failed.
    """
    return [row for network in study.outsiders() for row in network_rows(study, network)]


def network_rows(study: Study, network: NetworkName) -> list[Row]:
    """The rows of one network."""
    plan = study.outside[network.condition]
    cells, failed = read_cells(study, [network])
    checks = read_checks(checks_path(study.root, network.path))
    shared = {
        "task": network.task, "network": network.condition, "label": plan.label or network.condition,
        "kind": plan.kind, "failed_checks": sum(not check.passed for check in checks),
        "clean_accuracy": number(read_metrics(metrics_path(study.root, network.path)).clean_accuracy),
        "corruption_accuracy": corrupted(study, network),
    }  # fmt: skip
    rows = []
    for name, attack in shown_attacks(study.attacks_of(network.task), failed).items():
        for row in curve_rows(cells[name], attack.unit):
            rows.append(shared | {"attack": name} | {key: row[key] for key in row if key not in ("condition", "seed")})
    return rows


def corrupted(study: Study, network: NetworkName) -> float:
    """Mean accuracy over the scored types of corruption; NaN where there are none."""
    if study.corruptions is None:
        return float("nan")
    frame, scored = read_corruption_table(corruption_table_path(study.root, network.path))
    return float(frame[frame["corruption"].isin(scored)]["correct"].mean())


def outside_tables(view: View) -> list[Row]:
    """Per task: a line per network from outside, and beneath it `none` and the positive controls, as landmarks.

    Columns: clean accuracy, then the accuracy under the attack that the answer is read from, by budget.
    """
    table, study = view.tables["outside"], view.study
    result = []
    for task, part in table.groupby("task", sort=False):
        name = answering(shown_attacks(study.attacks_of(str(task))), study.primary_attack)
        shown = part[part["attack"] == name]
        budgets = sorted(budget for budget in shown["budget"].unique() if budget > 0)
        lines = [outside_line(rows, budgets) for _, rows in shown.groupby("network", sort=False)]
        lines += landmarks(view, str(task), name, budgets)
        heads = [format_budget(budget, view.attacks[name].unit) for budget in budgets]
        result.append({"task": task, "attack": view.label(name), "heads": heads, "lines": lines})
    return result


def outside_line(rows: pd.DataFrame, budgets: list[float]) -> Row:
    """One network from outside: its intervals are over images, there is one of it."""
    first, by_budget = rows.iloc[0], rows.set_index("budget")
    cells = [Entry(percent(first["clean_accuracy"]))]
    for budget in budgets:
        row = by_budget.loc[budget]
        cells.append(Entry(percent(row["robust_accuracy"]), between(row["wilson_low"], row["wilson_high"])))
    corruption = percent(first["corruption_accuracy"])
    return {"name": first["label"], "condition": None, "cells": cells, "corruption": corruption,
            "failed": int(first["failed_checks"])}  # fmt: skip


def landmarks(view: View, task: str, attack: str, budgets: list[float]) -> list[Row]:
    """`none` and the positive controls of each architecture on the same images, means over seeds."""
    robust, networks = view.tables["robust_accuracy"], view.tables["networks"]
    robust = robust[(robust["task"] == task) & (robust["attack"] == attack)]
    lines = []
    for architecture, part in robust.groupby("architecture", sort=False):
        for condition in view.in_order({BASELINE, *view.study.positive_controls} & set(part["condition"])):
            own = part[part["condition"] == condition]
            names = {"task": task, "architecture": architecture, "condition": condition}
            clean = networks[(networks[list(names)] == pd.Series(names)).all(axis=1)]["clean_accuracy"]
            cells = [over_seeds(clean)]
            cells += [over_seeds(own[own["budget"] == budget]["robust_accuracy"]) for budget in budgets]
            lines.append({"name": f"of this study: {condition}, {architecture}", "condition": view.head(condition),
                          "cells": cells, "corruption": corruption_of(view, names), "failed": None})  # fmt: skip
    return lines


def corruption_of(view: View, names: dict[str, str]) -> str:
    """Mean accuracy under corruptions of a condition's networks."""
    table = view.tables["corruption_errors"]
    if not len(table):
        return MISSING
    return percent(table[(table[list(names)] == pd.Series(names)).all(axis=1)]["accuracy"].mean())
