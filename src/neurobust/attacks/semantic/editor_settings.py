"""Settings of the editor of faces."""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import Meta

from neurobust.attacks.semantic.description import Helper
from neurobust.core.settings import Count, NotNegative, Positive, Seed, about


class EditorHelper(Helper, frozen=True):
    """Turns attributes of faces; trained against an adversary, which is not kept."""

    network: ClassVar[str] = "neurobust.attacks.semantic.editor:Editor"
    trainer: ClassVar[str] = "neurobust.attacks.semantic.editor:EditorTrainer"
    reads: ClassVar[tuple[str, ...]] = ("oracle",)
    attributes: ClassVar[bool] = True
    cost: ClassVar[float] = 4.0

    epochs: Annotated[Count, about("passes over the training images")] = 40
    batch_size: Annotated[int, Meta(ge=2), about("of an optimiser step", "images")] = 32
    learning_rate: Annotated[Positive, about("at its peak")] = 2e-3
    width: Annotated[Count, about("channels of the first stage")] = 24
    blocks: Annotated[Count, about("residual blocks")] = 3
    seed: Annotated[Seed, about("of the network and of its training")] = 5000
    reconstruction: Annotated[NotNegative, about("weight of an image that must come back, in the loss")] = 15.0
    nearness: Annotated[NotNegative, about("weight of an edit that stays near, in the loss")] = 3.0
    attribute: Annotated[NotNegative, about("weight of the wanted attributes, in the loss")] = 1.0
    realness: Annotated[NotNegative, about("weight of the adversary's opinion, in the loss")] = 0.5

    def __post_init__(self) -> None:
        if self.weight_decay != Helper().weight_decay:
            raise ValueError(f"weight_decay: {self.weight_decay:g}: the editor takes Adam and has none; remove it")
