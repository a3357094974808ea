"""How fast a machine trains a network: whole epochs on a few random images, reading included; and reading alone."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from itertools import count
from pathlib import Path

import numpy as np
import torch

from neurobust.core.io import Provenance
from neurobust.core.timing import seconds_of
from neurobust.files.dataset import Source, dataset_path, read_dataset, write_dataset
from neurobust.files.splits import TEST, TRAIN
from neurobust.networks.architectures import Classifier, build_network
from neurobust.networks.batches import crop_flip
from neurobust.networks.conditions import Recipe
from neurobust.networks.inputs import NetworkInputs
from neurobust.networks.stores import Mapped
from neurobust.networks.trainer import Trainer

BATCHES = 4
READ = 128  # images of a batch that a reader is timed on


def training_seconds(recipe: Recipe, side: int, predictors: Sequence[Path], least: float) -> float:
    """Wall seconds of an image in an epoch, over epochs that take `least` seconds in all after one that does not count.

    The images are random, of `side` pixels; `predictors` the weights of the condition's target, where it has one.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = dataset_path(folder, "probe")
        _write_images(path, recipe.training.batch_size * BATCHES, side)
        trainer = Trainer(NetworkInputs(path, tuple(predictors)), read_dataset(path), recipe, 0, 256)
        epochs = count()
        return seconds_of(lambda: trainer.run_epoch(next(epochs)), least) / len(trainer.rows)


def reader_seconds(side: int, least: float) -> float:
    """Wall seconds of one thread for an image of `side` pixels under crop-flip, read from memory."""
    images = np.random.default_rng(0).integers(0, 256, (READ, side, side, 3), dtype=np.uint8)
    store, rows = Mapped(images, torch.device("cpu")), np.arange(READ)
    return seconds_of(lambda: store.read(rows, crop_flip(READ, side, side, 0, "probe")), least) / READ


def fresh_network(recipe: Recipe, side: int) -> Classifier:
    """An untrained network of a recipe, for ten classes of images of `side` pixels."""
    return build_network(recipe.architecture, 10, stem=recipe.stem, image_size=side)


def _write_images(path: Path, number: int, side: int) -> None:
    """A task of so many random training images and one for testing."""
    rng = np.random.default_rng(0)
    split = np.where(np.arange(number + 1) < number, TRAIN, TEST).astype(np.uint8)
    blocks = (rng.integers(0, 256, (1, side, side, 3), dtype=np.uint8) for _ in split)
    write_dataset(
        path, "probe", Source(np.arange(number + 1) % 2, split, ["a", "b"], (side, side), blocks, Provenance), {}
    )
