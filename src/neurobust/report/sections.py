"""The tables of a page as plain data: what a template prints, formatted, and nothing it would have to compute."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from typing import Any

import pandas as pd

from neurobust.core.reference_range import BASELINE
from neurobust.report.blocks import Row, Tables, blocks, in_block
from neurobust.report.entries import (
    MISSING,
    Entry,
    Note,
    between,
    duration,
    percent,
    plain,
    signed,
    text,
    with_interval,
)
from neurobust.report.guided import controls_of
from neurobust.report.shown import format_budget
from neurobust.report.view import Head, View
from neurobust.study.model import Study

Deltas = dict[tuple[str, str, str], Any]  # rows of the table `differences` by condition, baseline and attack


def answers(view: View) -> list[Row]:
    """Per task and guided condition: accuracy under the attack of the answer, minus its controls' and minus `none`'s.

    `alone`: the same under the primary attack itself, where the answer is read from the worst case of its norm.
    """
    conditions, table = view.study.conditions, view.tables["differences"]
    attack = view.primary.name if view.primary else None
    table = table[(table["measure"] == "robust_accuracy") & table["difference"].notna()]
    keys = ["task", "architecture", "condition", "baseline"]
    own = table[table["attack"] == view.study.primary_attack].set_index(keys)["difference"]
    table = table[table["attack"] == attack]
    found = []
    for task, architecture, part in blocks(table):
        rows = {(row.condition, row.baseline): row for row in part.itertuples()}
        budget = budget_of(in_block(view.tables["summary"], task, architecture), str(attack))
        for condition in (name for name in conditions if conditions[name].guided):
            for baseline in (*controls_of(conditions, condition), BASELINE):
                if (condition, baseline) not in rows:
                    continue
                row, alone = rows[condition, baseline], own.get((task, architecture, condition, baseline))
                found.append(
                    {"task": task, "architecture": architecture, "condition": view.head(condition)}
                    | {"baseline": baseline, "difference": signed(row.difference), "budget": budget}
                    | {"interval": between(row.low, row.high, signed), "n_images": int(row.n_images)}
                    | {"seeds": between(row.seed_min, row.seed_max, signed), "n_seeds": int(row.n_seeds)}
                    | {"own": baseline != BASELINE, "alone": MISSING if alone is None else signed(alone)}
                )
    return found


def main_tables(view: View) -> list[Row]:
    """The main table per task and architecture: robust accuracy at the reference budget, spread and differences.

    Each has `columns` and `lines` of heads and `cells` by line; the fewer, conditions or attacks, are columns.
    """
    checks = view.tables["checks"]
    failed = checks[~checks["passed"].astype(bool)]
    result = []
    for task, architecture, part in blocks(view.tables["networks"]):
        here = in_block(view.tables["summary"], task, architecture)
        deltas = deltas_of(in_block(view.tables["differences"], task, architecture))
        marked = set(in_block(failed, task, architecture)["condition"])
        conditions = view.in_order(part["condition"])
        found = {(row.condition, row.attack): row for row in here.itertuples()}
        attacks = [name for name in view.attacks if name in set(here["attack"])]
        heads = [view.head(name, marked=name in marked) for name in conditions]
        kinds = [Head("alignment", sub="r with target"), Head("clean", sub="whole test set")]
        kinds += [Head(view.label(attack), sub=budget_of(here, attack)) for attack in attacks]
        cells = [
            [alignment_cell(seeds), clean_cell(seeds)]
            + [answer_cell(view.study, name, found.get((name, attack)), deltas) for attack in attacks]
            for name in conditions
            for seeds in [part[part["condition"] == name]]
        ]
        if len(conditions) < len(kinds):
            heads, kinds, cells = kinds, heads, [list(line) for line in zip(*cells, strict=True)]
        names = {"task": task, "architecture": architecture, "marked": bool(marked)}
        result.append(names | {"columns": kinds, "lines": heads, "cells": cells})
    return result


def deltas_of(differences: pd.DataFrame) -> Deltas:
    """One task and architecture's differences in robust accuracy at the reference budget."""
    measured = differences[differences["measure"] == "robust_accuracy"]
    return {(row.condition, row.baseline, row.attack): row for row in measured.itertuples()}


def budget_of(summary: pd.DataFrame, attack: str) -> str:
    """The reference budget of an attack, with its unit."""
    row = summary[summary["attack"] == attack].iloc[0]
    if pd.isna(row["reference_budget"]):
        return ""
    return format_budget(row["reference_budget"], text(row["unit"]))


