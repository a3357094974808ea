"""The first section of a page: one sentence of what was found, the gates, the claims and the verdicts. Plain data."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pandas as pd

from neurobust.core.reference_range import BASELINE
from neurobust.report.blocks import Row, Tables, blocks, in_block
from neurobust.report.entries import MISSING, difference_of, plain, text, with_interval
from neurobust.report.shown import format_budget
from neurobust.report.verdicts import PER_STEP, STEP_UNIT
from neurobust.report.view import View
from neurobust.statistics import (
    CONTRADICTED,
    FEWEST_SEEDS,
    NOT_SUPPORTED,
    SUPPORTED,
    UNDETERMINED,
    Components,
    detectable,
    seeds_for,
)
from neurobust.study.model import title_of
from neurobust.study.power import SPREADS, WANTED, points

READINGS = {"area": "area over clean", "both": "read by both", "matched": "matched clean"}  # of clean accuracy
WORDS = (SUPPORTED, CONTRADICTED, NOT_SUPPORTED, UNDETERMINED)  # in the order in which a sentence has them
Labels = Callable[[str], str]


# --- the sentence ---


def sentences(tables: Tables, label: Labels = str) -> list[Row]:
    """Per task and architecture, in one sentence: what was found, from how much, and what could have been seen."""
    found = []
    for task, architecture, _ in blocks(tables["networks"]):
        verdicts, power = (in_block(tables[name], task, architecture) for name in ("verdicts", "power"))
        said = sentence(verdicts, power, f"{task} ({architecture})", label)
        found.append({"task": task, "architecture": architecture, "text": said})
    return found


def sentence(verdicts: pd.DataFrame, power: pd.DataFrame, place: str, label: Labels = str) -> str:
    """One task and architecture's sentence, from its rows of the tables `verdicts` and `power`."""
    if not len(verdicts):
        return f"On {place} nothing can be said: there is no guided condition under the primary attack."
    first = verdicts.iloc[0]
    under = label(first["attack"])
    if not pd.isna(first["budget"]):
        under += f" at {format_budget(float(first['budget']), text(first['unit']))}"
    parts = filter(None, (of_word(verdicts, word) for word in WORDS))
    return f"On {place} under {under}, {'; '.join(parts)}{size(verdicts, power)}."


def of_word(verdicts: pd.DataFrame, word: str) -> str:
    """What is said of the conditions of one verdict; empty where there are none."""
    rows = list(verdicts[verdicts["verdict"] == word].itertuples())
    if word == UNDETERMINED:
        rows = list(verdicts[verdicts["verdict"].str.startswith(UNDETERMINED)].itertuples())
        return undetermined(rows)
    if not rows:
        return ""
    if word == SUPPORTED:
        shown = [f"{row.condition} ({difference_of(row)})" for row in rows]
        return f"guidance by {listed(shown)} makes networks more robust"
    against: dict[str, list[Any]] = {}
    for row in rows:
        against.setdefault(text(row.contrast).partition(" − ")[2], []).append(row)
    say = no_gain if word == NOT_SUPPORTED else below
    return "; ".join(say(baseline, part) for baseline, part in against.items())


def no_gain(baseline: str, rows: list[Any]) -> str:
    """What is said of conditions that stand no higher than a baseline by as much as would matter."""
    return f"guidance by {listed([row.condition for row in rows])} gives no gain over {baseline} that would matter"


def below(baseline: str, rows: list[Any]) -> str:
    """What is said of conditions that stand below a baseline: less robust is what stands below `none`."""
    shown = listed([f"{row.condition} ({difference_of(row)})" for row in rows])
    if baseline == BASELINE:
        return f"guidance by {shown} makes networks less robust"
    return f"guidance by {shown} stands below {baseline}"


def undetermined(rows: list[Any]) -> str:
    """What is said of conditions of which nothing can be said, by the gate or lack that forbids it."""
    why: dict[str, list[str]] = {}
    for row in rows:
        gate = row.verdict.removeprefix(UNDETERMINED).strip(" ()")
        lacking = lack_of(text(row.reason)) or "not settled"
        why.setdefault(gate or lacking, []).append(row.condition)
    parts = [f"{listed(names)} ({gate})" for gate, names in why.items()]
    return f"nothing can be said of {', '.join(parts)}" if parts else ""


def lack_of(reason: str) -> str:
    """What a study lacks for a verdict, in brief, by the verdict's reason; empty where it lacks nothing."""
    if not reason.startswith("not in this study"):
        return ""
    found = re.search(r"needs control ([\w-]+)", reason)
    return f"no control {found[1]}" if found and found[1] != "shuffled" else "no control of its own"


