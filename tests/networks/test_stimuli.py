"""Guidance on the subjects' stimuli: whose responses, which images, what the step is made of, resumed runs, prices."""

from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from neurobust.core.errors import InputError
from neurobust.core.io import load_weights, read_json, write_parquet
from neurobust.core.seeding import derive_seed, numpy_rng, seed_everything
from neurobust.files.dataset import read_dataset
from neurobust.files.stimuli import write_stimuli
from neurobust.networks.architectures import build_network
from neurobust.networks.batches import epoch_batches
from neurobust.networks.conditions import Condition, read_condition, read_recipe
from neurobust.networks.guidance import Both
from neurobust.networks.inputs import NetworkInputs, NetworkOutputs
from neurobust.networks.pairs import Pairs, predicted_blocks
from neurobust.networks.pictures import read_seen
from neurobust.networks.registry import LOSSES
from neurobust.networks.schedules import one_cycle
from neurobust.networks.train import train_network
from neurobust.networks.trainer import Trainer

CPU = torch.device("cpu")
SHARED = np.arange(200, 220)  # seen by both subjects, held out for test
PLAIN_LOSSES = [name for name in LOSSES if not LOSSES[name].by_class]


def picture(nsd_id):
    """The image with this id, whoever sees it: noise, with one brighter quarter."""
    rng = np.random.default_rng(nsd_id)
    image = rng.integers(0, 120, (16, 16, 3))
    row, column = 8 * rng.integers(0, 2, 2)
    image[row : row + 8, column : column + 8] += rng.integers(30, 130)
    return image.astype(np.uint8)


@pytest.fixture
def seen(tmp_path):
    """Files of two subjects with 60 and 50 images of their own beside the shared ones, the labels of all."""
    files = {"responses": (), "stimuli": ()}
    for subject, own in (("a", np.arange(60)), ("b", np.arange(100, 150))):
        ids = np.concatenate([own, SHARED])
        split = np.where(np.isin(ids, SHARED), 2, np.where(ids % 6 == 0, 1, 0)).astype(np.uint8)
        with h5py.File(tmp_path / f"{subject}.h5", "w") as file:
            file["nsd_id"], file["split"] = ids, split
        every = np.concatenate([ids, [300, 301]])  # images that the subject saw and the ROI's file does not have
        write_stimuli(tmp_path / f"{subject}-16.h5", every, 16, [np.stack([picture(k) for k in every])], dict)
        files["responses"] += (tmp_path / f"{subject}.h5",)
        files["stimuli"] += (tmp_path / f"{subject}-16.h5",)
    ids = np.arange(400)
    shares = {"car": (ids % 4 == 0) * 0.3, "tree": (ids % 3 == 0) * 0.2, "face": (ids % 5 == 0) * 0.5}
    write_parquet(tmp_path / "labels.parquet", pd.DataFrame({"nsd_id": ids, "flagged": ids < 0, **shares}))
    return files


def inputs_of(dataset, predictor_file, seen, **more):
    return NetworkInputs(Path(dataset), (predictor_file,), **seen, **more)


def pairs_of(predictor_file, seen, control=None, seed=0):
    condition = Condition(weight=0.5, target=("V1",), loss="mse", control=control, on="stimuli")
    blocks = predicted_blocks(inputs_of("d.h5", predictor_file, seen), 16, condition, seed, 32, CPU)
    return Pairs(blocks, seed, 20, CPU)


def test_every_image_of_any_subject_is_there_once(seen):
    found = read_seen(NetworkInputs(Path("d.h5"), **seen), 16)
    expected = np.concatenate([np.arange(60), np.arange(100, 150), SHARED])
    np.testing.assert_array_equal(found.nsd_id, expected)
    order = numpy_rng("order").permutation(len(expected))
    np.testing.assert_array_equal(found.images[order], np.stack([picture(k) for k in expected[order]]))
    np.testing.assert_array_equal(found.images[:3], np.stack([picture(k) for k in range(3)]))
    assert set(found.split[found.nsd_id < 200]) == {0, 1} and set(found.split[found.nsd_id >= 200]) == {2}
    assert found.categories.shape == (130, 0)


