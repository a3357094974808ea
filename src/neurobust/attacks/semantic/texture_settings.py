"""Settings of the texture network."""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import Meta

from neurobust.attacks.semantic.description import Helper
from neurobust.core.settings import Count, Seed, about

Widths = Annotated[tuple[Count, ...], Meta(min_length=2), about("channels of the network's stages")]


class TextureHelper(Helper, frozen=True):
    """A VGG-style classifier whose maps the texture loss is taken from."""

    network: ClassVar[str] = "neurobust.attacks.semantic.texture:TextureNetwork"
    trainer: ClassVar[str] = "neurobust.attacks.semantic.texture:TextureTrainer"

    widths: Widths = (16, 32, 64, 64, 64)
    seed: Annotated[Seed, about("of the network and of its training")] = 2000
