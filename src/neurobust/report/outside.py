"""Networks that others trained, as calibration: the same attacks and checks, in a table of their own.

They are no condition: nothing that compares conditions reads these rows.
"""

from __future__ import annotations

import math

import pandas as pd

from neurobust.core.reference_range import BASELINE
from neurobust.files.checks import checks_path, read_checks
from neurobust.files.corruption_table import corruption_table_path, read_corruption_table
from neurobust.files.network_metrics import metrics_path, read_metrics
from neurobust.files.semantic_table import semantic_table_path
from neurobust.files.shifted_table import read_shifted_table, shifted_table_path
from neurobust.report.attacked import read_cells
from neurobust.report.blocks import Row, number
from neurobust.report.comparisons import curve_rows
from neurobust.report.entries import MISSING, Entry, between, over_seeds, percent
from neurobust.report.semantic_evidence import semantic_cell
from neurobust.report.shown import answering, format_budget, shown_attacks
from neurobust.report.view import View
from neurobust.statistics import wilson_interval
from neurobust.study.model import NetworkName, Study, title_of


def outside_rows(study: Study) -> list[Row]:
    """Accuracy of every network from outside by attack (worst cases among them) and budget, by semantic attack and
    strength, by published test set and severity: `unit` says which.

    On each row stand also its clean accuracy, over the whole test set, its mean accuracy over the scored corruptions,
    and how many of its checks failed.
    """
    return [row for network in study.outsiders() for row in network_rows(study, network)]


def network_rows(study: Study, network: NetworkName) -> list[Row]:
    """The rows of one network."""
    plan = study.outside[network.condition]
    checks = read_checks(checks_path(study.root, network.path))
    shared = {
        "task": network.task, "network": network.condition, "label": plan.label or network.condition,
        "kind": plan.kind, "failed_checks": sum(not check.passed for check in checks),
        "clean_accuracy": number(read_metrics(metrics_path(study.root, network.path)).clean_accuracy),
        "corruption_accuracy": corrupted(study, network),
    }  # fmt: skip
    found = [*attacked_rows(study, network), *semantic_rows(study, network), *shifted_rows(study, network)]
    return [shared | {key: row[key] for key in row if key not in ("condition", "seed")} for row in found]


def attacked_rows(study: Study, network: NetworkName) -> list[Row]:
    """One network's accuracy under attacks with a budget, and in the worst cases over them."""
    cells, failed = read_cells(study, [network])
    shown = shown_attacks(study.attacks_of(network.task), failed)
    return [{"attack": name} | row for name, attack in shown.items() for row in curve_rows(cells[name], attack.unit)]


def semantic_rows(study: Study, network: NetworkName) -> list[Row]:
    """One network's accuracy under the semantic attacks of its task, by strength."""
    rows: list[Row] = []
    for name, plan in study.semantic.attacks.items():
        if network.task in (plan.tasks or study.tasks):
            cell, record = semantic_cell(semantic_table_path(study.root, network.path, name))
            rows += [{"attack": name} | row for row in curve_rows({network[2:]: cell}, record.axis)]
    return rows


def shifted_rows(study: Study, network: NetworkName) -> list[Row]:
    """One network's accuracy on the published test sets of its task, by severity, over the scored types.

    The same images stand under every type: an interval is given where there is one type alone.
    """
    rows: list[Row] = []
    for name, plan in study.shifted.items():
        if plan.task != network.task:
            continue
        frame, found = read_shifted_table(shifted_table_path(study.root, network.path, name))
        for severity, part in frame[frame["corruption"].isin(found.scored)].groupby("severity"):
            n, right = part["image"].nunique(), int(part["correct"].sum())
            low, high = wilson_interval(right, n) if len(part) == n else (math.nan, math.nan)
            row = {"attack": name, "budget": float(severity), "unit": "severity", "n": n}
            rows.append(row | {"robust_accuracy": right / len(part), "wilson_low": low, "wilson_high": high})
    return rows


def corrupted(study: Study, network: NetworkName) -> float:
    """Mean accuracy over the scored types of corruption; NaN where there are none."""
    if study.corruptions is None:
        return float("nan")
    frame, scored = read_corruption_table(corruption_table_path(study.root, network.path))
    return float(frame[frame["corruption"].isin(scored)]["correct"].mean())


def outside_tables(view: View) -> list[Row]:
    """Per task: a line per network from outside, and beneath it `none` and the positive controls, as landmarks.

    Columns: clean accuracy, then the accuracy under the attack that the answer is read from, by budget; then under each
    semantic attack at the strength that tables quote (else the largest), and on each published test set, all its
    severities together. What landmarks say under semantic attacks stands in that section.
    """
    table, study = view.tables["outside"], view.study
    result = []
    for task, part in table.groupby("task", sort=False):
        name = answering(shown_attacks(study.attacks_of(str(task))), study.primary_attack)
        shown = part[part["attack"] == name]
        budgets = sorted(budget for budget in shown["budget"].unique() if budget > 0)
        more = further(study, part)
        lines = [
            outside_line(rows, budgets)
            | {"more": [further_cell(part[part["network"] == network], *column) for column in more]}
            for network, rows in shown.groupby("network", sort=False)
        ]
        lines += landmarks(view, str(task), name, budgets, [attack for attack, _ in more])
        heads = [format_budget(budget, view.attacks[name].unit) for budget in budgets]
        result.append({"task": task, "attack": view.label(name), "heads": heads, "lines": lines}
                      | {"more": [further_head(*column) for column in more]})  # fmt: skip
    return result


def further(study: Study, part: pd.DataFrame) -> list[tuple[str, float | None]]:
    """What a task's networks from outside met beside attacks with a budget: semantic attacks with the strength that is
    shown, published test sets with None."""
    found: list[tuple[str, float | None]] = []
    for name in part["attack"].unique():
        if name in study.semantic.attacks:
            quoted = study.reference_strengths[name]
            found.append((name, part[part["attack"] == name]["budget"].max() if quoted is None else quoted))
        elif name in study.shifted:
            found.append((name, None))
    return found


def further_head(attack: str, strength: float | None) -> str:
    """The head of such a column."""
    return attack if strength is None else f"{title_of(attack)}, {strength:g}"


def further_cell(rows: pd.DataFrame, attack: str, strength: float | None) -> str:
    """One network's accuracy in such a column; missing where it did not meet it."""
    own = rows[rows["attack"] == attack]
    return percent(own[own["budget"] == (own["budget"] if strength is None else strength)]["robust_accuracy"].mean())


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


def landmarks(view: View, task: str, attack: str, budgets: list[float], more: list[str]) -> list[Row]:
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
                          "cells": cells, "corruption": corruption_of(view, names), "failed": None,
                          "more": [shifted_of(view, names, name) for name in more]})  # fmt: skip
    return lines


def corruption_of(view: View, names: dict[str, str]) -> str:
    """Mean accuracy under corruptions of a condition's networks."""
    table = view.tables["corruption_errors"]
    if not len(table):
        return MISSING
    return percent(table[(table[list(names)] == pd.Series(names)).all(axis=1)]["accuracy"].mean())


def shifted_of(view: View, names: dict[str, str], name: str) -> str:
    """Mean accuracy of a condition's networks on a published test set; missing for a semantic attack."""
    table = view.tables["shifted_errors"]
    own = table[table["set"] == name]
    return percent(own[(own[list(names)] == pd.Series(names)).all(axis=1)]["accuracy"].mean()) if len(own) else MISSING
