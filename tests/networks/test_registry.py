"""Losses, controls, references and tasks: each described once, found by name, and another package's like ours."""

import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from neurobust.core.errors import InputError
from neurobust.core.io import load_weights, read_json
from neurobust.core.places import load
from neurobust.core.settings import choices, options, read, written
from neurobust.files.dataset import read_dataset
from neurobust.networks import registry
from neurobust.networks.conditions import Architecture, Condition, Training, read_condition, read_recipe
from neurobust.networks.description import Control, Loss
from neurobust.networks.inputs import NetworkInputs, NetworkOutputs
from neurobust.networks.registry import CONTROLS, LOSSES, REFERENCES, TASKS, read_reference, read_task, task_modules
from neurobust.networks.tasks.prepare import prepare_task

SIZES = {"digits": 32, "cifar10": 32, "cifar100": 32, "tiny-imagenet": 64, "celeba-identity": 64,
         "celeba-attributes": 64, "image-folder": 224, "phantom-scenes": None, "phantom-faces": None}  # fmt: skip
COUNTS = {"digits": 1797, "cifar10": 60000, "cifar100": 60000, "tiny-imagenet": 110000, "celeba-identity": 2900,
          "celeba-attributes": 202599, "image-folder": 1350000,
          "phantom-scenes": None, "phantom-faces": None}  # fmt: skip

OUTSIDE = '''
"""A loss, a control, a reference and a task of another package, each with its code, in one file."""
from typing import ClassVar

import numpy as np

from neurobust.core.settings import Count
from neurobust.files.dataset import Source
from neurobust.networks.description import Control, Loss, Reference, Task

NEARNESS = Loss(run=f"{__name__}:nearness", needs_head=True, help="mean absolute difference")
INVERTED = Control(run=f"{__name__}:inverted", help="takes away the sign of contrast")


def nearness(x, y):
    return (x - y).abs().mean()


def inverted(setting):
    return lambda pixels, rows: setting.module(1 - pixels)


class Dimmed(Reference):
    perturb: ClassVar[str] = f"{__name__}:dim"
    factor: float = 0.5


def dim(network, pixels, labels, settings):
    return pixels * settings.factor


class Stripes(Task):
    reader: ClassVar[str] = f"{__name__}:read_stripes"
    count: Count = 30

    @property
    def side(self):
        return 16

    @property
    def images(self):
        return self.count


def read_stripes(settings, source):
    labels = np.arange(settings.count) % 2
    images = np.zeros((settings.count, 16, 16, 3), np.uint8)
    images[labels == 1, ::2] = 200
    split = np.repeat([0, 1, 2], settings.count // 3).astype(np.uint8)
    return Source(labels, split, ["plain", "striped"], (16, 16), iter([images]), lambda: {"inputs": {}})
'''
ENTRIES = {"losses": "nearness = outside_part:NEARNESS", "controls": "inverted = outside_part:INVERTED",
           "references": "dimmed = outside_part:Dimmed", "tasks": "stripes = outside_part:Stripes"}  # fmt: skip


@pytest.fixture
def outside(tmp_path, monkeypatch):
    """An installed package that registers a loss, a control, a reference and a task by entry points."""
    folder = tmp_path / "site"
    (folder / "outside-1.0.dist-info").mkdir(parents=True)
    (folder / "outside_part.py").write_text(OUTSIDE)
    (folder / "outside-1.0.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: outside\nVersion: 1.0\n")
    lines = [line for group, entry in ENTRIES.items() for line in (f"[neurobust.{group}]", entry)]
    (folder / "outside-1.0.dist-info/entry_points.txt").write_text("\n".join(lines) + "\n")
    monkeypatch.syspath_prepend(folder)
    registries = LOSSES, CONTROLS, REFERENCES, TASKS
    for places in registries:
        vars(places).pop("_places", None)
    monkeypatch.setattr("neurobust.core.places.registered", entry_points)
    yield
    sys.modules.pop("outside_part", None)
    for places in registries:
        vars(places).pop("_places", None)


