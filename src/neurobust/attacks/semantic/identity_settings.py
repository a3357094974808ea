"""Settings of the identity network."""

from __future__ import annotations

from typing import Annotated, ClassVar

from neurobust.attacks.semantic.description import Helper
from neurobust.core.settings import Count, Seed, about


class IdentityHelper(Helper, frozen=True):
    """An embedding of faces, and the threshold at which two of them are taken for the same person."""

    network: ClassVar[str] = "neurobust.attacks.semantic.identity:IdentityNetwork"
    trainer: ClassVar[str] = "neurobust.attacks.semantic.identity:IdentityTrainer"
    cost: ClassVar[float] = 1.5

    epochs: Annotated[Count, about("passes over the training images")] = 12
    width: Annotated[Count, about("channels of the first stage")] = 24
    dimensions: Annotated[Count, about("of the embedding")] = 64
    seed: Annotated[Seed, about("of the network and of its training")] = 3000
