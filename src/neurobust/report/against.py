"""Two runs compared: verdicts that changed, then numbers beyond their intervals, then what was configured otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from neurobust.core.errors import InputError
from neurobust.report.blocks import Tables
from neurobust.report.contents import NETWORK
from neurobust.report.entries import difference_of, percent, signed, text
from neurobust.report.tables import read_tables

SHOWN = 20  # lines of a part; more are counted
BLOCK = ["task", "architecture"]
JUDGED = {"verdicts": [*BLOCK, "condition"], "claims": ["claim", *BLOCK, "contrast"]}  # what names a verdict
CONFIGURED = {  # table -> what names its rows, what they say
    "provenance": (["part", "name"], ["value"]),
    "conditions": (["condition"], ["recipe"]),
    "attacks": (["attack"], ["settings"]),
    "rois": (["roi", "subject"], ["atlas", "labels", "n_voxels"]),
}


def compare_runs(results: Path, other: Path) -> str:
    """What changed from the run in the folder `other` to that in `results`, as lines of text; InputError where a folder
    has no report."""
    here, there = (tables_of(folder) for folder in (results, other))
    judged = [*changed_verdicts(here, there, "verdicts"), *changed_verdicts(here, there, "claims")]
    differences, curves = differences_of_both(here, there), curves_of_both(here, there)
    parts = {
        "Verdicts that changed": (judged, ""),
        "Differences beyond the other run's interval": (beyond(differences), of_both(differences)),
        "Networks whose robust accuracies have intervals apart": (apart(curves), of_both(curves)),
        "Configured otherwise": (configured(here, there), ""),
    }
    lines = [f"{results} against {other}", *lacking(results), *lacking(other)]
    for title, (found, of) in parts.items():
        lines += ["", f"{title}: {len(found) or 'none'}{of}", *(f"  {line}" for line in found[:SHOWN])]
        lines += [f"  and {len(found) - SHOWN} more"] if len(found) > SHOWN else []
    return "\n".join(lines)


def of_both(rows: pd.DataFrame) -> str:
    """How many numbers were compared, in words."""
    return f" of {len(rows)} in both"


def lacking(results: Path) -> list[str]:
    """A line that names the tables that are compared and a run has not, such as one that stopped half way."""
    names = ["networks", *JUDGED, "differences", "robust_accuracy", *CONFIGURED]
    found = [name for name in names if not (results / "report" / "tables" / f"{name}.csv").exists()]
    return [f"{results} is not whole: nothing is compared of {', '.join(found)}"] if found else []


def tables_of(results: Path) -> Tables:
    """The tables of a folder of results."""
    folder = results / "report" / "tables"
    if not (folder / "networks.csv").exists():
        raise InputError(f"{folder}: no networks.csv; name a folder of results that has a report")
    return read_tables(folder)


def paired(here: Tables, there: Tables, table: str, keys: Sequence[str]) -> pd.DataFrame:
    """The rows of a table in both runs, side by side by their keys: columns of here as they are, of there with `_was`;
    `_merge` says in which they are."""
    one, two = (tables[table].astype(dict.fromkeys(keys, object)) for tables in (here, there))
    one, two = (frame.drop_duplicates(list(keys)).assign(place=lambda own: range(len(own))) for frame in (one, two))
    both = one.merge(two, on=list(keys), how="outer", suffixes=("", "_was"), indicator=True)
    return both.sort_values(["place", "place_was"], kind="stable").reset_index(drop=True)


def named(row: pd.Series, keys: Sequence[str]) -> str:
    """What names a row, in words."""
    return ", ".join(text(row[key]) for key in keys if text(row[key]))


def changed_verdicts(here: Tables, there: Tables, table: str) -> list[str]:
    """Verdicts or claims whose word is another one, or that one run alone has."""
    keys, lines = JUDGED[table], []
    for _, row in paired(here, there, table, keys).iterrows():
        if row["_merge"] != "both":
            where = "only here" if row["_merge"] == "left_only" else "only there"
            word = row["verdict"] if row["_merge"] == "left_only" else row["verdict_was"]
            lines.append(f"{named(row, keys)}: {where} ({word})")
        elif row["verdict"] != row["verdict_was"]:
            now, was = difference_of(row, ""), difference_of(earlier(row), "")
            lines.append(f"{named(row, keys)}: {row['verdict_was']} -> {row['verdict']} (pp: {was} -> {now})")
    return lines


def earlier(row: pd.Series) -> pd.Series:
    """A paired row with the numbers of the other run in place of this one's."""
    return pd.Series({name: row[f"{name}_was"] for name in ("difference", "low", "high")})


def differences_of_both(here: Tables, there: Tables) -> pd.DataFrame:
    """The differences in robust accuracy that both runs have, side by side."""
    rows = paired(here, there, "differences", [*BLOCK, "condition", "baseline", "attack", "measure"])
    return rows[(rows["_merge"] == "both") & (rows["measure"] == "robust_accuracy")]


def curves_of_both(here: Tables, there: Tables) -> pd.DataFrame:
    """The robust accuracies that both runs have, side by side."""
    rows = paired(here, there, "robust_accuracy", [*NETWORK, "attack", "budget"])
    return rows[rows["_merge"] == "both"]


def beyond(rows: pd.DataFrame) -> list[str]:
    """Differences in robust accuracy of which one run's mean lies outside the other's interval, the farthest first."""
    out = (rows["difference"] < rows["low_was"]) | (rows["difference"] > rows["high_was"])
    out |= (rows["difference_was"] < rows["low"]) | (rows["difference_was"] > rows["high"])
    rows = rows.assign(moved=(rows["difference"] - rows["difference_was"]).abs())[out]
    return [
        f"{row['task']}, {row['architecture']}, {row['attack']}: {row['condition']} - {row['baseline']}: "
        f"{difference_of(earlier(row))} -> {difference_of(row)}"
        for _, row in rows.sort_values("moved", ascending=False, kind="stable").iterrows()
    ]


def apart(rows: pd.DataFrame) -> list[str]:
    """Networks under an attack at a budget whose 95 % intervals over images do not meet, the farthest apart first."""
    rows = rows[(rows["wilson_low"] > rows["wilson_high_was"]) | (rows["wilson_high"] < rows["wilson_low_was"])]
    rows = rows.assign(moved=(rows["robust_accuracy"] - rows["robust_accuracy_was"]).abs())
    return [
        f"{named(row, NETWORK[:3])}, seed {row['seed']}, {row['attack']} at {row['budget']:g}: "
        f"{percent(row['robust_accuracy_was'])} -> {percent(row['robust_accuracy'])} % "
        f"({signed(row['robust_accuracy'] - row['robust_accuracy_was'])})"
        for _, row in rows.sort_values("moved", ascending=False, kind="stable").iterrows()
    ]


def configured(here: Tables, there: Tables) -> list[str]:
    """What was configured otherwise, or is in one run alone; seeds too."""
    lines = []
    for table, (keys, said) in CONFIGURED.items():
        for _, row in paired(here, there, table, keys).iterrows():
            now, was = (", ".join(text(row[f"{name}{end}"]) for name in said) for end in ("", "_was"))
            if now != was:
                lines.append(f"{table}: {named(row, keys)}: {was or 'not there'} -> {now or 'not here'}")
    seeds = [sorted(set(tables["networks"]["seed"])) for tables in (here, there)]
    return lines + ([f"seeds: {seeds[1]} -> {seeds[0]}"] if seeds[0] != seeds[1] else [])