def alignment_cell(seeds: pd.DataFrame) -> Entry:
    """Correlation of a condition's features with its target, mean over its seeds."""
    values = seeds["alignment"].dropna()
    spread = between(values.min(), values.max(), plain) if len(values) > 1 else ""
    return Entry(plain(values.mean()), spread)


def clean_cell(seeds: pd.DataFrame) -> Entry:
    """A condition's accuracy on the whole test set, mean over its seeds."""
    clean = seeds["clean_accuracy"]
    return Entry(percent(clean.mean()), seed_range(clean.min(), clean.max(), len(clean)))


def answer_cell(study: Study, condition: str, row: Any, deltas: Deltas) -> Entry:
    """One cell: mean, range over seeds, difference to `none` and to the condition's own control with intervals.

    row: of the table `summary`, or None.
    """
    if row is None or pd.isna(row.robust_accuracy):
        return Entry()
    spread = seed_range(row.robust_accuracy_min, row.robust_accuracy_max, row.n_seeds)
    notes = notes_of(study, condition, lambda baseline: deltas.get((condition, baseline, row.attack)))
    return Entry(percent(row.robust_accuracy), spread, notes)


def notes_of(study: Study, condition: str, difference: Callable[[str], Any]) -> tuple[Note, ...]:
    """Lines under a condition's value: its difference to `none` and to its own control, where there is one.

    difference: a baseline -> a row with `difference`, `low` and `high`, or None.
    """
    notes = []
    for baseline in (BASELINE, *controls_of(study.conditions, condition)[:1]):
        row = difference(baseline)
        if row is not None and not pd.isna(row.difference):
            name = BASELINE if baseline == BASELINE else "control"
            notes.append(Note(name, signed(row.difference), between(row.low, row.high, signed)))
    return tuple(notes)


def seed_range(low: float, high: float, n: int) -> str:
    """A range over n seeds."""
    return "one seed" if n < 2 else between(low, high)


def predictor_table(tables: Tables) -> list[Row]:
    """One row per ROI and subject: mean over predictor seeds, with its range where there are several."""
    rows = []
    for (roi, subject), part in tables["predictors"].groupby(["roi", "subject"], sort=False):
        several, normalised = len(part) > 1, part["median_r_normalised"]
        spread = between(normalised.min(), normalised.max(), plain) if several else ""
        rows.append(
            {"roi": roi, "subject": subject, "n_voxels": int(part["n_voxels"].iloc[0])}
            | {"r": plain(part["median_r"].mean()), "ceiling": plain(part["median_noise_ceiling"].mean(), 1)}
            | {"normalised": plain(normalised.mean()), "spread": spread}
            | {"quartiles": between(part["r_normalised_q25"].mean(), part["r_normalised_q75"].mean(), plain)}
        )
    return rows


def teacher_table(tables: Tables) -> list[Row]:
    """One row per guided condition of a study with several teachers: how well and how firmly each predicts, and what
    networks gained from it."""
    return [
        {"condition": row.condition, "roi": row.roi, "teacher": row.teacher, "images": row.images}
        | {"task": row.task, "architecture": row.architecture, "verdict": row.verdict}
        | {"accuracy": plain(row.accuracy), "fragility": plain(row.fragility), "random": plain(row.random)}
        | {"clean": percent(row.clean_accuracy), "robust": percent(row.robust_accuracy)}
        | {"none": with_interval(row.over_none, row.over_none_low, row.over_none_high)}
        | {"shuffle": with_interval(row.over_shuffle, row.over_shuffle_low, row.over_shuffle_high)}
        for row in tables["teachers"].itertuples()
    ]


def roi_table(tables: Tables) -> list[Row]:
    """Where each ROI comes from: atlas, labels, images per split, ncsnr recomputed and published."""
    return [
        {"roi": row.roi, "subject": row.subject, "atlas": text(row.atlas), "labels": text(row.labels)}
        | {"n_voxels": int(row.n_voxels), "ncsnr": plain(row.median_ncsnr), "file": plain(row.median_ncsnr_file)}
        | {"images": f"{int(row.images_train)} / {int(row.images_validation)} / {int(row.images_test)}"}
        for row in tables["rois"].itertuples()
    ]


