"""From the files of a study's results to the rows of its tables."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd

from neurobust.core.errors import InputError
from neurobust.core.io import canonical_json, write_text
from neurobust.core.memory import seldom_collected
from neurobust.files.canaries import canaries_path, read_canaries
from neurobust.files.checks import checks_path, read_checks
from neurobust.files.network_metrics import metrics_path, read_metrics
from neurobust.files.predictor_tables import ReadVoxels, read_voxels, voxels_path
from neurobust.files.quality import quality_path, read_quality
from neurobust.files.roi import read_roi_summary, roi_path
from neurobust.files.splits import TEST, TRAIN, VALIDATION
from neurobust.report.attacked import read_cells
from neurobust.report.blocks import Row, Tables, number, plain_texts
from neurobust.report.cells import Cell
from neurobust.report.claims import claim_rows
from neurobust.report.comparisons import curve_rows, difference_rows, power_rows, summary_rows
from neurobust.report.compute import compute_rows
from neurobust.report.contents import COLUMNS
from neurobust.report.corruption_errors import corruption_rows, error_rows
from neurobust.report.explained import inside_rows, seen_rows, why_rows
from neurobust.report.factors import factor_rows
from neurobust.report.fourier_rows import fourier_rows
from neurobust.report.gains import gain_rows
from neurobust.report.gates import Evidence, at_reference, gate_rows
from neurobust.report.guided import compared, recipe_of
from neurobust.report.matched import matched_rows
from neurobust.report.minimal import break_rows, minimal_rows, survival_rows
from neurobust.report.outside import outside_rows
from neurobust.report.predicted import predicted_areas
from neurobust.report.provenance import provenance_rows
from neurobust.report.quality import coverage_rows, session_rows
from neurobust.report.semantic_evidence import with_semantic
from neurobust.report.shifted_errors import shifted_error_rows, shifted_rows
from neurobust.report.shown import ShownAttack, answering, shown_attacks
from neurobust.report.teachers import teacher_rows
from neurobust.report.transfer_matrix import transfer_checks, transfer_rows
from neurobust.report.verdicts import trend_rows, verdict_rows
from neurobust.study.model import NetworkName, Study

Rows = dict[str, list[Row]]  # by table
SPLITS = {"train": TRAIN, "validation": VALIDATION, "test": TEST}


def collect_results(study: Study, extras: bool = True, whole: Study | None = None) -> Tables:
    """Read a study's results into one tidy table per name of `COLUMNS`; every column is there even without rows.

    Raises InputError where a network's metrics, a predictor or an attack is missing; checks, inside measures,
    canaries, cortex files and benchmarks may be absent and then have no rows. Without `extras`, inside measures,
    transfer, corrupted and shifted images and factors of the gain (which need every ROI's chain), semantic attacks and
    benchmark files are not looked at. whole: the study of which this is a part, where it is one.
    """
    rows: Rows = {name: [] for name in COLUMNS}
    evidence: list[Evidence] = []
    records = []
    for network in study.networks():
        metrics = read_metrics(metrics_path(study.root, network.path))
        records.append(metrics.provenance)
        rows["networks"].append(network._asdict() | metrics.numbers())
    for task, architecture in study.blocks():
        networks = [n for n in study.networks(tasks=[task]) if n.architecture == architecture]
        evidence += add_block(study, networks, rows)
    for task in study.tasks:
        rows["canaries"] += canary_rows(study.root, task)
    if extras and study.transfer:
        rows["transfer"] = transfer_rows(study)
        rows["checks"] += transfer_checks(rows["transfer"], study.outside)
    if extras and study.corruptions:
        rows["corruptions"] = corruption_rows(study)
        rows["corruption_errors"] = error_rows(rows["corruptions"])
    if extras and study.shifted:
        rows["shifted"] = shifted_rows(study)
        rows["shifted_errors"] = shifted_error_rows(rows["shifted"])
    rows["outside"] = outside_rows(study) if extras else []
    rows["seen"] = seen_rows(study, whole=extras)
    rows["inside"], rows["why"] = (inside_rows(study), why_rows(study)) if extras else ([], [])
    rows["fourier"] = fourier_rows(study) if extras else []
    for network in study.networks():
        rows["checks"] += check_rows(study.root, network)
    read = cache(read_voxels)  # each once, for all that look at them
    areas = predicted_areas(study, read)
    trusted_blocks = [replace(trusted(block, rows, extras), predicted=areas) for block in evidence]
    add_verdicts(study, trusted_blocks, rows, whole)
    for roi in study.rois:
        for seed in study.predictor_seeds:
            rows["predictors"] += predictor_rows(study, roi, seed, read)
        rows["rois"] += [row for subject in study.subjects for row in roi_rows(study.root, roi, subject)]
        rows["coverage"] += [row for subject in study.subjects for row in coverage_rows(study, roi, subject, read)]
    rows["sessions"] = [row for subject in study.subjects for row in session_rows(study.root, subject)]
    rows["brains"] = [row for subject in study.subjects for row in brain_rows(study.root, subject)]
    if extras:
        rows["gains"] = gain_rows(study, rows)
        rows["teachers"] = teacher_rows(study, rows, read)
        rows["factors"] = factor_rows(pd.DataFrame(rows["gains"], columns=COLUMNS["gains"]))
    for name, condition in study.conditions.items():
        names = {"condition": name, "target": condition.roi or "", "control": condition.control or ""}
        rows["conditions"].append(names | {"recipe": canonical_json(recipe_of(condition))})
    benchmarks = study.root / "benchmarks" if extras else None
    rows["compute"] = compute_rows(benchmarks, {name: rows[name] for name in ("networks", "attacks")})
    rows["provenance"] = provenance_rows(study, records, rows["compute"], extras)
    with plain_texts():
        return {name: pd.DataFrame(rows[name], columns=columns) for name, columns in COLUMNS.items()}


@seldom_collected()
def tabulate_results(study: Study, outputs: Mapping[str, Path]) -> None:
    """Collect a study's results and write the tables named in `outputs` as CSV (UTF-8, six digits, empty = missing)."""
    if unknown := sorted(set(outputs) - set(COLUMNS)):
        raise InputError(f"report: no table '{unknown[0]}' (there are {sorted(COLUMNS)}); correct the rule's outputs")
    tables = collect_results(study)
    for name, path in outputs.items():
        write_text(path, as_csv(tables[name]))


def as_csv(table: pd.DataFrame) -> str:
    """A table as CSV: six digits, empty = missing. Numbers become text here: pandas asks of each alone whether it is
    missing, which is a fifth of the time of all tables."""
    texts: dict[str, Any] = {
        name: ["" if value != value else f"{value:.6g}" for value in table[name].tolist()]
        for name in table.columns
        if table[name].dtype.kind == "f"
    }
    with plain_texts():
        return table.assign(**texts).to_csv(index=False, lineterminator="\n")


def add_block(study: Study, networks: list[NetworkName], rows: Rows) -> list[Evidence]:
    """Append one task and architecture's rows of every attack and of the worst case per norm; what verdicts read of it.

    Nothing where there are no networks.
    """
    if not networks:
        return []
    block = {"task": networks[0].task, "architecture": networks[0].architecture}
    clean = {
        (row["condition"], row["seed"]): number(row["clean_accuracy"])
        for row in rows["networks"]
        if all(row[name] == value for name, value in block.items())
    }
    cells, failed = read_cells(study, networks)
    shown = shown_attacks(study.attacks_of(block["task"]), failed)
    attacks, chosen = at_reference(shown, cells)
    pairs, primary = compared(study.conditions), study.primary_attack
    answer = answering(attacks, primary) if primary in attacks else primary
    for name, attack in shown.items():
        done = {**cells.get(name, {}), **failed.get(name, {})}
        if not attack.members:
            rows["attacks"] += [attack_row(study, network, attack, done[network[2:]]) for network in networks]
    for name, attack in attacks.items():
        names = {**block, "attack": name}
        curves = [names | row for row in curve_rows(cells[name], attack.unit)]
        rows["robust_accuracy"] += curves
        rows["summary"] += [names | row for row in summary_rows(cells[name], attack, clean)]
        read = {"primary": name == primary, "answer": name == answer}
        rows["differences"] += [names | read | row for row in difference_rows(pairs, cells[name], attack)]
        if name == answer:
            rows["power"] += [names | row for row in power_rows(pairs, cells[name], attack)]
            rows["matched"] += [block | row for row in matched_rows(study, block["task"], attack, clean, curves)]
    whole = {name: attack for name, attack in attacks.items() if name not in failed}
    for network in networks:
        own = {name: cells[name][network[2:]] for name in whole}
        for table, make in (("minimal_budget", minimal_rows), ("survival", survival_rows), ("breaks", break_rows)):
            rows[table] += [network._asdict() | row for row in make(whole, own)]
    return [Evidence(study, block["task"], block["architecture"], attacks, cells, chosen, clean)]


def trusted(evidence: Evidence, rows: Rows, extras: bool) -> Evidence:
    """The evidence with the checks and canaries that say whether it can be trusted, and semantic attacks for claims."""
    checks = [row for row in rows["checks"] if all(row[name] == value for name, value in evidence.block.items())]
    canaries = [row for row in rows["canaries"] if row["task"] == evidence.task]
    found = replace(evidence, checks=checks, canaries=canaries)
    return with_semantic(found) if extras and found.study.claims else found


def add_verdicts(study: Study, evidence: list[Evidence], rows: Rows, whole: Study | None) -> None:
    """Append what may be said: gates, verdicts, trends and claims."""
    for block in evidence:
        rows["gates"] += gate_rows(block)
        rows["verdicts"] += verdict_rows(block, whole)
        rows["trend"] += trend_rows(block)
    rows["claims"] = claim_rows(study, evidence)


def attack_row(study: Study, network: NetworkName, attack: ShownAttack, cell: Cell) -> Row:
    """What an attack on one network was and cost."""
    record = cell.record
    settings = study.attacks_of(network.task)[attack.name].settings() if record.settings is None else record.settings
    used = settings if record.space is None else settings | {"acts on": record.space}
    return (
        network._asdict()
        | {"attack": attack.name, "norm": record.norm or attack.norm, "unit": attack.unit}
        | {"n_images": len(cell.images), **cell.cost, "seconds": number(record.seconds)}
        | {"settings": canonical_json(used), "verification": canonical_json(record.verification)}
        | {"versions": canonical_json(record.versions), "failed": record.failed or ""}
    )


def check_rows(results: Path, network: NetworkName) -> list[Row]:
    """What the masking checks found of a network; nothing where none were run."""
    path = checks_path(results, network.path)
    checks = read_checks(path) if path.exists() else []
    return [network._asdict() | msgspec.structs.asdict(check) | {"value": number(check.value)} for check in checks]


def canary_rows(results: Path, task: str) -> list[Row]:
    """What became of the task's canaries; nothing where none were run."""
    path = canaries_path(results, task)
    return [
        {"task": task, "canary": entry.canary, "caught": entry.caught, "value": number(entry.value)}
        | {"expected": ", ".join(entry.expected), "found": ", ".join(entry.found), "note": entry.note}
        for entry in (read_canaries(path) if path.exists() else [])
    ]


def predictor_rows(study: Study, roi: str, seed: int, read: ReadVoxels = read_voxels) -> list[Row]:
    """Accuracy of one predictor per subject and over all of them. A subject without the ROI has 0 voxels."""
    voxels = read(voxels_path(study.root, study.predictor, roi, seed))
    parts = [(subject, voxels[voxels["subject"] == subject]) for subject in study.subjects]
    rows = []
    for subject, part in [*parts, ("all", voxels)]:
        normalised = finite(part["r_normalised"])
        r25, r50, r75 = quartiles(finite(part["r"]))
        n25, n50, n75 = quartiles(normalised)
        rows.append(
            {"roi": roi, "subject": subject, "seed": seed, "n_voxels": len(part), "n_ceiling": len(normalised)}
            | {"median_r": r50, "r_q25": r25, "r_q75": r75}
            | {"median_noise_ceiling": quartiles(finite(part["noise_ceiling"]))[1]}
            | {"median_r_normalised": n50, "r_normalised_q25": n25, "r_normalised_q75": n75}
        )
    return rows


def roi_rows(results: Path, roi: str, subject: str) -> list[Row]:
    """Where a subject's ROI comes from, read off its cortex file; nothing where the subject lacks the ROI."""
    path = roi_path(results, subject, roi)
    if not path.exists():
        return []
    found = read_roi_summary(path)
    signal = {name: quartiles(finite(getattr(found, name)))[1] for name in ("ncsnr", "ncsnr_file", "noise_ceiling")}
    return [
        {"roi": roi, "subject": subject, "atlas": found.atlas, "labels": found.labels, "n_voxels": len(found.ncsnr)}
        | {f"images_{name}": int((found.split == code).sum()) for name, code in SPLITS.items()}
        | {f"median_{name}": value for name, value in signal.items()}
    ]


def brain_rows(results: Path, subject: str) -> list[Row]:
    """The evidence that a subject's betas are its own, in place and in order; nothing where none was gathered."""
    path = quality_path(results, subject)
    if not path.exists():
        return []
    found = msgspec.structs.asdict(read_quality(path))
    row = {name: found[name] for name in COLUMNS["brains"]} | {"tables": ", ".join(found["tables"])}
    return [row | {"empty_sessions": ", ".join(f"session {number}" for number in found["empty_sessions"])}]


def finite(values: Any) -> np.ndarray:
    """The finite ones of some values, as float64 (n,)."""
    array = np.asarray(values, dtype=float)
    return array[np.isfinite(array)]


def quartiles(values: np.ndarray) -> tuple[float, float, float]:
    """25th, 50th and 75th percentile; NaN for no values."""
    if not len(values):
        return math.nan, math.nan, math.nan
    low, middle, high = np.percentile(values, [25, 50, 75]).tolist()
    return low, middle, high