def size(verdicts: pd.DataFrame, power: pd.DataFrame) -> str:
    """How many seeds and images a block's verdicts rest on, and the smallest effect that a contrast could have shown.

    From the spreads of its row of the table `power`, at the level of the strictest verdict; of those that no gate
    forbids, since behind a gate that failed nothing is seen.
    """
    known = verdicts[verdicts["n_seeds"].notna() & (verdicts["n_images"] > 0)]
    if not len(known):
        return ""
    seeds, images = int(known["n_seeds"].min()), int(known["n_images"].min())
    counted = f"{seeds} seed{'s' * (seeds != 1)} × {images:,} images"
    if not len(power) or seeds < FEWEST_SEEDS:
        return f"; {counted}, too few seeds for any verdict"
    judged = known[~known["verdict"].str.startswith(f"{UNDETERMINED} (")]
    if not len(judged):
        return f"; {counted}"
    spreads = Components(*(float(power.iloc[0][name]) for name in SPREADS))
    seen = f"{100 * detectable(seeds, images, *spreads, level=float(judged['level'].max())):.1f} pp"
    said = f"with which four of five such studies would see a single contrast of {seen}{more(images, spreads)}"
    return f"; {counted}, {said}"


def more(images: int, spreads: Components) -> str:
    """What the gains that the literature reports would take."""
    needed = seeds_for(WANTED, images, *spreads)
    return f" (one of {points(WANTED)} takes {f'about {needed} seeds' if needed else 'more images'})"


def listed(names: list[str]) -> str:
    """`V1`, `V1 and LO`, `V1, V2 and LO`."""
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]])) if names else ""


# --- what a page shows ---


def verdict_section(view: View) -> Row:
    """What the template shows: `sentences`, `gates`, `claims`, `untested`, `verdicts` and `trend`, as text."""
    tables = view.tables
    claims = [row for row in tables["claims"].itertuples() if not pd.isna(row.task)]
    return {
        "sentences": sentences(tables, view.label),
        "gates": gate_lines(view),
        "claims": claim_groups(view, claims),
        "untested": [
            {"name": row.claim, "says": row.says, "source": row.source, "word": f"{row.verdict} ({row.reason})"}
            for row in tables["claims"].itertuples() if pd.isna(row.task)
        ],
        "verdicts": [verdict_table(view, *block) for block in blocks(tables["verdicts"])],
        "trend": [trend_line(view, row) for row in tables["trend"].itertuples()],
    }  # fmt: skip


def where(view: View, row: Any) -> str:
    """The task of a row, and its architecture where there are several; empty in a study of one of each."""
    study = view.study
    parts = [row.task] if len(study.tasks) > 1 else []
    return ", ".join([*parts, *([row.architecture] if len(study.architectures) > 1 else [])])


def gate_lines(view: View) -> list[Row]:
    """Per task and architecture its gates; `passed` where all of them are."""
    return [
        {"task": task, "architecture": architecture, "passed": bool(part["passed"].astype(bool).all()), "gates": [
            {"name": row.gate, "passed": bool(row.passed), "sentence": gate_text(row)}
            for row in part.itertuples()
        ]} for task, architecture, part in blocks(view.tables["gates"])
    ]  # fmt: skip


def gate_text(row: Any) -> str:
    """The sentence of a gate, and of which conditions it forbids a verdict where that is not all of them."""
    return f"{row.sentence}. Nothing is said of {row.affects}" if text(row.affects) else str(row.sentence)


def claim_groups(view: View, rows: list[Any]) -> list[Row]:
    """The claims that were tested, each with a line per task, architecture and recipe that tests it."""
    groups: dict[str, Row] = {}
    for row in rows:
        group = groups.setdefault(row.claim, {"name": row.claim, "says": row.says, "source": row.source, "lines": []})
        group["lines"].append(claim_line(view, row))
    return list(groups.values())


def claim_line(view: View, row: Any) -> Row:
    """One test of a claim: its word, the deciding contrast with interval and attack, and where the evidence stands."""
    return {
        "where": where(view, row), "word": row.verdict, "style": style_of(row.verdict), "reason": reason_of(row),
        "contrast": row.decides, "value": value_of_claim(row), "attack": attack_text(view, row),
        "href": evidence_of(view, row), "n": counts(row),
    }  # fmt: skip


def value_of_claim(row: Any) -> str:
    """The deciding difference of a test with its interval, in its own unit."""
    unit = text(row.unit)
    if unit.startswith("accuracy"):
        return difference_of(row, PER_STEP if unit == STEP_UNIT else "pp")
    shown = with_interval(row.difference, row.low, row.high, "", plain)
    return shown if shown == MISSING else f"{shown} in {unit}"


