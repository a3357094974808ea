"""A task: horizontal and vertical stripes, in noise."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar

import numpy as np
from msgspec import Meta

from neurobust.core.seeding import numpy_rng
from neurobust.core.settings import Count, about
from neurobust.files.dataset import Source
from neurobust.networks.description import Task


class Stripes(Task):
    """Stripes, which lie or stand."""

    reader: ClassVar[str] = "outside.task:read_stripes"

    image_size: Annotated[int, Meta(ge=16), about("side of the images", "pixels")] = 32
    count: Annotated[Count, about("of images")] = 120

    @property
    def side(self) -> int:
        """Side of the images in pixels."""
        return self.image_size

    @property
    def images(self) -> int:
        """How many images there are."""
        return self.count


def read_stripes(settings: Stripes, source: Path | None) -> Source:
    """The images; 60 / 20 / 20 %."""
    rng, size = numpy_rng("outside", "stripes"), settings.image_size
    labels = np.arange(settings.count) % 2
    bands = np.where(np.arange(size) // 4 % 2 == 0, 60, 190)[:, None].repeat(size, 1)
    images = np.stack([bands if label else bands.T for label in labels])[..., None].repeat(3, -1)
    images = np.clip(images + rng.normal(0, 30, images.shape), 0, 255).astype(np.uint8)
    split = np.repeat(
        [0, 1, 2], [settings.count * 3 // 5, settings.count // 5, settings.count - settings.count * 4 // 5]
    )
    return Source(labels.astype(np.int64), split.astype(np.uint8), ["standing", "lying"], (size, size), iter([images]),
                  lambda: {"inputs": {}})  # fmt: skip