def test_a_batch_mixes_training_stimuli_with_the_predictor_s_own_responses(predictor_file, predictor, seen):
    pairs = pairs_of(predictor_file, seen)
    shown = read_seen(NetworkInputs(Path("d.h5"), **seen), 16)
    with torch.no_grad():
        whole = predictor.eval()(torch.from_numpy(shown.images[:]).permute(0, 3, 1, 2) / 255).double().numpy()
    train = shown.split == 0
    standard = (whole - whole[train].mean(0)) / whole[train].std(0)
    owners = set()
    for step in range(4):
        batch = pairs.draw(1, step)
        assert len(batch.pixels) == 20 and batch.columns == slice(0, 6)
        for pixels, response in zip(batch.pixels, batch.responses, strict=True):
            image = (pixels.permute(1, 2, 0) * 255).round().numpy().astype(np.uint8)
            (row,) = np.flatnonzero((shown.images[:] == image).all((1, 2, 3)))
            assert train[row]
            np.testing.assert_allclose(response, standard[row], atol=1e-4)
            owners.add((step, shown.nsd_id[row] < 100))
    assert len(owners) == 8, "each batch has stimuli of both subjects"


def test_shuffled_is_a_permutation_within_each_split(predictor_file, seen):
    own, shuffled = (pairs_of(predictor_file, seen, control).blocks[0] for control in (None, "shuffled"))
    for part in range(3):
        rows = own.split == part
        order = [np.lexsort(block.responses[rows].T) for block in (own, shuffled)]
        np.testing.assert_array_equal(own.responses[rows][order[0]], shuffled.responses[rows][order[1]])
    assert (own.responses != shuffled.responses).any(1).all(), "no image keeps its own"


@pytest.mark.parametrize("control", ["gaussian", "pixels", "phase-scrambled"])
def test_other_controls_answer_to_the_stimuli_too(predictor_file, seen, control):
    own, other = (pairs_of(predictor_file, seen, name).blocks[0] for name in (None, control))
    train = own.split == 0
    assert np.abs(own.responses - other.responses).mean() > 0.2
    np.testing.assert_allclose(other.responses[train].std(0), 1, atol=1e-3)


def recipe_for(recipe, **condition):
    return {**recipe, "condition": {"target": "V1", "loss": "mse", "weight": 0.8, **condition}}


def trainer_of(recipe, inputs):
    return Trainer(inputs, read_dataset(inputs.dataset), read_recipe(recipe), 0, 32)


def train(folder, recipe, inputs, checkpoint=None):
    folder.mkdir(exist_ok=True)
    outputs = NetworkOutputs(folder / "m.safetensors", folder / "m.json", folder / "h.parquet", checkpoint)
    train_network(inputs, read_recipe(recipe), 0, outputs, {"condition": "V1"})
    return load_weights(outputs.model)[0], read_json(outputs.metrics)


def same(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


def test_the_loss_on_both_is_the_mean_of_the_two(dataset, predictor_file, recipe, seen):
    trainer = trainer_of(recipe_for(recipe, on="both"), inputs_of(dataset, predictor_file, seen))
    guidance, rows = trainer.guidance, trainer.batches(0)[0]
    goal = guidance.goal((0, 0), rows, None, torch.zeros(len(rows), dtype=torch.long))
    assert isinstance(goal, Both) and trainer.recipe.condition.passes == 2
    trainer.network.eval()
    pixels = torch.from_numpy(trainer.data.images[rows]).permute(0, 3, 1, 2) / 255
    with torch.no_grad():
        features = trainer.network.features(pixels)
        found = guidance.neural_loss(guidance.compare(features, goal))
        on_task = guidance.neural_loss(guidance.compare(features, goal.task))
        on_stimuli = guidance.neural_loss(guidance.compare(features, goal.stimuli))
        head = trainer.network.neural_head
        exact = [
            (head(features) - guidance.target.cached(rows)).square().mean(),
            (head(trainer.network.features(goal.stimuli.pixels)) - goal.stimuli.responses).square().mean(),
        ]
    torch.testing.assert_close(torch.stack([on_task, on_stimuli]), torch.stack(exact))
    torch.testing.assert_close(found, (exact[0] + exact[1]) / 2)
    assert abs(exact[0] - exact[1]) > 1e-4, "a mean of equals would say nothing"


def plain_training(recipe, data, on, target, pairs):
    """The training of one network, written plainly: what is drawn from where, in which order, and each step."""
    seed_everything(0, "network")
    network = build_network(recipe["architecture"], 4, image_size=16)
    if on != "none":
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(0, "neural head"))
            network.neural_head = nn.Linear(128, 6)
    optimiser = torch.optim.SGD(network.parameters(), 0.05, momentum=0.9, weight_decay=5e-4)
    per_epoch = len(epoch_batches(data.rows(0), 16, 0, 0))
    done, steps = 0, 3 * per_epoch
    for epoch in range(3):
        seed_everything(0, "epoch", epoch)
        network.train()
        for step, rows in enumerate(epoch_batches(data.rows(0), 16, 0, epoch)):
            pixels = torch.from_numpy(data.images[rows]).permute(0, 3, 1, 2).contiguous() / 255
            features = network.features(pixels)
            loss = nn.functional.cross_entropy(network.head(features), torch.from_numpy(data.labels[rows]))
            loss = (1 - 0.8) * loss
            neural = []
            if on in ("task", "both"):
                neural.append((network.neural_head(features) - target.cached(rows)).square().mean())
            if on in ("stimuli", "both"):
                batch = pairs.draw(epoch, step)
                wanted = network.neural_head(network.features(batch.pixels))
                neural.append((wanted - batch.responses).square().mean())
            if neural:
                loss = loss + 0.8 * (neural[0] if len(neural) == 1 else torch.stack(neural).mean())
            for group in optimiser.param_groups:
                group["lr"] = 0.05 * one_cycle(done / steps)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            done += 1
        network.eval()
    return network.state_dict()