def reason_of(row: Any) -> str:
    """Why a row reads as it does; nothing where its interval says all of it."""
    return "" if row.verdict in (SUPPORTED, CONTRADICTED) else text(row.reason).replace(" x ", " × ")


def counts(row: Any) -> str:
    """How many seeds and images a row rests on."""
    if pd.isna(row.n_seeds):
        return ""
    images = "" if pd.isna(row.n_images) else f" × {int(row.n_images):,} images"
    return f"{int(row.n_seeds)} seed{'' if row.n_seeds == 1 else 's'}{images}"


def attack_text(view: View, row: Any) -> str:
    """The attack of a row with its budget."""
    plans, name = view.study.semantic.attacks, text(row.attack)
    label = view.label(name)
    if name in plans and name not in view.attacks:
        return f"{title_of(name)} at strength {row.budget:g}"
    if pd.isna(row.budget) or name not in view.attacks:
        return label
    return f"{label} at {format_budget(float(row.budget), view.attacks[name].unit)}"


def evidence_of(view: View, row: Any) -> str:
    """The anchor of the part of the page that a test of a claim rests on."""
    unit = text(row.unit)
    if unit == STEP_UNIT and len(view.tables["trend"]):
        return "#trend"
    if row.attack not in view.attacks:
        return "#semantic"
    return f"#accuracy-{row.task}-{row.architecture}" if unit.startswith("accuracy") else "#budgets"


def verdict_table(view: View, task: str, architecture: str, part: pd.DataFrame) -> Row:
    """The verdicts of one task and architecture, a line per guided condition."""
    first = part.iloc[0]
    lines = []
    for row in part.itertuples():
        answered = not pd.isna(row.difference)
        lines.append({
            "condition": view.head(row.condition), "word": row.verdict, "style": style_of(row.verdict),
            "reason": reason_of(row), "contrast": text(row.contrast),
            "value": difference_of(row, ""), "level": f"{100 * row.level:.4g} %" if answered else "",
            "readings": readings_text(row) if answered else "", "n": counts(row),
            "seen": MISSING if pd.isna(row.detectable) else f"{100 * row.detectable:.1f}",
        })  # fmt: skip
    names = {"task": task, "architecture": architecture}
    return names | {"attack": attack_text(view, first), "lines": lines}


def readings_text(row: Any) -> list[str]:
    """The readings of clean accuracy, each with its interval; one that could not be made says so."""
    found = []
    for name, shown in READINGS.items():
        mean, low, high = (getattr(row, column) for column in (name, f"{name}_low", f"{name}_high"))
        found.append(f"{shown}: {MISSING if pd.isna(low) else with_interval(mean, low, high, '')}")
    return found


def trend_line(view: View, row: Any) -> Row:
    """One recipe's trend along the hierarchy."""
    return {
        "where": where(view, row), "rois": row.rois, "conditions": row.conditions, "word": row.verdict,
        "style": style_of(row.verdict), "reason": text(row.reason), "attack": view.label(row.attack),
        "n": f"{int(row.n_seeds)} seed{'' if row.n_seeds == 1 else 's'}",
    }  # fmt: skip


def style_of(word: str) -> str:
    """The style of a verdict's word."""
    return {SUPPORTED: "yes", CONTRADICTED: "no"}.get(word, "open")


# --- the terminal ---


def finding_lines(tables: Tables) -> list[str]:
    """The first section as lines of text: sentences, gates that failed, verdicts, claims that were tested."""
    lines = [row["text"] for row in sentences(tables)]
    failed = tables["gates"][~tables["gates"]["passed"].astype(bool)]
    lines += ["", *(f"gate failed, {r.task}, {r.architecture}: {r.gate}: {gate_text(r)}" for r in failed.itertuples())]
    for task, architecture, part in blocks(tables["verdicts"]):
        lines += ["", f"{task}, {architecture}: verdicts"]
        for row in part.itertuples():
            shown = "" if pd.isna(row.difference) else f"; {row.contrast} {difference_of(row)}"
            lines.append(f"  {row.condition}: {row.verdict}{shown}; {text(row.reason)}")
    tested = tables["claims"][tables["claims"]["task"].notna()]
    if len(tables["claims"]):
        untested = tables["claims"]["claim"].nunique() - tested["claim"].nunique()
        lines += ["", f"claims ({untested} more are not tested by this study)"]
    lines += [
        f"  {row.claim}, {row.task}, {row.architecture}: {row.verdict}; {row.decides}" for row in tested.itertuples()
    ]
    return lines
