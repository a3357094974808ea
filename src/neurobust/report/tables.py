"""Everything that the report prints, as tidy tables: collected from the results folder, written as CSV, read back."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from neurobust.core.errors import InputError
from neurobust.core.io import canonical_json, read_json, read_parquet, write_text
from neurobust.report.cells import Cell, read_cell, worst_case
from neurobust.report.comparisons import curve_rows, difference_rows, summary_rows
from neurobust.report.compute import compute_rows
from neurobust.report.corruptions import corruption_rows, error_rows
from neurobust.report.matched import matched_rows
from neurobust.report.minimal import break_rows, minimal_rows, survival_rows
from neurobust.report.study import (
    Network,
    Study,
    attack_settings,
    check_study,
    is_control,
    networks,
    predictor_folder,
    predictor_seeds,
    primary_attack,
    target_of,
)
from neurobust.report.transfer import transfer_checks, transfer_rows

NETWORK = ["task", "architecture", "condition", "seed"]


def spread_columns(name: str) -> list[str]:
    return [name, f"{name}_sd", f"{name}_min", f"{name}_max"]


COLUMNS: dict[str, list[str]] = {
    "robust_accuracy": [
        *NETWORK, "attack", "budget", "unit", "robust_accuracy", "wilson_low", "wilson_high", "n",
    ],
    "summary": [
        "task", "architecture", "condition", "attack", "n_seeds", "n_images", *spread_columns("clean_accuracy"),
        "reference_budget", "unit", *spread_columns("robust_accuracy"), *spread_columns("area"),
    ],
    "differences": [
        "task", "architecture", "condition", "baseline", "attack", "primary", "measure", "difference", "low", "high",
        "seed_min", "seed_max", "t_low", "t_high", "n_seeds", "n_images",
    ],
    "networks": [*NETWORK, "clean_accuracy", "train_accuracy", "alignment", "seconds"],
    "conditions": ["condition", "target", "control", "recipe"],
    "attacks": [
        *NETWORK, "attack", "norm", "unit", "n_images", "n_forward", "n_backward", "seconds", "settings",
        "verification", "versions",
    ],
    "predictors": [
        "roi", "subject", "seed", "n_voxels", "median_r", "r_q25", "r_q75", "median_noise_ceiling", "n_ceiling",
        "median_r_normalised", "r_normalised_q25", "r_normalised_q75",
    ],
    "rois": [
        "roi", "subject", "atlas", "labels", "n_voxels", "images_train", "images_validation", "images_test",
        "median_ncsnr", "median_ncsnr_file", "median_noise_ceiling",
    ],
    "checks": [*NETWORK, "attack", "check", "passed", "value", "note"],
    "inside": [*NETWORK, "measure", "roi", "value", "unit"],
    "compute": ["rule", "jobs", "seconds_total", "seconds_mean", "seconds_max", "memory_mb_max", "source"],
    "canaries": ["task", "canary", "expected", "found", "caught", "value", "note"],
    "minimal_budget": [
        *NETWORK, "norm", "unit", "attacks", "largest", "n_images", "n_broken", "q25", "median", "q75",
    ],
    "survival": [*NETWORK, "norm", "unit", "budget", "robust_accuracy"],
    "breaks": [*NETWORK, "norm", "unit", "budget", "attack", "other", "n_correct", "n_broken", "n_only"],
    "transfer": [
        "task", "architecture", "source_condition", "source_seed", "target_condition", "target_seed", "n", "n_shared",
        "clean_accuracy", "accuracy", "beyond_white_box",
    ],
    "matched": [
        "task", "architecture", "condition", "baseline", "attack", "budget", "n_seeds", "n_weights", "clean_low",
        "clean_high", "difference", "low", "high",
    ],
    "corruptions": [*NETWORK, "corruption", "scored", "severity", "n", "clean_accuracy", "accuracy"],
    "corruption_errors": [*NETWORK, "accuracy", "mce", "n_types", "relative_mce", "n_relative"],
}  # fmt: skip


def collect_results(study: Study, extras: bool = True) -> dict[str, pd.DataFrame]:
    """Read a study's results into one tidy table per name of `COLUMNS`; every column is there even without rows.

    Raises InputError where a network's metrics, a predictor or an attack is missing; checks, inside measures,
    canaries, cortex files and benchmarks may be absent and then have no rows. Without `extras`, inside measures and
    transfer (which need every ROI's chain) and benchmark files are not read.
    """
    check_study(study)
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in COLUMNS}
    rows["networks"] = [network_row(study, network) for network in networks(study)]
    for task in study["tasks"]:
        for architecture in study["architectures"]:
            add_attacks(study, task, architecture, rows)
            rows["matched"] += matched_rows(study, task, architecture, rows["networks"], rows["robust_accuracy"])
    rows["canaries"] = [row for task in study["tasks"] for row in canary_rows(study, task)]
    if extras and study.get("transfer"):
        rows["transfer"] = transfer_rows(study)
        rows["checks"] += transfer_checks(rows["transfer"])
    if extras and study.get("corruptions"):
        rows["corruptions"] = corruption_rows(study)
        rows["corruption_errors"] = error_rows(rows["corruptions"])
    for network in networks(study):
        rows["checks"] += check_rows(study, network)
        rows["inside"] += inside_rows(study, network) if extras else []
    for roi in study["rois"]:
        for seed in predictor_seeds(study):
            rows["predictors"] += predictor_rows(study, roi, seed)
        rows["rois"] += [row for subject in study["subjects"] for row in roi_rows(study, roi, subject)]
    rows["conditions"] = [condition_row(study, name) for name in study["conditions"]]
    rows["compute"] = compute_rows(study if extras else {**study, "benchmarks": []}, rows)
    return {name: pd.DataFrame(rows[name], columns=columns) for name, columns in COLUMNS.items()}


def network_row(study: Study, network: Network) -> dict[str, Any]:
    path = network.folder(study, "networks") / "metrics.json"
    if not path.exists():
        raise InputError(f"{path}: missing; run the pipeline for this network, or take it out of the study")
    metrics = read_json(path)
    return network._asdict() | {name: number(metrics.get(name)) for name in COLUMNS["networks"][4:]}


def add_attacks(study: Study, task: str, architecture: str, rows: dict[str, list[dict[str, Any]]]) -> None:
    """Append one task and architecture's rows of every attack, and of the worst case per norm."""
    here = [network for network in networks(study) if network[:2] == (task, architecture)]
    clean = {(row["condition"], row["seed"]): row["clean_accuracy"] for row in rows["networks"]
             if (row["task"], row["architecture"]) == (task, architecture)}  # fmt: skip
    loaded: dict[str, dict[tuple[str, int], Cell]] = {}
    for attack in study["attacks"]:
        loaded[attack] = {n[2:]: read_cell(n.folder(study, "attacks") / f"{attack}.parquet") for n in here}
    for attack, settings in attack_settings(study).items():
        if "members" in settings:
            keys = [network[2:] for network in here]
            cells = {key: worst_case([loaded[member][key] for member in settings["members"]]) for key in keys}
        else:
            cells = loaded[attack]
            rows["attacks"] += [attack_row(network, attack, settings, cells[network[2:]]) for network in here]
        names = {"task": task, "architecture": architecture, "attack": attack}
        rows["robust_accuracy"] += [names | row for row in curve_rows(cells, settings)]
        rows["summary"] += [names | row for row in summary_rows(cells, settings, clean)]
        primary = {"primary": attack == primary_attack(study)}
        rows["differences"] += [names | primary | row for row in difference_rows(study, cells, settings)]
    for network in here:
        own = {attack: cells[network[2:]] for attack, cells in loaded.items()}
        for table, make in (("minimal_budget", minimal_rows), ("survival", survival_rows), ("breaks", break_rows)):
            rows[table] += [network._asdict() | row for row in make(study, own)]


def attack_row(network: Network, attack: str, settings: dict[str, Any], cell: Cell) -> dict[str, Any]:
    attrs = cell.attrs
    used = attrs.get("settings", settings) | ({"acts on": attrs["space"]} if "space" in attrs else {})
    texts = {name: canonical_json(attrs.get(name)) for name in ("verification", "versions")}
    return (
        network._asdict()
        | {"attack": attack, "norm": attrs.get("norm", settings.get("norm", "")), "unit": settings.get("unit", "")}
        | {"n_images": len(cell.images), **cell.cost, "seconds": number(attrs.get("seconds"))}
        | {"settings": canonical_json(used), **texts}
    )


def check_rows(study: Study, network: Network) -> list[dict[str, Any]]:
    path = network.folder(study, "attacks") / "checks.json"
    checks = read_json(path) if path.exists() else []
    if not isinstance(checks, list):
        raise InputError(f"{path}: not a list of checks; delete it and run the attacks again")
    names = network._asdict()
    return [
        names | {key: check.get(key, "") for key in ("attack", "check", "note")}
        | {"passed": bool(check["passed"]), "value": number(check.get("value"))}
        for check in checks
    ]  # fmt: skip


def canary_rows(study: Study, task: str) -> list[dict[str, Any]]:
    """What became of the task's canaries; nothing where none were run."""
    path = Path(study["root"]) / "attacks" / task / "canaries.json"
    if not path.exists():
        return []
    found = read_json(path)
    if not isinstance(found, dict) or "canaries" not in found:
        raise InputError(f"{path}: not a record of canaries; delete it and run again")
    return [
        {"task": task, "canary": entry["canary"], "caught": bool(entry["caught"]), "value": number(entry["value"])}
        | {"expected": ", ".join(entry["expected"]), "found": ", ".join(entry["found"]), "note": entry["note"]}
        for entry in found["canaries"]
    ]


def inside_rows(study: Study, network: Network) -> list[dict[str, Any]]:
    path = network.folder(study, "explain") / "inside.parquet"
    if not path.exists():
        return []
    frame, _ = read_parquet(path)
    frame = frame.astype(object).where(frame.notna(), None)
    rows = frame[["measure", "roi", "value", "unit"]].to_dict("records")
    return [network._asdict() | row | {"roi": row["roi"] or "", "value": number(row["value"])} for row in rows]


def predictor_rows(study: Study, roi: str, seed: int) -> list[dict[str, Any]]:
    """Accuracy of one predictor per subject and over all of them. A subject without the ROI has 0 voxels."""
    voxels = read_voxels(study, roi, seed)
    parts = [(subject, voxels[voxels["subject"] == subject]) for subject in study["subjects"]]
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


def read_voxels(study: Study, roi: str, seed: int) -> pd.DataFrame:
    """One row per voxel of a predictor: subject, r, noise_ceiling (percent), r_normalised."""
    path = predictor_folder(study, roi, seed) / "voxels.parquet"
    if not path.exists():
        raise InputError(f"{path}: missing; run the pipeline for this predictor, or take '{roi}' out of the study")
    return read_parquet(path)[0]


def roi_rows(study: Study, roi: str, subject: str) -> list[dict[str, Any]]:
    """Where a subject's ROI comes from, read off its cortex file; nothing where the subject lacks the ROI."""
    import h5py

    path = Path(study["root"]) / "cortex" / subject / f"{roi}.h5"
    if not path.exists():
        return []
    with h5py.File(path, "r") as file:
        split, voxels = file["split"][:], len(file["voxel_index"])
        signal = {name: quartiles(finite(file[name][:]))[1] for name in ("ncsnr", "ncsnr_file", "noise_ceiling")}
        atlas, labels = str(file.attrs.get("atlas", "")), file.attrs.get("labels", "[]")
    labels = json.loads(labels)
    counts = {f"images_{name}": int((split == code).sum()) for code, name in enumerate(("train", "validation", "test"))}
    text = ", ".join(str(label) for label in labels) if isinstance(labels, list) else canonical_json(labels)
    names = {"roi": roi, "subject": subject, "atlas": atlas, "labels": text, "n_voxels": voxels}
    return [names | counts | {f"median_{name}": value for name, value in signal.items()}]


def condition_row(study: Study, condition: str) -> dict[str, Any]:
    recipe = study["conditions"][condition] or {}
    control = recipe.get("control") or ("yes" if is_control(study, condition) else "")
    names = {"condition": condition, "target": target_of(study, condition) or "", "control": control}
    return names | {"recipe": canonical_json(recipe)}


def number(value: Any) -> float:
    """A number that may be missing, as a float."""
    return math.nan if value is None else float(value)


def finite(values: Any) -> np.ndarray:
    array = np.asarray(values, dtype=float)
    return array[np.isfinite(array)]


def quartiles(values: np.ndarray) -> tuple[float, float, float]:
    """25th, 50th and 75th percentile; NaN for no values."""
    return tuple(np.percentile(values, [25, 50, 75]).tolist()) if len(values) else (math.nan,) * 3


def tabulate_results(study: Study, outputs: dict[str, Path]) -> None:
    """Collect a study's results and write the tables named in `outputs` as CSV (UTF-8, six digits, empty = missing)."""
    if unknown := sorted(set(outputs) - set(COLUMNS)):
        raise InputError(f"report: no table '{unknown[0]}' (there are {sorted(COLUMNS)}); correct the rule's outputs")
    tables = collect_results(study)
    for name, path in outputs.items():
        write_text(path, tables[name].to_csv(index=False, float_format="%.6g", lineterminator="\n"))


def read_csv(path: Path) -> pd.DataFrame:
    """A table as the report writes it: only an empty field is a missing one, since a condition is called `none`."""
    return pd.read_csv(path, keep_default_na=False, na_values=[""])


def read_tables(folder: Path) -> dict[str, pd.DataFrame]:
    """Read back the tables that `tabulate_results` wrote to `folder` as `<name>.csv`; an absent one has no rows."""
    tables = {}
    for name, columns in COLUMNS.items():
        path = Path(folder) / f"{name}.csv"
        if path.exists():
            tables[name] = read_csv(path)
            if list(tables[name].columns) != columns:
                raise InputError(
                    f"{path}: columns are {list(tables[name].columns)}, not {columns}; delete it, run again"
                )
        else:
            tables[name] = pd.DataFrame(columns=columns)
    return tables
