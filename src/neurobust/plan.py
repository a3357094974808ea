"""What a study costs before it runs: its jobs, their hours and bytes, from the configuration and from measured rates.

A job's time is startup + units * rate. Its units count what its time grows with (images, epochs, pixels, passes); the
rate of its rule is measured on the benchmark files of studies that ran here, or else taken from DEFAULTS.
"""

from __future__ import annotations

import csv
import math
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from neurobust.config import PHANTOM_TASKS, chosen_conditions, predictor_seed, task_size
from neurobust.io import write_text
from neurobust.progress import clock

SUBMISSION = 8.0  # seconds more of a job that goes through SLURM: three starts of Snakemake (docs/slurm.md)
STAGES = {
    "nsd": ("make_phantom", "make_scenes", "extract_betas", "extract_roi", "build_stimuli"),
    "predictors": ("train_predictor",),
    "networks": ("make_faces", "prepare_task", "train_network"),
    "attacks": ("attack_network", "attack_canaries", "transfer_attacks", "make_corruptions", "corrupt_network"),
    "explain": ("explain_network",),
    "report": ("tabulate_results", "draw_figures", "write_index", "write_roi_page"),
}
STAGE_OF = {rule: stage for stage, rules in STAGES.items() for rule in rules}
GPU_RULES = (
    "train_predictor", "train_network", "attack_network", "transfer_attacks", "corrupt_network", "explain_network",
)  # fmt: skip
# Seconds per unit on one server core, from the demo on two cores of 2026.
DEFAULTS = {
    "make_phantom": 1.5e-3,  # per trial
    "make_scenes": 4e-3,  # per image
    "make_faces": 4e-3,
    "extract_betas": 4e-5,  # per trial and cubic centimetre of grid
    "extract_roi": 1e-4,  # per trial
    "build_stimuli": 2e-3,  # per image
    "train_predictor": 2.5e-4,  # per image pass and 1000 pixels
    "prepare_task": 1.5e-3,  # per image
    "train_network": 1.6e-3,  # per image pass and 1000 pixels
    "attack_network": 1e-3,  # per image pass and 1000 pixels
    "attack_canaries": 2e-4,  # per image pass of its small network and 1000 pixels
    "transfer_attacks": 1e-3,  # per image pass and 1000 pixels
    "make_corruptions": 2e-4,  # per corrupted image and 1000 pixels
    "corrupt_network": 5e-4,  # per image pass and 1000 pixels
    "explain_network": 1e-3,  # the same
    "tabulate_results": 0.2,  # per network
    "draw_figures": 0.2,
    "write_index": 0.2,
    "write_roi_page": 0.2,
}
GPU_SPEEDUP = 200.0  # a data-centre GPU against one core, on batches that fill it
# Passes forward and backward per image and budget of attacks whose `steps` do not say it.
NOISE = ("uniform", "sign", "gaussian", "salt-pepper")
GRIDS = ("hue", "saturation", "brightness", "contrast")
PASSES: dict[str, Callable[[Mapping[str, Any]], float]] = {
    **dict.fromkeys(NOISE, lambda s: s.get("repeats", 10)),
    **dict.fromkeys(GRIDS, lambda s: s.get("grid", 33)),
    "rotation-translation": lambda s: s.get("angles", 31) * s.get("shifts", 5) ** 2,
    "fgsm": lambda s: 2,
    "blended": lambda s: 14 * s.get("candidates", 5),
    "square": lambda s: s.get("queries", 1000),
    "hopskipjump": lambda s: s.get("queries", 100) * s.get("steps", 20) ** 1.5 * 2 / 3,  # more of them at each step
    "autoattack": lambda s: 2 * s.get("steps", 100) * (1 + s.get("targets", 9)) + s.get("queries", 5000),
}
REPEATS = ("restarts", "targets", "binary_search_steps", "eot")
# One run of these serves every budget.
FINDS_MINIMUM = ("deepfool", "ddn", "fmn", "carlini-wagner", "ead", "brendel-bethge", "boundary", "hopskipjump",
                 "blended", "rotation-translation", *GRIDS)  # fmt: skip
