"""The configuration: both studies are valid, and every fault is one line that names the key."""

import copy

import pytest
import yaml

from neurobust.core.errors import InputError
from neurobust.study.config import (
    attack_settings,
    check_config,
    chosen_conditions,
    predictor_seed,
    recipe_of,
    task_size,
    with_sweeps,
)


@pytest.fixture
def schema(project):
    return project / "config/schema.yaml"


@pytest.fixture(scope="module")
def demo_config(project):
    return yaml.safe_load((project / "config/demo.yaml").read_text())


@pytest.mark.parametrize("name", ["demo", "config", "study-small", "semantic"])
def test_the_shipped_studies_are_valid(project, schema, name):
    check_config(yaml.safe_load((project / f"config/{name}.yaml").read_text()), schema)


FAULTS = [
    ("seedz", [0], "unknown key 'seedz'"),
    ("training/learning_rat", 0.1, "config: training: unknown key 'learning_rat'; known keys are"),
    ("training/learning_rate", 0, "config: training.learning_rate: 0"),
    ("conditions/V1/weight", 1.5, "config: conditions.V1.weight: 1.5 is greater than the maximum of 1"),
    ("conditions/V1/target", ["V9"], "config: conditions.V1.target: unknown ROI 'V9'; `rois` has V1, LO, FFA"),
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
    ("transfer/loss", "mse", "config: transfer.loss: 'mse' is not known; choose one of ce, margin, dlr"),
    ("transfer/budgets", [8], "config: transfer: unknown key 'budgets'; known keys are budget"),
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
    assert with_target.pop("condition") == {"target": "V1", "loss": "mse", "weight": 0.8}
    assert without.pop("condition") == {"target": None, "weight": 0.8}
    assert with_target == without


def test_a_sweep_is_conditions_that_differ_in_their_weight_and_their_name_alone(demo_config):
    config = {**demo_config, "conditions": {name: dict(c) for name, c in demo_config["conditions"].items()}}
    config["conditions"]["V1"]["weights"] = [0.5, 0.25]
    swept = with_sweeps(config)
    assert list(swept["conditions"]) == ["none", "V1", "V1-w0.5", "V1-w0.25", "LO", "LO-shuffled"]
    recipes = {name: recipe_of(swept, "digits", "resnet18", name) for name in ("V1", "V1-w0.5", "V1-w0.25")}
    assert [recipe["condition"].pop("weight") for recipe in recipes.values()] == [0.8, 0.5, 0.25]
    assert recipes["V1"] == recipes["V1-w0.5"] == recipes["V1-w0.25"] == recipe_of_without_weight(demo_config)
    assert swept["conditions"]["V1-w0.5"]["sweep"] == "V1" and "weights" in config["conditions"]["V1"]


def recipe_of_without_weight(config):
    recipe = recipe_of(config, "digits", "resnet18", "V1")
    return recipe | {"condition": {key: value for key, value in recipe["condition"].items() if key != "weight"}}


def test_predictor_seeds_go_round(demo_config):
    config = {**demo_config, "seeds": [3, 5, 8], "predictor_seeds": [0, 1]}
    assert [predictor_seed(config, seed) for seed in (3, 5, 8)] == [0, 1, 0]


def test_labels_do_not_reach_the_attacks(demo_config):
    for settings in attack_settings(demo_config).values():
        assert not {"label", "reference_budget"} & set(settings)


def test_the_schema_knows_the_settings_of_every_attack(schema):
    """The keys that the schema allows a method are those that its function takes."""
    import inspect

    from neurobust.attacks.run import ATTACKS, GIVEN

    rules = yaml.safe_load(schema.read_text())["properties"]["attacks"]["additionalProperties"]
    assert set(rules["properties"]["method"]["enum"]) == set(ATTACKS)
    general = {"method", "budgets", "unit", "label", "reference_budget"}
    for rule in rules["allOf"]:
        condition = rule["if"]["properties"]["method"]
        allowed = set(rule["then"]["propertyNames"]["enum"]) - general
        for method in condition.get("enum", [condition.get("const")]):
            parameters = inspect.signature(ATTACKS[method]).parameters.values()
            # an attack with a measure of its own, called after it, has no choice of norm
            taken = {p.name for p in parameters if p.default is not p.empty and p.default != method} - set(GIVEN)
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


CONDITION_FAULTS = [
    ({"control": "subsampled"}, "match: missing"),
    ({"weights": [0.5, 0.8]}, "weights: 0.8 is there already"),
    ({"match": ["V1"]}, "match: goes with `control: subsampled`"),
    ({"control": "subsampled", "match": ["V9"]}, "match: unknown ROI 'V9'"),
    ({"features": {"architecture": "alexnet"}}, "features: goes with `control: features`"),
    ({"control": "features", "features": {"wieghts": "a.pth"}}, "features: unknown key 'wieghts'; known keys are"),
    ({"subjects": ["subj07"]}, "subjects: unknown subject 'subj07'; `data.subjects` has subj01, subj02"),
    ({"reference": {"kind": "trades"}}, "reference: a reference has no target"),
    ({"control": "predictor-shuffled"}, "control: predictor-shuffled goes with a predictor of `shuffle_pairing: true`"),
    ({"pairs": True}, "predictor: measured responses need no such key"),
    ({"schedule": "sometimes"}, "schedule: 'sometimes' is not known; choose one of constant, ramp, late, early"),
    ({"layers": []}, "layers: [] "),
    ({"loss": "similarty"}, "loss: 'similarty' is not known; choose one of mse"),
]


@pytest.mark.parametrize(("change", "message"), CONDITION_FAULTS, ids=[fault[1][:30] for fault in CONDITION_FAULTS])
def test_every_fault_of_a_condition_is_one_line(demo_config, schema, change, message):
    config = copy.deepcopy(demo_config)
    config["conditions"]["V1"].update(change)
    with pytest.raises(InputError) as caught:
        check_config(config, schema)
    assert str(caught.value).startswith("config: conditions.V1.") and message in str(caught.value)


def test_faults_of_references_tasks_and_pairs(demo_config, schema):
    faults = [
        (
            {"conditions": {"r": {"weight": 0.9, "reference": {"kind": "madry"}}}},
            "reference.kind: 'madry' is not known",
        ),
        ({"conditions": {"r": {"weight": 0.9, "reference": {"kind": "blur", "epsilon": 1}}}}, "key 'epsilon'"),
        ({"conditions": {"r": {"weight": 0.9, "layers": ["a"]}}}, "conditions.r.layers: a condition without a target"),
        (
            {"tasks": {"c": {"kind": "cifar10", "training": {"epochs": 1}}}},
            "tasks.c.source: missing: the folder cifar-10",
        ),
        ({"tasks": {"f": {"kind": "phantom-faces", "training": {"epochs": 1}}}}, "phantom.face_task: missing"),
    ]
    for change, message in faults:
        config = copy.deepcopy(demo_config)
        for section, entries in change.items():
            config[section].update(entries)
        with pytest.raises(InputError) as caught:
            check_config(config, schema)
        assert message in str(caught.value), caught.value
    config = copy.deepcopy(demo_config)
    config["conditions"]["co"] = {"target": ["V1"], "pairs": True, "loss": "mse", "weight": 0.5, "control": "shuffled"}
    config["conditions"]["at"] = {"weight": 0.9, "reference": {"kind": "trades", "beta": 3, "epsilon": 2}}
    config["phantom"]["face_task"] = {"seed": 0, "identities": 9, "train": 90, "validation": 9, "test": 9, "size": 48}
    config["tasks"]["faces"] = {"kind": "phantom-faces", "training": {"epochs": 1}}
    check_config(config, schema)
    assert [task_size(config, task) for task in ("phantom-scenes", "digits", "faces")] == [32, 32, 48]


def test_the_weights_of_an_oracle_are_an_input_and_not_a_setting(demo_config):
    config = copy.deepcopy(demo_config)
    features = {"architecture": "alexnet", "weights": "resources/weights/a.pth"}
    config["conditions"]["V1"].update(control="features", features=features)
    condition = recipe_of(config, "digits", "resnet18", "V1")["condition"]
    assert condition["features"] == {"architecture": "alexnet"} and condition["control"] == "features"


def test_the_recipes_of_every_study_are_resolved(project):
    """What the configuration allows, the training accepts: schema and recipe know the same names."""
    from neurobust.networks.recipe import resolve_recipe

    for name in ("demo", "config", "study-small", "semantic"):
        config = yaml.safe_load((project / f"config/{name}.yaml").read_text())
        for task in config["tasks"]:
            for architecture in config["architectures"]:
                for condition in config["conditions"]:
                    resolve_recipe(recipe_of(config, task, architecture, condition))


def test_the_schema_knows_losses_controls_schedules_references_and_tasks(schema):
    from neurobust.networks.controls import CONTROLS, ORACLE
    from neurobust.networks.losses import LOSSES
    from neurobust.networks.recipe import CONDITION_KEYS, WEIGHT_SCHEDULES
    from neurobust.networks.references import REFERENCES
    from neurobust.networks.tasks import TASKS
    from neurobust.study.config import PHANTOM_TASKS, TASK_SIZES, USER_TASKS

    rules = yaml.safe_load(schema.read_text())["properties"]
    condition = rules["conditions"]["additionalProperties"]["properties"]
    assert set(condition) == {*CONDITION_KEYS, "predictor", "weights"}
    assert set(condition["loss"]["enum"]) == set(LOSSES)
    assert set(condition["control"]["enum"]) == set(CONTROLS) - {None}
    assert set(condition["schedule"]["enum"]) == set(WEIGHT_SCHEDULES)
    assert set(condition["features"]["properties"]) == {*ORACLE, "weights"}
    assert set(condition["reference"]["properties"]["kind"]["enum"]) == set(REFERENCES)
    for rule in condition["reference"]["allOf"]:
        kinds = rule["if"]["properties"]["kind"]
        for kind in kinds.get("enum", [kinds.get("const")]):
            assert set(rule["then"]["propertyNames"]["enum"]) == {"kind", *REFERENCES[kind].defaults}, kind
    kinds = set(rules["tasks"]["additionalProperties"]["properties"]["kind"]["enum"])
    assert kinds == set(TASKS) == {*TASK_SIZES, *PHANTOM_TASKS}
    assert set(USER_TASKS) == kinds - {"digits", *PHANTOM_TASKS}


def test_the_small_study_has_the_demo_s_phantom_every_roi_and_every_control(project, demo_config):
    from neurobust.phantom.cortex import REGIONS

    study = yaml.safe_load((project / "config/study-small.yaml").read_text())
    assert study["data"] == demo_config["data"]
    assert {k: v for k, v in study["phantom"].items() if k != "face_task"} == demo_config["phantom"]
    planted = {region.label for region in REGIONS} - {"OFA"}
    assert {label for roi in study["rois"].values() for label in roi["labels"]} == planted
    controls = {c.get("control") for c in study["conditions"].values() if "target" in c}
    assert controls >= {"shuffled", "random", "gaussian", "pixels", "features", "phase-scrambled", "subsampled"}
    assert {roi for c in study["conditions"].values() for roi in c.get("target", [])} == set(study["rois"])
    assert len(study["seeds"]) == 3


SEMANTIC_FAULTS = [
    ({"cadv": {"tasks": ["photos"]}}, "semantic.cadv.tasks: unknown task 'photos'; `tasks` has phantom-scenes, digits"),
    (
        {"semanticadv": {"tasks": ["digits"]}},
        "semantic.semanticadv.tasks: 'digits' has no attributes; of kinds phantom",
    ),
    ({"semanticadv": {}}, "semantic.semanticadv: missing key 'tasks'"),
    ({"tadv": {"strengths": [4, 1]}}, "semantic.tadv.strengths: [4, 1] must ascend"),
    ({"tadv": {"strengths": [1, 4], "reference_strength": 2}}, "semantic.tadv.reference_strength: 2 is not one of"),
    ({"cadv": {"conditions": ["V7"]}}, "semantic.cadv.conditions: unknown condition 'V7'; `conditions` has none, V1"),
    ({"cadv": {"colours": 3}}, "semantic.cadv: unknown key 'colours'; known keys are clusters"),
    ({"networks": {"painter": {}}}, "semantic.networks: unknown key 'painter'; known keys are colouriser"),
]


@pytest.mark.parametrize(("section", "message"), SEMANTIC_FAULTS)
def test_faults_of_semantic_attacks_are_named(demo_config, schema, section, message):
    with pytest.raises(InputError) as caught:
        check_config({**demo_config, "semantic": {"images": 4, **section}}, schema)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_a_task_may_be_trained_with_some_conditions_only(demo_config, schema):
    """A condition's sweep goes with it; a condition that is not there is named."""
    config = copy.deepcopy(demo_config)
    config["conditions"]["LO"]["weights"] = [0.5]
    config["tasks"]["digits"]["conditions"] = ["LO", "none"]
    check_config(config, schema)
    swept = with_sweeps(config)
    assert chosen_conditions(swept, config["tasks"]["digits"]) == ["none", "LO", "LO-w0.5"]
    assert chosen_conditions(swept, config["tasks"]["phantom-scenes"]) == list(swept["conditions"])
    config["tasks"]["digits"]["conditions"] = ["V7"]
    with pytest.raises(InputError, match=r"tasks\.digits\.conditions: unknown condition 'V7'"):
        check_config(config, schema)
