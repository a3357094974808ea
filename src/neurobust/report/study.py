"""What a report is about: the study dict, its paths and its names.

`study` is a JSON-able dict: `name`, `phantom` (bool), `tasks`, `architectures`, `conditions` {name: recipe}, `seeds`,
`attacks` {name: {norm, unit, label, ...}}, `rois`, `subjects`, `root` (the results folder); optional `predictor`
(folder name of the predictor, default "gnet"), `predictor_seeds` (default: `seeds`), `primary_attack`, `benchmarks` (a
folder or a list of files), `trained` {task: the conditions that it is trained with} (default: all),
`reference_strengths` {semantic attack: strength}. Recipes name their `target` ROI and `control`; attacks may name a
`reference_budget`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from neurobust.core.errors import InputError

Study = dict[str, Any]
REQUIRED = ("name", "phantom", "tasks", "architectures", "conditions", "seeds", "attacks", "rois", "subjects", "root")
NORMS = {"linf": "L∞", "l2": "L2", "l1": "L1", "l0": "L0"}


class Network(NamedTuple):
    """The names that make up a network's path."""

    task: str
    architecture: str
    condition: str
    seed: int

    def folder(self, study: Study, stage: str) -> Path:
        """Where `stage` (networks, attacks, explain) keeps this network's files."""
        return Path(study["root"]) / stage / self.task / self.architecture / self.condition / f"seed{self.seed}"


def check_study(study: Study) -> None:
    """Raise InputError where the study dict lacks a key."""
    missing = [key for key in REQUIRED if key not in study]
    if missing:
        raise InputError(f"study: no '{missing[0]}' (has {sorted(study)}); add it to the parameters of the report")


def networks(study: Study) -> Iterator[Network]:
    """Every trained network of the study, in the order of its lists."""
    for task in study["tasks"]:
        for architecture in study["architectures"]:
            for condition in trained(study, task):
                for seed in study["seeds"]:
                    yield Network(task, architecture, condition, int(seed))


def in_order(study: Study, names: Iterable[str]) -> list[str]:
    """The study's conditions that are among `names`, each once, in the study's order."""
    found = set(names)
    return [name for name in study["conditions"] if name in found]


def trained(study: Study, task: str) -> list[str]:
    """The study's conditions that networks are trained with on a task."""
    return in_order(study, study.get("trained", {}).get(task, study["conditions"]))


def predictor_folder(study: Study, roi: str, seed: int) -> Path:
    """Where the predictor of `roi` keeps its files."""
    return Path(study["root"]) / "predictors" / study.get("predictor", "gnet") / roi / f"seed{seed}"


def predictor_seeds(study: Study) -> list[int]:
    """Seeds of the predictors: as many as there are networks' seeds, unless the study says otherwise."""
    return [int(seed) for seed in study.get("predictor_seeds", study["seeds"])]


def target_of(study: Study, condition: str) -> str | None:
    """The ROI that a condition is guided by, or None."""
    recipe = study["conditions"].get(condition) or {}
    if "target" in recipe:
        return recipe["target"]
    stem = condition.split("-")[0]
    return stem if stem in study["rois"] else None


def is_control(study: Study, condition: str) -> bool:
    """Whether a condition removes one ingredient of another one."""
    return bool((study["conditions"].get(condition) or {}).get("control"))


def is_swept(study: Study, condition: str) -> bool:
    """Whether a condition is another one at another weight: a point of its curve, compared along that curve alone."""
    return bool((study["conditions"].get(condition) or {}).get("sweep"))


def controls_of(study: Study, condition: str) -> list[str]:
    """The controls of a condition: same target, one ingredient removed; its own `-shuffled` first. A sweep has none."""
    target = target_of(study, condition)
    if target is None or is_control(study, condition) or is_swept(study, condition):
        return []
    controls = [name for name in study["conditions"] if is_control(study, name) and not is_swept(study, name)]
    found = [name for name in controls if target_of(study, name) == target]
    own = f"{condition}-shuffled"
    return sorted(found, key=lambda name: name != own)


def roi_study(study: Study, roi: str) -> Study:
    """The part of a study that one ROI's page shows: its conditions and controls beside `none`."""
    if roi not in study["rois"]:
        raise InputError(f"report: unknown ROI '{roi}' (the study has {list(study['rois'])}); name one of these")
    kept = {
        name: recipe for name, recipe in study["conditions"].items() if name == "none" or target_of(study, name) == roi
    }
    tasks = [task for task in study["tasks"] if any(name in trained(study, task) for name in kept if name != "none")]
    return {**study, "rois": [roi], "conditions": kept, "tasks": tasks or study["tasks"]}


def is_noise(attack: str, settings: dict[str, Any] | None = None) -> bool:
    """Whether an attack is a noise baseline: it draws perturbations without looking at the network."""
    settings = settings or {}
    return attack.startswith("noise") or settings.get("method") in {"uniform", "sign", "gaussian", "salt-pepper"}


def by_norm(attacks: dict[str, dict[str, Any]]) -> dict[tuple[str, str], list[str]]:
    """Attacks by (norm, unit), worst cases left out: those whose budgets can be compared."""
    groups: dict[tuple[str, str], list[str]] = {}
    for name, settings in attacks.items():
        if settings.get("norm") and "members" not in settings:
            groups.setdefault((settings["norm"], settings.get("unit", "")), []).append(name)
    return groups


def attack_settings(study: Study) -> dict[str, dict[str, Any]]:
    """The study's attacks and, per norm and unit that two of them share, their per-image worst case `worst-<norm>`.

    In reading order: attacks as configured, worst cases, noise.
    """
    attacks = {name: dict(settings or {}) for name, settings in study["attacks"].items()}
    for (norm, unit), members in by_norm(attacks).items():
        if len(members) > 1:
            label = f"worst case {NORMS.get(norm, norm)}"
            attacks[f"worst-{norm}"] = {"norm": norm, "unit": unit, "label": label, "members": members}
    return dict(sorted(attacks.items(), key=lambda item: is_noise(*item)))


def attack_label(study: Study, attack: str) -> str:
    """An attack's name for readers."""
    return attack_settings(study).get(attack, {}).get("label", attack)


def format_budget(budget: float, unit: str) -> str:
    """A budget with its unit: `4/255`, `0.5 L2`, `budget 0.1`."""
    if unit == "1/255":
        return f"{budget:g}/255"
    return f"{budget:g} {unit}" if unit else f"budget {budget:g}"


def reference_budget(settings: dict[str, Any], budgets: list[float]) -> float | None:
    """The budget that tables quote: the configured one, else the middle non-zero one (fixed before any result)."""
    configured = settings.get("reference_budget")
    if configured is not None and float(configured) in budgets:
        return float(configured)
    positive = sorted(budget for budget in budgets if budget > 0)
    return positive[len(positive) // 2] if positive else None


def primary_attack(study: Study) -> str | None:
    """The attack that the answer is read from: the configured one, else the worst case in L∞, else a PGD, else any."""
    attacks = attack_settings(study)
    wanted = [study.get("primary_attack"), "worst-linf", *(a for a in attacks if a.startswith("pgd"))]
    wanted += [name for name, settings in attacks.items() if not is_noise(name, settings)] + list(attacks)
    return next((name for name in wanted if name in attacks), None)
