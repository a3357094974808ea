"""Targets: a frozen predictor's standardised responses to images, or what a control puts in their place."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from neurobust.core.errors import InputError
from neurobust.core.reading import read_ahead
from neurobust.core.training import readers
from neurobust.files.pixels import to_pixels
from neurobust.files.splits import TRAIN
from neurobust.networks.batches import in_order
from neurobust.networks.conditions import Condition
from neurobust.networks.controls import Respond, Setting, predicted
from neurobust.networks.description import load_function
from neurobust.networks.inputs import NetworkInputs
from neurobust.networks.moments import match_moments
from neurobust.networks.pictures import Pictures
from neurobust.networks.streamed import Streamed, stream_responses, usable
from neurobust.networks.voxels import columns_of_subjects, same_ceilings

IN_MEMORY = 8e9  # bytes of float32 responses that are held in memory; more are streamed
VOXEL_BLOCK = 1024  # columns whose statistics are computed at a time: bounds the float64 copy


def standardise(responses: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and SD (float32, (D,)) of responses (N, D) in float64; the SD of a constant column is set to 1.

    Give it the training images' responses only.
    """
    mean, std = (np.empty(responses.shape[1], np.float32) for _ in range(2))
    for start in range(0, responses.shape[1], VOXEL_BLOCK):
        block = responses[:, start : start + VOXEL_BLOCK].astype(np.float64)
        centre, spread = block.mean(0), block.std(0)
        mean[start : start + VOXEL_BLOCK] = centre
        std[start : start + VOXEL_BLOCK] = usable(spread, centre)
    return mean, std


@torch.inference_mode()
def compute_responses(respond: Respond, images: Any, rows: np.ndarray, batch: int, device: torch.device) -> np.ndarray:
    """Responses (n, D) float32 to some rows of uint8 images (N, H, W, 3), `batch` at a time."""
    found, start = np.empty((len(rows), 0), np.float32), 0
    for group, block in read_ahead(lambda part: (part, images[part]), in_order(rows, batch), readers(device)):
        part = respond(to_pixels(block, device), group).float().cpu().numpy()
        if start == 0:
            found = np.empty((len(rows), part.shape[1]), np.float32)
        found[start : start + len(part)] = part
        start += len(part)
    return found


class NeuralTarget:
    """What the features are drawn towards: predictor, standardisation fitted on the training images, and control.

    The predictor is frozen for good (eval mode, no gradients) and is not a submodule of the network, so training the
    network can change neither its weights nor its batch statistics. All N x D float32 targets are held in memory:
    without augmentation the network meets the very same pixels, and the cached responses are exact. Where they are
    larger than IN_MEMORY they are streamed in half precision (`streamed`), unless the control has moments.
    `precision` is that of responses to augmented images (`live`); it may be set to torch.bfloat16 (autocast).

    `dataset` are the images that they are responses to: a task's, or the subjects' stimuli. `inputs` name the
    predictors and what some controls read: `oracle`, `voxels` and `matched`.
    """

    def __init__(
        self,
        inputs: NetworkInputs,
        dataset: Pictures,
        condition: Condition,
        seed: int,
        batch: int,
        device: torch.device,
    ):
        from neurobust.predictors.target import load_target

        self.device, self.precision = device, torch.float32
        self.names = ", ".join(str(path) for path in inputs.predictors)
        control = condition.removes
        members = inputs.members(condition)
        self.module = load_target(list(inputs.predictors), members).eval().requires_grad_(False).to(device)
        columns = self._columns(inputs, condition, seed)
        weights = next(iter(inputs.oracle), None)
        setting = Setting(self.module, dataset, seed, device, condition, columns, weights)
        train = dataset.rows(TRAIN)
        if control.moments:
            wanted = self._checked(predicted(setting), dataset.images, train, batch)
            mean, std = standardise(wanted)
            setting = replace(setting, wanted=(wanted - mean) / std)
        self.respond: Respond = load_function(control.run)(setting)
        self.partners: np.ndarray = load_function(control.partners)(dataset.split, seed)
        self.map: list[Tensor] | None = None
        self.responses: Tensor | Streamed
        if not control.moments and self._bytes(dataset) > IN_MEMORY:
            mean, std = self._stream(dataset.images, train, batch)
            self.mean, self.std = (torch.from_numpy(part).to(device) for part in (mean, std))
            return
        responses = self._checked(self.respond, dataset.images, np.arange(len(dataset.split)), batch)
        if setting.wanted is not None:
            moments = match_moments(responses[train], setting.wanted)
            responses = moments(responses)
            self.map = [torch.from_numpy(part).to(device) for part in (moments.mean, moments.weight, moments.bias)]
        mean, std = standardise(responses[dataset.split == TRAIN])
        responses -= mean
        responses /= std
        self.responses = torch.from_numpy(responses)
        self.mean, self.std = (torch.from_numpy(part).to(device) for part in (mean, std))

    def _columns(self, inputs: NetworkInputs, condition: Condition, seed: int) -> np.ndarray | None:
        """The voxels that the target keeps; None for all."""
        if condition.removes.subsample:
            stream = (seed, "control", "subsampled")
            return same_ceilings(inputs.voxels, inputs.matched, condition.subjects, *stream)
        return None if condition.subjects is None else columns_of_subjects(self.module, condition.subjects)

    def _checked(self, respond: Respond, images: Any, rows: np.ndarray, batch: int) -> np.ndarray:
        responses = compute_responses(respond, images, rows, batch, self.device)
        if responses.shape[1] == 0:
            raise InputError(f"{self.names}: the predictor has 0 voxels, so there is no target; choose another ROI")
        if not np.isfinite(responses).all():
            raise InputError(f"{self.names}: responses to the images are not finite; train the predictor again")
        return responses

    @torch.inference_mode()
    def _bytes(self, dataset: Pictures) -> int:
        """What the responses to all images would take in memory."""
        first = self.respond(to_pixels(dataset.images[:1], self.device), np.zeros(1, int))
        return 4 * len(dataset.split) * first.shape[1]

    def _stream(self, images: Any, train: np.ndarray, batch: int) -> tuple[np.ndarray, np.ndarray]:
        """Keep the responses in a file; their mean and SD over the training images."""
        try:
            self.responses, mean, std = stream_responses(self.respond, images, train, batch, self.device)
        except FloatingPointError as error:
            raise InputError(f"{self.names}: {error}; train the predictor again") from error
        return mean, std

    @property
    def dim(self) -> int:
        """Number of voxels D."""
        return self.responses.shape[1]

    def cached(self, rows: np.ndarray) -> Tensor:
        """Targets (n, D) of dataset rows, on the training device."""
        return self.responses[torch.from_numpy(self.partners[rows])].to(self.device)

    @torch.no_grad()
    def live(self, partner_images: np.ndarray | Tensor, partner_rows: np.ndarray) -> Tensor:
        """Targets (n, D) of the partners' images as augmented: uint8 (n, H, W, 3), and the partners' rows (n,).

        The rows matter to controls that fix something per image (a draw, a phase).
        """
        pixels = to_pixels(partner_images, self.device)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == torch.bfloat16):
            responses = self.respond(pixels, partner_rows).float()
        if self.map is not None:
            mean, weight, bias = self.map
            responses = ((responses.double() - mean) @ weight + bias).float()
        return (responses - self.mean) / self.std