@pytest.mark.slow
def test_another_package_adds_a_loss_a_control_a_reference_and_a_task(tmp_path, outside, tiny, dataset, predictor_file):
    from neurobust.networks.train import train_network

    task = read_task({"kind": "stripes", "count": 60}, "tasks.s")
    assert (task.side, task.images, task_modules("stripes")) == (16, 60, ["outside_part"])
    prepare_task("s", task, tmp_path / "stripes.h5")
    assert read_dataset(tmp_path / "stripes.h5").classes == ["plain", "striped"]
    with pytest.raises(InputError, match=r"^tasks\.s\.count: 0: expected"):
        read_task({"kind": "stripes", "count": 0}, "tasks.s")

    guided = {"weight": 0.5, "target": "V1", "loss": "nearness", "control": "inverted"}
    dimmed = {"weight": 0.5, "reference": {"kind": "dimmed", "factor": 0.25}}
    assert read_condition("a", {**guided, "target": ["V1"]}).modules() == [
        "neurobust.networks.controls",
        "outside_part",
    ]
    training = {"architecture": tiny, "epochs": 2, "batch_size": 10}
    for name, condition, predictors in (("guided", guided, (predictor_file,)), ("dimmed", dimmed, ())):
        outputs = NetworkOutputs(tmp_path / f"{name}.safetensors", tmp_path / "m.json", tmp_path / "h.parquet")
        recipe = read_recipe({**training, "condition": condition})
        train_network(NetworkInputs(tmp_path / "stripes.h5", predictors), recipe, 0, outputs, {})
        state, config = load_weights(outputs.model)
        assert ("neural_head.weight" in state) == (name == "guided")
        assert read_json(outputs.metrics)["clean_accuracy"] > 0.4
    assert config["provenance"]["params"]["condition"]["reference"] == {"kind": "dimmed", "factor": 0.25}


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_is_described(name):
    loss = LOSSES[name]
    assert isinstance(loss, Loss) and callable(loss.function) and loss.help and loss.min_batch >= 1


@pytest.mark.parametrize("name", CONTROLS)
def test_every_control_is_described(name):
    control = CONTROLS[name]
    assert isinstance(control, Control) and control.help.startswith("takes away")
    assert callable(load(control.run)) and callable(load(control.partners))


@pytest.mark.parametrize("kind", REFERENCES)
def test_every_reference_is_described(kind):
    reference = read_reference({"kind": kind}, "reference")
    assert type(reference) is REFERENCES[kind] and REFERENCES[kind].__doc__
    assert not reference.perturb or callable(load(reference.perturb))
    assert set(reference.training) <= {option.name for option in options(Training)}
    assert reference.passes == 1 + getattr(reference, "steps", 0)
    assert read_reference(written(reference), "reference") == reference


@pytest.mark.parametrize("kind", TASKS)
def test_every_task_is_described(kind):
    task = read_task({"kind": kind}, "task")
    assert type(task) is TASKS[kind] and callable(load(task.reader)) and TASKS[kind].__doc__
    assert (task.side, task.images) == (SIZES[kind], COUNTS[kind])
    assert bool(task.brings) == (kind != "digits" and not kind.startswith("phantom-"))
    assert task.phantom == {"phantom-scenes": "scenes", "phantom-faces": "face_task"}.get(kind, "")
    assert task.faces == (kind in ("phantom-faces", "celeba-identity", "celeba-attributes"))
    assert read_task(written(task), "task") == task
    assert all(option.help for option in options(TASKS[kind]))


def test_a_task_s_size_and_number_of_images_follow_its_settings():
    assert read_task({"kind": "digits", "image_size": 48}, "task").side == 48
    assert read_task({"kind": "image-folder", "classes": "imagenet50"}, "task").images == 67500
    assert read_task({"kind": "celeba-identity", "identities": 50}, "task").images == 1450


def test_names_of_literals_are_those_of_the_functions_behind_them():
    from neurobust.core.architecture_names import STEMS
    from neurobust.networks.batches import AUGMENTATIONS
    from neurobust.networks.schedules import OPTIMIZERS, SCHEDULES, WEIGHT_SCHEDULES

    assert choices(Training, "optimizer") == tuple(OPTIMIZERS)
    assert choices(Training, "schedule") == tuple(SCHEDULES)
    assert choices(Training, "augment") == tuple(AUGMENTATIONS)
    assert choices(Condition, "schedule") == tuple(WEIGHT_SCHEDULES)
    assert choices(Architecture, "stem") == STEMS


