"""The task `digits`, described; `digits` reads it."""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import Meta

from neurobust.core.settings import LARGEST_SIDE, Seed, about
from neurobust.networks.description import Task


class Digits(Task, frozen=True):
    """scikit-learn's 1797 handwritten digits of 8 x 8 pixels; 70 / 10 / 20 % of each class."""

    reader: ClassVar[str] = "neurobust.networks.tasks.digits:read"

    image_size: Annotated[int, Meta(ge=16, le=LARGEST_SIDE), about("side of the images", "pixels")] = 32
    seed: Annotated[Seed, about("of the split")] = 0

    @property
    def side(self) -> int:
        """Side of the images in pixels."""
        return self.image_size

    @property
    def images(self) -> int:
        """How many images there are."""
        return 1797
