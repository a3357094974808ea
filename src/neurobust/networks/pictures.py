"""What a target answers to: the images of a task, or the stimuli that the subjects saw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from neurobust.core.errors import InputError
from neurobust.files.roi import read_roi_images
from neurobust.files.splits import rows_of
from neurobust.files.stimuli import Stimuli, read_stimuli
from neurobust.files.stimulus_labels import read_categories
from neurobust.networks.inputs import NetworkInputs


class Pictures(Protocol):
    """Images in splits; `files.dataset.Dataset` is that, and so is `Seen`."""

    @property
    def images(self) -> Any:
        """uint8 (N, H, W, 3): an array, or what gives rows of one by `images[rows]`."""

    @property
    def split(self) -> np.ndarray:
        """(N,) 0 train, 1 validation, 2 test."""

    @property
    def categories(self) -> np.ndarray:
        """Bool (N, C): the categories that each image shows."""

    def rows(self, split: int) -> np.ndarray:
        """Ascending rows of one split."""


class Gathered:
    """Rows of several memory-mapped arrays (M, H, W, 3) as one: row i is `parts[part[i]][row[i]]`."""

    def __init__(self, parts: Sequence[np.ndarray], part: np.ndarray, row: np.ndarray):
        self.parts, self.part, self.row = list(parts), part, row

    def __len__(self) -> int:
        return len(self.row)

    def __getitem__(self, rows: slice | np.ndarray) -> np.ndarray:
        part, row = self.part[rows], self.row[rows]
        found = np.empty((len(row), *self.parts[0].shape[1:]), self.parts[0].dtype)
        for number in np.unique(part):
            found[part == number] = self.parts[number][row[part == number]]
        return found


@dataclass(frozen=True)
class Seen:
    """The stimuli of all subjects, each once: images (N, S, S, 3), nsd_id (N,) ascending, split (N,), and categories
    (N, C), C being 0 where no file says them.
    """

    images: Gathered
    nsd_id: np.ndarray
    split: np.ndarray
    categories: np.ndarray

    def rows(self, split: int) -> np.ndarray:
        """Ascending rows of one split."""
        return rows_of(self.split, split)


def read_seen(inputs: NetworkInputs, size: int) -> Seen:
    """The images that an ROI file of each subject says a response of, in the task's `size` (px), with their splits."""
    parts, ids, splits, rows = [], [], [], []
    for path, stimuli in zip(inputs.responses, inputs.stimuli, strict=True):
        nsd_id, split = read_roi_images(path)
        shown = stimuli_of(stimuli, size)
        parts.append(shown.images)
        ids.append(nsd_id)
        splits.append(split)
        rows.append(shown.rows(nsd_id, path))
    nsd_id, first = np.unique(np.concatenate(ids), return_index=True)
    part = np.repeat(np.arange(len(parts)), [len(row) for row in rows])
    images = Gathered(parts, part[first], np.concatenate(rows)[first])
    if inputs.labels:
        categories = read_categories(inputs.labels[0], nsd_id)
    else:
        categories = np.zeros((len(nsd_id), 0), bool)
    return Seen(images, nsd_id, np.concatenate(splits)[first], categories)


def stimuli_of(path: Path, size: int) -> Stimuli:
    """The stimuli of one subject; InputError where they are not of the task's `size` (px)."""
    shown = read_stimuli(path)
    if shown.side != size:
        raise InputError(f"{path}: images of {shown.side} px for a task of {size} px; give stimuli of that size")
    return shown
