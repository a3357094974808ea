"""The front page: one sentence from the claims ledger, gates as a strip, primary contrasts sorted, the ledger."""

from __future__ import annotations

from typing import Any

import pandas as pd

from neurobust.report.attack_sections import canary_note
from neurobust.report.blocks import Block, Row, Tables, blocks, in_block
from neurobust.report.entries import signed, text
from neurobust.report.verdict_section import (
    attack_text,
    counts,
    evidence_of,
    gate_text,
    listed,
    reason_of,
    sentences,
    style_of,
    value_of_claim,
)
from neurobust.report.view import View
from neurobust.statistics import CONTRADICTED, NOT_SUPPORTED, SUPPORTED, UNDETERMINED

MARKS = {SUPPORTED: "✓", CONTRADICTED: "✗", NOT_SUPPORTED: "○", UNDETERMINED: "?"}  # no meaning by colour alone
DIVIDED = "divided"  # a claim that one task supports and another does not
WIDTH, HEIGHT = 160, 18  # pixels of the drawing in a line of the figure
QUOTED = 3  # claims that a sentence names; more are counted


def front_section(view: View) -> Row:
    """What the template shows: `sentences`, `strip`, `panels` (the figure), `matrix`, `ledger` and `untested`."""
    tables = view.tables
    tested = [row for row in tables["claims"].itertuples() if not pd.isna(row.task)]
    places = [place(view, task, architecture) for task, architecture, _ in blocks(tables["networks"])]
    return {
        "sentences": [answer(view, tested)] if tested else [row["text"] for row in sentences(tables, view.label)],
        "strip": strip(view),
        "panels": panels(view),
        "places": places,
        "matrix": matrix(view) if len(places) > 1 else [],
        "ledger": ledger(view, tested),
        "untested": sum(1 for row in tables["claims"].itertuples() if pd.isna(row.task)),
    }


def place(view: View, task: str, architecture: str) -> str:
    """A task's name for readers, with the architecture where there are several."""
    return f"{task}, {architecture}" if len(view.study.architectures) > 1 else task


# --- the sentence ---


def base(word: Any) -> str:
    """The verdict without the gate that forbids it: `undetermined (masking)` is undetermined."""
    return text(word).partition(" (")[0]


def standing(rows: list[Any]) -> tuple[str, list[Any]]:
    """What all tests of one claim come to, and the tests that say so; undetermined ones do not vote."""
    clear = [row for row in rows if base(row.verdict) != UNDETERMINED]
    words = {base(row.verdict) for row in clear}
    if not clear:
        return UNDETERMINED, rows
    return (words.pop(), clear) if len(words) == 1 else (DIVIDED, clear)


def answer(view: View, tested: list[Any]) -> str:
    """The sentence: how many claims stand where, which are supported or contradicted, from how much."""
    claims: dict[str, list[Any]] = {}
    for row in tested:
        claims.setdefault(row.claim, []).append(row)
    found: dict[str, list[str]] = {}
    for rows in claims.values():
        word, clear = standing(rows)
        where = dict.fromkeys(place(view, row.task, row.architecture) for row in clear)
        on = f" (on {listed(list(where))})" if len(clear) < len(rows) and word != UNDETERMINED else ""
        found.setdefault(word, []).append(f"“{text(rows[0].says)}”{on}")
    parts = []
    for word in (SUPPORTED, CONTRADICTED, DIVIDED, NOT_SUPPORTED, UNDETERMINED):
        names = found.get(word, [])
        if not names:
            continue
        said = "divided between tasks" if word == DIVIDED else word
        named = f": {'; '.join(names)}" if word in (SUPPORTED, CONTRADICTED) and len(names) <= QUOTED else ""
        parts.append(f"{len(names)} {'is' if len(names) == 1 else 'are'} {said}{named}")
    lead = "" if SUPPORTED in found else "No claim is supported. "
    total = f"the {len(claims)} claims" if len(claims) > 1 else "the one claim"
    return f"{lead}Of {total} that this study can test, {', '.join(parts)}. {size(tested)}"


