"""Settings that say nothing beside others: each is refused, or warned of, in one line with key, value and way out."""

import copy

import pytest
import yaml

from neurobust.attacks.semantic.registry import HELPERS
from neurobust.core.errors import InputError
from neurobust.core.settings import written
from neurobust.networks.conditions import read_recipe
from neurobust.predictors.registry import read_predictor
from neurobust.study.border import read_files

GUIDED = {"target": ["V1"], "predictor": "gnet", "loss": "mse", "weight": 0.8}
HOPPING = {"method": "hopskipjump", "budgets": [0, 1], "queries": 300, "max_queries": 200}
FEW = {"method": "hopskipjump", "budgets": [0, 1], "max_queries": 50}
TURNED = {"method": "rotation-translation", "budgets": [0, 1]}
PGD = {"method": "pgd", "norm": "l2", "budgets": [0, 1]}
PLAIN = {"stem": "imagenet", "pretrained": False}
PIXELS = {"kind": "ridge", "input_size": 32, "features": "pixels", "map_size": 8, "alphas": [1.0], "folds": 2}
CORE = {"kind": "core", "core": "torchvision/resnet18", "weights": "random", "layers": ["layer4"]}
NOT_AUGMENTED = "predictor_precision: bfloat16: it is that of augmented images, and none are; remove it, or write `aug"
REFUSED = [
    ("training.predictor_precision", "bfloat16", f"training.{NOT_AUGMENTED}"),
    ("tasks.digits.training.predictor_precision", "bfloat16", f"tasks.digits.training.{NOT_AUGMENTED}"),
    ("conditions.V1.pool", 2, "conditions.V1.pool: 2: penultimate is no map; remove it, or name `layers` that are"),
    (
        "conditions.low",
        {"weight": 0.8, "reference": {"kind": "low-pass", "match": "V1", "cutoff": 3}},
        "conditions.low.reference.cutoff: 3: 'V1' says it (match); remove one of the two",
    ),
    ("attacks.hop", HOPPING, "attacks.hop.max_queries: 200: the first estimate alone takes 300; raise it, or w"),
    ("attacks.hop", FEW, "attacks.hop.max_queries: 50: the first estimate alone takes 100; raise it, or wr"),
    ("phantom.cue.amplitude", 600, "phantom.cue: amplitude 600 of a pattern is more than 255, the whole range; lower"),
    ("attacks.turned", {**TURNED, "angles": 1, "shifts": 1}, "attacks.turned.angles: 1, shifts: 1: nothing is turned"),
    ("attacks.turned", {**TURNED, "angle": 0, "translation": 0}, "nothing is turned or moved; give more than one, and"),
    ("predictors.pixels", {**PIXELS, "layers": ["layer4"]}, "predictors.pixels.layers: not of features pixels: remove"),
    (
        "predictors.core",
        {**CORE, "readout": "factorised", "core_learning_rate": 0.01},
        "predictors.core.core_learning_rate: 0.01: the core is not trained; remove it, or give `finetune`",
    ),
    (
        "predictors.core",
        {**CORE, "readout": "banded-ridge", "searches": 7},
        "predictors.core.searches: 7: one layer has no shares; remove it, or name more `layers`",
    ),
    (
        "semantic.networks.editor",
        {"weight_decay": 0.1},
        "semantic.networks.editor.weight_decay: 0.1: the editor takes Adam and has none; remove it",
    ),
    (
        "semantic.verification",
        {"goals": ["targeted"], "untargeted_reference": "another"},
        "semantic.verification.untargeted_reference: another: `goals` has no untargeted one; remove it, or add",
    ),
]  # fmt: skip
WARNED = [
    ("data.endpoint", "http://mirror.lab:9000", "data.endpoint: 'http://mirror.lab:9000': nothing is fetched for a ph"),
    ("data.keep_betas", True, "data.keep_betas: true: nothing is fetched for a phantom; remove it"),
    ("architectures.resnet50", PLAIN, "architectures.resnet50: no task trains it; list it in one's `architectures`"),
    ("tasks.phantom-scenes.conditions", ["none", "LO"], "conditions.V1: no task trains it; list it in one's `cond"),
    ("predictors.pixels", PIXELS, "predictors.pixels: no condition names it, and pages show the first; name it in one"),
    ("tasks.digits.source", "here", "tasks.digits.source: 'here': a task of kind digits reads none; remove it"),
    ("attacks.again", {**PGD, "eot": 4}, "attacks.again.eot: 4: the networks of this study draw no random numbers"),
    ("attacks.again", {**PGD, "warm_steps": 3}, "attacks.again.warm_steps: 3: with one budget no climb is warm"),
    ("attacks.again", {**PGD, "order": "bisection"}, "attacks.again.order: bisection: there is one budget; remove it"),
    ("semantic.networks.identity", {"width": 8}, "semantic.networks.identity: no attack of this study needs this netw"),
    ("explain.humans", {}, "explain.humans: without `stimuli` it has no numbers; name their folder, or remove it"),
    ("explain.perturbations", {"attack": "pdg-linf"}, "explain.perturbations.attack: 'pdg-linf': no attack of this st"),
    (
        "phantom.face_task",
        {"seed": 1, "train": 9, "validation": 9, "test": 9, "size": 32, "identities": 3},
        "phantom.face_task: no task shows it; remove it, or add a task of kind phantom-faces",
    ),
]  # fmt: skip


