"""The configuration: both studies are valid, and every fault is one line that names the key."""

import copy

import pytest
import yaml

from neurobust.core.errors import InputError
from neurobust.study.jobs import study_jobs
from neurobust.study.read import read_study

FAULTS = [
    ("seedz", [0], "unknown key 'seedz'"),
    ("training/learning_rat", 0.1, "config.training: unknown key 'learning_rat'; known keys are"),
    ("training/learning_rate", 0, "config.training.learning_rate: 0"),
    ("conditions/V1/weight", 1.5, "config.conditions.V1.weight: 1.5: expected a number <= 1"),
    ("conditions/V1/target", ["V9"], "config.conditions.V1.target: unknown ROI 'V9'; `rois` has V1, LO, FFA"),
    ("conditions/V1/predictor", "hnet", "config.conditions.V1.predictor: 'hnet' is not one of `predictors`: gnet"),
    ("conditions/V1/control", "shuffle", "config.conditions.V1.control: 'shuffle' is not known; choose one of"),
    ("conditions/none/loss", "mse", "config.conditions.none.loss: a condition without a target"),
    ("rois/V1/atlas", "Kastner", "config.rois.V1.atlas: 'Kastner' is not known; choose one of HCP_MMP1"),
    ("rois/a b", {"atlas": "nsdgeneral", "labels": ["nsdgeneral"]}, "config.rois: key 'a b' is not allowed here"),
    ("data/subjects/subj09", {"sessions": 1}, "config.data.subjects: key 'subj09' is not allowed here"),
    ("data/subjects/subj01/sessions", 12, "config.data.subjects.subj01.sessions: 12 is more than"),
    ("data/subjects/subj03", {"sessions": 2}, "config.data.subjects.subj03: the phantom has no such subject"),
    ("data/cache", "elsewhere", "config.data.cache: 'elsewhere': a phantom is planted under data.root; write null"),
    ("attacks/corruptions", {"method": "fgsm", "budgets": [0, 1], "loss": "ce"}, "corruptions: the table"),
    ("training/versions", 3, "config.training.versions: 3: images that are not augmented have one version"),
    ("training/momentum", 1.0, "config.training.momentum: 1: expected a number < 1"),
    ("predictors/gnet/dropout", 1, "config.predictors.gnet.dropout: 1: expected a number < 1"),
    ("attacks/fgsm/budgets", [0, 2, 1], "config.attacks.fgsm.budgets: [0, 2, 1] must ascend from 0"),
    ("attacks/fgsm/steps", 3, "config.attacks.fgsm: unknown key 'steps'; known keys are norm, loss"),
    ("attacks/fgsm/method", "fgsmm", "config.attacks.fgsm.method: 'fgsmm' is not known"),
    ("attacks/pgd-linf/reference_budget", 4, "config.attacks.pgd-linf: unknown key 'reference_budget'; known keys are"),
    ("transfer/loss", "mse", "config.transfer.loss: 'mse' is not known; choose one of ce, margin, dlr"),
    ("transfer/budgets", [8], "config.transfer: unknown key 'budgets'; known keys are method, norm, budget"),
    ("claims", 3, "config.claims: 3: expected text or a mapping"),
    ("claims", {"a": {"says": "x"}}, "config.claims.a: missing key 'source'"),
    ("primary_attack", "pgd", "config.primary_attack: 'pgd' is not one of `attacks`"),
    ("attacks/pgd-linf/label", 3, "config.attacks.pgd-linf.label: 3: expected text"),
    ("attacks/pgd-linf/method", ["pgd"], "config.attacks.pgd-linf.method: ['pgd'] is not known; choose one of"),
    ("attacks/fgsm/budgets", None, "config.attacks.fgsm.budgets: missing; give a list of numbers"),
    ("attacks/fgsm/budgets", "0123", "config.attacks.fgsm.budgets: '0123' is not a list of numbers"),
    ("attacks/fgsm/budgets", [0, True], "config.attacks.fgsm.budgets: [0, True] is not a list of numbers"),
    ("tasks/digits/kind", {}, "config.tasks.digits.kind: {} is not known; choose one of digits"),
    ("tasks/digits/source", 3, "config.tasks.digits.source: 3: expected text"),
    ("tasks/digits/conditions", "none", "config.tasks.digits.conditions: 'none': expected a list"),
    ("tasks/digits/conditions", ["none", "none"], "config.tasks.digits.conditions: ['none', 'none'] has non-unique"),
    ("tasks/digits/architectures", ["vgg11"], "config.tasks.digits.architectures: unknown architecture 'vgg11'; `arch"),
    ("tasks/digits/seeds", [0, 7], "config.tasks.digits.seeds: unknown seed '7'; `seeds` has 0, 1"),
    ("predictors/gnet/kind", [], "config.predictors.gnet.kind: [] is not known; choose one of gnet"),
    ("conditions/none/reference", "trades", "config.conditions.none.reference: 'trades': expected a mapping"),
    ("conditions/none/reference", 3, "config.conditions.none.reference: 3: expected a mapping"),
    ("rois/V1/labels", ["V1v", "V1v"], "config.rois.V1.labels: ['V1v', 'V1v'] has non-unique elements"),
    ("training/learning_rate", "1e-3", "expected a number, got text; YAML needs a point and a sign: 1.0e-3"),
    ("transfer/budget", float("inf"), "config.transfer.budget: inf: expected a finite number"),
    ("phantom/trials_per_session", 241, "config.phantom.trials_per_session: 241: expected"),
    ("phantom/unique_images", 681, "config.phantom.trials_per_session: 240 x planned_sessions are 2400 trials, not"),
    (1, 2, "config: key '1' is not allowed here; expected text"),
    ("seeds", [0, 0], "config.seeds: [0, 0] has non-unique elements"),
    ("results", "/tmp/x", "config.results: '/tmp/x': expected text that is results, or results/ and one name"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "value", "message"), FAULTS, ids=[str(fault[0]) for fault in FAULTS])
