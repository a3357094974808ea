"""A task's `dataset.h5` as the auxiliary networks see it: images, labels and yes-or-no attributes, by split."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import torch
from torch import Tensor

from neurobust.core.errors import InputError
from neurobust.core.io import memmap_dataset

TRAIN, VALIDATION, TEST = 0, 1, 2


@dataclass(frozen=True)
class TaskImages:
    """Images uint8 (N, H, W, 3), memory-mapped; labels int64 (N,); split (N,); attributes float32 (N, A) of 0 and 1."""

    path: Path
    task: str
    images: np.ndarray
    labels: np.ndarray
    split: np.ndarray
    classes: list[str]
    attributes: np.ndarray
    attribute_names: list[str]

    @property
    def size(self) -> int:
        """Side of the images in pixels."""
        return self.images.shape[1]

    def rows(self, split: int, most: int | None = None) -> np.ndarray:
        """Ascending rows of one split, at most the first `most`."""
        return np.flatnonzero(self.split == split)[:most]

    def held_out(self, most: int | None = None) -> np.ndarray:
        """Rows that gates are measured on: the validation images, or the test images of a task that has none."""
        rows = self.rows(VALIDATION, most)
        return rows if len(rows) else self.rows(TEST, most)

    def pixels(self, rows: np.ndarray, device: torch.device) -> Tensor:
        """The images of `rows` as float32 (n, 3, H, W) in [0,1]."""
        block = np.stack([self.images[row] for row in rows])
        return torch.from_numpy(block).to(device).permute(0, 3, 1, 2).float().div_(255).contiguous()

    def label(self, rows: np.ndarray, device: torch.device) -> Tensor:
        """Labels int64 (n,)."""
        return torch.from_numpy(self.labels[rows]).to(device)

    def code(self, rows: np.ndarray, device: torch.device) -> Tensor:
        """Attributes float32 (n, A)."""
        return torch.from_numpy(self.attributes[rows]).to(device)


def load_task(path: Path, attributes: bool = False) -> TaskImages:
    """Read a `dataset.h5`. With `attributes`, a task without any is an InputError."""
    try:
        with h5py.File(path, "r") as file:
            labels, split = file["labels"][:].astype(np.int64), file["split"][:]
            task, classes = str(file.attrs["task"]), json.loads(file.attrs["classes"])
            found = file["attributes"][:].astype(np.float32) if "attributes" in file else np.zeros((len(labels), 0))
            names = json.loads(file.attrs.get("attributes", "[]"))
    except (OSError, KeyError) as error:
        raise InputError(f"{path}: not a readable dataset file ({error}); delete it and run again") from error
    if attributes and not len(names):
        raise InputError(
            f"{path}: task '{task}' has no attributes to edit; name a task of faces in `semantic.semanticadv.tasks`"
        )
    images = memmap_dataset(path, "images")
    if images.shape[1] % 8 or images.shape[2] != images.shape[1]:
        raise InputError(f"{path}: images of {images.shape[1:3]} px; semantic attacks need squares of a multiple of 8")
    return TaskImages(Path(path), task, images, labels, split, classes, found.astype(np.float32), names)


def chunks(rows: np.ndarray, size: int) -> Iterator[np.ndarray]:
    """`rows` in order, `size` at a time."""
    for start in range(0, len(rows), size):
        yield rows[start : start + size]
