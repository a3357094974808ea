"""What a run went through: jobs that failed or were tried again, when jobs ended, and their energy where it is known.

Read from what Snakemake and SLURM keep: Snakemake's own logs, the jobs' logs, benchmark files, and `sacct`.
"""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from neurobust.report.compute import OWN_STAGE

SNAKEMAKE_LOGS = Path(".snakemake/log")
ERROR = re.compile(r"^Error in rule (\S+):$")
FIELD = re.compile(r"^    (jobid|output|log): (.*)$")
RESTART = re.compile(r"^Trying to restart job (\d+)\.$")
SLURM_ID = re.compile(r"SLURM_JOB_ID=(\d+)")
HEAD = 4096  # bytes of a job's log in which its SLURM id stands
ASKED_AT_ONCE = 500  # jobs
JOULES = 3.6e6  # of a kilowatt hour
Ask = Callable[[Sequence[str]], str | None]


class Troubles(NamedTuple):
    """How often jobs of each rule failed, and how many of these failures were followed by another try."""

    failed: Counter[str]
    tried_again: int


def troubles(results: str, folder: Path = SNAKEMAKE_LOGS) -> Troubles:
    """The failures of a study's jobs over all runs in a folder, as Snakemake's logs tell them; those of other studies,
    whose outputs lie elsewhere, are left out. A run with `--quiet` tells none."""
    failed: Counter[str] = Counter()
    again = 0
    for path in sorted(folder.glob("*.log")):
        own: set[str] = set()
        rule = ""
        fields: dict[str, str] = {}
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            if found := ERROR.match(line):
                rule, fields = found[1], {}
            elif rule and (found := FIELD.match(line)):
                fields[found[1]] = found[2]
                if found[1] == "output" and f"{found[2]},".startswith(f"{results}/"):
                    failed[rule] += 1
                    own.add(fields.get("jobid", ""))
            elif not line.startswith(" "):
                rule = ""
                again += bool((found := RESTART.match(line)) and found[1] in own)
    return Troubles(failed, again)


def dates(benchmarks: Path) -> tuple[str, str] | None:
    """When the first and the last job ended (UTC), by the dates of benchmark files, the report's own left out; None
    without any."""
    paths = [path for path in benchmarks.rglob("*") if path.suffix in (".tsv", ".jsonl")]
    ends = [path.stat().st_mtime for path in paths if OWN_STAGE not in path.relative_to(benchmarks).parts[:-1]]
    if not ends:
        return None
    first, last = (datetime.fromtimestamp(end, UTC).strftime("%Y-%m-%d %H:%M UTC") for end in (min(ends), max(ends)))
    return first, last


def slurm_jobs(logs: Path) -> list[str]:
    """The SLURM ids that jobs noted in their logs, each once; a job that was tried again has that of its last try."""
    found = set()
    for path in logs.rglob("*.log") if logs.is_dir() else ():
        with path.open("rb") as file:
            found |= set(SLURM_ID.findall(file.read(HEAD).decode(errors="replace")))
    return sorted(found, key=int)


def energy(jobs: Sequence[str], ask: Ask | None = None) -> tuple[float, int] | None:
    """Joules that SLURM measured, and of how many of these jobs; None where it measured none, or there is no `sacct`.

    Of a job's steps, which overlap, the largest counts.
    """
    ask = sacct if ask is None else ask
    found: dict[str, float] = {}
    for start in range(0, len(jobs), ASKED_AT_ONCE):
        said = ask(jobs[start : start + ASKED_AT_ONCE])
        for name, joules in read_energy((said or "").splitlines()):
            found[name] = max(found.get(name, 0.0), joules)
    known = [joules for name, joules in found.items() if joules > 0 and name in {*jobs}]
    return (sum(known), len(known)) if known else None


def read_energy(lines: Iterable[str]) -> Iterable[tuple[str, float]]:
    """(job, joules) of lines such as `123.batch|4567`; lines without a number are passed over."""
    for line in lines:
        step, _, joules = line.partition("|")
        number = joules.strip().rstrip("|")
        if number.isdigit():
            yield step.partition(".")[0].partition("_")[0], float(number)


def sacct(jobs: Sequence[str]) -> str | None:
    """What SLURM's accounting says of the energy of some jobs; None where there is none."""
    words = ["sacct", "--noheader", "--parsable2", "--format=JobIDRaw,ConsumedEnergyRaw", f"--jobs={','.join(jobs)}"]
    try:
        run = subprocess.run(words, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return run.stdout if run.returncode == 0 else None