def test_every_fault_is_one_line_with_the_keys_path(demo_config, path, value, message):
    config = copy.deepcopy(demo_config)
    *parents, last = path.split("/") if isinstance(path, str) else [path]
    place = config
    for key in parents:
        place = place[key]
    place[last] = value
    with pytest.raises(InputError) as caught:
        read_study(config)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_section_is_named(demo_config):
    config = {key: value for key, value in demo_config.items() if key != "rois"}
    with pytest.raises(InputError, match=r"^config: missing key 'rois'$"):
        read_study(config)
    config = {key: value for key, value in demo_config.items() if key != "phantom"}
    with pytest.raises(InputError, match=r"config\.phantom: missing"):
        read_study(config)


def test_none_differs_from_a_condition_in_its_condition_alone(demo_config):
    study = read_study(demo_config)
    guided, plain = (study.recipe("digits", "resnet18", name) for name in ("V1", "none"))
    assert guided.pop("condition") == {"target": "V1", "loss": "mse", "weight": 0.8}
    assert plain.pop("condition") == {"weight": 0.8}
    assert guided == plain


def test_a_sweep_is_conditions_that_differ_in_their_weight_and_their_name_alone(demo_config):
    config = {**demo_config, "conditions": {name: dict(c) for name, c in demo_config["conditions"].items()}}
    config["conditions"]["V1"]["weights"] = [0.5, 0.25]
    study = read_study(config)
    assert list(study.conditions) == ["none", "V1", "V1-w0.5", "V1-w0.25", "LO", "LO-shuffled"]
    recipes = {name: study.recipe("digits", "resnet18", name) for name in ("V1", "V1-w0.5", "V1-w0.25")}
    assert [recipe["condition"].pop("weight") for recipe in recipes.values()] == [0.8, 0.5, 0.25]
    plain = read_study(demo_config).recipe("digits", "resnet18", "V1")
    del plain["condition"]["weight"]
    assert recipes["V1"] == recipes["V1-w0.5"] == recipes["V1-w0.25"] == plain
    assert study.conditions["V1-w0.5"].sweep == "V1"


def test_predictor_seeds_go_round(demo_config):
    study = read_study({**demo_config, "seeds": [3, 5, 8], "predictor_seeds": [0, 1]})
    assert [study.predictor_seed(seed) for seed in (3, 5, 8)] == [0, 1, 0]


def test_labels_do_not_reach_the_attacks(demo_config):
    for plan in read_study(demo_config).attacks.values():
        assert "label" not in plan.settings()


CONDITION_FAULTS = [
    ({"control": "subsampled"}, "match: missing"),
    ({"weights": [0.5, 0.8]}, "weights: 0.8 is there already"),
    ({"sweep": "LO"}, "conditions.V1: unknown key 'sweep'; list other weights as `weights`"),
    ({"match": ["V1"]}, "match: goes with `control: subsampled`"),
    ({"control": "subsampled", "match": ["V9"]}, "match: unknown ROI 'V9'"),
    ({"features": {"architecture": "alexnet"}}, "features: goes with `control: features`"),
    ({"control": "features", "features": {"wieghts": "a.pth"}}, "features: unknown key 'wieghts'; known keys are"),
    ({"subjects": ["subj07"]}, "subjects: unknown subject 'subj07'; `data.subjects` has subj01, subj02"),
    ({"reference": {"kind": "trades"}}, "reference: a reference has no target"),
    ({"control": "predictor-shuffled"}, "control: predictor-shuffled goes with a predictor of `shuffle_pairing: true`"),
    ({"pairs": True}, "predictor: measured responses need no such key"),
    ({"schedule": "sometimes"}, "schedule: 'sometimes' is not known; choose one of constant, ramp, late, early"),
    ({"layers": []}, "layers: []: expected a list of length >= 1"),
    ({"loss": "similarty"}, "loss: 'similarty' is not known; choose one of mse"),
]


