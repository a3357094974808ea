"""Training: `none` differs in one thing, seeds and resuming are exact, the frozen stays frozen, numbers are true."""

import json
import math

import numpy as np
import pytest
import torch

import neurobust.networks.losses
import neurobust.networks.train
from neurobust.core.errors import InputError
from neurobust.core.io import load_weights, read_json, read_parquet
from neurobust.core.reading import read_ahead
from neurobust.core.settings import written
from neurobust.files.dataset import read_dataset
from neurobust.files.splits import TEST
from neurobust.networks.architectures import load_network
from neurobust.networks.batches import crop_flip, epoch_batches
from neurobust.networks.conditions import read_recipe
from neurobust.networks.guidance import mean_correlation
from neurobust.networks.inputs import NetworkInputs, NetworkOutputs
from neurobust.networks.references import pgd_examples
from neurobust.networks.references_settings import Adversarial
from neurobust.networks.registry import CONTROLS, LOSSES, REFERENCES
from neurobust.networks.schedules import WEIGHT_SCHEDULES, one_cycle, steps
from neurobust.networks.stores import Mapped, Resident
from neurobust.networks.train import train_network
from neurobust.networks.trainer import Trainer

pytestmark = pytest.mark.slow

GUIDED, UNGUIDED = {"target": "V1", "loss": "mse", "weight": 0.5}, {"target": None, "weight": 0.5}
CPU = torch.device("cpu")
NAMES = {"task": "tiny", "architecture": "tiny", "condition": "V1"}


def train(folder, dataset, predictors, recipe, seed=0, checkpoint=None):
    """Train into `folder`; return (state dict, metrics, history)."""
    folder.mkdir(exist_ok=True)
    paths = folder / "model.safetensors", folder / "metrics.json", folder / "history.parquet"
    inputs, outputs = NetworkInputs(dataset, tuple(predictors)), NetworkOutputs(*paths, checkpoint)
    train_network(inputs, read_recipe(recipe), seed, outputs, NAMES)
    return load_weights(paths[0])[0], read_json(paths[1]), read_parquet(paths[2])[0]


def trainer_of(dataset, predictor_file, recipe):
    """The trainer of a recipe, before its first epoch."""
    return Trainer(NetworkInputs(dataset, (predictor_file,)), read_dataset(dataset), read_recipe(recipe), 0, 32)


def cropped(images, *stream):
    """Images (n, H, W, 3) as the named stream crops and flips them."""
    return Mapped(images, CPU).read(np.arange(len(images)), crop_flip(*images.shape[:3], *stream)).numpy()


def none_of(recipe):
    return {**recipe, "condition": {"target": None, "weight": recipe["condition"]["weight"]}}


def classifier(state):
    return {key: value for key, value in state.items() if not key.startswith("neural_head.")}


