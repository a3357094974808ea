"""What a study costs before it runs: the hours and bytes of its jobs, from measured rates.

`study.jobs` counts the jobs and what their time grows with (images, epochs, pixels, passes); `study.rates` adds up the
time of one. Rates are measured on the benchmark files of studies that ran here or by a probe of the machine that will
run them (`study.probe`), or else documented.
"""

from __future__ import annotations

import contextlib
import csv
import math
import shutil
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import yaml

from neurobust.core.errors import InputError
from neurobust.core.io import write_text
from neurobust.core.progress import clock
from neurobust.study.jobs import STAGE_OF, STAGES, Job, download_bytes, study_jobs
from neurobust.study.model import Study
from neurobust.study.power import power_lines
from neurobust.study.probe import probed_machine
from neurobust.study.rates import GPU_RULES, Speeds, job_seconds, parts_of
from neurobust.study.read import read_study

SUBMISSION = 8.0  # seconds more of a job that goes through SLURM: three starts of Snakemake (docs/slurm.md)


# --- rates ---


def read_benchmarks(folder: Path) -> dict[tuple[str, tuple[str, ...]], float]:
    """(rule, names) -> seconds, of every finished job with a benchmark file below `folder`.

    A file that holds no seconds, such as one of another program, says nothing; nor does a number that no clock shows.
    """
    seconds = {}
    for path in sorted(folder.rglob("*.tsv")):
        parts = list(path.relative_to(folder).with_suffix("").parts)
        while parts and parts[0] not in STAGE_OF:
            parts.pop(0)  # report/<rule>
        if not parts:
            continue
        with contextlib.suppress(KeyError, IndexError, TypeError, ValueError), path.open(encoding="utf-8") as file:
            took = float(list(csv.DictReader(file, delimiter="\t"))[-1]["s"])
            if 0 <= took < math.inf:
                seconds[parts[0], tuple(parts[1:])] = took
    return seconds


def find_benchmark(job: Job, seconds: Mapping[tuple[str, tuple[str, ...]], float]) -> float | None:
    """A job's measured seconds; a job without names has its benchmark under any name."""
    if job.names:
        return seconds.get((job.rule, job.names))
    return next((value for (rule, _), value in seconds.items() if rule == job.rule), None)


def measure_rates(
    studies: Iterable[tuple[list[Job], Mapping[tuple[str, tuple[str, ...]], float]]], machine: Speeds | None = None
) -> dict[str, float]:
    """Seconds per unit of each rule, over all finished jobs of some studies: their sum over the sum of their units.

    What `machine` (default: as documented) takes before and after the work is none of it, but at least a twentieth is.
    """
    machine = machine or Speeds()
    time: dict[str, float] = defaultdict(float)
    units: dict[str, float] = defaultdict(float)
    for jobs, seconds in studies:
        for job in jobs:
            took = find_benchmark(job, seconds)
            if took is not None:
                time[job.rule] += max(took - parts_of(job, machine).around, 0.05 * took)
                units[job.rule] += job.units
    return {rule: time[rule] / units[rule] for rule in time if units[rule] > 0}


def wall_seconds(costs: Iterable[tuple[Job, float]], slots: int) -> float:
    """Predicted wall time with `slots` jobs at a time: rules one after the other, each as slow as its longest job."""
    by_rule: dict[str, list[float]] = defaultdict(list)
    for job, seconds in costs:
        by_rule[job.rule].append(seconds)
    total = sum(map(sum, by_rule.values()))
    longest = sum(max(values) for values in by_rule.values())
    return max(total / slots, longest)


# --- the table ---


def plan_study(study: Study, folder: Path, configs: Path, submitted: bool, output: Path) -> None:
    """Print and write what the study costs. See `plan_text`; whether there is a GPU is looked up here."""
    gpu = submitted or shutil.which("nvidia-smi") is not None
    text = plan_text(study, folder, configs, submitted, gpu)
    write_text(output, text)
    print(text)