@pytest.mark.parametrize(("change", "message"), CONDITION_FAULTS, ids=[fault[1][:30] for fault in CONDITION_FAULTS])
def test_every_fault_of_a_condition_is_one_line(demo_config, change, message):
    config = copy.deepcopy(demo_config)
    config["conditions"]["V1"].update(change)
    with pytest.raises(InputError) as caught:
        read_study(config)
    assert str(caught.value).startswith("config.conditions.V1") and message in str(caught.value)


def test_faults_of_references_tasks_and_pairs(demo_config):
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
            read_study(config)
        assert message in str(caught.value), caught.value
    config = copy.deepcopy(demo_config)
    config["conditions"]["co"] = {"target": ["V1"], "pairs": True, "loss": "mse", "weight": 0.5, "control": "shuffled"}
    config["conditions"]["at"] = {"weight": 0.9, "reference": {"kind": "trades", "beta": 3, "epsilon": 2}}
    config["phantom"]["face_task"] = {"seed": 0, "identities": 9, "train": 90, "validation": 9, "test": 9, "size": 48}
    config["tasks"]["faces"] = {"kind": "phantom-faces", "training": {"epochs": 1}}
    study = read_study(config)
    assert [study.tasks[task].side for task in ("phantom-scenes", "digits", "faces")] == [32, 32, 48]


def test_the_weights_of_an_oracle_are_an_input_and_not_a_setting(demo_config):
    config = copy.deepcopy(demo_config)
    features = {"architecture": "alexnet", "weights": "resources/weights/a.pth"}
    config["conditions"]["V1"].update(control="features", features=features)
    condition = read_study(config).recipe("digits", "resnet18", "V1")["condition"]
    assert condition["features"] == {"architecture": "alexnet"} and condition["control"] == "features"


SEMANTIC_FAULTS = [
    ({"cadv": {"tasks": ["photos"]}}, "semantic.cadv.tasks: unknown task 'photos'; `tasks` has phantom-scenes, digits"),
    (
        {"semanticadv": {"tasks": ["digits"]}},
        "semantic.semanticadv.tasks: 'digits' has no attributes; name tasks of kind phantom",
    ),
    ({"semanticadv": {}}, "semantic.semanticadv.tasks: 'phantom-scenes' has no attributes"),
    ({"tadv": {"strengths": [4, 1]}}, "semantic.tadv: strengths [4, 1] must ascend"),
    ({"tadv": {"strengths": [1, 4], "reference_strength": 2}}, "semantic.tadv.reference_strength: 2 is not one of"),
    ({"cadv": {"conditions": ["V7"]}}, "semantic.cadv.conditions: unknown condition 'V7'; `conditions` has none, V1"),
    ({"cadv": {"colours": 3}}, "semantic.cadv: unknown key 'colours'; known keys are strengths"),
    ({"cadv": None}, "semantic.cadv: None: expected a mapping"),
    ({"cadv": {"conditions": "none"}}, "semantic.cadv.conditions: 'none': expected a list"),
    ({"networks": []}, "semantic.networks: []: expected a mapping"),
    ({"images": True}, "semantic.images: True: give how many images"),
    ({"verification": None}, "semantic.verification: None: expected a mapping"),
    ({"verification": {"goals": ["dodge"]}}, "semantic.verification.goals.0: 'dodge'"),
    ({"verification": {"tasks": ["photos"]}}, "semantic.verification.tasks: unknown task 'photos'"),
    ({"verification": {"conditions": ["V7"]}}, "semantic.verification.conditions: unknown condition 'V7'"),
    (
        {"verification": {"tasks": ["digits"]}},
        "semantic.verification.tasks: the labels of 'digits' do not say who is shown; name tasks of kind ",
    ),
    ({"networks": {"painter": {}}}, "semantic.networks: unknown key 'painter'; known keys are colouriser"),
]


