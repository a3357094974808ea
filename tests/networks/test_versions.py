"""Versions of augmented images: what a predictor is asked once, beside the loop in which it is asked every time."""

import numpy as np
import pytest
import torch

from neurobust.core.errors import InputError
from neurobust.core.io import load_weights
from neurobust.files.dataset import read_dataset
from neurobust.networks import versions
from neurobust.networks.batches import crop_flip
from neurobust.networks.conditions import Training, read_recipe
from neurobust.networks.guidance import Guidance, mean_correlation
from neurobust.networks.inputs import NetworkInputs, NetworkOutputs
from neurobust.networks.stores import Mapped
from neurobust.networks.targets import NeuralTarget
from neurobust.networks.train import train_network
from neurobust.networks.trainer import Trainer
from neurobust.predictors.gabor import fill_prefilter
from neurobust.predictors.gnet import GNet
from neurobust.predictors.target import Target

EPOCHS, VERSIONS = 4, 2


@pytest.fixture
def asked(recipe):
    """A recipe of four epochs that show two versions of each image."""
    return {**recipe, "epochs": EPOCHS, "augment": "crop-flip", "versions": VERSIONS}


def trainer_of(dataset, predictor_file, recipe):
    return Trainer(NetworkInputs(dataset, (predictor_file,)), read_dataset(dataset), read_recipe(recipe), 0, 32)


def epochs_of(trainer, monkeypatch, count=EPOCHS):
    """What the steps of some epochs are given: (epoch, rows, pixels, goal)."""
    seen, step = [], Trainer._step

    def record(self, pixels, labels, goal):
        seen.append((pixels.clone(), goal))
        return step(self, pixels, labels, goal)

    monkeypatch.setattr(Trainer, "_step", record)
    for epoch in range(count):
        trainer.run_epoch(epoch)
    rows = [(epoch, rows) for epoch in range(count) for rows in trainer.batches(epoch)]
    return [(*place, *given) for place, given in zip(rows, seen, strict=True)]


def as_drawn(images, train, epoch):
    """All training images as their version of an epoch, by the row in the dataset."""
    windows = crop_flip(len(train), *images.shape[1:3], 0, "augment", "version", epoch % VERSIONS)
    return dict(zip(train, Mapped(images, torch.device("cpu")).read(train, windows).numpy(), strict=True))


@pytest.mark.parametrize("control", [None, "shuffled", "phase-scrambled", "random"])
def test_targets_are_those_of_the_exact_loop(monkeypatch, dataset, predictor_file, asked, control):
    """Network and predictor meet the same pixels; a target is what the predictor answers to them within a batch."""
    asked["condition"]["control"] = control
    trainer = trainer_of(dataset, predictor_file, asked)
    target, images = trainer.guidance.target, trainer.data.images
    for epoch, rows, pixels, goal in epochs_of(trainer, monkeypatch):
        own = as_drawn(images, trainer.rows, epoch)
        shown = np.stack([own[row] for row in rows])
        torch.testing.assert_close(pixels, torch.from_numpy(shown).permute(0, 3, 1, 2) / 255)
        partners, draws = target.partners[rows], trainer.versions.windows(epoch, rows)
        wanted = target.live(trainer.stored.read(partners, draws), partners)
        torch.testing.assert_close(goal, wanted, rtol=1e-4, atol=1e-5)
    assert not np.array_equal(as_drawn(images, trainer.rows, 0)[0], as_drawn(images, trainer.rows, 1)[0])


def test_a_predictor_is_asked_once_a_version(monkeypatch, dataset, predictor_file, asked):
    answered, live = [], NeuralTarget.live

    def counted(self, images, rows):
        answered.extend(rows)
        return live(self, images, rows)

    monkeypatch.setattr(NeuralTarget, "live", counted)
    trainer = trainer_of(dataset, predictor_file, asked)
    epochs_of(trainer, monkeypatch)
    assert sorted(answered) == sorted(VERSIONS * list(trainer.rows))
    assert read_recipe(asked).training.looks == VERSIONS


def trained(folder, dataset, predictors, recipe):
    folder.mkdir()
    outputs = NetworkOutputs(folder / "m.safetensors", folder / "m.json", folder / "h.parquet")
    train_network(NetworkInputs(dataset, predictors), read_recipe(recipe), 0, outputs, {"condition": "V1"})
    return load_weights(outputs.model)[0]