def same(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("augment", ["none", "crop-flip"])
def test_none_is_a_condition_with_zero_neural_gradient(
    tmp_path, monkeypatch, dataset, predictor_file, recipe, optimizer, augment
):
    recipe |= {"optimizer": optimizer, "augment": augment, "learning_rate": 0.01}
    nothing, *_ = train(tmp_path / "none", dataset, [], none_of(recipe))
    monkeypatch.setattr(neurobust.networks.losses, "mse", lambda x, y: 0 * x.sum() + y.square().mean())
    zeroed, *_ = train(tmp_path / "zeroed", dataset, [predictor_file], recipe)
    assert same(classifier(zeroed), nothing)
    monkeypatch.undo()


def test_neural_gradient_makes_the_difference(tmp_path, dataset, predictor_file, recipe):
    nothing, *_ = train(tmp_path / "none", dataset, [], none_of(recipe))
    guided, *_ = train(tmp_path / "V1", dataset, [predictor_file], recipe)
    assert not torch.equal(guided["trunk.0.weight"], nothing["trunk.0.weight"])


def test_every_condition_says_its_weight(recipe):
    with pytest.raises(InputError, match=r"^recipe\.condition: missing key 'weight'$"):
        read_recipe({**recipe, "condition": {"target": None}})


def test_same_seed_same_files_and_other_seed_other_weights(tmp_path, dataset, predictor_file, recipe):
    first, *_ = train(tmp_path / "a", dataset, [predictor_file], recipe, seed=1)
    again, *_ = train(tmp_path / "b", dataset, [predictor_file], recipe, seed=1)
    other, *_ = train(tmp_path / "c", dataset, [predictor_file], recipe, seed=2)
    assert same(first, again)
    for name in ("model.safetensors", "history.parquet"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert not torch.equal(first["trunk.0.weight"], other["trunk.0.weight"])


@pytest.mark.parametrize("changes", [{}, {"augment": "crop-flip"}, {"augment": "crop-flip", "versions": 2}])
def test_killed_and_resumed_is_identical(tmp_path, monkeypatch, dataset, predictor_file, recipe, changes):
    recipe |= changes
    whole, _, history = train(tmp_path / "whole", dataset, [predictor_file], recipe)
    run_epoch = Trainer.run_epoch

    def killed(self, epoch):
        if epoch == 2:
            self._step(torch.rand(4, 3, 16, 16), torch.zeros(4, dtype=torch.long), torch.zeros(4, 6))  # mid-epoch
            raise KeyboardInterrupt
        return run_epoch(self, epoch)

    checkpoint = tmp_path / "checkpoint.pt"
    monkeypatch.setattr(Trainer, "run_epoch", killed)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "resumed", dataset, [predictor_file], recipe, checkpoint=checkpoint)
    assert checkpoint.exists() and not list((tmp_path / "resumed").iterdir())

    epochs = []
    monkeypatch.setattr(Trainer, "run_epoch", lambda self, epoch: epochs.append(epoch) or run_epoch(self, epoch))
    resumed, _, resumed_history = train(tmp_path / "resumed", dataset, [predictor_file], recipe, checkpoint=checkpoint)
    assert epochs == [2]
    assert same(resumed, whole)
    assert resumed_history.equals(history)
    assert not list(tmp_path.glob("checkpoint*"))


def test_checkpoint_of_another_recipe_is_not_taken_up(tmp_path, monkeypatch, dataset, predictor_file, recipe):
    checkpoint = tmp_path / "checkpoint.pt"
    with monkeypatch.context() as patch:
        patch.setattr(
            neurobust.networks.train, "save_weights", lambda *given: (_ for _ in ()).throw(OSError("disk full"))
        )
        with pytest.raises(OSError, match="disk full"):
            train(tmp_path / "a", dataset, [predictor_file], recipe, checkpoint=checkpoint)
    other = {**recipe, "learning_rate": 0.01}
    expected, *_ = train(tmp_path / "b", dataset, [predictor_file], other)
    found, *_ = train(tmp_path / "a", dataset, [predictor_file], other, checkpoint=checkpoint)
    assert same(found, expected)


@pytest.mark.parametrize("augment", ["none", "crop-flip"])
def test_predictor_is_untouched_by_training(tmp_path, dataset, predictor_file, predictor, recipe, augment):
    """The published flaw: the predictor's BatchNorm followed `train()` and drifted."""
    before = {name: value.clone() for name, value in predictor.state_dict().items()}
    train(tmp_path / "run", dataset, [predictor_file], {**recipe, "augment": augment, "epochs": 1})
    assert same(predictor.state_dict(), before)
    assert all(parameter.grad is None for parameter in predictor.parameters())


def test_augmented_target_is_the_response_to_the_augmented_partner(
    tmp_path, monkeypatch, dataset, predictor_file, recipe
):
    """Network and predictor meet the same pixels; under `shuffled`, the partner's under the same draw."""
    recipe |= {"augment": "crop-flip", "epochs": 1}
    recipe["condition"]["control"] = "shuffled"
    seen = []
    step = Trainer._step

    def record(self, pixels, labels, target):
        seen.append((pixels.clone(), target.clone()))
        return step(self, pixels, labels, target)

    monkeypatch.setattr(Trainer, "_step", record)
    trainer = trainer_of(dataset, predictor_file, recipe)
    trainer.run_epoch(0)
    target, data = trainer.guidance.target, trainer.data
    for index, (rows, (pixels, responses)) in enumerate(zip(trainer.batches(0), seen, strict=True)):
        stream = (0, "augment", 0, index)
        own, partner = (cropped(data.images[part], *stream) for part in (rows, target.partners[rows]))
        torch.testing.assert_close(pixels, torch.from_numpy(own).permute(0, 3, 1, 2) / 255)
        torch.testing.assert_close(responses, target.live(partner, target.partners[rows]))


def test_learns_its_task_and_its_target(tmp_path, dataset, predictor_file, predictor, recipe):
    """Planted truth: a linear target of the image is found, a shuffled one is not, and metrics say so."""
    recipe |= {"epochs": 30, "learning_rate": 0.03}
    _, guided, history = train(tmp_path / "V1", dataset, [predictor_file], recipe)
    shuffled_recipe = {**recipe, "condition": {**recipe["condition"], "control": "shuffled"}}
    _, shuffled, _ = train(tmp_path / "shuffled", dataset, [predictor_file], shuffled_recipe)
    assert guided["clean_accuracy"] > 0.9
    assert guided["alignment"] > 0.6 and guided["alignment_cka"] > 0.3
    assert abs(shuffled["alignment"]) < 0.35
    assert history["neural_loss"].iloc[-1] < 0.7 * history["neural_loss"].iloc[0]
    assert list(history["epoch"]) == list(range(30))


def test_metrics_are_those_of_the_written_network(tmp_path, dataset, predictor_file, predictor, recipe):
    state, metrics, _ = train(tmp_path / "run", dataset, [predictor_file], recipe, seed=4)
    data = read_dataset(dataset)
    network = load_network(tmp_path / "run" / "model.safetensors")
    rows = data.rows(TEST)
    pixels = torch.from_numpy(data.images[rows]).permute(0, 3, 1, 2) / 255
    with torch.no_grad():
        predicted = torch.nn.functional.linear(
            network.features(pixels), state["neural_head.weight"], state["neural_head.bias"]
        ).numpy()
        responses = predictor(pixels).numpy()
        assert metrics["clean_accuracy"] == (network(pixels).argmax(1).numpy() == data.labels[rows]).mean()
    exact = [np.corrcoef(predicted[:, voxel], responses[:, voxel])[0, 1] for voxel in range(6)]
    assert metrics["alignment"] == pytest.approx(np.mean(exact), abs=1e-4)
    assert {key: metrics[key] for key in NAMES} == NAMES and metrics["seed"] == 4
    assert metrics["seconds"] > 0 and metrics["target_dim"] == 6 and metrics["n_train"] == 60
    assert metrics["layer_depth"] == 1
    assert set(metrics["provenance"]["inputs"]) == {"dataset", "predictor0"}


def test_none_has_no_alignment(tmp_path, dataset, recipe):
    state, metrics, history = train(tmp_path / "none", dataset, [], none_of(recipe))
    assert metrics["alignment"] is None and metrics["alignment_cka"] is None
    assert history["neural_loss"].isna().all() and not any(key.startswith("neural_head.") for key in state)
    assert "NaN" not in (tmp_path / "none" / "metrics.json").read_text()


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_trains(tmp_path, dataset, predictor_file, recipe, loss):
    recipe |= {"epochs": 12, "learning_rate": 0.02}
    recipe["condition"].update(loss=loss, weight=0.9)
    state, metrics, history = train(tmp_path / "run", dataset, [predictor_file], recipe)
    assert history["neural_loss"].iloc[-1] < history["neural_loss"].iloc[0] - 0.05
    assert ("neural_head.weight" in state) == LOSSES[loss].needs_head == (metrics["alignment"] is not None)
    assert metrics["alignment_cka"] is not None


def test_config_in_the_weights(tmp_path, dataset, recipe):
    train(tmp_path / "run", dataset, [], none_of(recipe))
    config = load_weights(tmp_path / "run" / "model.safetensors")[1]
    assert (config["architecture"], config["stem"], config["image_size"], config["num_classes"]) == (
        "tiny", "imagenet", 16, 4
    )  # fmt: skip
    np.testing.assert_allclose(config["mean"], [0.485, 0.456, 0.406], rtol=1e-6)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"epoch": 3}, ["unknown key 'epoch'", "epochs"]),
        ({"architecture": "resnet19"}, ["architecture 'resnet19'", "resnet18"]),
        ({"optimizer": "lion"}, ["recipe.optimizer", "lion", "sgd"]),
        ({"epochs": 0}, ["recipe.epochs", "0"]),
        ({"learning_rate": 0}, ["recipe.learning_rate", "0"]),
        ({"condition": {"target": "V1", "weight": 0.5, "loss": "msd"}}, ["recipe.condition.loss", "msd", "mse"]),
        ({"condition": {"target": "V1", "loss": "mse", "weight": 1.5}}, ["recipe.condition.weight", "1.5"]),
        ({"condition": {**GUIDED, "control": "shuffle"}}, ["recipe.condition.control", "shuffled"]),
        (
            {"condition": {"target": None, "weight": 0.5, "control": "shuffled"}},
            ["recipe.condition.control", "without a target"],
        ),
        ({"condition": {**GUIDED, "loss": "cka-debiased"}, "batch_size": 3}, ["recipe.batch_size", "4"]),
        ({"condition": {"target": None, "weight": 0.5}}, ["recipe.condition.target", "1 predictor"]),
        ({"condition": {"target": "V1", "weight": 0.5}}, ["recipe.condition.loss", "mse"]),
        ({"learning_rate": 1e30}, ["recipe.learning_rate", "not finite"]),
    ],
)
def test_bad_recipe_is_one_line_and_leaves_nothing(tmp_path, dataset, predictor_file, recipe, change, words):
    with pytest.raises(InputError) as error:
        train(tmp_path / "run", dataset, [predictor_file], {**recipe, **change})
    assert "\n" not in str(error.value) and all(word in str(error.value) for word in words), error.value
    assert not list((tmp_path / "run").iterdir())


