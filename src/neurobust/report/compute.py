"""What it cost: seconds and memory per rule, from Snakemake's benchmark files or from the results themselves."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from neurobust.core.errors import InputError
from neurobust.report.blocks import Row

OWN_STAGE = "report"


def compute_rows(benchmarks: Path | None, stages: Mapping[str, list[Row]]) -> list[Row]:
    """Jobs, seconds and peak memory per rule, from a folder of benchmark files.

    Without any: the seconds that the rows of each stage (networks, attacks) declare.
    """
    jobs = list(benchmark_jobs(benchmarks)) if benchmarks else []
    source = "benchmarks"
    if not jobs:
        source = "declared seconds"
        jobs = [(f"{stage}: all", {"s": row["seconds"]}) for stage, rows in stages.items() for row in rows]
    found = []
    for rule in sorted({rule for rule, _ in jobs}):
        seconds = [value_of(record, "s") for name, record in jobs if name == rule]
        memory = [value_of(record, "max_rss") for name, record in jobs if name == rule]
        known = [value for value in seconds if math.isfinite(value)]
        peak = max((value for value in memory if math.isfinite(value)), default=math.nan)
        found.append(
            {"rule": rule, "jobs": len(seconds), "seconds_total": sum(known), "memory_mb_max": peak, "source": source}
            | {"seconds_mean": sum(known) / len(known) if known else math.nan}
            | {"seconds_max": max(known, default=math.nan)}
        )
    return found


def benchmark_jobs(folder: Path) -> Iterator[tuple[str, Row]]:
    """(rule, record) of every job in a folder of benchmarks, but the report's own: they change while it is written."""
    paths = [*folder.rglob("*.jsonl"), *folder.rglob("*.tsv")]
    for path in sorted(path for path in paths if OWN_STAGE not in path.relative_to(folder).parts[:-1]):
        for record in read_benchmark(path):
            yield rule_name(path.relative_to(folder), record), record


def read_benchmark(path: Path) -> list[Row]:
    """The record of each repeat in a benchmark file."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".jsonl":
        return list(csv.DictReader(text.splitlines(), delimiter="\t"))
    try:
        return [json.loads(line) for line in text.splitlines() if line.strip()]
    except json.JSONDecodeError as error:
        raise InputError(f"{path}: not a benchmark file ({error}); delete it") from error


def rule_name(path: Path, record: Row) -> str:
    """The rule of a record; a .tsv names none and goes by its first folder. path: below the folder of benchmarks."""
    name = record.get("rule_name")
    if isinstance(name, list):  # Snakemake 9 writes a list of one
        name = name[0] if name else None
    if name:
        return str(name)
    return path.parts[0] if len(path.parts) > 1 else path.stem


def value_of(record: Row, key: str) -> float:
    """A field as a float; NaN where the job was too short for Snakemake to measure it ("NA", "-", None)."""
    value: Any = record.get(key)
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan
