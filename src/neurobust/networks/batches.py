"""Batches: their order, their reading ahead of use, and augmentation, each from its own named random stream."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np

from neurobust.core.seeding import numpy_rng

Key = TypeVar("Key")
Value = TypeVar("Value")


def epoch_batches(rows: np.ndarray, batch_size: int, seed: int, epoch: int) -> list[np.ndarray]:
    """All `rows` once, in the epoch's order, in batches of at most `batch_size` whose sizes differ by at most one.

    So no image is dropped and no batch is so small that batch statistics fail.
    """
    order = numpy_rng(seed, "order", epoch).permutation(rows)
    return np.array_split(order, max(1, -(-len(rows) // batch_size)))


def in_order(rows: np.ndarray, batch: int) -> list[np.ndarray]:
    """`rows` in their order, in batches of `batch`."""
    return [rows[start : start + batch] for start in range(0, len(rows), batch)]


def read_ahead(read: Callable[[Key], Value], keys: Iterable[Key]) -> Iterator[Value]:
    """`read(key)` for each key, in order, one being read in a thread while the caller works on the one before."""
    with ThreadPoolExecutor(1) as pool:
        waiting = None
        for key in keys:
            following = pool.submit(read, key)
            if waiting is not None:
                yield waiting.result()
            waiting = following
        if waiting is not None:
            yield waiting.result()


def crop_flip(images: np.ndarray, *stream: object) -> np.ndarray:
    """Shift each image by up to an eighth of its side (reflected border) and mirror every other one by chance.

    Images (N, H, W, 3); draws come from the named stream alone, so two calls with one stream transform alike.
    """
    count, height, width = images.shape[:3]
    rng = numpy_rng(*stream)
    pad = max(1, min(height, width) // 8)
    down, right = rng.integers(0, 2 * pad + 1, (2, count)).tolist()
    mirrored = (rng.random(count) < 0.5).tolist()
    rows, columns = (np.pad(np.arange(side), pad, mode="reflect") for side in (height, width))
    changed = np.empty_like(images)
    for i in range(count):
        across = columns[right[i] : right[i] + width]
        lines = images[i][rows[down[i] : down[i] + height]]
        lines.take(across[::-1] if mirrored[i] else across, axis=1, out=changed[i], mode="clip")
    return changed


# `Training.augment` -> function(uint8 images, *stream) -> images of the same shape; None leaves them as they are.
AUGMENTATIONS: dict[str, Callable[..., np.ndarray] | None] = {"none": None, "crop-flip": crop_flip}