def test_batches_hold_every_row_once_and_are_even():
    rows = np.arange(100, 165)
    batches = epoch_batches(rows, 16, seed=0, epoch=0)
    np.testing.assert_array_equal(np.sort(np.concatenate(batches)), rows)
    assert {len(batch) for batch in batches} == {13}  # 65 images: a plain cut would leave one batch of a single image
    assert not np.array_equal(np.concatenate(batches), np.concatenate(epoch_batches(rows, 16, 0, 1)))


def test_crop_flip_moves_and_mirrors():
    """Each result is a window of the image's reflection, mirrored or not; both occur, as do different shifts."""
    images = np.random.default_rng(0).integers(0, 256, (40, 16, 16, 3), dtype=np.uint8)
    changed = cropped(images, 1, "a")
    assert changed.dtype == np.uint8 and changed.shape == images.shape
    np.testing.assert_array_equal(changed, cropped(images, 1, "a"))
    draws = set()
    for image, result in zip(images, changed, strict=True):
        padded = np.pad(image, ((2, 2), (2, 2), (0, 0)), mode="reflect")
        found = [
            (down, right, flip)
            for down in range(5)
            for right in range(5)
            for flip in (1, -1)
            if np.array_equal(padded[down : down + 16, right : right + 16][:, ::flip], result)
        ]
        assert len(found) == 1
        draws.add(found[0])
    assert {flip for _, _, flip in draws} == {1, -1}
    assert {down for down, _, _ in draws} == {right for _, right, _ in draws} == set(range(5))


