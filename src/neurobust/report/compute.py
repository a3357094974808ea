"""What it cost: seconds and memory per rule, from Snakemake's benchmark files or from the results themselves."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Any

from neurobust.core.errors import InputError
from neurobust.report.study import Study

OWN_STAGE = "report"


def compute_rows(study: Study, rows: dict[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Jobs, seconds and peak memory per rule; without benchmark files the seconds that networks and attacks declare."""
    jobs = [(rule, record) for path in benchmark_files(study) for rule, record in read_benchmark(study, path)]
    source = "benchmarks"
    if not jobs:
        source = "declared seconds"
        jobs = [(f"{stage}: all", {"s": row["seconds"]}) for stage in ("networks", "attacks") for row in rows[stage]]
    found = []
    for rule in sorted({rule for rule, _ in jobs}):
        seconds = [value_of(record, "s") for name, record in jobs if name == rule]
        memory = [value_of(record, "max_rss") for name, record in jobs if name == rule]
        known = [value for value in seconds if math.isfinite(value)]
        peak = max((value for value in memory if math.isfinite(value)), default=math.nan)
        found.append(
            {"rule": rule, "jobs": len(seconds), "seconds_total": sum(known), "memory_mb_max": peak, "source": source}
            | {
                "seconds_mean": sum(known) / len(known) if known else math.nan,
                "seconds_max": max(known, default=math.nan),
            }
        )
    return found


def benchmark_files(study: Study) -> list[Path]:
    """The study's benchmark files, without the report's own: they change while it is being written."""
    given = study.get("benchmarks", Path(study["root"]) / "benchmarks")
    if not isinstance(given, (str, Path)):
        return sorted(Path(path) for path in given if Path(path).exists())
    folder = Path(given)
    paths = [*folder.rglob("*.jsonl"), *folder.rglob("*.tsv")]
    return sorted(path for path in paths if OWN_STAGE not in path.relative_to(folder).parts[:-1])


def read_benchmark(study: Study, path: Path) -> list[tuple[str, dict[str, Any]]]:
    """(rule, record) for each repeat in a benchmark file; a .tsv names no rule and goes by its first folder."""
    text = path.read_text(encoding="utf-8")
    try:
        if path.suffix == ".jsonl":
            records = [json.loads(line) for line in text.splitlines() if line.strip()]
        else:
            records = list(csv.DictReader(text.splitlines(), delimiter="\t"))
    except json.JSONDecodeError as error:
        raise InputError(f"{path}: not a benchmark file ({error}); delete it") from error
    return [(rule_name(study, path, record), record) for record in records]


def rule_name(study: Study, path: Path, record: dict[str, Any]) -> str:
    name = record.get("rule_name")
    if isinstance(name, list):  # Snakemake 9 writes a list of one
        name = name[0] if name else None
    if name:
        return str(name)
    given = study.get("benchmarks", Path(study["root"]) / "benchmarks")
    parts = path.relative_to(given).parts if isinstance(given, (str, Path)) else path.parts[-2:]
    return parts[0] if len(parts) > 1 else path.stem


def value_of(record: dict[str, Any], key: str) -> float:
    """A field as a float; NaN where the job was too short for Snakemake to measure it ("NA", "-", None)."""
    try:
        return float(record.get(key))
    except (TypeError, ValueError):
        return math.nan
