"""Responses that do not fit in memory: half-precision numbers in a file, standardised while they are written."""

from __future__ import annotations

import tempfile
from typing import Any

import numpy as np
import torch
from torch import Tensor

from neurobust.core.reading import read_ahead
from neurobust.core.training import readers
from neurobust.files.pixels import to_pixels
from neurobust.networks.batches import in_order
from neurobust.networks.controls import Respond

PILOT = 2048  # training images whose statistics say the scale of what is written


class Streamed:
    """Standardised responses (N, D); `streamed[rows]` are float32 (n, D), within 2^-11 of their size of the exact ones.

    numbers: float16 (N, D) as they lie in the file; scale, shift (D,): what makes standardised responses of them.
    """

    def __init__(self, numbers: np.ndarray, scale: np.ndarray, shift: np.ndarray):
        self.numbers = numbers
        self.scale, self.shift = torch.from_numpy(scale), torch.from_numpy(shift)

    @property
    def shape(self) -> tuple[int, int]:
        """(N, D)."""
        return self.numbers.shape[0], self.numbers.shape[1]

    def __getitem__(self, rows: Tensor) -> Tensor:
        found = torch.from_numpy(self.numbers[rows.numpy()].astype(np.float32))
        return found.mul_(self.scale).add_(self.shift)

    def numpy(self) -> np.ndarray:
        """All of them, float32: twice as large in memory as in the file."""
        return self[torch.arange(self.shape[0])].numpy()


def usable(std: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Standard deviations (D,) to divide by: 1 in the place of what is rounding alone, of a column that is constant."""
    return np.where(std <= 1e-6 * np.maximum(1, np.abs(mean)), 1, std)


@torch.inference_mode()
def stream_responses(
    respond: Respond, images: Any, train: np.ndarray, batch: int, device: torch.device
) -> tuple[Streamed, np.ndarray, np.ndarray]:
    """Responses to all uint8 images (N, H, W, 3), standardised on the rows `train`, with their mean and SD (D,) there.

    They lie in a file without a name in the folder of temporary files (TMPDIR), which is gone with the process, and
    `batch` images are held in memory. Columns that are constant have an SD of 1 (`usable`). Raises
    FloatingPointError for responses that are not finite.
    """

    def answers(rows: np.ndarray, images: np.ndarray) -> np.ndarray:
        return respond(to_pixels(images, device), rows).float().cpu().numpy()

    def parts(rows: np.ndarray) -> Any:
        blocks = read_ahead(lambda part: (part, images[part]), in_order(rows, batch), readers(device))
        return ((group, answers(group, block)) for group, block in blocks)

    pilot = np.concatenate([found for _, found in parts(train[:PILOT])]).astype(np.float64)
    fitted = np.zeros(len(images), bool)
    fitted[train] = True
    with tempfile.TemporaryFile() as file, np.errstate(over="ignore", invalid="ignore"):  # looked for below
        centre, spread = pilot.mean(0), pilot.std(0)
        spread = usable(spread, centre)
        sums, squares = np.zeros((2, len(centre)))
        for group, found in parts(np.arange(len(images))):
            scaled = (found - centre) / spread
            written = scaled.astype(np.float16)
            if not np.isfinite(written).all():
                raise FloatingPointError("responses that are not finite")
            file.write(written.tobytes())
            sums += scaled[fitted[group]].sum(0)
            squares += np.square(scaled[fitted[group]]).sum(0)
        file.flush()
        numbers = np.memmap(file, np.float16, "r", shape=(len(images), len(centre)))
    offset = sums / len(train)
    mean = centre + spread * offset
    std = spread * np.sqrt(np.maximum(squares / len(train) - offset**2, 0))
    std = usable(std, mean)
    scale, shift = spread / std, (centre - mean) / std
    found = Streamed(numbers, scale.astype(np.float32), shift.astype(np.float32))
    return found, mean.astype(np.float32), std.astype(np.float32)