def test_images_on_the_device_train_the_same_network(monkeypatch, tmp_path, dataset, predictor_file, recipe):
    """As on a GPU that holds them, with several readers: the same weights, bit for bit."""
    recipe |= {"augment": "crop-flip", "epochs": 1}
    recipe["condition"]["control"] = "shuffled"
    mapped, metrics, _ = train(tmp_path / "mapped", dataset, [predictor_file], recipe)
    monkeypatch.setattr("neurobust.networks.trainer.open_store", lambda images, device, share: Resident(images, device))
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    resident, again, _ = train(tmp_path / "resident", dataset, [predictor_file], recipe)
    assert same(resident, mapped) and again | {"seconds": 0} == metrics | {"seconds": 0}


def test_read_ahead_keeps_order_and_passes_errors_on():
    assert list(read_ahead(lambda key: key**2, range(5))) == [0, 1, 4, 9, 16]
    assert list(read_ahead(str, [])) == []
    with pytest.raises(ZeroDivisionError):
        list(read_ahead(lambda key: 1 / key, [1, 0]))


def test_schedules():
    assert (
        one_cycle(0) == pytest.approx(0.04) and one_cycle(0.3) == pytest.approx(1) and one_cycle(1) == pytest.approx(0)
    )
    assert max(one_cycle(step / 100) for step in range(101)) == pytest.approx(1)
    assert [steps(epoch / 6) for epoch in range(6)] == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])


