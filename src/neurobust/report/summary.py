"""The end of a run in the terminal: the main table and the answer, as text."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from neurobust.core.errors import InputError
from neurobust.report.blocks import in_block
from neurobust.report.entries import between, percent, signed, text
from neurobust.report.shown import format_budget
from neurobust.report.tables import read_tables
from neurobust.report.verdict_section import finding_lines


def print_summary(tables: Path) -> str:
    """Print, and return, the main table of a report from the folder of its CSV tables.

    First what may be said: sentence, gates, verdicts, claims. Then robust accuracy in percent at the reference budgets,
    mean over seeds and half their range, and the difference between each guided condition and its baselines under the
    attack of the answer, with its 95 % interval, and under the primary attack alone.
    """
    if not (Path(tables) / "networks.csv").exists():
        raise InputError(f"{tables}: no networks.csv; run the pipeline up to its report first")
    frames = read_tables(tables)
    lines = [*finding_lines(frames), ""]
    for (task, architecture), part in frames["networks"].groupby(["task", "architecture"], sort=False):
        summary = in_block(frames["summary"], task, architecture)
        lines += [f"{task}, {architecture}: accuracy in percent, mean over seeds ± half their range", ""]
        lines += [*layout(main_rows(part, summary)), ""]
        lines += [*difference_lines(in_block(frames["differences"], task, architecture)), ""]
    shown = "\n".join(lines).rstrip()
    print(shown)
    return shown


def main_rows(networks: pd.DataFrame, summary: pd.DataFrame) -> list[list[str]]:
    """Header and one row per condition, as cells."""
    heads = summary.drop_duplicates("attack")
    budgets = [
        "" if pd.isna(row.reference_budget) else format_budget(row.reference_budget, text(row.unit))
        for row in heads.itertuples()
    ]
    rows = [["condition", "clean", *heads["attack"]], ["", "", *budgets]]
    for condition, seeds in networks.groupby("condition", sort=False):
        clean = seeds["clean_accuracy"]
        line = [str(condition), spread(clean.mean(), clean.min(), clean.max())]
        for attack in heads["attack"]:
            found = summary[(summary["condition"] == condition) & (summary["attack"] == attack)]
            cell = [spread(r.robust_accuracy, r.robust_accuracy_min, r.robust_accuracy_max) for r in found.itertuples()]
            line += cell or ["–"]
        rows.append(line)
    return rows


def spread(mean: float, low: float, high: float) -> str:
    """A mean and half the range of what it is a mean of, in percent."""
    return f"{percent(mean)} ±{percent((high - low) / 2)}"


def layout(rows: list[list[str]]) -> list[str]:
    """Cells as aligned columns: the first to the left, the others to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for first, *others in rows:
        cells = [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
        lines.append("  ".join([first.ljust(widths[0]), *cells]).rstrip())
    return lines


def difference_lines(differences: pd.DataFrame) -> list[str]:
    """One line per comparison, under the attack of the answer; where that is a worst case, the primary one's beside."""
    table = differences[(differences["measure"] == "robust_accuracy") & differences["difference"].notna()]
    own = {(r.condition, r.baseline): r for r in table[table["primary"].astype(bool)].itertuples()}
    table = table[table["answer"].astype(bool)]
    if not len(table):
        return ["no comparison: the study has no baseline beside a guided condition"]
    return [
        f"{row.condition} - {row.baseline}, {row.attack}: {signed(row.difference)} pp"
        + (f" [{between(row.low, row.high, signed)}], seeds {between(row.seed_min, row.seed_max, signed)}"
           if row.n_seeds > 1 else ", one seed")
        + (f"; {alone.attack} alone {signed(alone.difference)}"
           if (alone := own.get((row.condition, row.baseline))) and not row.primary else "")
        for row in table.itertuples()
    ]  # fmt: skip
