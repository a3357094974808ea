"""Where numbers come from: code, configuration, inputs, machine and hours.

The machine and the commit are no part of a result, so no file of a stage knows them. They stand in the table
`provenance` alone, beside `compute`, whose hours are another run's too.
"""

from __future__ import annotations

import hashlib
import platform
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from neurobust import __version__
from neurobust.core.io import canonical_json
from neurobust.core.machine import machine_words, noted_machines, this_machine
from neurobust.report.blocks import Row
from neurobust.report.history import JOULES, dates, energy, slurm_jobs, troubles
from neurobust.study.jobs import STAGE_OF
from neurobust.study.model import Study
from neurobust.study.paths import Paths

HERE = Path(__file__).resolve()


def provenance_rows(study: Study, records: Iterable[Any], compute: Iterable[Row], extras: bool = True) -> list[Row]:
    """Rows (part, name, value) of the table `provenance`.

    records: the provenance of networks, whose inputs are listed each once; compute: rows of that table. Without
    `extras`, what another run of the same would not share is left out.
    """
    rows = [row("study", "configuration, SHA-256", digest(study.config)), row("code", "neurobust", __version__)]
    if extras:
        rows += [row("code", "commit", commit()), *machine(), *jobs_machines(study), *work_rows(study, list(compute))]
    found: dict[tuple[str, str], str] = {}
    for record in records:
        for name, entry in ((record or {}).get("inputs") or {}).items():
            found[name, str(entry.get("sha256"))] = str(entry.get("file"))
    return rows + [row("input", f"{name} ({file})", value) for (name, value), file in sorted(found.items())]


def row(part: str, name: str, value: str) -> Row:
    """One line."""
    return {"part": part, "name": name, "value": value}


def digest(config: Any) -> str:
    """SHA-256 of a configuration as it was checked, whatever the order of its keys."""
    return hashlib.sha256(canonical_json(config).encode()).hexdigest()


def commit(file: Path = HERE) -> str:
    """The commit of the checkout that the code runs from, and whether it was changed since; of an installed package
    that it is one."""
    if answer(file, "ls-files", "--error-unmatch", file.name) is None:
        return "an installed package"
    changed = answer(file, "status", "--porcelain", "--", ":/src", ":/workflow")
    return f"{answer(file, 'rev-parse', 'HEAD') or 'none yet'}{' with local changes' if changed else ''}"


def answer(file: Path, *words: str) -> str | None:
    """What git says of a file's folder; None where it is none of a checkout, or there is no git."""
    try:
        run = subprocess.run(["git", "-C", str(file.parent), *words], capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return run.stdout.strip() if run.returncode == 0 else None


def machine() -> list[Row]:
    """The machine that made the tables: its kind and cores, without its name."""
    return [
        row("machine", "system", f"{platform.system()}, {machine_words(this_machine())}"),
        row("machine", "Python", platform.python_version()),
    ]


def jobs_machines(study: Study) -> list[Row]:
    """The kinds of machines that jobs noted; none where none did, as in results of an earlier version."""
    found = noted_machines(study.root)
    names = (
        ["jobs ran on"] if len(found) == 1 else [f"jobs ran on ({n} of {len(found)})" for n in range(1, len(found) + 1)]
    )
    return [row("machine", name, words) for name, words in zip(names, found, strict=True)]


def work_rows(study: Study, compute: list[Row]) -> list[Row]:
    """When jobs ended, how long they took by stage, what failed, and their energy.

    compute: rows of that table.
    """
    ends = dates(study.root / "benchmarks")
    rows = [row("work", f"{name} job ended", date) for name, date in zip(("first", "last"), ends or (), strict=False)]
    hours: dict[str, float] = {}
    for entry in compute:
        rule = str(entry["rule"])
        stage = STAGE_OF.get(rule, rule.partition(":")[0] if ":" in rule else "other rules")
        hours[stage] = hours.get(stage, 0.0) + entry["seconds_total"] / 3600
    rows += [row("work", f"hours of {stage}", f"{value:.2f}") for stage, value in hours.items()]
    rows.append(row("work", "hours of all jobs", f"{sum(hours.values()):.2f}"))
    found = troubles(study.results)
    told = ", ".join(f"{rule} {count}" for rule, count in sorted(found.failed.items()))
    rows.append(row("work", "failures of jobs", f"{found.failed.total()}{f' ({told})' if told else ''}"))
    rows.append(row("work", "tried again", str(found.tried_again)))
    return [*rows, row("work", "energy", energy_words(slurm_jobs(Path(Paths(study).logs))))]


def energy_words(jobs: list[str]) -> str:
    """The energy of SLURM jobs in words, or that it was not measured."""
    measured = energy(jobs) if jobs else None
    if measured is None:
        return "not measured"
    return f"{measured[0] / JOULES:.3g} kWh in {measured[1]} of {len(jobs)} SLURM jobs, as sacct says"
