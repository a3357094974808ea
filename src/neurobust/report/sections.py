"""The tables of a page as plain data: what a template prints, formatted, and nothing it would have to compute."""

from __future__ import annotations

import json
import math
from typing import Any

import pandas as pd

from neurobust.report.blocks import Tables, blocks
from neurobust.report.comparisons import is_clear, verdict
from neurobust.report.study import (
    Study,
    attack_label,
    attack_settings,
    controls_of,
    format_budget,
    in_order,
    is_control,
    primary_attack,
    target_of,
)
from neurobust.report.style import condition_style

MISSING = "–"


def percent(value: float, digits: int = 1) -> str:
    """A share as percent: 0.4123 -> 41.2."""
    return MISSING if pd.isna(value) else f"{100 * value:.{digits}f}"


def signed(value: float) -> str:
    """A difference of shares in percentage points with its sign: 0.012 -> +1.2."""
    return MISSING if pd.isna(value) else f"{round(100 * value, 1) + 0.0:+.1f}".replace("-", "−")


def plain(value: Any, digits: int = 2) -> str:
    return MISSING if pd.isna(value) else f"{value:.{digits}f}"


def between(low: float, high: float, show: Any = percent) -> str:
    return "" if pd.isna(low) or pd.isna(high) else f"{show(low)} to {show(high)}"