CANARY_PASSES = 48 * 500  # images, and passes of all canaries under all attacks
# Images of the tasks that do not say it.
TASK_IMAGES = {
    "digits": 1797, "cifar10": 60000, "cifar100": 60000, "tiny-imagenet": 110000, "celeba-identity": 2900,
    "celeba-attributes": 202599,
}  # fmt: skip
IMAGES_PER_CLASS = 1350  # of ImageNet, validation included
LABELLED_VOXELS = 90000  # of a subject of NSD, over all atlases
ROI_VOXELS = 1500
SESSION_BYTES = {"nii.gz": 467e6, "hdf5": 1094e6}
STIMULUS_BYTES = 425 * 425 * 3
CUBE = 81 * 104 * 83  # voxels of subj01's functional grid


def startup(rule: str) -> float:
    """Seconds of a job that does nothing: interpreter, imports (torch for the rules that train), reading."""
    return 6.0 if rule in GPU_RULES else 2.0


@dataclass(frozen=True)
class Job:
    """One job of a study: its rule, the wildcards in the order of its benchmark's path, its work and its files."""

    rule: str
    names: tuple[str, ...]
    units: float
    output_bytes: float = 0.0
    rois: tuple[str, ...] = ()


def study_jobs(config: Mapping[str, Any]) -> list[Job]:
    """Every job of the target `all`, in the order of the stages."""
    return [*_nsd(config), *_predictors(config), *_networks(config), *_report(config)]


def _nsd(config: Mapping[str, Any]) -> Iterator[Job]:
    data, phantom = config["data"], config.get("phantom", {})
    is_phantom = data["source"] == "phantom"
    per_session = phantom.get("trials_per_session", 750) if is_phantom else 750
    trials = {subject: spec["sessions"] * per_session for subject, spec in data["subjects"].items()}
    if is_phantom:
        volume = sum(trials[s] * _volume(config, s) for s in trials)
        yield Job("make_phantom", (), sum(trials.values()), 2 * volume * len(phantom["formats"]))
    for rule, kind in (("make_scenes", "phantom-scenes"), ("make_faces", "phantom-faces")):
        if any(task["kind"] == kind for task in config["tasks"].values()):
            spec = phantom[PHANTOM_TASKS[kind]]
            count = spec["train"] + spec["validation"] + spec["test"]
            yield Job(rule, (), count, count * spec["size"] ** 2 * 3)
    for subject, n in trials.items():
        volume = _volume(config, subject)
        voxels = LABELLED_VOXELS * volume / CUBE
        yield Job("extract_betas", (subject,), n * volume / 1000, 2 * n * voxels)
        for size in sorted({spec["input_size"] for spec in config["predictors"].values()}):
            images = _images_seen(config, subject)
            yield Job("build_stimuli", (subject, str(size)), images, images * size**2 * 3)
        for roi in config["rois"]:
            yield Job("extract_roi", (subject, roi), n, 4 * n / 3 * ROI_VOXELS * volume / CUBE, (roi,))


def _volume(config: Mapping[str, Any], subject: str) -> float:
    """Voxels of a subject's functional grid."""
    if config["data"]["source"] != "phantom":
        return CUBE
    x, y, z = config["phantom"]["subjects"][subject]["grid"]
    return x * y * z


def _images_seen(config: Mapping[str, Any], subject: str) -> float:
    """Distinct images that a subject saw: each is shown three times."""
    sessions = config["data"]["subjects"][subject]["sessions"]
    phantom = config["data"]["source"] == "phantom"
    return sessions * (config["phantom"]["trials_per_session"] if phantom else 750) / 3


def _predictors(config: Mapping[str, Any]) -> Iterator[Job]:
    shown = next(iter(config["predictors"]))
    wanted = {(shown, roi, seed) for roi in config["rois"] for seed in config["predictor_seeds"]}
    for condition in config["conditions"].values():
        if "predictor" in condition:
            seeds = {predictor_seed(config, seed) for seed in config["seeds"]}
            rois = (*condition.get("target", ()), *condition.get("match", ()))
            wanted |= {(condition["predictor"], roi, seed) for roi in rois for seed in seeds}
    images = sum(_images_seen(config, subject) for subject in config["data"]["subjects"])
    for name, roi, seed in sorted(wanted):
        spec = config["predictors"][name]
        units = images * spec.get("epochs", 50 if spec["kind"] == "gnet" else 5) * spec["input_size"] ** 2 / 1000
        voxels = sum(ROI_VOXELS * _volume(config, subject) / CUBE for subject in config["data"]["subjects"])
        size = 4 * (voxels * 1900 + 16e3 * spec.get("trunk_width", 64))
        yield Job("train_predictor", (name, roi, f"seed{seed}"), units, size, (roi,))


