"""The recipe of a network: its keys, their defaults and checks, and the optimisers and schedules that it can name."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import nn

from neurobust.core.errors import InputError
from neurobust.networks.architectures import ARCHITECTURES, STEMS
from neurobust.networks.batches import AUGMENTATIONS
from neurobust.networks.controls import CONTROLS, ORACLE
from neurobust.networks.losses import LOSSES
from neurobust.networks.references import REFERENCES

DEFAULTS: dict[str, Any] = {
    "architecture": "resnet18",
    "stem": "imagenet",
    "pretrained": False,
    "condition": {"target": None},
    "epochs": 8,
    "batch_size": 64,
    "optimizer": "sgd",
    "learning_rate": 0.05,
    "momentum": 0.9,
    "weight_decay": 5e-4,
    "schedule": "onecycle",
    "augment": "none",
    "ce_weight_none": 0.1,  # weight of the cross-entropy where the condition `none` names no `weight` of its own
}
# Keys of a condition that only some need. They stay out of a resolved recipe where they are not given.
TARGET_KEYS = ("layers", "pool", "schedule", "subjects", "match", "features", "pairs")
CONDITION_KEYS = ("target", "loss", "weight", "control", *TARGET_KEYS, "reference")


def one_cycle(progress: float) -> float:
    """Factor of the learning rate at `progress` in [0, 1]: cosine from 1/25 up to 1 at 0.3, then down to 0."""
    if progress < 0.3:
        return 0.04 + 0.96 * (1 - math.cos(math.pi * progress / 0.3)) / 2
    return (1 + math.cos(math.pi * (progress - 0.3) / 0.7)) / 2


def steps(progress: float) -> float:
    """Factor of the learning rate: divided by 10 after each third of the training (Shao et al. 2024)."""
    return 0.1 ** min(2, int(3 * progress + 1e-9))


SCHEDULES: dict[str, Callable[[float], float]] = {
    "onecycle": one_cycle,
    "step": steps,
    "constant": lambda progress: 1.0,
}

# Share of the condition's weight that the neural loss has at `progress` in [0, 1]; cross-entropy keeps 1 - weight.
WEIGHT_SCHEDULES: dict[str, Callable[[float], float]] = {
    "constant": lambda progress: 1.0,
    "ramp": lambda progress: min(1.0, 2 * progress),
    "late": lambda progress: float(progress >= 0.25),
    "early": lambda progress: float(progress < 0.5),
}

# Every optimiser acts on each parameter by itself (no norm over all of them), so a neural head cannot reach the
# backbone through momentum, weight decay or clipping.
OPTIMIZERS: dict[str, Callable[[Iterable[nn.Parameter], Mapping[str, Any]], torch.optim.Optimizer]] = {
    "sgd": lambda parameters, recipe: torch.optim.SGD(
        parameters, recipe["learning_rate"], momentum=recipe["momentum"], weight_decay=recipe["weight_decay"]
    ),
    "adamw": lambda parameters, recipe: torch.optim.AdamW(
        parameters, recipe["learning_rate"], betas=(recipe["momentum"], 0.999), weight_decay=recipe["weight_decay"]
    ),
}


def resolve_recipe(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """The recipe with every default filled in; raises InputError with the key's path and value for anything wrong."""
    _known(recipe, DEFAULTS, "recipe")
    recipe = {**DEFAULTS, **recipe}
    for key, names in (
        ("architecture", ARCHITECTURES),
        ("stem", STEMS),
        ("optimizer", OPTIMIZERS),
        ("schedule", SCHEDULES),
        ("augment", AUGMENTATIONS),
    ):
        _one_of(recipe[key], names, f"recipe.{key}")
    for key, least in (("epochs", 1), ("batch_size", 2)):
        if not isinstance(recipe[key], int) or recipe[key] < least:
            raise InputError(f"recipe.{key}: {recipe[key]!r} is not a whole number of at least {least}")
    if not recipe["learning_rate"] > 0:
        raise InputError(f"recipe.learning_rate: {recipe['learning_rate']!r} is not positive")
    condition = recipe["condition"] = _resolve_condition(recipe)
    if "reference" in condition:
        reference = condition["reference"]
        recipe.update({key: reference[key] for key in REFERENCES[reference["kind"]].training})
    return recipe