@pytest.mark.parametrize(("section", "message"), SEMANTIC_FAULTS)
def test_faults_of_semantic_attacks_are_named(demo_config, section, message):
    with pytest.raises(InputError) as caught:
        read_study({**demo_config, "semantic": {"images": 4, **section}})
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_a_semantic_attack_wants_a_side_that_its_networks_can_halve(demo_config):
    """Refused before anything is trained, and not by the job that trains the first auxiliary network."""
    demo_config["tasks"]["digits"]["image_size"] = 36
    read_study(demo_config)
    demo_config["semantic"]["cadv"]["tasks"] = ["digits"]
    with pytest.raises(InputError, match=r"semantic\.cadv\.tasks: images of 'digits' are 36 px.* a multiple of 8"):
        read_study(demo_config)


def test_a_task_may_be_trained_with_some_conditions_only(demo_config):
    """A condition's sweep goes with it; a condition that is not there is named."""
    config = copy.deepcopy(demo_config)
    config["conditions"]["LO"]["weights"] = [0.5]
    config["tasks"]["digits"]["conditions"] = ["LO", "none"]
    study = read_study(config)
    assert study.tasks["digits"].conditions == ("none", "LO", "LO-w0.5")
    assert study.tasks["phantom-scenes"].conditions == tuple(study.conditions)
    config["tasks"]["digits"]["conditions"] = ["V7"]
    with pytest.raises(InputError, match=r"tasks\.digits\.conditions: unknown condition 'V7'"):
        read_study(config)


def test_a_task_may_have_some_architectures_and_seeds_only(demo_config):
    demo_config["architectures"]["resnet34"] = {"stem": "imagenet", "pretrained": False}
    demo_config["tasks"]["digits"] |= {"architectures": ["resnet34"], "seeds": [1], "attack_images": 8}
    study = read_study(demo_config)
    assert list(study.blocks()) == [
        ("phantom-scenes", "resnet18"),
        ("phantom-scenes", "resnet34"),
        ("digits", "resnet34"),
    ]
    digits = list(study.networks(tasks=["digits"]))
    assert {(name.architecture, name.seed) for name in digits} == {("resnet34", 1)}
    assert len(digits) == len(study.conditions)
    assert {name: task.attack_images for name, task in study.tasks.items()} == {"phantom-scenes": 32, "digits": 8}
    assert {name.seed for name in study.networks(tasks=["phantom-scenes"])} == set(study.seeds)
    assert [job.names for job in study_jobs(study) if job.rule == "transfer_attacks"] == list(study.blocks())


def test_a_task_may_have_budgets_of_its_own_by_norm(demo_config):
    demo_config["tasks"]["digits"]["budgets"] = {"linf": [0, 4, 64]}
    study = read_study(demo_config)
    for name, plan in study.attacks_of("digits").items():
        assert plan.budgets == ((0, 4, 64) if plan.norm == "linf" else study.attacks[name].budgets)
    assert study.attacks_of("phantom-scenes") == study.attacks
    for given, problem in (
        ({"linf": [4, 0]}, r"config\.tasks\.digits\.budgets\.linf: \[4\.0, 0\.0\] must ascend from 0"),
        ({"hue": [0, 3]}, r"config\.tasks\.digits\.budgets\.hue: 3 is over 0.5, the whole range"),
        ({"l3": [0, 1]}, r"config\.tasks\.digits\.budgets: unknown norm 'l3'; `attacks` has linf"),
    ):
        demo_config["tasks"]["digits"]["budgets"] = given
        with pytest.raises(InputError, match=problem):
            read_study(demo_config)


def test_a_subject_of_nsd_has_no_more_sessions_than_it_ran(project):
    config = yaml.safe_load((project / "config/config.yaml").read_text())
    config["data"]["subjects"]["subj04"]["sessions"] = 40
    with pytest.raises(InputError, match=r"config.data.subjects.subj04.sessions: 40: subj04 ran 30 sessions of NSD"):
        read_study(config)


@pytest.mark.parametrize(
    ("own", "said"),
    [
        (
            {"augment": "none"},
            r"^config\.tasks\.digits\.training\.augment: none: .+asks for 2; write `versions: ",
        ),
        ({"augment": "none", "versions": 3}, r"^config\.tasks\.digits\.training\.versions: 3: images that are not"),
    ],
)
def test_a_task_without_augmentation_beside_versions_of_all_is_told_its_own_key(project, own, said):
    """And with the way out it is read, with no versions of its own."""
    config = yaml.safe_load((project / "tests/study/plain.yaml").read_text())
    config["training"] |= {"augment": "crop-flip", "versions": 2}
    config["tasks"]["digits"]["training"] |= own
    with pytest.raises(InputError, match=said):
        read_study(config)
    config["tasks"]["digits"]["training"]["versions"] = None
    trained = {name: plan.training for name, plan in read_study(config).tasks.items()}
    assert (trained["digits"].looks, trained["phantom-scenes"].looks) == (1, 2)