@pytest.fixture
def lines_of(project, monkeypatch, tmp_path):
    """What is said of the demo with another value at a key, and whether it is refused."""
    monkeypatch.chdir(project)
    demo = yaml.safe_load((project / "config/demo.yaml").read_text(encoding="utf-8"))
    file = tmp_path / "study.yaml"

    def ask(**changes):
        config = copy.deepcopy(demo)
        for key, value in changes.items():
            *sections, last = key.split(".")
            section = config
            for name in sections:
                section = section.setdefault(name, {})
            section[last] = value
        file.write_text(yaml.safe_dump(config, sort_keys=False, allow_unicode=True), encoding="utf-8")
        try:
            return False, read_files([file])[1]
        except InputError as error:
            return True, str(error).splitlines()

    return ask


@pytest.mark.parametrize(("key", "value", "says"), REFUSED, ids=[f"{case[0]}-{n}" for n, case in enumerate(REFUSED)])
def test_a_key_without_effect_beside_another_of_its_entry_is_refused(key, value, says, lines_of):
    refused, lines = lines_of(**{key: value})
    assert refused and any(says in line and "study.yaml:" in line for line in lines), lines


@pytest.mark.parametrize(("key", "value", "says"), WARNED, ids=[f"{case[0]}-{n}" for n, case in enumerate(WARNED)])
def test_a_key_without_effect_beside_other_sections_is_warned_of(key, value, says, lines_of):
    refused, lines = lines_of(**{key: value})
    assert not refused and any(says in line and "study.yaml:" in line for line in lines), lines


def test_averages_and_precision_are_silent_where_they_have_an_effect(lines_of):
    guest = {"kind": "function", "network": "json:loads", "task": "digits"}
    assert lines_of(**{"attacks.again": {**PGD, "budgets": [0, 1, 2], "eot": 4}, "outside": {"guest": guest}}) == (
        False, [],
    )  # fmt: skip
    assert lines_of(**{"training.augment": "crop-flip", "training.predictor_precision": "bfloat16"}) == (False, [])


def test_precision_that_no_predictor_works_in_is_warned_of(lines_of):
    asked = {"training.augment": "crop-flip", "training.predictor_precision": "bfloat16"}
    refused, lines = lines_of(**asked, **{"tasks.digits.conditions": ["none"]})
    says = "training.predictor_precision: bfloat16: no condition of the task digits shows augmented images to a predic"
    assert not refused and any(says in line for line in lines), lines


def test_a_task_that_turns_augmentation_off_is_told_what_to_write_beside_it(lines_of):
    inherited = {"training.augment": "crop-flip", "training.predictor_precision": "bfloat16"}
    refused, lines = lines_of(**inherited, **{"tasks.digits.training.augment": "none"})
    assert refused and any(
        "tasks.digits.training.augment: none: it is that of augmented images, and none are, and `training` asks for "
        "bfloat16; write `predictor_precision: float32` beside it" in line
        for line in lines
    ), lines
    more = {"tasks.digits.training.augment": "none", "tasks.digits.training.predictor_precision": "float32"}
    assert not lines_of(**inherited, **more)[0]


def test_where_one_task_augments_the_others_are_told_what_to_write(lines_of):
    """`training` has a precision for the task that augments: that "none are" augmented is true of the other alone."""
    shared = {"training.predictor_precision": "bfloat16", "tasks.phantom-scenes.training.augment": "crop-flip"}
    refused, lines = lines_of(**shared)
    assert refused and len(lines) == 1, lines
    assert "tasks.digits.training.augment: none: it is that of augmented images, and none are, and" in lines[0]
    assert "write `predictor_precision: float32` beside it" in lines[0]
    assert not lines_of(**shared, **{"tasks.digits.training.predictor_precision": "float32"})[0]


def test_a_recipe_refuses_the_same(project):
    with pytest.raises(InputError, match=r"^recipe\.predictor_precision: bfloat16: it is that of augmented images"):
        read_recipe({"epochs": 1, "predictor_precision": "bfloat16", "condition": {"weight": 0.5}})


@pytest.mark.parametrize("readout", ["factorised", "banded-ridge"])
def test_what_a_predictor_was_checked_as_can_be_read_again(readout):
    """A job reads the settings with their defaults filled in."""
    first = read_predictor("core", {**CORE, "readout": readout}, "config.predictors")
    assert read_predictor("core", written(first), "config.predictors") == first


def test_the_editor_takes_what_all_helpers_record(project):
    assert HELPERS["editor"]().weight_decay == HELPERS["oracle"]().weight_decay
    assert yaml.safe_load((project / "config/semantic.yaml").read_text())["semantic"]
