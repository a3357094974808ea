"""The study's configuration: checked whole before any job, every fault one line with the key's path."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from neurobust.core.errors import InputError

PRESENTATION = ("label", "reference_budget")  # keys of an attack that change its page and not its numbers
# Tasks that the phantom renders, and the key of `phantom` that says how.
PHANTOM_TASKS = {"phantom-scenes": "scenes", "phantom-faces": "face_task"}
# Side in pixels of a task's images where its `image_size` is not given.
TASK_SIZES = {
    "digits": 32, "cifar10": 32, "cifar100": 32, "tiny-imagenet": 64, "celeba-identity": 64, "celeba-attributes": 64,
    "image-folder": 224,
}  # fmt: skip
# Tasks whose images have attributes, which SemanticAdv turns.
FACE_TASKS = ("phantom-faces", "celeba-identity", "celeba-attributes")
# Tasks whose images the user brings, and what `source` must be.
USER_TASKS = {
    "image-folder": "the folder that holds train and val",
    "cifar10": "the folder cifar-10-batches-py",
    "cifar100": "the folder cifar-100-python",
    "tiny-imagenet": "the folder tiny-imagenet-200",
    "celeba-identity": "the folder of CelebA, with img_align_celeba and its text files",
    "celeba-attributes": "the folder of CelebA, with img_align_celeba and its text files",
}


def check_config(config: Mapping[str, Any], schema: Path) -> None:
    """Raise InputError unless `config` fits the JSON Schema in the YAML file `schema` and its names fit together."""
    import jsonschema
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # each job reads this: a quarter of a second less
    rules = yaml.load(Path(schema).read_text(encoding="utf-8"), Loader=loader)
    error = jsonschema.exceptions.best_match(jsonschema.Draft202012Validator(rules).iter_errors(dict(config)))
    if error is not None:
        raise InputError(describe(error))
    for path, problem in cross_checks(config):
        raise InputError(f"config: {path}: {problem}")


def describe(error: Any) -> str:
    """A validation error as one line: where, what, and what is allowed."""
    where = ".".join(str(part) for part in error.absolute_path)
    prefix = f"config: {where}: " if where else "config: "
    if error.validator == "additionalProperties":
        known = sorted(error.schema.get("properties", ()))
        extra = sorted(set(error.instance) - set(known))
        return f"{prefix}unknown key '{extra[0]}'; known keys are {', '.join(known)}"
    if error.validator == "required":
        missing = sorted(set(error.validator_value) - set(error.instance))
        return f"{prefix}missing key '{missing[0]}'"
    if "propertyNames" in error.absolute_schema_path:
        allowed = error.validator_value
        hint = f"choose one of {', '.join(allowed)}" if isinstance(allowed, list) else f"it must match {allowed}"
        return f"{prefix}key '{error.instance}' is not allowed here; {hint}"
    if error.validator == "enum":
        return f"{prefix}{error.instance!r} is not known; choose one of {', '.join(map(str, error.validator_value))}"
    return f"{prefix}{error.message}"


def cross_checks(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield (key path, problem) for names that point nowhere."""
    yield from _check_data(config)
    for name, condition in config["conditions"].items():
        for weight in condition.get("weights", ()):
            if weight == condition["weight"] or f"{name}-w{weight:g}" in config["conditions"]:
                yield f"conditions.{name}.weights", f"{weight:g} is there already, as the weight of a condition"
        for key, problem in _check_condition(config, condition):
            yield f"conditions.{name}.{key}", problem
    for name, settings in config["attacks"].items():
        budgets = settings["budgets"]
        if budgets != sorted(budgets) or budgets[0] != 0:
            yield f"attacks.{name}.budgets", f"{budgets} must ascend from 0"
        reference = settings.get("reference_budget", budgets[-1])
        if reference not in budgets:
            yield f"attacks.{name}.reference_budget", f"{reference} is not one of the budgets {budgets}"
    for task, spec in config["tasks"].items():
        yield from _check_names(config, f"tasks.{task}", spec)
    yield from _check_semantic(config)
    if config["primary_attack"] not in config["attacks"]:
        yield "primary_attack", f"'{config['primary_attack']}' is not one of `attacks`: {', '.join(config['attacks'])}"