def plan_text(study: Study, folder: Path, configs: Path, submitted: bool, gpu: bool) -> str:
    """The cost of what is left of a study, per stage and per ROI, and what the whole of it can see.

    folder: the working directory; configs: a folder of configurations: each study of these that has benchmark files
    gives rates, the planned one before the others. submitted: jobs go through SLURM. gpu: GPU rules have one.
    """
    jobs, done = study_jobs(study), read_benchmarks(folder / study.results / "benchmarks")
    machine, origin = known_machine(study, folder, configs, gpu)
    left = [job for job in jobs if find_benchmark(job, done) is None]
    costs = [(job, job_seconds(job, machine) + SUBMISSION * submitted) for job in left]
    lines = [f"Study {study.name}: {len(jobs)} jobs, {len(jobs) - len(left)} done, {len(left)} to do.", ""]
    by_stage = {stage: [c for c in costs if STAGE_OF[c[0].rule] == stage] for stage in STAGES}
    lines += cost_table("stage", {**by_stage, "total": costs}, gpu)
    by_roi = {roi: [c for c in costs if roi in c[0].rois] for roi in study.rois}
    shared = [c for c in costs if not c[0].rois]
    lines += ["", *cost_table("ROI", {**by_roi, "shared": shared}, gpu)]
    if download := download_bytes(study):
        note = "`python -m neurobust.nsd plan` asks the bucket"
        lines += ["", f"Download: about {download / 1e9:.0f} GB in all, less what is there ({note})."]
    walls = ", ".join(f"{slots} at a time {clock(wall_seconds(costs, slots))}" for slots in (1, 2, 8, 64))
    lines += ["", f"Wall time: {walls}.", "", *waiting_lines(left, machine), *power_lines(study, folder), "", "Rates:"]
    for rule in STAGE_OF:
        if any(job.rule == rule for job in jobs):
            device = " on a GPU" if gpu and rule in GPU_RULES else ""
            lines.append(f"  {rule:18}{origin.get(rule, f'documented default{device}')}")
    return "\n".join(lines) + "\n"


def known_machine(study: Study, folder: Path, configs: Path, gpu: bool) -> tuple[Speeds, dict[str, str]]:
    """What is known of the machine, and where each rate was measured: on this study, by `probe`, on the other studies
    of `configs`."""
    machine, device = probed_machine(study, folder, gpu)
    rates: dict[str, float] = {}
    origin: dict[str, str] = {}

    def learn(found: Mapping[str, float], notes: Mapping[str, str]) -> None:
        for rule in found.keys() - rates.keys():
            rates[rule], origin[rule] = found[rule], notes[rule]

    for known in (study, *other_studies(configs, study.name)):
        seconds = read_benchmarks(folder / known.results / "benchmarks")
        if seconds:
            counts = Counter(rule for rule, _ in seconds)
            measured = measure_rates([(study_jobs(known), seconds)], machine)
            learn(measured, {rule: f"measured on {counts[rule]} jobs of the study {known.name}" for rule in measured})
        if known is study:
            learn(machine.rates, dict.fromkeys(machine.rates, f"measured by `probe` on {device}"))
    return replace(machine, rates=rates), origin


def other_studies(configs: Path, name: str) -> Iterator[Study]:
    """The other studies of a folder of configurations; one that cannot be read gives no rates."""
    for path in sorted(configs.glob("*.yaml")):
        try:
            given = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeError, yaml.YAMLError):
            continue
        if isinstance(given, dict) and given.get("study", name) != name:
            with contextlib.suppress(InputError):
                yield read_study(given)


def waiting_lines(jobs: Sequence[Job], machine: Speeds) -> list[str]:
    """For how much of their time GPUs wait for a CPU, and what for; nothing where there is none."""
    if not machine.gpu:
        return []
    parts = [parts_of(job, machine) for job in jobs if job.rule in GPU_RULES]
    causes = {
        "start": sum(part.start for part in parts),
        "digests of inputs": sum(part.digest for part in parts),
        "statistics, checks, unpacking": sum(part.tail for part in parts),
        f"images by {machine.threads} threads": sum(part.late for part in parts),
    }
    said = ", ".join(f"{name} {seconds / 3600:.2f}" for name, seconds in causes.items())
    return [f"Of the GPU-hours a CPU's, while the GPU waits: {sum(causes.values()) / 3600:.2f} ({said}).", ""]


def cost_table(title: str, groups: Mapping[str, list[tuple[Job, float]]], gpu: bool) -> list[str]:
    """A table of groups of (job, seconds): jobs, GPU-hours, CPU-hours, disk."""
    lines = [f"{title:12}{'jobs':>8}{'GPU-hours':>12}{'CPU-hours':>12}{'disk':>12}"]
    for name, costs in groups.items():
        on_gpu = sum(seconds for job, seconds in costs if gpu and job.rule in GPU_RULES) / 3600
        cpu = sum(seconds for _, seconds in costs) / 3600  # a GPU job holds a core as well
        size = sum(job.output_bytes for job, _ in costs)
        lines.append(f"{name:12}{len(costs):>8}{on_gpu:>12.2f}{cpu:>12.2f}{size / 1e9:>9.2f} GB")
    return lines
