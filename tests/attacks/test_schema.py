"""What the configuration's schema lets an attack take is what the attack takes."""

import inspect

import pytest
import yaml

from neurobust.attacks.run import ATTACKS, RESERVED, resolve

COMMON = {"method", "budgets", "unit", "label", "reference_budget"}


@pytest.fixture(scope="module")
def attacks(project):
    schema = yaml.safe_load((project / "config/schema.yaml").read_text())
    return schema["properties"]["attacks"]["additionalProperties"]


def test_schema_knows_every_method_and_setting(attacks):
    assert set(attacks["properties"]["method"]["enum"]) == set(ATTACKS)
    settings = {}
    for rule in attacks["allOf"]:
        method = rule["if"]["properties"]["method"]
        for name in method.get("enum", [method.get("const")]):
            settings[name] = set(rule["then"]["propertyNames"]["enum"])
    for name in ATTACKS:
        resolved = set(resolve(name, {"method": name, "budgets": [0, 0.1]})) | {"norm"}
        assert settings[name] | {"norm"} == COMMON | resolved, name
        assert settings[name] <= set(attacks["properties"])
        assert set(RESERVED) <= settings[name]


def test_what_an_attack_is_given_is_no_setting(attacks):
    for name, function in ATTACKS.items():
        given = set(inspect.signature(function).parameters) & {"seed", "ids", "pool", "model"}
        assert not given & set(resolve(name, {"method": name, "budgets": [0, 0.1]})), name