def task_images(config: Mapping[str, Any], task: str) -> int:
    """Images of a task's data set."""
    spec = config["tasks"][task]
    if spec["kind"] in PHANTOM_TASKS:
        shown = config["phantom"][PHANTOM_TASKS[spec["kind"]]]
        return shown["train"] + shown["validation"] + shown["test"]
    if spec["kind"] in TASK_IMAGES:
        return TASK_IMAGES[spec["kind"]]
    return IMAGES_PER_CLASS * (50 if spec.get("classes", "imagenet50") == "imagenet50" else 1000)


def attack_passes(settings: Mapping[str, Any]) -> float:
    """Forward and backward passes per image of one attack with all its budgets (its first is 0: clean)."""
    method, budgets = settings["method"], len(settings["budgets"]) - 1
    if method in PASSES:
        passes = PASSES[method](settings)
    else:
        passes = 2 * settings.get("steps", 50) * math.prod(max(1, settings.get(name, 1)) for name in REPEATS)
    if settings.get("order") == "bisection":
        budgets = min(budgets, math.ceil(math.log2(budgets + 1)))
    return passes * (1 if method in FINDS_MINIMUM else budgets)


def _networks(config: Mapping[str, Any]) -> Iterator[Job]:
    passes = sum(attack_passes(settings) for settings in config["attacks"].values())
    for task, spec in config["tasks"].items():
        count, side = task_images(config, task), task_size(config, task)
        yield Job("prepare_task", (task,), count, count * side**2 * 3)
        yield Job("attack_canaries", (task,), CANARY_PASSES * side**2 / 1000)
        corrupted = _corrupted_images(config) * side**2 / 1000
        if corrupted:
            yield Job("make_corruptions", (task,), corrupted, 2500 * corrupted)
        epochs = {**config["training"], **spec["training"]}["epochs"]
        for architecture in config["architectures"]:
            if "transfer" in config:
                passes_each = _transfer_passes(config, task) * side**2 / 1000
                yield Job("transfer_attacks", (task, architecture), passes_each)
            for name in chosen_conditions(config, spec):
                condition = config["conditions"][name]
                rois = tuple(condition.get("target", ()))
                for seed in config["seeds"]:
                    where = (task, architecture, name, f"seed{seed}")
                    guide = _guide(config, condition) / 4  # a predictor's pass costs a quarter of a network's
                    seen = count * epochs * (side**2 * 3 * _steps(condition) + guide) / 3000
                    attacked = config["attack_images"] * side**2 / 1000
                    yield Job("train_network", where, seen, 45e6, rois)
                    yield Job("attack_network", where, attacked * (passes + 20), 2e6 * (side / 32) ** 2, rois)
                    if corrupted:
                        yield Job("corrupt_network", where, corrupted, 1e5, rois)
                    yield Job("explain_network", where, attacked * 4 + attacked * len(config["rois"]), 1e4, rois)


def _corrupted_images(config: Mapping[str, Any]) -> int:
    """Corrupted images of one task: every type at five severities."""
    if "corruptions" not in config:
        return 0
    types = config["corruptions"]["types"]
    count = len(types) if isinstance(types, list) else {"scored": 15, "all": 19}[types]
    return 5 * count * config["corruptions"]["images"]


def _transfer_passes(config: Mapping[str, Any], task: str) -> float:
    """Image passes of one task and architecture's transfer: every network sees the adversarials of each."""
    networks = len(chosen_conditions(config, config["tasks"][task])) * len(config["seeds"])
    images = min(config["transfer"].get("images", config["attack_images"]), config["attack_images"])
    climbs = 2 * config["transfer"]["steps"] * networks if config["transfer"].get("ensembles") else 0
    return images * (networks**2 + climbs)


