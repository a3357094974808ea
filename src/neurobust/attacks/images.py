"""A task's images, labels and attributes by their rows, as networks under attack and in training take them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager

import numpy as np
import torch
from torch import Tensor

from neurobust.core.errors import InputError
from neurobust.files.dataset import Dataset
from neurobust.files.pixels import to_pixels

POOL_IMAGES = 256  # training images that attacks may start from or aim at


def to_batch(dataset: Dataset, rows: np.ndarray, device: torch.device) -> Tensor:
    """The images `rows` as float32 (n, 3, H, W) in [0,1] on `device`."""
    return _to_batch(dataset.images, rows, device)


def to_twins(dataset: Dataset, rows: np.ndarray, device: torch.device) -> Tensor:
    """The images `rows` with the cue of another class, as `to_batch` gives the images.

    Raises InputError for a task whose images bear no cue.
    """
    if dataset.conflict is None:
        raise InputError(
            f"{dataset.path}: its images bear no cue, so there is none to conflict with; leave the attack out"
        )
    return _to_batch(dataset.conflict, rows, device)


def _to_batch(images: np.ndarray, rows: np.ndarray, device: torch.device) -> Tensor:
    """Divided on the CPU: CUDA divides by a constant one bit apart, and budgets are checked on the CPU."""
    return to_pixels(np.stack([images[row] for row in rows]), torch.device("cpu")).to(device)


def to_labels(dataset: Dataset, rows: np.ndarray, device: torch.device) -> Tensor:
    """The labels of `rows`, int64 (n,)."""
    return torch.from_numpy(dataset.labels[rows]).to(device)


def to_codes(dataset: Dataset, rows: np.ndarray, device: torch.device) -> Tensor:
    """The attributes of `rows`, float32 (n, A) of 0 and 1."""
    return torch.from_numpy(dataset.attributes[rows]).to(device)


def chunks(rows: np.ndarray, size: int) -> Iterator[np.ndarray]:
    """`rows` in order, `size` at a time."""
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


def exact_kernels() -> AbstractContextManager[None]:
    """Convolutions in full float32 by a fixed algorithm: TF32 and tuned kernels would change adversarials."""
    return torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)
