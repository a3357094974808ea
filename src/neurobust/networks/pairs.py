"""Co-training pairs: the stimuli that subjects saw, with the responses that were measured, instead of a predictor.

The network sees a batch of stimuli beside each batch of the task, and its neural head predicts the responses to them
(Safarani et al. 2021). A batch holds the stimuli of one subject; each subject has its own columns of the neural head.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from neurobust.core.errors import InputError
from neurobust.core.io import memmap_dataset
from neurobust.core.seeding import numpy_rng
from neurobust.networks.batches import in_order, to_pixels
from neurobust.networks.controls import CONTROLS
from neurobust.networks.source import TRAIN


@dataclass(frozen=True)
class PairBatch:
    """Stimuli (n, 3, H, W) in [0, 1], the measured responses (n, V), and the columns of the neural head that V are."""

    pixels: Tensor
    responses: Tensor
    columns: slice


@dataclass(frozen=True)
class Block:
    """One subject's ROI: images uint8 (M, H, W, 3) memory-mapped, row of each of N responses (N, V), and its split."""

    images: np.ndarray
    row: np.ndarray
    responses: np.ndarray
    split: np.ndarray
    columns: slice


class Pairs:
    """Stimuli with measured responses, standardised on the training stimuli, voxel by voxel.

    `responses` are `cortex/{subject}/{roi}.h5`, `stimuli` the images of the same subjects in the same order, in the
    task's own size. The control `shuffled` permutes the responses within each split.
    """

    def __init__(
        self,
        responses: Sequence[Path],
        stimuli: Sequence[Path],
        size: int,
        control: str | None,
        seed: int,
        batch: int,
        device: torch.device,
    ):
        self.seed, self.batch_size, self.device = seed, batch, device
        self.blocks: list[Block] = []
        first = 0
        for path, images in zip(responses, stimuli, strict=True):
            block = _read_block(Path(path), Path(images), size, control, seed, first)
            if block is not None:
                self.blocks.append(block)
                first = block.columns.stop
        self.dim = first
        if not self.blocks:
            raise InputError(f"{responses[0]}: no voxels in any subject, so there is no target; choose another ROI")

    def draw(self, epoch: int, step: int) -> PairBatch:
        """The pairs that go with a step: subjects take turns in a random order, training stimuli are drawn anew."""
        turn, place = divmod(step, len(self.blocks))
        block = self.blocks[numpy_rng(self.seed, "pairs", epoch, turn).permutation(len(self.blocks))[place]]
        rows = np.flatnonzero(block.split == TRAIN)
        count = min(self.batch_size, len(rows))
        return self._pair(block, np.sort(numpy_rng(self.seed, "pair", epoch, step).choice(rows, count, replace=False)))

    def _pair(self, block: Block, rows: np.ndarray) -> PairBatch:
        pixels = to_pixels(np.asarray(block.images[block.row[rows]]), self.device)
        return PairBatch(pixels, torch.from_numpy(block.responses[rows]).to(self.device), block.columns)

    def compare(
        self, split: int, measures: Mapping[str, Callable[..., float]], layers: Callable[[Tensor], Tensor]
    ) -> dict[str, float]:
        """Mean over subjects of each measure(layers (n, d), responses (n, V), columns); NaN without stimuli."""
        values: dict[str, list[float]] = {name: [] for name in measures}
        for block in self.blocks:
            rows = np.flatnonzero(block.split == split)
            if len(rows) < 4:
                continue
            shown = [layers(self._pair(block, part).pixels) for part in in_order(rows, self.batch_size)]
            responses = torch.from_numpy(block.responses[rows]).to(self.device)
            for name, measure in measures.items():
                values[name].append(measure(torch.cat(shown), responses, block.columns))
        return {name: float(np.mean(found)) if found else float("nan") for name, found in values.items()}


def _read_block(path: Path, stimuli: Path, size: int, control: str | None, seed: int, first: int) -> Block | None:
    import h5py

    from neurobust.networks.targets import standardise

    with h5py.File(path, "r") as file:
        responses, split, shown = (file[name][()] for name in ("responses", "split", "nsd_id"))
    if responses.shape[1] == 0:
        return None
    with h5py.File(stimuli, "r") as file:
        known = file["nsd_id"][()]
    row = np.minimum(np.searchsorted(known, shown), len(known) - 1)
    absent = known[row] != shown
    if absent.any():
        raise InputError(f"{stimuli}: no image with nsd_id {shown[absent][0]} of {path}; delete both and run again")
    images = memmap_dataset(stimuli, "images")
    if images.shape[1] != size:
        raise InputError(
            f"{stimuli}: images of {images.shape[1]} px for a task of {size} px; give stimuli of that size"
        )
    mean, std = standardise(responses[split == TRAIN])
    responses = ((responses - mean) / std).astype(np.float32)
    partners = CONTROLS[control].partners(split, seed)
    return Block(images, row, responses[partners], split, slice(first, first + responses.shape[1]))
