"""Every job of a study, with what its time grows with: known from the configuration alone, before anything runs."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from neurobust.study.config import PHANTOM_TASKS, chosen_conditions, predictor_seed, task_size

STAGES = {
    "nsd": ("make_phantom", "make_scenes", "make_faces", "extract_betas", "extract_roi", "build_stimuli"),
    "predictors": ("train_predictor",),
    "networks": ("prepare_task", "train_network"),
    "attacks": (
        "attack_network", "attack_canaries", "transfer_attacks", "make_corruptions", "corrupt_network", "train_helper",
        "attack_semantic",
    ),
    "explain": ("explain_network",),
    "report": ("tabulate_results", "tabulate_semantic", "draw_figures", "write_index", "write_roi_page"),
}  # fmt: skip
STAGE_OF = {rule: stage for stage, rules in STAGES.items() for rule in rules}
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
    return [*_nsd(config), *_predictors(config), *_networks(config), *_semantic(config), *_report(config)]


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


# Auxiliary networks of each attack, with their epochs where the study does not say them.
HELPERS = {
    "cadv": {"oracle": 10, "colouriser": 15},
    "tadv": {"oracle": 10, "texture": 10},
    "semanticadv": {"oracle": 10, "identity": 10, "editor": 40},
}
# Steps of training an auxiliary network, in those of the oracle: some pass the image through several networks.
HELPER_COST = {"oracle": 1.0, "colouriser": 3.0, "texture": 1.0, "identity": 1.5, "editor": 4.0}


def _semantic(config: Mapping[str, Any]) -> Iterator[Job]:
    semantic = config.get("semantic", {})
    helpers: dict[tuple[str, str], Job] = {}  # one that two attacks need is trained once
    for attack in [name for name in HELPERS if name in semantic]:
        settings = semantic[attack]
        chosen = chosen_conditions(config, settings)
        for task in settings.get("tasks", config["tasks"]):
            pixels = task_size(config, task) ** 2 / 1000
            for name, epochs in HELPERS[attack].items():
                seen = task_images(config, task) * semantic.get("networks", {}).get(name, {}).get("epochs", epochs)
                helpers[name, task] = Job("train_helper", (task, name), seen * pixels * HELPER_COST[name], 2e6)
            units = semantic["images"] * semantic_steps(attack, settings) * pixels
            names = [name for name in chosen_conditions(config, config["tasks"][task]) if name in chosen]
            for architecture, name, seed in itertools.product(config["architectures"], names, config["seeds"]):
                rois = tuple(config["conditions"][name].get("target", ()))
                yield Job("attack_semantic", (task, architecture, name, f"seed{seed}", attack), units, 1e6, rois)
    yield from helpers.values()


def semantic_steps(attack: str, settings: Mapping[str, Any]) -> float:
    """Steps of a semantic attack per image with all its strengths; those of tAdv are its strengths, taken once."""
    if attack == "tadv":
        return max(settings.get("strengths", (14,)))
    return settings.get("steps", 60) * len(settings.get("strengths", range(5)))


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
    if any(name in config.get("semantic", {}) for name in HELPERS):
        yield Job("tabulate_semantic", (), networks, 1e5)
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
