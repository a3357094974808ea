"""Batches: their order and their augmentation, each from its own named random stream."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from neurobust.core.seeding import numpy_rng


def epoch_batches(rows: np.ndarray, batch_size: int, seed: int, epoch: int) -> list[np.ndarray]:
    """All `rows` once, in the epoch's order, in batches of at most `batch_size` whose sizes differ by at most one.

    So no image is dropped and no batch is so small that batch statistics fail.
    """
    order = numpy_rng(seed, "order", epoch).permutation(rows)
    return np.array_split(order, max(1, -(-len(rows) // batch_size)))


def in_order(rows: np.ndarray, batch: int) -> list[np.ndarray]:
    """`rows` in their order, in batches of `batch`."""
    return [rows[start : start + batch] for start in range(0, len(rows), batch)]


@dataclass(frozen=True)
class Windows:
    """Where the pixels of changed images come from: the lines (n, H) and the columns (n, W) of the images as stored.

    Of `mirrored` ones (n,) the columns are then turned round. Each row of columns rises by one from its least on.
    """

    lines: np.ndarray
    columns: np.ndarray
    mirrored: np.ndarray


def crop_flip(count: int, height: int, width: int, *stream: object) -> Windows:
    """Shift each of `count` images by up to an eighth of its side (reflected border), mirror every other by chance.

    Draws come from the named stream alone, so two calls with one stream transform alike.
    """
    rng = numpy_rng(*stream)
    pad = max(1, min(height, width) // 8)
    down, right = rng.integers(0, 2 * pad + 1, (2, count))
    mirrored = rng.random(count) < 0.5
    rows, columns = (np.pad(np.arange(side), pad, mode="reflect") for side in (height, width))
    return Windows(rows[down[:, None] + np.arange(height)], columns[right[:, None] + np.arange(width)], mirrored)


# `Training.augment` -> function(images, height, width, *stream) -> windows; None leaves images as they are.
AUGMENTATIONS: dict[str, Callable[..., Windows] | None] = {"none": None, "crop-flip": crop_flip}
