"""config/schema.yaml, made from the classes that check a configuration: `python -m neurobust.study.schema`.

With the word `claims` after it: config/claims.schema.yaml, of a file of claims.
Editors read it to complete and check keys as one types; the pipeline itself checks with the classes (`study.read`).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from neurobust.attacks.plan import UNITS, Shown
from neurobust.attacks.registry import ATTACKS
from neurobust.attacks.semantic.plan import Choice
from neurobust.attacks.semantic.registry import HELPERS, SEMANTIC
from neurobust.attacks.semantic.transfer_settings import SemanticTransfer
from neurobust.attacks.semantic.verification_settings import Met, Verification
from neurobust.core.settings import schema
from neurobust.networks.conditions import Condition, Training
from neurobust.networks.registry import CONTROLS, LOSSES, REFERENCES, TASKS
from neurobust.predictors.registry import CORE, PREDICTORS
from neurobust.study.claims import Claim
from neurobust.study.config import Config
from neurobust.study.read import TaskChoice

Schema = dict[str, Any]
HEADER = "# Made by `make schema` from the classes that check a configuration; a test compares. Do not edit.\n"
DRAFT = "https://json-schema.org/draft/2020-12/schema"


def study_schema() -> Schema:
    """The JSON Schema of a configuration, with what other packages register."""
    whole = schema(Config)
    properties = whole["properties"]
    training = schema(Training)
    properties["training"] = {**training, "description": properties["training"]["description"]}
    entries = {
        "predictors": predictor(),
        "tasks": one_of(TASKS, "kind", task_keys(training), ("kind", "training")),
        "attacks": one_of(ATTACKS, "method", attack_keys(), ("method", "budgets")),
        "conditions": condition(),
    }
    for name, entry in entries.items():
        properties[name]["additionalProperties"] = entry
    properties["semantic"] = semantic(properties["semantic"]["description"])
    properties["claims"] = {
        "anyOf": [{"type": "string"}, claims(), {"type": "null"}],
        "description": properties["claims"]["description"],
    }
    return {"$schema": DRAFT, "title": "A neurobust study", **whole}


def claims() -> Schema:
    """A mapping of names to claims."""
    return {"type": "object", "additionalProperties": schema(Claim)}


def claims_schema() -> Schema:
    """The JSON Schema of a file of claims."""
    return {"$schema": DRAFT, "title": "Claims that a neurobust report tests", **claims()}


def one_of(registry: Mapping[str, type], tag: str, common: Schema, required: Iterable[str]) -> Schema:
    """An entry whose `tag` names one of a registry: keys that all share, and those of the kind that it names."""
    kinds = {name: schema(kind) for name, kind in registry.items()}
    branches = []
    for name, kind in kinds.items():
        branches.append(
            {
                "if": {"required": [tag], "properties": {tag: {"const": name}}},
                "then": {
                    "properties": {tag: {}, **common, **kind["properties"]},
                    "additionalProperties": False,
                    **({"required": kind["required"]} if kind.get("required") else {}),
                },
            }
        )
    properties = {tag: {"enum": list(registry)}, **common}
    return {"type": "object", "required": list(required), "properties": properties, "allOf": branches}


def predictor() -> Schema:
    """An entry of `predictors`: one that names a core needs no kind (`predictors.registry.read_predictor`)."""
    found = one_of(PREDICTORS, "kind", {}, ())
    core = next(branch["then"] for branch in found["allOf"] if branch["if"]["properties"]["kind"]["const"] == CORE)
    del found["required"]
    found["allOf"].append({"if": {"not": {"required": ["kind"]}}, "then": core})
    found["anyOf"] = [{"required": ["kind"]}, {"required": ["core"]}]
    return found


def attack_keys() -> Schema:
    """The keys of every attack (`attacks.plan.COMMON`)."""
    return {
        "budgets": {"type": "array", "items": {"type": "number", "minimum": 0}, "minItems": 2, "uniqueItems": True,
                    "description": "ascending from 0"},
        "unit": {"enum": list(UNITS), "description": "of the budgets; default 1/255 for linf, else 1"},
        **schema(Shown)["properties"],
    }  # fmt: skip


def task_keys(training: Schema) -> Schema:
    """The keys of every task (`study.read.TASK_KEYS`)."""
    described = {**training, "description": "what differs from the study's training"}
    return {**schema(TaskChoice)["properties"], "training": described}


def condition() -> Schema:
    """An entry of `conditions`: its names are those of the registries of losses, controls and references."""
    found = schema(Condition)
    properties = found["properties"]
    del properties["sweep"]  # what `weights` makes of it
    for key, names in (("loss", LOSSES), ("control", CONTROLS)):
        properties[key] = {"enum": list(names), "description": properties[key]["description"]}
    properties["reference"] = {
        **one_of(REFERENCES, "kind", {}, ("kind",)),
        "description": "a known way to robustness, on a condition without a target",
    }
    return found


def semantic(text: str) -> Schema:
    """The section `semantic`."""
    shared = schema(Choice)["properties"]
    attacks = {}
    for name, kind in SEMANTIC.items():
        own = schema(kind)
        attacks[name] = {**own, "properties": {**shared, **own["properties"]}}
    helpers = {"type": "object", "additionalProperties": False,
               "properties": {name: schema(kind) for name, kind in HELPERS.items()},
               "description": "what differs from an auxiliary network's defaults"}  # fmt: skip
    images = {"type": "integer", "minimum": 1, "description": "the first of the list that attacks work through"}
    transfer = {**schema(SemanticTransfer), "description": "of a `none`'s semantic adversarials to all other networks"}
    verification = schema(Verification)
    verification["properties"] = {**schema(Met)["properties"], **verification["properties"]}
    own = {"images": images, "networks": helpers, "transfer": transfer, "verification": verification}
    return {"type": "object", "additionalProperties": False, "required": ["images"], "description": text,
            "properties": {**own, **attacks}}  # fmt: skip


def schema_text() -> str:
    """The file config/schema.yaml."""
    return as_yaml(study_schema())


def claims_schema_text() -> str:
    """The file config/claims.schema.yaml."""
    return as_yaml(claims_schema())


def as_yaml(whole: Schema) -> str:
    """A schema as the text of its file."""
    import yaml

    plain = json.loads(json.dumps(whole))  # lists for tuples, and no part that stands in two places
    return HEADER + str(yaml.safe_dump(plain, sort_keys=False, width=120, allow_unicode=True, default_flow_style=None))


if __name__ == "__main__":
    print(claims_schema_text() if sys.argv[1:] == ["claims"] else schema_text(), end="")