def test_mean_correlation_leaves_constant_columns_out():
    rng = np.random.default_rng(0)
    x, y = rng.normal(1000, 1, (2, 50, 3))
    y[:, 1] = 7
    expected = np.mean([np.corrcoef(x[:, column], y[:, column])[0, 1] for column in (0, 2)])
    assert mean_correlation(torch.tensor(x), torch.tensor(y)) == pytest.approx(expected)
    assert math.isnan(mean_correlation(torch.tensor(x[:, 1:2]), torch.tensor(y[:, 1:2])))


def test_provenance_is_free_of_clock_and_folder(tmp_path, dataset, recipe):
    train(tmp_path / "run", dataset, [], none_of(recipe))
    text = json.dumps(load_weights(tmp_path / "run" / "model.safetensors")[1])
    assert str(tmp_path) not in text and "seconds" not in text


@pytest.mark.parametrize("control", [None, *(name for name in CONTROLS if name not in ("subsampled", "features"))])
@pytest.mark.parametrize("augment", ["none", "crop-flip"])
def test_every_control_trains_and_the_predictor_stays(
    tmp_path, dataset, predictor_file, predictor, recipe, control, augment
):
    before = {name: value.clone() for name, value in predictor.state_dict().items()}
    recipe |= {"augment": augment, "epochs": 2}
    recipe["condition"]["control"] = control
    state, metrics, _ = train(tmp_path / "run", dataset, [predictor_file], recipe)
    assert metrics["target_dim"] == 6 and all(value.isfinite().all() for value in state.values())
    assert same(predictor.state_dict(), before)


@pytest.mark.parametrize("kind", REFERENCES)
def test_every_reference_learns_its_task(tmp_path, cued, recipe, kind):
    condition = {"target": None, "weight": 0.5, "reference": {"kind": kind}}
    recipe |= {"epochs": 20, "learning_rate": 0.03, "condition": condition}
    state, metrics, history = train(tmp_path / kind, cued, [], recipe)
    assert metrics["clean_accuracy"] > 0.7 and metrics["alignment"] is None
    plain, *_ = train(tmp_path / "none", cued, [], {**recipe, "condition": {"target": None, "weight": 0.5}})
    assert not torch.equal(state["trunk.0.weight"], plain["trunk.0.weight"])
    again, *_ = train(tmp_path / "again", cued, [], recipe)
    assert same(state, again)


def test_weight_decay_reference_is_weight_decay(tmp_path, dataset, recipe):
    condition = {"target": None, "weight": 0.5, "reference": {"kind": "weight-decay", "weight_decay": 0.02}}
    first, *_ = train(tmp_path / "a", dataset, [], {**recipe, "condition": condition})
    second, *_ = train(tmp_path / "b", dataset, [], {**none_of(recipe), "weight_decay": 0.02})
    assert same(first, second)


def test_adversarial_training_makes_a_network_more_robust(tmp_path, dataset, recipe):
    """The reference is one: against the same attack it keeps more of its accuracy than `none`."""
    recipe |= {"epochs": 25, "learning_rate": 0.03}
    budget = {"epsilon": 24.0, "steps": 7, "step": 8.0}
    reference = {"target": None, "weight": 0.5, "reference": {"kind": "adversarial", **budget}}
    train(tmp_path / "none", dataset, [], none_of(recipe))
    train(tmp_path / "adversarial", dataset, [], {**recipe, "condition": reference})
    data = read_dataset(dataset)
    rows = data.rows(TEST)
    pixels, labels = torch.tensor(data.images[rows]).permute(0, 3, 1, 2) / 255, torch.tensor(data.labels[rows])
    robust, strong = [], Adversarial(kind="adversarial", epsilon=24.0, steps=20, step=3.0)
    for name in ("none", "adversarial"):
        network = load_network(tmp_path / name / "model.safetensors")
        torch.manual_seed(0)
        attacked = pgd_examples(network, pixels, labels, strong)
        robust.append((network(attacked).argmax(1) == labels).float().mean().item())
    assert robust[1] > robust[0] + 0.15