def size(tested: list[Any]) -> str:
    """How many seeds and images the tests rest on and the smallest effect that they could have shown, as a sentence."""
    known = [row for row in tested if not pd.isna(row.n_seeds)]
    if not known:
        return ""
    seeds = spread([int(row.n_seeds) for row in known])
    images = spread([int(row.n_images) for row in known if not pd.isna(row.n_images)])
    counted = f"{seeds} seed{'' if seeds == '1' else 's'}" + (f" × {images} images" if images else "")
    judged = [row for row in known if "(" not in row.verdict and text(row.unit) == "accuracy"]
    ends = sorted({f"{100 * row.detectable:.1f}" for row in judged if not pd.isna(row.detectable)}, key=float)
    if not ends:
        return f"{counted} each."
    effect = ends[0] if len(ends) == 1 else f"{ends[0]} to {ends[-1]}"
    return f"{counted} each; the smallest effect that four of five such studies would see is {effect} pp."


def spread(values: list[int]) -> str:
    """`5`, or `3 to 5` where numbers differ; empty for none."""
    ends = sorted({min(values), max(values)}) if values else []
    return " to ".join(f"{value:,}" for value in ends)


# --- gates and canaries ---


def strip(view: View) -> Row:
    """The gates of each task as a line of marks, its canaries and checks; `failed`: the sentences of what failed."""
    gates = view.tables["gates"]
    heads = list(dict.fromkeys(gates["gate"]))
    lines, failed = [], []
    for task, architecture, _ in blocks(view.tables["networks"]):
        here = {row.gate: row for row in in_block(gates, task, architecture).itertuples()}
        cells = [mark(here[head]) if head in here else {"mark": "", "word": "–"} for head in heads]
        cells += [canaries(view.tables, task), checks(view.tables, task, architecture)]
        name = place(view, task, architecture)
        lines.append({"name": name, "cells": cells})
        for row in here.values():
            if not row.passed:
                failed.append({"name": f"{row.gate}, {name}", "sentence": gate_text(row)})
    return {"heads": [*heads, "canaries", "masking checks"], "lines": lines, "failed": failed}


def mark(gate: Any) -> Row:
    """A cell of the strip: passed or failed, and for how many conditions where that need not be all."""
    if gate.passed:
        return {"mark": "✓", "word": "passed"}
    names = text(gate.affects).split(", ") if text(gate.affects) else []
    only = f" for {len(names)} condition{'' if len(names) == 1 else 's'}" if names else ""
    return {"mark": "✗", "word": f"failed{only}"}


def canaries(tables: Tables, task: str) -> Row:
    """How many canaries of a task were caught."""
    rows = [row for row in canary_note(tables)["rows"] if row["task"] == task]
    caught = sum(row["caught"] for row in rows)
    if not rows:
        return {"mark": "", "word": "none run"}
    return {"mark": "✓" if caught == len(rows) else "✗", "word": f"{caught} of {len(rows)}"}


def checks(tables: Tables, task: str, architecture: str) -> Row:
    """How many masking checks of a task's networks passed."""
    here = in_block(tables["checks"], task, architecture)
    if not len(here):
        return {"mark": "", "word": "none run"}
    passed = int(here["passed"].astype(bool).sum())
    return {"mark": "✓" if passed == len(here) else "✗", "word": f"{passed:,} of {len(here):,}"}


# --- the figure ---


def panels(view: View) -> list[Row]:
    """The deciding contrast of each guided condition, a panel per task, the largest difference first."""
    parts = [(block, block[2]) for block in blocks(view.tables["verdicts"])]
    width = half_width([part for _, part in parts])
    return [panel(view, block, width) for block, _ in parts]