def _guide(config: Mapping[str, Any], condition: Mapping[str, Any]) -> float:
    """Pixels that the predictors of a condition read per image."""
    if "predictor" not in condition:
        return 0.0
    return len(condition["target"]) * config["predictors"][condition["predictor"]]["input_size"] ** 2


def _steps(condition: Mapping[str, Any]) -> float:
    """Passes of a training step, in those of plain training: adversarial training attacks each batch."""
    reference = condition.get("reference", {})
    return 1 + reference.get("steps", 10 if reference.get("kind") in ("adversarial", "trades") else 0)


def _report(config: Mapping[str, Any]) -> Iterator[Job]:
    trained = sum(len(chosen_conditions(config, spec)) for spec in config["tasks"].values())
    networks = trained * len(config["architectures"]) * len(config["seeds"])
    yield Job("tabulate_results", (), networks, 1e4 * networks)
    yield Job("draw_figures", (), networks, 1e6)
    yield Job("write_index", (), networks, 5e6)
    for roi in config["rois"]:
        yield Job("write_roi_page", (roi,), networks / len(config["rois"]), 3e6, (roi,))


def download_bytes(config: Mapping[str, Any]) -> float:
    """Bytes of NSD that the study reads: betas of its sessions and the images that its subjects saw."""
    data = config["data"]
    if data["source"] == "phantom":
        return 0.0
    sessions = sum(spec["sessions"] for spec in data["subjects"].values())
    images = sum(_images_seen(config, subject) for subject in data["subjects"])
    return sessions * SESSION_BYTES[data["format"]] + images * STIMULUS_BYTES


def disk_bytes(config: Mapping[str, Any]) -> float:
    """Bytes that the study writes, its downloads included."""
    return sum(job.output_bytes for job in study_jobs(config)) + download_bytes(config)


# --- rates ---


def read_benchmarks(folder: Path) -> dict[tuple[str, tuple[str, ...]], float]:
    """(rule, names) -> seconds, of every finished job with a benchmark file below `folder`."""
    seconds = {}
    for path in sorted(folder.rglob("*.tsv")):
        parts = list(path.relative_to(folder).with_suffix("").parts)
        while parts and parts[0] not in STAGE_OF:
            parts.pop(0)  # report/<rule>
        if not parts:
            continue
        with path.open(encoding="utf-8") as file:
            rows = list(csv.DictReader(file, delimiter="\t"))
        if rows:
            seconds[parts[0], tuple(parts[1:])] = float(rows[-1]["s"])
    return seconds


def find_benchmark(job: Job, seconds: Mapping[tuple[str, tuple[str, ...]], float]) -> float | None:
    """A job's measured seconds; a job without names has its benchmark under any name."""
    if job.names:
        return seconds.get((job.rule, job.names))
    return next((value for (rule, _), value in seconds.items() if rule == job.rule), None)


def measure_rates(studies: Iterable[tuple[list[Job], Mapping[tuple[str, tuple[str, ...]], float]]]) -> dict[str, float]:
    """Seconds per unit of each rule, over all finished jobs of some studies: their sum over the sum of their units."""
    time: dict[str, float] = defaultdict(float)
    units: dict[str, float] = defaultdict(float)
    for jobs, seconds in studies:
        for job in jobs:
            took = find_benchmark(job, seconds)
            if took is not None:
                time[job.rule] += max(took - startup(job.rule), 0.05 * took)
                units[job.rule] += job.units
    return {rule: time[rule] / units[rule] for rule in time if units[rule] > 0}


def default_rate(rule: str, gpu: bool) -> float:
    """The documented rate of a rule, on a GPU where it uses one and there is one."""
    return DEFAULTS[rule] / (GPU_SPEEDUP if gpu and rule in GPU_RULES else 1.0)


def job_seconds(job: Job, rates: Mapping[str, float], gpu: bool) -> float:
    """Predicted wall time of a job."""
    return startup(job.rule) + job.units * rates.get(job.rule, default_rate(job.rule, gpu))


def wall_seconds(costs: Iterable[tuple[Job, float]], slots: int) -> float:
    """Predicted wall time with `slots` jobs at a time: rules one after the other, each as slow as its longest job."""
    by_rule: dict[str, list[float]] = defaultdict(list)
    for job, seconds in costs:
        by_rule[job.rule].append(seconds)
    total = sum(map(sum, by_rule.values()))
    longest = sum(max(values) for values in by_rule.values())
    return max(total / slots, longest)