def _resolve_condition(recipe: Mapping[str, Any]) -> dict[str, Any]:
    given = recipe["condition"]
    _known(given, CONDITION_KEYS, "recipe.condition")
    if given.get("target") is None:
        condition = _resolve_untargeted(given)
        weight = given.get("weight", 1 - recipe["ce_weight_none"])
    else:
        condition = _resolve_targeted(given, recipe["batch_size"])
        weight = given.get("weight", 0.9)
    if not 0 <= weight <= 1:
        raise InputError(f"recipe.condition.weight: {weight!r} is not between 0 (cross-entropy only) and 1")
    return {**condition, "weight": weight}


def _resolve_untargeted(given: Mapping[str, Any]) -> dict[str, Any]:
    for key in ("control", *TARGET_KEYS):
        if given.get(key) is not None:
            kind = f"'{given[key]}' is a control" if key == "control" else f"{given[key]!r} is a property"
            raise InputError(f"recipe.condition.{key}: {kind} of a target, but there is no target")
    condition: dict[str, Any] = {"target": None, "loss": None, "control": None}
    if given.get("reference") is not None:
        condition["reference"] = resolve_reference(given["reference"])
    return condition


def resolve_reference(given: Mapping[str, Any]) -> dict[str, Any]:
    """A reference with its defaults filled in; raises InputError for an unknown kind, key or a value out of range."""
    kind = given.get("kind")
    _one_of(kind, REFERENCES, "recipe.condition.reference.kind")
    defaults = REFERENCES[kind].defaults
    _known(given, ("kind", *defaults), "recipe.condition.reference")
    reference = {"kind": kind, **defaults, **{key: value for key, value in given.items() if key != "kind"}}
    for key in defaults:
        if not reference[key] > 0 and key != "weight_decay":
            raise InputError(f"recipe.condition.reference.{key}: {reference[key]!r} is not positive")
    return reference


def _resolve_targeted(given: Mapping[str, Any], batch_size: int) -> dict[str, Any]:
    loss, control = given.get("loss", "mse"), given.get("control")
    _one_of(loss, LOSSES, "recipe.condition.loss")
    _one_of(control, CONTROLS, "recipe.condition.control")
    _one_of(given.get("schedule", "constant"), WEIGHT_SCHEDULES, "recipe.condition.schedule")
    if given.get("reference") is not None:
        raise InputError("recipe.condition.reference: a reference has no target; make it a condition of its own")
    if batch_size < LOSSES[loss].min_batch:
        raise InputError(f"recipe.batch_size: loss '{loss}' needs at least {LOSSES[loss].min_batch} images per batch")
    if given.get("pairs") and (control not in (None, "shuffled") or LOSSES[loss].by_class):
        raise InputError("recipe.condition.pairs: measured responses take the control 'shuffled' and no manifold loss")
    if (control == "subsampled") != bool(given.get("match")):
        raise InputError(
            "recipe.condition.match: the ROIs to match go with the control 'subsampled', and with no other"
        )
    if given.get("features") is not None and control != "features":
        raise InputError("recipe.condition.features: the oracle goes with the control 'features', and with no other")
    _known(given.get("features") or {}, ORACLE, "recipe.condition.features")
    extra = {key: given[key] for key in TARGET_KEYS if given.get(key) is not None}
    return {"target": given["target"], "loss": loss, "control": control, **extra}


def _known(given: Mapping[str, Any], known: Iterable[str], where: str) -> None:
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise InputError(f"{where}: unknown key '{unknown[0]}'; known are {', '.join(known)}")


def _one_of(value: Any, names: Iterable[Any], where: str) -> None:
    if value not in names:
        raise InputError(f"{where}: {value!r} is not known; choose one of {', '.join(str(name) for name in names)}")
