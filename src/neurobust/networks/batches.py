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


@dataclass(frozen=True)
class Draws:
    """What chance says of n images of `shape` (H, W): how far each is moved `down` and `right`, of 0 ... 2 pad, and
    whether it is mirrored (n,)."""

    shape: tuple[int, int]
    pad: int
    down: np.ndarray
    right: np.ndarray
    mirrored: np.ndarray

    def windows(self, which: np.ndarray | slice = slice(None)) -> Windows:
        """Where the pixels of all images, or of some, come from; the border is reflected."""
        lines, columns = (
            np.pad(np.arange(side), self.pad, mode="reflect")[first[which][:, None] + np.arange(side)]
            for side, first in zip(self.shape, (self.down, self.right), strict=True)
        )
        return Windows(lines, columns, self.mirrored[which])


def draw_crop_flip(count: int, height: int, width: int, *stream: object) -> Draws:
    """Shift each of `count` images by up to an eighth of its side, mirror every other by chance.

    Draws come from the named stream alone, so two calls with one stream transform alike.
    """
    rng = numpy_rng(*stream)
    pad = max(1, min(height, width) // 8)
    down, right = rng.integers(0, 2 * pad + 1, (2, count))
    return Draws((height, width), pad, down, right, rng.random(count) < 0.5)


def crop_flip(count: int, height: int, width: int, *stream: object) -> Windows:
    """The windows that `draw_crop_flip` draws."""
    return draw_crop_flip(count, height, width, *stream).windows()


# `Training.augment` -> function(images, height, width, *stream) -> draws; None leaves images as they are.
Augment = Callable[..., Draws]
AUGMENTATIONS: dict[str, Augment | None] = {"none": None, "crop-flip": draw_crop_flip}
