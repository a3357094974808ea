"""A tiny architecture, task and predictor: what the tests of this stage train in a fraction of a second."""

import contextlib
import json

import h5py
import numpy as np
import pytest
import torch
from torch import nn

import neurobust.networks.architectures as architectures
from neurobust.core.io import save_weights
from neurobust.networks.trainer import Trainer
from neurobust.predictors.target import check_pixels

SIZE, CLASSES, VOXELS = 16, 4, 6


def tiny_builder() -> nn.Module:
    """A convolutional network with batch statistics and dropout, which a careless loop would disturb."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(4),
        nn.Flatten(),
        nn.Dropout(0.2),
        nn.Linear(128, 10),
    )


class TinyPredictor(nn.Module):
    """Voxels that weigh the image's colours in a 4 x 4 grid, behind a BatchNorm with statistics of its own."""

    def __init__(self, voxels: int = VOXELS, offset: float = 3.0):
        super().__init__()
        self.normalise = nn.BatchNorm2d(3)
        self.pool = nn.AdaptiveAvgPool2d(4)
        self.readout = nn.Linear(48, voxels)
        with torch.no_grad():
            self.readout.weight.copy_(torch.randn(voxels, 48, generator=torch.Generator().manual_seed(5)))
            self.readout.bias.fill_(offset)

    def forward(self, images, bounded=True):
        check_pixels(images, bounded)
        return self.readout(self.pool(self.normalise(images)).flatten(1))


def make_images(count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Noisy images whose class is the brightness of one quadrant."""
    labels = np.arange(count) % CLASSES
    images = rng.integers(0, 120, (count, SIZE, SIZE, 3))
    half = SIZE // 2
    for image, label in zip(images, labels, strict=True):
        row, column = half * (label // 2), half * (label % 2)
        image[row : row + half, column : column + half] += 60
    return images.astype(np.uint8), labels.astype(np.int64)


def write_dataset(path, images, labels, split):
    with h5py.File(path, "w") as file:
        file.create_dataset("images", data=images)
        file["labels"], file["split"] = labels, split
        file.attrs["classes"] = json.dumps([f"class {index}" for index in range(CLASSES)])
        file.attrs["task"], file.attrs["provenance"] = "tiny", "{}"
    return path


@pytest.fixture
def tiny(monkeypatch):
    """Register the architecture `tiny`."""
    monkeypatch.setitem(architectures.ARCHITECTURES, "tiny", tiny_builder)
    return "tiny"


@pytest.fixture
def dataset(tmp_path):
    """A dataset.h5 of 60 training, 12 validation and 24 test images."""
    images, labels = make_images(96, np.random.default_rng(0))
    split = np.repeat([0, 1, 2], [60, 12, 24]).astype(np.uint8)
    return write_dataset(tmp_path / "dataset.h5", images, labels, split)


@pytest.fixture
def cued(dataset):
    """The dataset with twins of a random and of a conflicting cue: brighter in one channel."""
    with h5py.File(dataset, "a") as file:
        images = file["images"][:]
        file["cue"] = file["labels"][:]
        for channel, name in enumerate(("random_cue", "conflict")):
            twin = images.copy()
            twin[..., channel] += 40
            file.create_dataset(name, data=twin)
    return dataset


@pytest.fixture
def mismatched(tmp_path):
    """A dataset.h5 of 20 images but 19 labels."""
    images, labels = make_images(20, np.random.default_rng(0))
    return write_dataset(tmp_path / "dataset.h5", images, labels[:-1], np.repeat([0, 2], [10, 9]).astype(np.uint8))


@pytest.fixture
def write_scenes():
    """Function(path, **changes) that writes the phantom's task file of 24 images."""

    def write(path, **changes):
        images, labels = make_images(24, np.random.default_rng(0))
        classes = np.array(["car", "tree", "face", "lamp"])
        split = np.repeat([0, 1, 2], 8).astype(np.uint8)
        np.savez(path, **{"images": images, "labels": labels, "split": split, "classes": classes, **changes})
        return path

    return write


@pytest.fixture
def predictor():
    return TinyPredictor()


@pytest.fixture
def predictor_file(tmp_path, monkeypatch, predictor):
    """A weights file that `load_target` reads as `predictor`, in train mode and unfrozen: the caller must freeze it."""
    import neurobust.predictors.target

    path = tmp_path / "predictor.safetensors"
    save_weights(path, predictor.state_dict(), {"predictor": "tiny"})
    monkeypatch.setattr(neurobust.predictors.target, "load_target", lambda paths, members=1: predictor.train())
    return path


@pytest.fixture
def recipe(tiny):
    """A recipe of three epochs towards a target."""
    return {
        "architecture": tiny,
        "condition": {"target": "V1", "loss": "mse", "weight": 0.5, "control": None},
        "epochs": 3,
        "batch_size": 16,
        "learning_rate": 0.05,
    }


@pytest.fixture
def killed_in_epoch(monkeypatch):
    """`with killed_in_epoch(2):` a training that is interrupted as that epoch begins."""

    @contextlib.contextmanager
    def killed_in_epoch(last):
        run_epoch = Trainer.run_epoch

        def killed(self, epoch):
            if epoch == last:
                raise KeyboardInterrupt
            return run_epoch(self, epoch)

        with monkeypatch.context() as patch:
            patch.setattr(Trainer, "run_epoch", killed)
            with pytest.raises(KeyboardInterrupt):
                yield

    return killed_in_epoch
