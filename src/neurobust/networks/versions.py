"""A fixed number of augmented versions of each training image, so that a predictor sees each of them once.

A predictor that sees every augmented image anew costs as much as the network that it guides, or more. With `versions`
of a training each image has so many crops and flips, fixed by the seed, and meets one of them an epoch, in turn. When
an epoch shows a version for the first time, the responses to it are computed, all in the same batches whether the run
was killed or not; later epochs look them up. What network and predictor see is the same, and so is what `none` sees.
"""

from __future__ import annotations

import tempfile

import numpy as np
import torch
from torch import Tensor

from neurobust.core.errors import InputError
from neurobust.core.reading import read_ahead
from neurobust.core.training import readers
from neurobust.networks.batches import Augment, Windows, in_order
from neurobust.networks.stores import Store
from neurobust.networks.targets import IN_MEMORY, NeuralTarget


class Versions:
    """`count` versions of the images `rows` (ascending), which have the shape (H, W); epoch e shows version e % count.

    `draw` is an augmentation; version k is its draw from the stream (seed, "augment", "version", k).
    """

    def __init__(self, draw: Augment, count: int, rows: np.ndarray, shape: tuple[int, ...], seed: int):
        self.count, self.rows = count, rows
        height, width = shape
        self.draws = [draw(len(rows), height, width, seed, "augment", "version", k) for k in range(count)]

    def shown(self, epoch: int) -> int:
        """The version that an epoch shows."""
        return epoch % self.count

    def places(self, rows: np.ndarray) -> np.ndarray:
        """Where each of some dataset rows stands among the images."""
        return np.searchsorted(self.rows, rows)

    def windows(self, epoch: int, rows: np.ndarray) -> Windows:
        """Where the pixels of some images come from in an epoch."""
        return self.draws[self.shown(epoch)].windows(self.places(rows))


class KeptTargets:
    """Targets of all versions of the training images, each computed when an epoch first shows it.

    They take versions x images x D numbers: float32 in memory, or, where that is more than IN_MEMORY bytes, float16
    in a file without a name in the folder of temporary files (TMPDIR), to 2^-11 of their size. `store` gives the images
    that the predictor sees, `batch` of them at a time.
    """

    def __init__(self, versions: Versions, target: NeuralTarget, store: Store, batch: int):
        self.versions, self.target, self.store, self.batch = versions, target, store, batch
        self.known: set[int] = set()
        shape = (versions.count, len(versions.rows), target.dim)
        self.table: np.ndarray
        if 4 * int(np.prod(shape)) <= IN_MEMORY:
            self.table = np.empty(shape, np.float32)
        else:
            with tempfile.TemporaryFile() as file:
                self.table = np.memmap(file, np.float16, "w+", shape=shape)

    def prepare(self, epoch: int) -> None:
        """Compute the targets of what an epoch shows, unless they are known. InputError for what is not finite."""
        shown = self.versions.shown(epoch)
        if shown in self.known:
            return
        for rows, images in read_ahead(
            lambda rows: (rows, self.store.read(self.target.partners[rows], self.versions.windows(epoch, rows))),
            in_order(self.versions.rows, self.batch),
            readers(self.target.device),
        ):
            found = self.target.live(images, self.target.partners[rows]).cpu().numpy()
            with np.errstate(over="ignore"):  # looked for here
                kept = found.astype(self.table.dtype)
            if not np.isfinite(kept).all():
                raise InputError(f"{self.target.names}: responses to augmented images are not finite; train it again")
            self.table[shown, self.versions.places(rows)] = kept
        self.known.add(shown)

    def of(self, epoch: int, rows: np.ndarray) -> Tensor:
        """Targets (n, D) float32 of the dataset rows as the epoch shows them, on the training device."""
        found = self.table[self.versions.shown(epoch), self.versions.places(rows)]
        return torch.from_numpy(found.astype(np.float32, copy=False)).to(self.target.device)
