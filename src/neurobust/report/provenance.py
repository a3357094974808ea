"""Where numbers come from: code, configuration, inputs, machine and hours.

The machine and the commit are no part of a result, so no file of a stage knows them. They stand in the table
`provenance` alone, beside `compute`, whose hours are another run's too.
"""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from neurobust import __version__
from neurobust.core.io import canonical_json
from neurobust.report.blocks import Row
from neurobust.study.model import Study

HERE = Path(__file__).resolve()


def provenance_rows(study: Study, records: Iterable[Any], compute: Iterable[Row], extras: bool = True) -> list[Row]:
    """Rows (part, name, value) of the table `provenance`.

    records: the provenance of networks, whose inputs are listed each once; compute: rows of that table. Without
    `extras`, what another run of the same would not share is left out.
    """
    rows = [row("study", "configuration, SHA-256", digest(study.config)), row("code", "neurobust", __version__)]
    if extras:
        rows += [row("code", "commit", commit()), *machine()]
        seconds = sum(entry["seconds_total"] for entry in compute)
        rows.append(row("work", "hours of all jobs", f"{seconds / 3600:.2f}"))
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
        row("machine", "system", f"{platform.system()}, {processor()}, {os.cpu_count()} cores"),
        row("machine", "Python", platform.python_version()),
    ]


def processor(file: Path = Path("/proc/cpuinfo")) -> str:
    """The model of the processor, as Linux says it; else its architecture."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())