def brain_table(tables: Tables) -> list[Row]:
    """Per subject: how its betas agree with what was published of them and with their own repeats."""
    return [
        {"subject": row.subject, "sessions": int(row.sessions), "empty": text(row.empty_sessions)}
        | {"ncsnr": plain(row.ncsnr_r, 3), "halves": plain(row.halves_r, 3), "mean": plain(row.mean_r, 3)}
        | {"repeats": plain(row.repeats_r, 3)}
        | {"shifted": f"{plain(row.early_r, 3)} / {plain(row.late_r, 3)}", "chance": plain(row.chance_r, 3)}
        | {"scale": between(row.scale_low, row.scale_high, plain), "tables": text(row.tables)}
        for row in tables["brains"].itertuples()
    ]


def check_table(tables: Tables) -> Row:
    """Masking checks: the failed ones in full, and how often each passed."""
    table = tables["checks"]
    failed = [
        {"network": f"{row.task}, {row.architecture}, {row.condition}, seed {row.seed}", "check": row.check}
        | {
            "attack": text(row.attack),
            "value": "" if pd.isna(row.value) else f"{row.value:.3g}",
            "note": text(row.note),
        }
        for row in table[~table["passed"].astype(bool)].itertuples()
    ]
    counts = [
        {"check": name, "passed": int(part["passed"].astype(bool).sum()), "total": len(part)}
        for name, part in table.groupby("check", sort=False)
    ]
    return {"failed": failed, "counts": counts}


def attack_table(view: View) -> list[Row]:
    """Per attack: its settings in full, its cost per image and its verification, over all networks."""
    rows = []
    for attack, part in view.tables["attacks"].groupby("attack", sort=False):
        verified: dict[str, float] = {}
        for entry in part["verification"]:
            for key, value in (json.loads(entry) or {}).items() if isinstance(json.loads(entry), dict) else ():
                if isinstance(value, (int, float)) and not isinstance(value, bool):
                    verified[key] = verified.get(key, 0) + value
        rows.append(
            {"label": view.label(attack), "name": attack, "networks": len(part)}
            | {"images": int(part["n_images"].max()), "forward": f"{part['n_forward'].mean():.0f}"}
            | {"backward": f"{part['n_backward'].mean():.0f}", "seconds": duration(part["seconds"].sum(min_count=1))}
            | {"mean": duration(part["seconds"].mean())}
            | {
                "settings": sorted(set(part["settings"])),
                "failed": int(part["failed"].map(lambda note: isinstance(note, str) and note != "").sum()),
                "verified": ", ".join(
                    f"{k} {v:g}" for k, v in sorted(verified.items()) if v or k in ("checked", "demoted")
                ),
            }
        )
    return rows


def compute_table(tables: Tables) -> list[Row]:
    """Per rule: jobs, time and memory."""
    return [
        {
            "rule": row.rule,
            "jobs": int(row.jobs),
            "total": duration(row.seconds_total),
            "mean": duration(row.seconds_mean),
        }
        | {"longest": duration(row.seconds_max), "source": text(row.source)}
        | {"memory": MISSING if pd.isna(row.memory_mb_max) else f"{row.memory_mb_max:.0f} MB"}
        for row in tables["compute"].itertuples()
    ]


def provenance_table(tables: Tables) -> list[Row]:
    """Code, configuration, machine, hours and the checksums of inputs."""
    return [{name: text(entry[name]) for name in entry} for entry in tables["provenance"].to_dict("records")]


def versions(tables: Tables) -> str:
    """Versions of the software that ran the attacks; several where networks were attacked under different ones."""
    found = {entry for entry in tables["attacks"]["versions"] if entry not in ("null", "{}")}
    texts = []
    for entry in sorted(found):
        record = json.loads(entry)
        pairs = record.items() if isinstance(record, dict) else [("versions", record)]
        texts.append(", ".join(f"{name} {value}" for name, value in sorted(pairs)))
    return "; ".join(texts)


def seeds_text(study: Study) -> str:
    """The seeds of the networks: `0, 1`, or `digits 0, 1; scenes 0` where tasks differ in them."""
    found = {name: ", ".join(map(str, task.seeds)) for name, task in study.tasks.items()}
    if len(set(found.values())) < 2:
        return next(iter(found.values()), "")
    return "; ".join(f"{name} {seeds}" for name, seeds in found.items())


def lede(study: Study) -> str:
    """What was run, in one line."""
    counts: dict[str, Collection[object]] = {
        "task": study.tasks, "architecture": {name for task in study.tasks.values() for name in task.architectures},
        "condition": study.conditions, "seed": {seed for task in study.tasks.values() for seed in task.seeds},
        "attack": study.attacks, "ROI": study.rois, "subject": study.subjects,
    }  # fmt: skip
    return " · ".join(f"{len(items)} {name}{'' if len(items) == 1 else 's'}" for name, items in counts.items())
