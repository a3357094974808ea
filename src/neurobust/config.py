"""The study's configuration: checked whole before any job, every fault one line with the key's path."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from neurobust.errors import InputError

PRESENTATION = ("label", "reference_budget")  # keys of an attack that change its page and not its numbers


def check_config(config: Mapping[str, Any], schema: Path) -> None:
    """Raise InputError unless `config` fits the JSON Schema in the YAML file `schema` and its names fit together."""
    import jsonschema
    import yaml

    rules = yaml.safe_load(Path(schema).read_text(encoding="utf-8"))
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
        where = f"conditions.{name}"
        if "target" not in condition:
            extra = sorted(set(condition) - {"weight"})
            if extra:
                yield f"{where}.{extra[0]}", "a condition without a target has no such key; add `target` or remove it"
            continue
        for roi in condition["target"]:
            if roi not in config["rois"]:
                yield f"{where}.target", f"unknown ROI '{roi}'; `rois` has {', '.join(config['rois'])}"
        if condition.get("predictor") not in config["predictors"]:
            known = ", ".join(config["predictors"])
            yield f"{where}.predictor", f"{condition.get('predictor')!r} is not one of `predictors`: {known}"
        if "loss" not in condition:
            yield f"{where}.loss", "a condition with a target needs a loss"
    for name, settings in config["attacks"].items():
        budgets = settings["budgets"]
        if budgets != sorted(budgets) or budgets[0] != 0:
            yield f"attacks.{name}.budgets", f"{budgets} must ascend from 0"
        reference = settings.get("reference_budget", budgets[-1])
        if reference not in budgets:
            yield f"attacks.{name}.reference_budget", f"{reference} is not one of the budgets {budgets}"
    if config["primary_attack"] not in config["attacks"]:
        yield "primary_attack", f"'{config['primary_attack']}' is not one of `attacks`: {', '.join(config['attacks'])}"


def _check_data(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    data = config["data"]
    needs_phantom = data["source"] == "phantom" or any(t["kind"] == "phantom-scenes" for t in config["tasks"].values())
    if needs_phantom and "phantom" not in config:
        yield "phantom", "missing: data.source is phantom or a task shows phantom scenes"
    for name, task in config["tasks"].items():
        if "epochs" not in {**config["training"], **task["training"]}:
            yield f"tasks.{name}.training.epochs", "missing here and in `training`"
        if task["kind"] == "image-folder" and "source" not in task:
            yield f"tasks.{name}.source", "missing: the folder that holds train and val"
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


def recipe_of(config: Mapping[str, Any], task: str, architecture: str, condition: str) -> dict[str, Any]:
    """Everything that makes a network: the task's training over the study's, the architecture and the condition."""
    recipe = {**config["training"], **config["tasks"][task]["training"]}
    chosen = {key: value for key, value in config["conditions"][condition].items() if key != "predictor"}
    chosen["target"] = "+".join(chosen["target"]) if "target" in chosen else None
    return {**recipe, "architecture": architecture, **config["architectures"][architecture], "condition": chosen}


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