@pytest.mark.parametrize("on", ["none", "task", "stimuli", "both"])
def test_training_is_what_it_is_written_plainly(tmp_path, dataset, predictor_file, recipe, seen, on):
    """Draws and steps: those of `none` and of a target on the task are as they were before there were stimuli."""
    given = recipe_for(recipe, on=on) if on != "none" else {**recipe, "condition": {"weight": 0.8}}
    inputs = {
        "none": NetworkInputs(dataset),
        "task": NetworkInputs(dataset, (predictor_file,)),
    }.get(on, inputs_of(dataset, predictor_file, seen))
    guidance = trainer_of(given, inputs).guidance
    target, pairs = (guidance.target, guidance.pairs) if guidance else (None, None)
    assert ((target is None), (pairs is None)) == (on in ("none", "stimuli"), on in ("none", "task"))
    state, _ = train(tmp_path / on, given, inputs)
    expected = plain_training(recipe, read_dataset(dataset), on, target, pairs)
    assert state.keys() == expected.keys()
    for name, value in expected.items():  # another draw would show in the first digits
        torch.testing.assert_close(state[name], value, rtol=1e-4, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("on", ["stimuli", "both"])
def test_the_network_learns_to_predict_predicted_responses(tmp_path, dataset, predictor_file, recipe, seen, on):
    recipe |= {"epochs": 40, "learning_rate": 0.02}
    inputs = inputs_of(dataset, predictor_file, seen)
    _, metrics = train(tmp_path / "own", recipe_for(recipe, on=on), inputs)
    _, shuffled = train(tmp_path / "shuffled", recipe_for(recipe, on=on, control="shuffled"), inputs)
    assert metrics["alignment"] > 0.5 > 0.35 > abs(shuffled["alignment"])
    assert metrics["clean_accuracy"] > 0.8 and metrics["target_dim"] == 6
    assert {"predictor0", "responses1", "stimuli0"} <= set(metrics["provenance"]["inputs"])


@pytest.mark.slow
@pytest.mark.parametrize("loss", PLAIN_LOSSES)
def test_every_loss_that_is_not_by_class_works_on_stimuli(tmp_path, dataset, predictor_file, recipe, seen, loss):
    recipe |= {"epochs": 2, "learning_rate": 0.02}
    inputs = inputs_of(dataset, predictor_file, seen)
    for on in ("stimuli", "both"):
        _, metrics = train(tmp_path / on, recipe_for(recipe, on=on, loss=loss), inputs)
        assert (metrics["alignment"] is None) != LOSSES[loss].needs_head
        assert metrics["alignment_cka"] is not None


@pytest.mark.slow
@pytest.mark.parametrize(
    "condition",
    [
        {"on": "stimuli"},
        {"on": "both", "control": "shuffled"},
        {"on": "stimuli", "control": "labels"},
        {"on": "both", "control": "labels", "loss": "cka"},
        {"control": "labels"},
    ],
    ids=str,
)
def test_killed_and_resumed_is_identical(tmp_path, killed_in_epoch, dataset, predictor_file, recipe, seen, condition):
    files = dict(seen) if "on" in condition else {}
    if condition.get("control") == "labels" and files:
        files["labels"] = (tmp_path / "labels.parquet",)
    inputs = NetworkInputs(dataset, (predictor_file,), **files)
    given = recipe_for({**recipe, "augment": "crop-flip"}, **condition)
    whole, _ = train(tmp_path / "whole", given, inputs)
    with killed_in_epoch(2):
        train(tmp_path / "resumed", given, inputs, tmp_path / "checkpoint.pt")
    assert (tmp_path / "checkpoint.pt").exists()
    resumed, _ = train(tmp_path / "resumed", given, inputs, tmp_path / "checkpoint.pt")
    assert same(resumed, whole)


GUIDED = {"target": ["V1"], "predictor": "gnet", "loss": "mse", "weight": 0.8}


def test_a_condition_says_where_it_is_guided():
    facts = {}
    for on in ("task", "stimuli", "both"):
        condition = read_condition("x", {**GUIDED, "on": on})
        facts[on] = condition.on_task, condition.on_stimuli, condition.passes
    assert facts == {"task": (True, False, 1), "stimuli": (False, True, 2), "both": (True, True, 2)}
    measured = read_condition("x", {"target": ["V1"], "pairs": True, "loss": "mse", "weight": 0.8})
    assert (measured.on_task, measured.on_stimuli, measured.passes) == (False, True, 2)
    none = read_condition("none", {"weight": 0.8})
    assert (none.on_task, none.on_stimuli, none.passes) == (False, False, 1)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({**GUIDED, "on": "images"}, "conditions.V1.on: 'images' is not known; choose one of task, stimuli, both"),
        ({"weight": 1, "on": "stimuli"}, "conditions.V1.on: a condition without a target has no such key"),
        (
            {**GUIDED, "on": "both", "loss": "manifold"},
            "conditions.V1.loss: 'manifold' acts on the classes of the task",
        ),
        (
            {"target": ["V1"], "pairs": True, "loss": "mse", "weight": 0.8, "on": "both"},
            "conditions.V1.on: responses were measured to stimuli only",
        ),
    ],
)
def test_faults_are_one_line(given, message):
    with pytest.raises(InputError) as error:
        read_condition("V1", given)
    assert str(error.value).startswith(message) and "\n" not in str(error.value)


