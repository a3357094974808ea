"""Published test sets: accuracy by set, type and severity as rows, and errors as shares of the baseline's."""

from __future__ import annotations

from neurobust.files.shifted_table import read_shifted_table, shifted_table_path
from neurobust.report.blocks import Row
from neurobust.report.corruption_errors import error_rows
from neurobust.study.model import Study


def shifted_rows(study: Study) -> list[Row]:
    """Accuracy of every network on every set that it met, by type and severity, beside that on its task's own images.

    A set without corruptions has one line, with an empty type at severity 0. `classes`: how many of the task's classes
    the set shows; the network chose among these, on the task's own images too.
    """
    rows: list[Row] = []
    for name, plan in study.shifted.items():
        for network in study.networks(tasks=[plan.task]):
            frame, found = read_shifted_table(shifted_table_path(study.root, network.path, name))
            for (kind, severity), part in frame.groupby(["corruption", "severity"], sort=False):
                row = {"set": name, "corruption": kind, "scored": kind in found.scored, "severity": int(severity)}
                row |= {"n": len(part), "classes": len(found.classes), "clean_accuracy": found.clean_accuracy}
                rows.append(network._asdict() | row | {"accuracy": float(part["correct"].mean())})
    return rows


def shifted_error_rows(rows: list[Row]) -> list[Row]:
    """The corruption errors (`corruption_errors.error_rows`) of every network on every set.

    Of a set without corruptions they are the error, and the error beyond that on the task's own images, as shares of
    the baseline's.
    """
    found: list[Row] = []
    for name in dict.fromkeys(row["set"] for row in rows):
        found += [row | {"set": name} for row in error_rows([row for row in rows if row["set"] == name])]
    return found