def test_layers_and_mixture_train_and_resume(tmp_path, dataset, predictor_file, recipe):
    recipe["condition"].update(loss="similarity", layers=["0", "penultimate"])
    state, metrics, history = train(tmp_path / "run", dataset, [predictor_file], {**recipe, "epochs": 6})
    assert state["neural_head.logits"].shape == (2,) and state["neural_head.logits"].abs().max() > 0
    assert history["neural_loss"].iloc[-1] < history["neural_loss"].iloc[0]
    loaded = load_network(tmp_path / "run" / "model.safetensors")
    assert loaded.neural_head is None and not loaded.trunk[0]._forward_hooks


def test_an_early_layer_is_guided_without_the_later_ones(tmp_path, dataset, predictor_file, recipe):
    """With all the weight on the neural loss, layers behind the chosen one get no gradient."""
    recipe["condition"].update(layers=["0"], pool=2, weight=1.0)
    recipe |= {"weight_decay": 0.0}
    state, *_ = train(tmp_path / "run", dataset, [predictor_file], {**recipe, "epochs": 1})
    start = trainer_of(dataset, predictor_file, recipe).network.state_dict()
    assert torch.equal(state["trunk.1.weight"], start["trunk.1.weight"])
    assert not torch.equal(state["trunk.0.weight"], start["trunk.0.weight"])
    assert state["neural_head.weight"].shape == (6, 32)


@pytest.mark.parametrize("schedule", WEIGHT_SCHEDULES)
def test_schedules_of_the_neural_loss(schedule):
    factors = [WEIGHT_SCHEDULES[schedule](k / 100) for k in range(100)]
    assert min(factors) >= 0 and max(factors) == 1
    expected = {"constant": 1.0, "ramp": 0.745, "late": 0.75, "early": 0.5}
    assert np.mean(factors) == pytest.approx(expected[schedule], abs=0.01)


def test_a_schedule_of_zero_is_none(tmp_path, monkeypatch, dataset, predictor_file, recipe):
    monkeypatch.setitem(WEIGHT_SCHEDULES, "late", lambda progress: 0.0)
    recipe["condition"]["schedule"] = "late"
    nothing, *_ = train(tmp_path / "none", dataset, [], none_of(recipe))
    guided, *_ = train(tmp_path / "late", dataset, [predictor_file], recipe)
    assert same(classifier(guided), nothing)


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        ({**UNGUIDED, "layers": ["0"]}, ["recipe.condition.layers", "without a target"]),
        ({**UNGUIDED, "reference": {"kind": "madry"}}, ["reference.kind", "madry", "adversarial"]),
        ({**UNGUIDED, "reference": {"kind": "blur", "epsilon": 1}}, ["reference", "epsilon", "sigma"]),
        ({**UNGUIDED, "reference": {"kind": "blur", "sigma": 0}}, ["reference.sigma", "0"]),
        ({**GUIDED, "reference": {"kind": "blur"}}, ["recipe.condition.reference"]),
        ({**GUIDED, "layers": ["9"]}, ["recipe.condition.layers", "'9'", "penultimate"]),
        ({**GUIDED, "schedule": "sometimes"}, ["recipe.condition.schedule", "sometimes", "ramp"]),
        ({**GUIDED, "control": "subsampled"}, ["recipe.condition.match"]),
        ({**GUIDED, "match": ["V1"]}, ["recipe.condition.match"]),
        ({**GUIDED, "features": {"size": 64}}, ["recipe.condition.features"]),
        ({**GUIDED, "control": "features", "features": {"siz": 64}}, ["siz", "size"]),
    ],
)
def test_bad_condition_is_one_line(tmp_path, dataset, predictor_file, recipe, condition, words):
    predictors = [predictor_file] if condition["target"] else []
    with pytest.raises(InputError) as error:
        train(tmp_path / "run", dataset, predictors, {**recipe, "condition": condition})
    assert "\n" not in str(error.value) and all(word in str(error.value) for word in words), error.value


def test_the_record_of_a_recipe_is_whole(recipe):
    """Every default is in it, so that a default that changes later changes the record."""
    record = written(read_recipe(recipe))
    assert record["training"]["momentum"] == 0.9 and record["training"]["epochs"] == 3
    assert record["condition"]["loss"] == "mse" and record["condition"]["reference"] is None
    reference = written(read_recipe({"condition": {**UNGUIDED, "reference": {"kind": "blur"}}}))["condition"][
        "reference"
    ]
    assert reference == {"kind": "blur", "sigma": 1.0}
    json.dumps(record)
