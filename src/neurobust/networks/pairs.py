"""Stimuli with responses: the images that subjects saw, beside those of the task, with what they evoke.

The network sees a batch of stimuli beside each batch of the task, and the neural loss acts on that pass. The responses
are a frozen predictor's, in all voxels of all subjects, so that a batch may mix the subjects' stimuli; or those that
were measured (`pairs`, Safarani et al. 2021), where a batch holds the stimuli of one subject and each subject has its
own columns of the neural head. The pass has batch statistics of its own, and stimuli are shown without augmentation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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
from neurobust.networks.batches import in_order
from neurobust.networks.conditions import Condition
from neurobust.networks.description import Control, load_function
from neurobust.networks.inputs import NetworkInputs
from neurobust.networks.pictures import Gathered, read_seen, stimuli_of
from neurobust.networks.targets import NeuralTarget, standardise


@dataclass(frozen=True)
class PairBatch:
    """Stimuli (n, 3, H, W) in [0, 1], the responses (n, V) to them, and the columns of the neural head that V are."""

    pixels: Tensor
    responses: Tensor
    columns: slice


@dataclass(frozen=True)
class Block:
    """Stimuli that are drawn together: images uint8 (M, H, W, 3) on the disk, row of each of N responses (N, V), split.

    `columns` of the neural head are those of the V voxels.
    """

    images: np.ndarray | Gathered
    row: np.ndarray
    responses: np.ndarray
    split: np.ndarray
    columns: slice


class Pairs:
    """Stimuli with responses, standardised on the training stimuli, voxel by voxel, in blocks.

    `batch` bounds the stimuli of a step; a loss that needs `least` of them and has fewer is an InputError.
    """

    def __init__(self, blocks: Sequence[Block], seed: int, batch: int, device: torch.device, least: int = 1):
        self.blocks, self.seed, self.batch_size, self.device = list(blocks), seed, batch, device
        self.dim = self.blocks[-1].columns.stop
        fewest = min(len(rows_of(block.split, TRAIN)) for block in self.blocks)
        if fewest < max(2, least):
            raise InputError(
                f"recipe.condition.on: {fewest} training stimuli are too few here; at least {max(2, least)}"
            )

    def draw(self, epoch: int, step: int) -> PairBatch:
        """The pairs that go with a step: blocks take turns in a random order, training stimuli are drawn again."""
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
        """Mean over blocks of each measure(layers (n, d), responses (n, V), columns); NaN without stimuli."""
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


def predicted_blocks(
    inputs: NetworkInputs, size: int, condition: Condition, seed: int, batch: int, device: torch.device
) -> list[Block]:
    """All subjects' stimuli, in one block, with the responses of frozen predictors, or a control's, to these stimuli.

    `inputs` name the predictors and, for each subject, an ROI file (`responses`) that says which images are in which
    split, and the `stimuli` in the task's own `size` (px); `batch` images are shown to the predictors at a time.
    """
    seen = read_seen(inputs, size)
    target = NeuralTarget(inputs, seen, condition, seed, batch, device)
    rows = np.arange(len(seen.split))
    responses = target.responses.numpy()
    if not np.array_equal(target.partners, rows):
        responses = responses[target.partners]
    return [Block(seen.images, rows, responses, seen.split, slice(0, target.dim))]


def measured_blocks(inputs: NetworkInputs, size: int, control: Control, seed: int) -> list[Block]:
    """Each subject's stimuli, in a block of their own, with the responses that were measured.

    `inputs` name the `responses` and the `stimuli` in the task's own `size` (px). The partners of the control say whose
    response each stimulus gets, within each split.
    """
    blocks: list[Block] = []
    partners = load_function(control.partners)
    first = 0
    for path, stimuli in zip(inputs.responses, inputs.stimuli, strict=True):
        measured = _read_measured(path, stimuli, size)
        voxels = measured.responses.shape[1]
        if voxels:
            blocks.append(_standardised(measured, partners(measured.split, seed), first))
            first += voxels
    if not blocks:
        raise InputError(f"{inputs.responses[0]}: no voxels in any subject, so there is no target; choose another ROI")
    return blocks


def _read_measured(path: Path, stimuli: Path, size: int) -> Block:
    """The responses of `cortex/{subject}/{roi}.h5` as they were measured, with the stimuli that evoked them."""
    roi, shown = read_roi(path, trials=False), stimuli_of(stimuli, size)
    row = shown.rows(roi.nsd_id, path)
    return Block(shown.images, row, roi.responses, roi.split, slice(0, roi.responses.shape[1]))


def _standardised(block: Block, partners: np.ndarray, first: int) -> Block:
    """The block with the standardised responses of each row's partner, its columns counted from `first`."""
    mean, std = standardise(block.responses[block.split == TRAIN])
    responses = ((block.responses - mean) / std).astype(np.float32)
    return replace(block, responses=responses[partners], columns=slice(first, first + responses.shape[1]))