def test_files_that_do_not_fit_are_named(tmp_path, dataset, predictor_file, recipe, seen):
    with pytest.raises(InputError, match=r"^recipe\.condition\.on: guidance on stimuli goes with their files"):
        train(tmp_path / "run", recipe_for(recipe, on="both"), NetworkInputs(dataset, (predictor_file,)))
    with pytest.raises(InputError, match=r"^recipe\.condition\.on: guidance on stimuli goes with their files"):
        train(tmp_path / "run", recipe_for(recipe), inputs_of(dataset, predictor_file, seen))
    with pytest.raises(InputError, match=r"^recipe\.condition\.control: a target of the stimuli's categories"):
        given = recipe_for(recipe, on="stimuli", control="labels")
        train(tmp_path / "run", given, inputs_of(dataset, predictor_file, seen))
    with pytest.raises(InputError, match=r"a-16\.h5: images of 16 px for a task of 32 px"):
        read_seen(NetworkInputs(Path("d.h5"), **seen), 32)
    few = tmp_path / "few.parquet"
    write_parquet(few, pd.DataFrame({"nsd_id": np.arange(9), "flagged": False, "car": 0.5}))
    with pytest.raises(InputError, match=r"few\.parquet: nothing on nsd_id 9;"):
        read_seen(NetworkInputs(Path("d.h5"), **seen, labels=(few,)), 16)
    with h5py.File(tmp_path / "c.h5", "w") as file:
        file["nsd_id"], file["split"] = np.arange(2), np.array([0, 2])
    lonely = {"responses": (tmp_path / "c.h5",), "stimuli": seen["stimuli"][:1]}
    with pytest.raises(InputError, match=r"^recipe\.condition\.on: 1 training stimuli are too few"):
        train(tmp_path / "run", recipe_for(recipe, on="stimuli"), inputs_of(dataset, predictor_file, lonely))
