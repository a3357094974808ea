"""Co-training pairs: the stimuli that subjects saw, with the responses that were measured, instead of a predictor.

The network sees a batch of stimuli beside each batch of the task, and its neural head predicts the responses to them
(Safarani et al. 2021). A batch holds the stimuli of one subject; each subject has its own columns of the neural head.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from neurobust.core.errors import InputError
from neurobust.core.seeding import numpy_rng
from neurobust.files.pixels import to_pixels
from neurobust.files.roi import read_roi
from neurobust.files.splits import TRAIN, rows_of
from neurobust.files.stimuli import read_stimuli
from neurobust.networks.batches import in_order
from neurobust.networks.description import Control, load_function
from neurobust.networks.inputs import NetworkInputs
from neurobust.networks.targets import standardise


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

    `inputs` name the `responses` and the `stimuli` in the task's own `size`. The partners of the control say whose
    response each stimulus gets, within each split.
    """

    def __init__(self, inputs: NetworkInputs, size: int, control: Control, seed: int, batch: int, device: torch.device):
        self.seed, self.batch_size, self.device = seed, batch, device
        self.blocks: list[Block] = []
        partners = load_function(control.partners)
        first = 0
        for path, stimuli in zip(inputs.responses, inputs.stimuli, strict=True):
            measured = _read_measured(path, stimuli, size)
            voxels = measured.responses.shape[1]
            if voxels:
                self.blocks.append(_standardised(measured, partners(measured.split, seed), first))
                first += voxels
        self.dim = first
        if not self.blocks:
            raise InputError(
                f"{inputs.responses[0]}: no voxels in any subject, so there is no target; choose another ROI"
            )

    def draw(self, epoch: int, step: int) -> PairBatch:
        """The pairs that go with a step: subjects take turns in a random order, training stimuli are drawn again."""
        turn, place = divmod(step, len(self.blocks))
        block = self.blocks[numpy_rng(self.seed, "pairs", epoch, turn).permutation(len(self.blocks))[place]]
        rows = rows_of(block.split, TRAIN)
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
            rows = rows_of(block.split, split)
            if len(rows) < 4:
                continue
            shown = [layers(self._pair(block, part).pixels) for part in in_order(rows, self.batch_size)]
            responses = torch.from_numpy(block.responses[rows]).to(self.device)
            for name, measure in measures.items():
                values[name].append(measure(torch.cat(shown), responses, block.columns))
        return {name: float(np.mean(found)) if found else float("nan") for name, found in values.items()}


def _read_measured(path: Path, stimuli: Path, size: int) -> Block:
    """The responses of `cortex/{subject}/{roi}.h5` as they were measured, with the stimuli that evoked them."""
    roi, shown = read_roi(path, trials=False), read_stimuli(stimuli)
    row = shown.rows(roi.nsd_id, path)
    if shown.side != size:
        raise InputError(f"{stimuli}: images of {shown.side} px for a task of {size} px; give stimuli of that size")
    return Block(shown.images, row, roi.responses, roi.split, slice(0, roi.responses.shape[1]))


def _standardised(block: Block, partners: np.ndarray, first: int) -> Block:
    """The block with the standardised responses of each row's partner, its columns counted from `first`."""
    mean, std = standardise(block.responses[block.split == TRAIN])
    responses = ((block.responses - mean) / std).astype(np.float32)
    return replace(block, responses=responses[partners], columns=slice(first, first + responses.shape[1]))
