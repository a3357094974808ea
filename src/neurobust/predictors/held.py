"""What a frozen prefilter makes of the training images: the same in every epoch, so it is kept where there is room."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from neurobust.files.pixels import to_pixels
from neurobust.files.splits import TRAIN
from neurobust.predictors.data import Batch, SubjectData, image_batches, with_pictures
from neurobust.predictors.gnet import Filtered, GNet

ROOM = 2**28  # bytes that the maps of all subjects' training images may take on the device


class Shown:
    """What a G-net in training is shown of a batch: its images, or their maps behind a prefilter that is not trained.

    The maps are made `image_batch` images at a time, at the beginning. They take h * w * C float32 an image: 19 kB in
    the demo, 560 kB in AlexNet's widths at 227 pixels, where a few hundred images fill the room and none are kept.
    """

    def __init__(self, model: GNet, subjects: Sequence[SubjectData], image_batch: int, device: torch.device):
        self.device = device
        self._held: dict[str, Tensor] = {}  # subject -> maps (images, h, w, C) of the rows of its responses
        frozen = not any(parameter.requires_grad for parameter in model.prefilter.parameters())
        rows = {data.subject: data.rows_of(TRAIN) for data in subjects}
        count = sum(len(part) for part in rows.values())
        if frozen and count and count * self._bytes(model) <= ROOM:
            self._places = {subject: places_of(part) for subject, part in rows.items()}
            self._held = {data.subject: self._maps(model, data, rows[data.subject], image_batch) for data in subjects}

    @torch.no_grad()
    def _bytes(self, model: GNet) -> int:
        """Bytes of one image's maps."""
        side = model.input_size
        return model.filtered(torch.zeros(1, 3, side, side, device=self.device)).maps.nbytes

    @torch.no_grad()
    def _maps(self, model: GNet, data: SubjectData, rows: np.ndarray, image_batch: int) -> Tensor:
        parts = [
            model.filtered(to_pixels(data.pictures(batch), self.device)).maps.permute(0, 2, 3, 1).contiguous()
            for batch in image_batches(rows, image_batch)
        ]
        return torch.cat(parts) if parts else torch.empty(0)

    def read(self, batch: Batch) -> tuple[Batch, np.ndarray | Filtered]:
        """A batch with its pictures or its maps, for `read_ahead`."""
        data, rows = batch
        if data.subject not in self._held:
            return with_pictures(batch)
        places = torch.from_numpy(self._places[data.subject][rows]).to(self.device)
        return batch, Filtered(self._held[data.subject][places].permute(0, 3, 1, 2))

    def to_device(self, read: np.ndarray | Filtered) -> Tensor | Filtered:
        """What `read` gave, as the network takes it."""
        return read if isinstance(read, Filtered) else to_pixels(read, self.device)


def places_of(rows: np.ndarray) -> np.ndarray:
    """Where each of some ascending rows stands among them, by the row; -1 for the others."""
    places = np.full(rows.max(initial=-1) + 1, -1)
    places[rows] = np.arange(len(rows))
    return places
