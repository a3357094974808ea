"""Settings of the colouriser."""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import Meta

from neurobust.attacks.semantic.description import Helper
from neurobust.core.settings import Count, Positive, Seed, Share, about


class ColouriserHelper(Helper, frozen=True):
    """Lightness and a few hints of colour in, colour out."""

    network: ClassVar[str] = "neurobust.attacks.semantic.colouriser:Colouriser"
    trainer: ClassVar[str] = "neurobust.attacks.semantic.colouriser:ColouriserTrainer"
    cost: ClassVar[float] = 3.0

    epochs: Annotated[Count, about("passes over the training images")] = 15
    batch_size: Annotated[int, Meta(ge=2), about("of an optimiser step", "images")] = 16
    learning_rate: Annotated[Positive, about("at its peak")] = 1e-2
    width: Annotated[Count, about("channels of the first stage")] = 24
    phase: Annotated[Share, about("of the training without hints")] = 0.2
    seed: Annotated[Seed, about("of the network and of its training")] = 4000