def _check_names(config: Mapping[str, Any], where: str, chosen: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield (key path, problem) for a list of tasks or conditions that names one that is not there."""
    for key, what in (("tasks", "task"), ("conditions", "condition")):
        for name in chosen.get(key, []):
            if name not in config[key]:
                yield f"{where}.{key}", f"unknown {what} '{name}'; `{key}` has {', '.join(config[key])}"


def _check_semantic(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield (key path, problem) for semantic attacks on what is not there or on tasks that have no attributes."""
    for attack, settings in config.get("semantic", {}).items():
        if attack in ("images", "networks"):
            continue
        if list(settings.get("strengths", [])) != sorted(settings.get("strengths", [])):
            yield f"semantic.{attack}.strengths", f"{settings['strengths']} must ascend"
        reference = settings.get("reference_strength")
        if reference is not None and reference not in settings.get("strengths", []):
            yield f"semantic.{attack}.reference_strength", f"{reference} is not one of its `strengths`"
        yield from _check_names(config, f"semantic.{attack}", settings)
        for task in settings.get("tasks", []):
            if attack == "semanticadv" and config["tasks"].get(task, {}).get("kind") not in FACE_TASKS:
                yield f"semantic.{attack}.tasks", f"'{task}' has no attributes; of kinds {', '.join(FACE_TASKS)}"


def _check_condition(config: Mapping[str, Any], condition: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield (key, problem) for what does not fit together in one condition."""
    if "target" not in condition:
        for key in sorted(set(condition) - {"weight", "weights", "reference"})[:1]:
            yield key, "a condition without a target has no such key; add `target` or remove it"
        return
    if "loss" not in condition:
        yield "loss", "a condition with a target needs a loss"
    if "reference" in condition:
        yield "reference", "a reference has no target; make it a condition of its own"
    known = {"target": config["rois"], "match": config["rois"], "subjects": config["data"]["subjects"]}
    for key, names in known.items():
        for name in condition.get(key, []):
            if name not in names:
                what, where = ("subject", "data.subjects") if key == "subjects" else ("ROI", "rois")
                yield key, f"unknown {what} '{name}'; `{where}` has {', '.join(names)}"
    yield from _check_pairs(condition) if condition.get("pairs") else _check_control(config, condition)


def _check_pairs(condition: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for key in sorted(set(condition) & {"predictor", "subjects", "features", "match"}):
        yield key, "measured responses need no such key; remove it or `pairs`"
    if condition.get("control", "shuffled") != "shuffled":
        yield "control", "measured responses take the control 'shuffled' only"
    if condition.get("loss", "").startswith("manifold"):
        yield "loss", "manifold guidance needs responses to the task's own images; name a predictor instead of `pairs`"


def _check_control(config: Mapping[str, Any], condition: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    predictors, control = config["predictors"], condition.get("control")
    if condition.get("predictor") not in predictors:
        yield "predictor", f"{condition.get('predictor')!r} is not one of `predictors`: {', '.join(predictors)}"
        return
    for key, its_control in (("match", "subsampled"), ("features", "features")):
        if key in condition and control != its_control:
            yield key, f"goes with `control: {its_control}` and with no other"
    if control == "subsampled" and "match" not in condition:
        yield "match", "missing: the ROIs whose number of voxels and noise ceilings the target is matched with"
    shuffled = bool(predictors[condition["predictor"]].get("shuffle_pairing"))
    if shuffled != (control == "predictor-shuffled"):
        yield "control", "predictor-shuffled goes with a predictor of `shuffle_pairing: true`, and such a one with it"


def _check_data(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    data = config["data"]
    needs_phantom = data["source"] == "phantom" or any(t["kind"] in PHANTOM_TASKS for t in config["tasks"].values())
    if needs_phantom and "phantom" not in config:
        yield "phantom", "missing: data.source is phantom or a task shows phantom scenes"
    for name, task in config["tasks"].items():
        if "epochs" not in {**config["training"], **task["training"]}:
            yield f"tasks.{name}.training.epochs", "missing here and in `training`"
        if task["kind"] in USER_TASKS and "source" not in task:
            yield f"tasks.{name}.source", f"missing: {USER_TASKS[task['kind']]}"
        section = PHANTOM_TASKS.get(task["kind"])
        if section and "phantom" in config and section not in config["phantom"]:
            yield f"phantom.{section}", f"missing: the task {name} shows what it describes"
    if data["source"] != "phantom":
        return
    phantom = config.get("phantom", {})
    for subject, spec in data["subjects"].items():
        if subject not in phantom.get("subjects", {}):
            yield f"data.subjects.{subject}", "the phantom has no such subject; add it to phantom.subjects"
        if spec["sessions"] > phantom.get("planned_sessions", 40):
            yield f"data.subjects.{subject}.sessions", f"{spec['sessions']} is more than phantom.planned_sessions"
    if data["format"] not in phantom.get("formats", []):
        yield "data.format", f"the phantom is not written as {data['format']}; add it to phantom.formats"


def with_sweeps(config: Mapping[str, Any]) -> dict[str, Any]:
    """The study with each condition's `weights` as conditions of their own, V1-w0.5 being V1 with that weight.

    They follow the condition and carry its name as `sweep`: together they are its curve of clean and robust accuracy,
    along which the report compares it at equal clean accuracy. The condition keeps its own weight and name.
    """
    conditions = {}
    for name, condition in config["conditions"].items():
        own = {key: value for key, value in condition.items() if key != "weights"}
        conditions[name] = own
        for weight in condition.get("weights", ()):
            conditions[f"{name}-w{weight:g}"] = {**own, "weight": weight, "sweep": name}
    return {**config, "conditions": conditions}


def chosen_conditions(config: Mapping[str, Any], chosen: Mapping[str, Any]) -> list[str]:
    """The conditions that a section's `conditions` lists, each with its sweep; all of them where it has no such list.

    `config` with its sweeps (`with_sweeps`), `chosen` a task or a semantic attack.
    """
    names = chosen.get("conditions", list(config["conditions"]))
    return [
        name for name, condition in config["conditions"].items() if name in names or condition.get("sweep") in names
    ]


def recipe_of(config: Mapping[str, Any], task: str, architecture: str, condition: str) -> dict[str, Any]:
    """Everything that makes a network: the task's training over the study's, the architecture and the condition."""
    recipe = {**config["training"], **config["tasks"][task]["training"]}
    chosen = {key: value for key, value in config["conditions"][condition].items() if key not in ("predictor", "sweep")}
    chosen["target"] = "+".join(chosen["target"]) if "target" in chosen else None
    if "features" in chosen:  # the weights are an input, told by their content and not by their name
        chosen["features"] = {key: value for key, value in chosen["features"].items() if key != "weights"}
    return {**recipe, "architecture": architecture, **config["architectures"][architecture], "condition": chosen}


def task_size(config: Mapping[str, Any], task: str) -> int:
    """Side in pixels of a task's images."""
    spec = config["tasks"][task]
    if spec["kind"] in PHANTOM_TASKS:
        return config["phantom"][PHANTOM_TASKS[spec["kind"]]]["size"]
    return spec.get("image_size", TASK_SIZES[spec["kind"]])


def predictor_seed(config: Mapping[str, Any], seed: int) -> int:
    """The predictor's seed for a network's seed: the k-th goes with the k-th, counted round."""
    seeds = config["predictor_seeds"]
    return seeds[config["seeds"].index(seed) % len(seeds)]


def attack_settings(config: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The attacks without the keys that only a page shows."""
    return {
        name: {key: value for key, value in settings.items() if key not in PRESENTATION}
        for name, settings in config["attacks"].items()
    }