# --- the table ---


def plan_study(config: Mapping[str, Any], folder: Path, configs: Path, submitted: bool, output: Path) -> None:
    """Print and write what the study costs. See `plan_text`; whether there is a GPU is looked up here."""
    gpu = submitted or shutil.which("nvidia-smi") is not None
    text = plan_text(config, folder, configs, submitted, gpu)
    write_text(output, text)
    print(text)


def plan_text(config: Mapping[str, Any], folder: Path, configs: Path, submitted: bool, gpu: bool) -> str:
    """The cost of what is left of a study, per stage and per ROI.

    folder: the working directory; configs: a folder of configurations: each study of these that has benchmark files
    gives rates, the planned one before the others. submitted: jobs go through SLURM. gpu: GPU rules have one.
    """
    jobs, done = study_jobs(config), read_benchmarks(folder / config["results"] / "benchmarks")
    rates, origin = known_rates(config, folder, configs)
    left = [job for job in jobs if find_benchmark(job, done) is None]
    costs = [(job, job_seconds(job, rates, gpu) + SUBMISSION * submitted) for job in left]
    lines = [f"Study {config['study']}: {len(jobs)} jobs, {len(jobs) - len(left)} done, {len(left)} to do.", ""]
    by_stage = {stage: [c for c in costs if STAGE_OF[c[0].rule] == stage] for stage in STAGES}
    lines += cost_table("stage", {**by_stage, "total": costs}, gpu)
    by_roi = {roi: [c for c in costs if roi in c[0].rois] for roi in config["rois"]}
    shared = [c for c in costs if not c[0].rois]
    lines += ["", *cost_table("ROI", {**by_roi, "shared": shared}, gpu)]
    if download := download_bytes(config):
        note = "`python -m neurobust.nsd plan` asks the bucket"
        lines += ["", f"Download: about {download / 1e9:.0f} GB in all, less what is there ({note})."]
    walls = ", ".join(f"{slots} at a time {clock(wall_seconds(costs, slots))}" for slots in (1, 2, 8, 64))
    lines += ["", f"Wall time: {walls}.", "", "Rates:"]
    for rule in STAGE_OF:
        if any(job.rule == rule for job in jobs):
            device = " on a GPU" if gpu and rule in GPU_RULES else ""
            lines.append(f"  {rule:18}{origin.get(rule, f'documented default{device}')}")
    return "\n".join(lines) + "\n"


def known_rates(config: Mapping[str, Any], folder: Path, configs: Path) -> tuple[dict[str, float], dict[str, str]]:
    """Measured rates and where each was measured: on this study, else on the other studies of `configs`."""
    studies = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in sorted(configs.glob("*.yaml"))]
    others = [other for other in studies if "study" in other and other["study"] != config["study"]]
    rates: dict[str, float] = {}
    origin: dict[str, str] = {}
    for study in (config, *others):
        seconds = read_benchmarks(folder / study["results"] / "benchmarks")
        if not seconds:
            continue
        for rule, rate in measure_rates([(study_jobs(study), seconds)]).items():
            if rule not in rates:
                count = sum(name == rule for name, _ in seconds)
                rates[rule], origin[rule] = rate, f"measured on {count} jobs of the study {study['study']}"
    return rates, origin


def cost_table(title: str, groups: Mapping[str, list[tuple[Job, float]]], gpu: bool) -> list[str]:
    """A table of groups of (job, seconds): jobs, GPU-hours, CPU-hours, disk."""
    lines = [f"{title:12}{'jobs':>8}{'GPU-hours':>12}{'CPU-hours':>12}{'disk':>12}"]
    for name, costs in groups.items():
        on_gpu = sum(seconds for job, seconds in costs if gpu and job.rule in GPU_RULES) / 3600
        cpu = sum(seconds for _, seconds in costs) / 3600  # a GPU job holds a core as well
        size = sum(job.output_bytes for job, _ in costs)
        lines.append(f"{name:12}{len(costs):>8}{on_gpu:>12.2f}{cpu:>12.2f}{size / 1e9:>9.2f} GB")
    return lines