def test_a_training_ends_where_the_exact_loop_does(tmp_path, monkeypatch, dataset, predictor_file, asked):
    """With the predictor asked in every step, on the same versions: the same weights but for rounding."""
    kept = trained(tmp_path / "kept", dataset, (predictor_file,), asked)
    other = trained(tmp_path / "new", dataset, (predictor_file,), {**asked, "versions": None})
    monkeypatch.setattr(Guidance, "keep", lambda *given: None)
    exact = trained(tmp_path / "exact", dataset, (predictor_file,), asked)
    for name, value in exact.items():
        torch.testing.assert_close(kept[name], value, rtol=1e-3, atol=1e-4, msg=name)
    assert not torch.allclose(other["trunk.0.weight"], exact["trunk.0.weight"], rtol=1e-3, atol=1e-4)


def test_as_many_as_epochs_are_as_none_are_named(tmp_path, dataset, predictor_file, asked):
    found = trained(tmp_path / "many", dataset, (predictor_file,), {**asked, "versions": EPOCHS})
    plain = trained(tmp_path / "none", dataset, (predictor_file,), {**asked, "versions": None})
    assert all(torch.equal(found[name], plain[name]) for name in plain)


def test_without_a_target_the_same_images_are_shown(monkeypatch, dataset, predictor_file, asked):
    guided = trainer_of(dataset, predictor_file, asked)
    nothing = {**asked, "condition": {"target": None, "weight": asked["condition"]["weight"]}}
    alone = Trainer(NetworkInputs(dataset), read_dataset(dataset), read_recipe(nothing), 0, 32)
    for epoch, rows in enumerate(guided.batches(0)):
        assert torch.equal(guided._read(((epoch, 0), rows))[1], alone._read(((epoch, 0), rows))[1])


def test_half_precision_of_a_predictor_is_near_enough(tmp_path, monkeypatch, dataset, predictor_file, asked):
    """A G-net answers to augmented images in bfloat16 where that is asked, and to images as stored in float32."""
    torch.manual_seed(0)
    gnet = GNet({"subj01": 6}, 64, (6, 10), 3).eval()
    fill_prefilter(gnet.prefilter)
    torch.nn.init.normal_(gnet.readout("subj01").weight, std=100)
    monkeypatch.setattr("neurobust.predictors.target.load_target", lambda paths, members=1: Target([gnet]))
    exact = trainer_of(dataset, predictor_file, asked)
    half = trainer_of(dataset, predictor_file, {**asked, "predictor_precision": "bfloat16"})
    assert torch.equal(half.guidance.target.responses, exact.guidance.target.responses)
    for trainer in (exact, half):
        trainer.guidance.kept.prepare(0)
    wanted, found = (trainer.guidance.kept.of(0, trainer.rows) for trainer in (exact, half))
    assert not torch.equal(found, wanted) and mean_correlation(found, wanted) > 0.99


def test_targets_that_do_not_fit_lie_in_a_file(monkeypatch, dataset, predictor_file, asked):
    trainer = trainer_of(dataset, predictor_file, asked)
    monkeypatch.setattr(versions, "IN_MEMORY", 60 * VERSIONS * 6 * 4 - 1)
    filed = trainer_of(dataset, predictor_file, asked)
    for epoch in (0, 3, 2):
        for each in (trainer, filed):
            each.guidance.kept.prepare(epoch)
        rows = np.random.default_rng(epoch).permutation(trainer.rows)[:20]
        exact, found = (each.guidance.kept.of(epoch, rows) for each in (trainer, filed))
        assert found.dtype == torch.float32 and filed.guidance.kept.table.dtype == np.float16
        assert ((found - exact).abs() <= 2**-11 * exact.abs() + 2**-24).all()


def test_targets_that_are_not_finite_are_refused(monkeypatch, dataset, predictor_file, asked):
    trainer = trainer_of(dataset, predictor_file, asked)
    monkeypatch.setattr(NeuralTarget, "live", lambda self, images, rows: torch.full((len(rows), 6), torch.nan))
    with pytest.raises(InputError, match=r"predictor\.safetensors: responses to augmented images are not finite"):
        trainer.run_epoch(0)


def test_images_that_are_not_augmented_have_no_versions(asked):
    with pytest.raises(InputError, match=r"^recipe\.versions: 2: images that are not augmented have one version; "):
        read_recipe({**asked, "augment": "none"})


@pytest.mark.parametrize(("changes", "looks"), [({}, 1), ({"augment": "crop-flip"}, 8)])
def test_looks(changes, looks):
    """With versions they are at most the epochs."""
    assert Training(**changes).looks == looks
    if changes:
        assert [Training(**changes, versions=count).looks for count in (3, 8, 9)] == [3, 8, 8]