def duration(seconds: float) -> str:
    """Seconds for readers: 7.3 s, 4.2 min, 1.5 h."""
    if pd.isna(seconds):
        return MISSING
    for size, unit in ((3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"


def condition_cell(study: Study, condition: str) -> dict[str, Any]:
    style = condition_style(study, condition)
    return {"name": condition, "color": style["color"], "hollow": is_control(study, condition)}


def answers(study: Study, tables: Tables) -> list[dict[str, Any]]:
    """The answer: per task and guided condition, the primary attack's area against its controls and against `none`."""
    attack = primary_attack(study)
    table = tables["differences"]
    table = table[(table["attack"] == attack) & (table["measure"] == "area") & table["difference"].notna()]
    found = []
    for task, architecture, part in blocks(table):
        rows = list(part.itertuples())
        for condition in study["conditions"]:
            if target_of(study, condition) is None or is_control(study, condition):
                continue
            for baseline in (*controls_of(study, condition), "none"):
                row = next((row for row in rows if (row.condition, row.baseline) == (condition, baseline)), None)
                if row is not None:
                    found.append(
                        {"task": task, "architecture": architecture, "condition": condition_cell(study, condition)}
                        | {"baseline": baseline, "difference": signed(row.difference), "verdict": verdict(row)}
                        | {"interval": between(row.low, row.high, signed), "t": between(row.t_low, row.t_high, signed)}
                        | {"seeds": between(row.seed_min, row.seed_max, signed), "n_seeds": int(row.n_seeds)}
                        | {"own": baseline != "none"}
                    )
    return found


def main_tables(study: Study, tables: Tables) -> list[dict[str, Any]]:
    """The main table per task and architecture: robust accuracy at the reference budget, spread and differences.

    Each has `columns` and `lines` of headers and `cells` by line; the fewer, conditions or attacks, are columns.
    """
    failed = tables["checks"][~tables["checks"]["passed"].astype(bool)]
    differences = tables["differences"][tables["differences"]["measure"] == "robust_accuracy"]
    result = []
    for task, architecture, part in blocks(tables["networks"]):
        here = in_block(tables["summary"], task, architecture)
        deltas = {
            (row.condition, row.baseline, row.attack): row
            for row in in_block(differences, task, architecture).itertuples()
        }
        marked = set(in_block(failed, task, architecture)["condition"])
        conditions = in_order(study, part["condition"])
        found = {(row.condition, row.attack): row for row in here.itertuples()}
        attacks = [name for name in attack_settings(study) if name in set(here["attack"])]
        heads = [condition_cell(study, name) | {"sub": "", "marked": name in marked} for name in conditions]
        kinds = [header("alignment", "r with target"), header("clean", "whole test set")]
        kinds += [header(attack_label(study, attack), budget_of(here, attack)) for attack in attacks]
        cells = [
            [alignment_cell(seeds), clean_cell(seeds)]
            + [answer_cell(study, name, found.get((name, attack)), deltas) for attack in attacks]
            for name in conditions
            for seeds in [part[part["condition"] == name]]
        ]
        if len(conditions) < len(kinds):
            heads, kinds, cells = kinds, heads, [list(line) for line in zip(*cells, strict=True)]
        names = {"task": task, "architecture": architecture, "marked": bool(marked)}
        result.append(names | {"columns": kinds, "lines": heads, "cells": cells})
    return result


def header(name: str, sub: str) -> dict[str, Any]:
    return {"name": name, "color": "", "hollow": False, "sub": sub, "marked": False}


def budget_of(summary: pd.DataFrame, attack: str) -> str:
    """The reference budget of an attack, with its unit."""
    row = summary[summary["attack"] == attack].iloc[0]
    if pd.isna(row["reference_budget"]):
        return ""
    return format_budget(row["reference_budget"], text(row["unit"]))


def alignment_cell(seeds: pd.DataFrame) -> dict[str, Any]:
    values = seeds["alignment"].dropna()
    spread = between(values.min(), values.max(), plain) if len(values) > 1 else ""
    return {"main": plain(values.mean()), "spread": spread, "notes": []}


def clean_cell(seeds: pd.DataFrame) -> dict[str, Any]:
    clean = seeds["clean_accuracy"]
    return {"main": percent(clean.mean()), "spread": seed_range(clean.min(), clean.max(), len(clean)), "notes": []}


def answer_cell(study: Study, condition: str, row: Any, deltas: dict[tuple[str, str, str], Any]) -> dict[str, Any]:
    """One cell: mean, range over seeds, difference to `none` and to the condition's own control with intervals."""
    if row is None or pd.isna(row.robust_accuracy):
        return {"main": MISSING, "spread": "", "notes": []}
    notes = []
    for baseline in ("none", *controls_of(study, condition)[:1]):
        delta = deltas.get((condition, baseline, row.attack))
        if delta is not None and not pd.isna(delta.difference):
            interval = between(delta.low, delta.high, signed)
            name = "none" if baseline == "none" else "control"
            notes.append(
                {"baseline": name, "value": signed(delta.difference), "interval": interval, "sure": direction(delta)}
            )
    spread = seed_range(row.robust_accuracy_min, row.robust_accuracy_max, row.n_seeds)
    return {"main": percent(row.robust_accuracy), "spread": spread, "notes": notes}


def direction(delta: Any) -> str:
    """The style of a clear difference, up or down; nothing for an unclear one."""
    return ("up" if delta.difference > 0 else "down") if is_clear(delta) else ""


def seed_range(low: float, high: float, n: int) -> str:
    return "one seed" if n < 2 else between(low, high)


def in_block(table: pd.DataFrame, task: str, architecture: str) -> pd.DataFrame:
    return table[(table["task"] == task) & (table["architecture"] == architecture)]


def text(value: Any) -> str:
    """A CSV text field: empty where missing."""
    return "" if pd.isna(value) else str(value)


def predictor_table(tables: Tables) -> list[dict[str, Any]]:
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


def roi_table(tables: Tables) -> list[dict[str, Any]]:
    """Where each ROI comes from: atlas, labels, images per split, ncsnr recomputed and published."""
    return [
        {"roi": row.roi, "subject": row.subject, "atlas": text(row.atlas), "labels": text(row.labels)}
        | {"n_voxels": int(row.n_voxels), "ncsnr": plain(row.median_ncsnr), "file": plain(row.median_ncsnr_file)}
        | {"images": f"{int(row.images_train)} / {int(row.images_validation)} / {int(row.images_test)}"}
        for row in tables["rois"].itertuples()
    ]


def check_table(tables: Tables) -> dict[str, Any]:
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


def attack_table(study: Study, tables: Tables) -> list[dict[str, Any]]:
    """Per attack: its settings in full, its cost per image and its verification, over all networks."""
    rows = []
    for attack, part in tables["attacks"].groupby("attack", sort=False):
        verified: dict[str, float] = {}
        for entry in part["verification"]:
            for key, value in (json.loads(entry) or {}).items() if isinstance(json.loads(entry), dict) else ():
                if isinstance(value, (int, float)) and not isinstance(value, bool):
                    verified[key] = verified.get(key, 0) + value
        rows.append(
            {"label": attack_label(study, attack), "name": attack, "networks": len(part)}
            | {"images": int(part["n_images"].max()), "forward": f"{part['n_forward'].mean():.0f}"}
            | {"backward": f"{part['n_backward'].mean():.0f}", "seconds": duration(part["seconds"].sum(min_count=1))}
            | {"mean": duration(part["seconds"].mean())}
            | {
                "settings": sorted(set(part["settings"])),
                "verified": ", ".join(
                    f"{k} {v:g}" for k, v in sorted(verified.items()) if v or k in ("checked", "demoted")
                ),
            }
        )
    return rows


def compute_table(tables: Tables) -> list[dict[str, Any]]:
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


def versions(tables: Tables) -> str:
    """Versions of the software that ran the attacks; several where networks were attacked under different ones."""
    found = {entry for entry in tables["attacks"]["versions"] if entry not in ("null", "{}")}
    texts = []
    for entry in sorted(found):
        record = json.loads(entry)
        pairs = record.items() if isinstance(record, dict) else [("versions", record)]
        texts.append(", ".join(f"{name} {value}" for name, value in sorted(pairs)))
    return "; ".join(texts)


def lede(study: Study) -> str:
    """What was run, in one line."""
    counts = [(study["tasks"], "task"), (study["architectures"], "architecture"), (study["conditions"], "condition")]
    counts += [
        (study["seeds"], "seed"),
        (study["attacks"], "attack"),
        (study["rois"], "ROI"),
        (study["subjects"], "subject"),
    ]
    return " · ".join(f"{len(items)} {name}{'' if len(items) == 1 else 's'}" for items, name in counts)


def primary_note(study: Study, tables: Tables) -> dict[str, str]:
    """Name and budget range of the attack that the answer is read from."""
    attack = primary_attack(study)
    if attack is None:
        return {"label": "", "range": ""}
    settings = attack_settings(study)[attack]
    budgets = tables["robust_accuracy"][tables["robust_accuracy"]["attack"] == attack]["budget"].astype(float)
    largest = (
        format_budget(budgets.max(), settings.get("unit", "")) if len(budgets) and math.isfinite(budgets.max()) else ""
    )
    return {"label": settings.get("label", attack), "range": f"0 to {largest}" if largest else ""}
