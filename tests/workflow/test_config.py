"""The configuration: both studies are valid, and every fault is one line that names the key."""

import copy

import pytest
import yaml

from neurobust.config import attack_settings, check_config, predictor_seed, recipe_of
from neurobust.errors import InputError


@pytest.fixture
def schema(project):
    return project / "config/schema.yaml"


@pytest.fixture(scope="module")
def demo_config(project):
    return yaml.safe_load((project / "config/demo.yaml").read_text())


@pytest.mark.parametrize("name", ["demo", "config"])
def test_the_shipped_studies_are_valid(project, schema, name):
    check_config(yaml.safe_load((project / f"config/{name}.yaml").read_text()), schema)


FAULTS = [
    ("seedz", [0], "unknown key 'seedz'"),
    ("training/learning_rat", 0.1, "config: training: unknown key 'learning_rat'; known keys are"),
    ("training/learning_rate", 0, "config: training.learning_rate: 0"),
    ("conditions/V1/weight", 1.5, "config: conditions.V1.weight: 1.5 is greater than the maximum of 1"),
    ("conditions/V1/target", ["V9"], "config: conditions.V1.target: unknown ROI 'V9'; `rois` has V1, V4, LO, FFA"),
    ("conditions/V1/predictor", "hnet", "config: conditions.V1.predictor: 'hnet' is not one of `predictors`: gnet"),
    ("conditions/V1/control", "shuffle", "config: conditions.V1.control: 'shuffle' is not known; choose one of"),
    ("conditions/none/loss", "mse", "config: conditions.none.loss: a condition without a target"),
    ("rois/V1/atlas", "Kastner", "config: rois.V1.atlas: 'Kastner' is not known; choose one of HCP_MMP1"),
    ("rois/a b", {"atlas": "nsdgeneral", "labels": ["nsdgeneral"]}, "config: rois: key 'a b' is not allowed here"),
    ("data/subjects/subj09", {"sessions": 1}, "config: data.subjects: key 'subj09' is not allowed here"),
    ("data/subjects/subj01/sessions", 12, "config: data.subjects.subj01.sessions: 12 is more than"),
    ("data/subjects/subj03", {"sessions": 2}, "config: data.subjects.subj03: the phantom has no such subject"),
    ("attacks/fgsm/budgets", [0, 2, 1], "config: attacks.fgsm.budgets: [0, 2, 1] must ascend from 0"),
    ("attacks/fgsm/steps", 3, "config: attacks.fgsm: key 'steps' is not allowed here; choose one of method"),
    ("attacks/fgsm/method", "fgsmm", "config: attacks.fgsm.method: 'fgsmm' is not known"),
    ("attacks/pgd-linf/reference_budget", 3, "config: attacks.pgd-linf.reference_budget: 3 is not one of the budgets"),
    ("primary_attack", "pgd", "config: primary_attack: 'pgd' is not one of `attacks`"),
    ("seeds", [0, 0], "config: seeds: [0, 0] has non-unique elements"),
    ("results", "/tmp/x", "config: results: '/tmp/x' does not match"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "value", "message"), FAULTS, ids=[fault[0] for fault in FAULTS])
def test_every_fault_is_one_line_with_the_keys_path(demo_config, schema, path, value, message):
    config = copy.deepcopy(demo_config)
    *parents, last = path.split("/")
    place = config
    for key in parents:
        place = place[key]
    place[last] = value
    with pytest.raises(InputError) as caught:
        check_config(config, schema)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_section_is_named(demo_config, schema):
    config = {key: value for key, value in demo_config.items() if key != "rois"}
    with pytest.raises(InputError, match=r"^config: missing key 'rois'$"):
        check_config(config, schema)
    config = {key: value for key, value in demo_config.items() if key != "phantom"}
    with pytest.raises(InputError, match="config: phantom: missing"):
        check_config(config, schema)


def test_none_differs_from_a_condition_in_its_condition_alone(demo_config):
    with_target = recipe_of(demo_config, "digits", "resnet18", "V1")
    without = recipe_of(demo_config, "digits", "resnet18", "none")
    assert with_target.pop("condition") == {"target": "V1", "loss": "mse", "weight": 0.9}
    assert without.pop("condition") == {"target": None, "weight": 0.9}
    assert with_target == without


def test_predictor_seeds_go_round(demo_config):
    config = {**demo_config, "seeds": [3, 5, 8], "predictor_seeds": [0, 1]}
    assert [predictor_seed(config, seed) for seed in (3, 5, 8)] == [0, 1, 0]


def test_labels_do_not_reach_the_attacks(demo_config):
    for settings in attack_settings(demo_config).values():
        assert not {"label", "reference_budget"} & set(settings)


def test_the_schema_knows_the_settings_of_every_attack(schema):
    """The keys that the schema allows a method are those that its function takes."""
    import inspect

    from neurobust.attacks.registry import ATTACKS

    rules = yaml.safe_load(schema.read_text())["properties"]["attacks"]["additionalProperties"]
    assert set(rules["properties"]["method"]["enum"]) == set(ATTACKS)
    general = {"method", "budgets", "unit", "label", "reference_budget"}
    for rule in rules["allOf"]:
        condition = rule["if"]["properties"]["method"]
        allowed = set(rule["then"]["propertyNames"]["enum"]) - general
        for method in condition.get("enum", [condition.get("const")]):
            parameters = inspect.signature(ATTACKS[method]).parameters.values()
            taken = {p.name for p in parameters if p.default is not p.empty}
            if method in ("hue", "saturation"):
                taken -= {"norm"}
            assert allowed == taken, method


def test_every_key_of_the_schema_has_a_meaning_or_a_name_that_says_it(schema):
    """No object of the schema lets unknown keys pass."""

    def walk(node, path):
        if isinstance(node, dict):
            if node.get("type") == "object":
                closed = node.get("additionalProperties") is False or isinstance(node.get("additionalProperties"), dict)
                assert closed, path
            for key, value in node.items():
                walk(value, f"{path}/{key}")
        elif isinstance(node, list):
            for index, value in enumerate(node):
                walk(value, f"{path}/{index}")

    walk(yaml.safe_load(schema.read_text()), "")