def test_descriptions_import_nothing_heavy():
    code = (
        "import sys; from neurobust.networks import conditions, registry; "
        "[places[n] for places in (registry.LOSSES, registry.CONTROLS, registry.REFERENCES, registry.TASKS) "
        "for n in places]; print(sorted({'torch', 'numpy', 'pandas', 'h5py', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"kind": "digit"}, "tasks.x.kind: 'digit' is not known; choose one of digits, phantom-scenes"),
        ({}, "tasks.x: missing key 'kind'; choose one of digits"),
        ({"kind": "digits", "size": 3}, "tasks.x: unknown key 'size'; known keys are"),
        ({"kind": "digits", "image_size": 8}, "tasks.x.image_size: 8: expected a whole number >= 16"),
        ({"kind": "cifar10", "image_size": 32}, "tasks.x: unknown key 'image_size'"),
        ({"kind": "celeba-identity", "identities": 1}, "tasks.x.identities: 1: expected a whole number >= 2"),
        ({"kind": "tiny-imagenet", "validation": 1.5}, "tasks.x.validation: 1.5: expected"),
    ],
)
def test_faults_of_tasks_are_one_line(given, message):
    with pytest.raises(InputError) as error:
        read_task(given, "tasks.x")
    assert str(error.value).startswith(message) and "\n" not in str(error.value)


GUIDED = {"target": ["V1"], "predictor": "gnet", "loss": "mse", "weight": 0.8}
PAIRED = {"target": ["V1"], "pairs": True, "loss": "mse", "weight": 0.8}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "conditions.V1: missing key 'weight'"),
        ({**GUIDED, "weight": 1.5}, "conditions.V1.weight: 1.5: expected"),
        ({**GUIDED, "wait": 1}, "conditions.V1: unknown key 'wait'; known keys are"),
        ({**GUIDED, "loss": None}, "conditions.V1.loss: a condition with a target needs a loss"),
        ({**GUIDED, "loss": "msd"}, "conditions.V1.loss: 'msd' is not known; choose one of mse, correlation"),
        ({**GUIDED, "control": "shuffle"}, "conditions.V1.control: 'shuffle' is not known; choose one of shuffled"),
        (
            {**GUIDED, "schedule": "sometimes"},
            "conditions.V1.schedule: 'sometimes' is not known; choose one of",
        ),
        ({**GUIDED, "layers": []}, "conditions.V1.layers: []: expected"),
        ({**GUIDED, "layers": ["a", "a"]}, "conditions.V1.layers: ['a', 'a'] has non-unique elements"),
        ({**GUIDED, "pool": 0}, "conditions.V1.pool: 0: expected"),
        ({**GUIDED, "subjects": ["subj09"]}, "conditions.V1.subjects.0: 'subj09': expected"),
        ({**GUIDED, "weights": [0.5, 0.8]}, "conditions.V1.weights: 0.8 is there already"),
        ({**GUIDED, "weights": [0.5, 0.5]}, "conditions.V1.weights: [0.5, 0.5] has non-unique elements"),
        ({**GUIDED, "control": "subsampled"}, "conditions.V1.match: missing: the ROIs"),
        ({**GUIDED, "match": ["V1"]}, "conditions.V1.match: goes with `control: subsampled` and with no other"),
        ({**GUIDED, "features": {}}, "conditions.V1.features: goes with `control: features` and with no other"),
        (
            {**GUIDED, "control": "features", "features": {"wieghts": "a"}},
            "conditions.V1.features: unknown key 'wieghts'; known keys are architecture, weights, size",
        ),
        (
            {**GUIDED, "control": "features", "features": {"size": 16}},
            "conditions.V1.features.size: 16: expected",
        ),
        ({**GUIDED, "reference": {"kind": "trades"}}, "conditions.V1.reference: a reference has no target"),
        ({"weight": 1, "reference": {"kind": "madry"}}, "conditions.V1.reference.kind: 'madry' is not known; choose"),
        ({"weight": 1, "reference": {}}, "conditions.V1.reference: missing key 'kind'"),
        (
            {"weight": 1, "reference": {"kind": "blur", "epsilon": 1}},
            "conditions.V1.reference: unknown key 'epsilon'; known keys are",
        ),
        (
            {"weight": 1, "reference": {"kind": "adversarial", "steps": 0}},
            "conditions.V1.reference.steps: 0: expected",
        ),
        ({"weight": 1, "layers": ["a"]}, "conditions.V1.layers: a condition without a target has no such key"),
        ({"weight": 1, "loss": "mse"}, "conditions.V1.loss: a condition without a target has no such key"),
        ({"weight": 1, "pairs": True}, "conditions.V1.pairs: a condition without a target has no such key"),
        ({**PAIRED, "predictor": "gnet"}, "conditions.V1.predictor: measured responses need no such key"),
        ({**PAIRED, "subjects": ["subj01"]}, "conditions.V1.subjects: measured responses need no such key"),
        (
            {**PAIRED, "control": "pixels"},
            "conditions.V1.control: measured responses (pairs) take the control",
        ),
        ({**PAIRED, "loss": "manifold"}, "conditions.V1.loss: 'manifold' needs responses to the task's own images"),
    ],
)
def test_faults_of_conditions_are_one_line(given, message):
    with pytest.raises(InputError) as error:
        read_condition("V1", given)
    assert str(error.value).startswith(message) and "\n" not in str(error.value)


