"""The task's images under attack: which ones, and as the network takes them."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import torch
from torch import Tensor

from neurobust.core.errors import InputError
from neurobust.core.seeding import numpy_rng

TRAIN_SPLIT, TEST_SPLIT = 0, 2
POOL_IMAGES = 256  # training images that attacks may start from or aim at


def choose_images(dataset: Path, n_images: int) -> tuple[np.ndarray, np.ndarray, str]:
    """Rows (n_images,) of the test images to attack, their labels, and the task's name.

    The order is drawn from the task's name alone: every network of a task meets the same images, and more images
    continue the same list.
    """
    split, labels, task, _ = read_labels(dataset)
    rows = np.flatnonzero(split == TEST_SPLIT)
    if not 0 < n_images <= len(rows):
        raise InputError(f"{dataset}: {n_images} images to attack, but the test split has {len(rows)}; lower n_images")
    chosen = numpy_rng("attacks", "images", task).permutation(rows)[:n_images].astype(np.int64)
    return chosen, labels[chosen].astype(np.int64), task


def choose_training(dataset: Path, most: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Rows (n,) of up to `most` training images in a fixed order, their labels, and the number of classes."""
    split, labels, task, classes = read_labels(dataset)
    rows = np.flatnonzero(split == TRAIN_SPLIT)
    chosen = numpy_rng("attacks", "training images", task).permutation(rows)[:most].astype(np.int64)
    return chosen, labels[chosen].astype(np.int64), max(classes, int(labels.max()) + 1)


def read_labels(dataset: Path) -> tuple[np.ndarray, np.ndarray, str, int]:
    """Split (N,), labels (N,), name and number of named classes of a task."""
    try:
        with h5py.File(dataset, "r") as file:
            classes = len(json.loads(file.attrs.get("classes", "[]")))
            return file["split"][:], file["labels"][:], str(file.attrs["task"]), classes
    except (OSError, KeyError) as error:
        raise InputError(f"{dataset}: not a readable dataset file ({error}); delete it and run again") from error


def unit_pixels(pixels: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The images `rows` as float32 (n, H, W, 3) in [0,1]."""
    return np.stack([pixels[row] for row in rows]).astype(np.float32) / np.float32(255)


def to_batch(pixels: np.ndarray, rows: np.ndarray, device: torch.device) -> Tensor:
    """The images `rows` as a float32 tensor (n, 3, H, W) in [0,1] on `device`."""
    return torch.from_numpy(unit_pixels(pixels, rows)).permute(0, 3, 1, 2).contiguous().to(device)


def exact_kernels():
    """Convolutions in full float32 by a fixed algorithm: TF32 and tuned kernels would change adversarials."""
    return torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)