def half_width(parts: list[pd.DataFrame]) -> float:
    """Half the width of all panels in accuracy: holds every difference and, up to three times that, the intervals."""
    table = pd.concat(parts) if parts else pd.DataFrame(columns=["difference", "low", "high"])
    point = float(table["difference"].abs().max()) if table["difference"].notna().any() else 0.01
    ends = float(table[["low", "high"]].abs().max().max()) if table["low"].notna().any() else point
    return max(min(1.05 * ends, 3 * point), 1.05 * point, 0.01)


def panel(view: View, block: Block, width: float) -> Row:
    """One task's lines: condition, drawing, value and verdict; conditions without a contrast come last."""
    task, architecture, part = block
    rows = sorted(part.itertuples(), key=lambda row: (pd.isna(row.difference), -row.difference))
    lines = [
        {
            "condition": view.head(row.condition), "drawing": drawing(view, row, width), "word": row.verdict,
            "mark": MARKS[base(row.verdict)], "style": style_of(row.verdict), "contrast": text(row.contrast),
            "value": "–" if pd.isna(row.difference) else signed(row.difference),
            "interval": "" if pd.isna(row.low) else f"[{signed(row.low)}, {signed(row.high)}]",
        } for row in rows
    ]  # fmt: skip
    first = part.iloc[0]
    known = part[part["n_seeds"].notna()]
    said = counts(known.iloc[0]) if len(known) else ""
    names = {"name": place(view, task, architecture), "attack": attack_text(view, first), "n": said}
    return names | {"lines": lines, "scale": f"−{100 * width:.0f} to +{100 * width:.0f} pp"}


def drawing(view: View, row: Any, width: float) -> Row | None:
    """Coordinates in pixels of a line's zero, interval and mark; the interval is cut at the edge; None without one."""
    if pd.isna(row.difference):
        return None

    def at(value: float) -> float:
        return round(WIDTH / 2 * (1 + min(max(value / width, -1), 1)), 1)

    shape = {"color": view.style(row.condition)["color"], "filled": base(row.verdict) == SUPPORTED}
    ends = {} if pd.isna(row.low) else {"low": at(row.low), "high": at(row.high)}
    return {"width": WIDTH, "height": HEIGHT, "zero": WIDTH / 2, "at": at(row.difference), **shape, **ends}


# --- the tables ---


def matrix(view: View) -> list[Row]:
    """A line per guided condition in the study's order, a cell per task: its verdict in one look."""
    table = view.tables["verdicts"]
    places = [(task, architecture) for task, architecture, _ in blocks(view.tables["networks"])]
    found = {(row.condition, row.task, row.architecture): row for row in table.itertuples()}
    return [
        {"condition": view.head(name), "cells": [word_cell(found.get((name, *where))) for where in places]}
        for name in view.in_order(table["condition"])
    ]


def word_cell(row: Any) -> Row:
    """A verdict with its mark and value; empty where a task was not trained with the condition."""
    if row is None:
        return {"mark": "", "word": "–", "style": "open", "value": ""}
    value = "" if pd.isna(row.difference) else f"{signed(row.difference)} pp"
    return {"mark": MARKS[base(row.verdict)], "word": row.verdict, "style": style_of(row.verdict), "value": value}


def ledger(view: View, tested: list[Any]) -> list[Row]:
    """A line per claim that was tested, a cell per task with every test of it there."""
    places = [(task, architecture) for task, architecture, _ in blocks(view.tables["networks"])]
    claims: dict[str, list[Any]] = {}
    for row in tested:
        claims.setdefault(row.claim, []).append(row)
    return [
        {"says": rows[0].says, "source": rows[0].source, "cells": [
            [claim_cell(view, row) for row in rows if (row.task, row.architecture) == where] for where in places
        ]} for rows in claims.values()
    ]  # fmt: skip


def claim_cell(view: View, row: Any) -> Row:
    """One test of a claim: mark, word, the deciding contrast with its interval, and where the evidence stands."""
    return {
        "mark": MARKS[base(row.verdict)], "word": row.verdict, "style": style_of(row.verdict),
        "reason": reason_of(row), "contrast": row.decides, "value": value_of_claim(row), "href": evidence_of(view, row),
    }  # fmt: skip