def test_a_condition_says_what_it_is():
    condition = read_condition("x", {**GUIDED, "target": ["V1", "LO"], "control": "shuffled"})
    assert condition.roi == "V1+LO" and condition.removes is CONTROLS["shuffled"] and condition.passes == 1
    assert condition.modules() == [
        "neurobust.networks.controls", "neurobust.networks.controls_settings", "neurobust.networks.losses",
        "neurobust.networks.losses_settings",
    ]  # fmt: skip
    none = read_condition("none", {"weight": 0.8})
    assert none.roi is None and none.modules() == [] and none.removes == registry.NO_CONTROL
    adversarial = read_condition("at", {"weight": 0.8, "reference": {"kind": "adversarial", "epsilon": 4, "steps": 2}})
    assert adversarial.passes == 3 and adversarial.reference.epsilon == 4.0
    assert adversarial.modules() == ["neurobust.networks.references", "neurobust.networks.references_settings"]
    paired = read_condition("co", {**PAIRED, "control": "shuffled"})
    assert paired.pairs and paired.predictor is None


def test_a_recipe_is_read_from_the_parameters_of_a_job():
    given = {"epochs": 3, "architecture": "vgg16_bn", "stem": "cifar", "pretrained": False, "weight_decay": 1e-3,
             "condition": {"target": "V1+LO", "loss": "cka", "weight": 0.5}}  # fmt: skip
    recipe = read_recipe(given)
    assert recipe.condition.target == ("V1", "LO") and recipe.training.epochs == 3 and recipe.stem == "cifar"
    assert recipe.training == read(Training, {"epochs": 3, "weight_decay": 1e-3}, "training")
    decay = {"target": None, "weight": 0.5, "reference": {"kind": "weight-decay", "weight_decay": 0.02}}
    assert read_recipe({**given, "condition": decay}).training.weight_decay == 0.02
    with pytest.raises(InputError, match=r"^recipe: unknown key 'epoch'; known keys are architecture.*epochs"):
        read_recipe({**given, "epoch": 3})
    with pytest.raises(InputError, match=r"^recipe\.batch_size: loss 'cka-debiased' needs at least 4 images"):
        read_recipe({**given, "batch_size": 3, "condition": {**given["condition"], "loss": "cka-debiased"}})
    with pytest.raises(InputError, match=r"^recipe\.stem: 'large' is not known; choose one of imagenet, cifar"):
        read_recipe({**given, "stem": "large"})


def test_files_of_a_network_have_names_in_its_provenance():
    inputs = NetworkInputs(Path("d.h5"), (Path("a"), Path("b")), matched=(Path("c"),))
    assert inputs.by_name() == {
        "dataset": Path("d.h5"), "predictor0": Path("a"), "predictor1": Path("b"), "matched0": Path("c"),
    }  # fmt: skip
