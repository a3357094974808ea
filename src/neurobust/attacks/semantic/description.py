"""What a semantic attack and an auxiliary network are to the rest of the house: fields are settings, constants facts.

Descriptions import no torch. A new attack is one class beside its code and a line in `registry` (or an entry point
`neurobust.semantic` of another package); so is an auxiliary network (`neurobust.helpers`).
"""

from __future__ import annotations

import itertools
from typing import Annotated, ClassVar

from msgspec import Meta

from neurobust.core.errors import InputError
from neurobust.core.settings import UNIQUE, Count, NotNegative, Positive, Seed, Settings, Share, Whole, about

HALVED = 8  # what the auxiliary networks' sides must be a multiple of: they halve images three times
WholeStrengths = Annotated[tuple[Whole, ...], UNIQUE]
ShareStrengths = Annotated[tuple[Share, ...], UNIQUE]
Targeted = Annotated[bool, about("it aims at one class, a random other one for each image; else at any other")]
Lead = Annotated[float, Meta(ge=0, lt=1), about("lead in probability at which an image is left")]


class SemanticAttack(Settings, frozen=True):
    """A semantic attack and its settings. Its strengths are its budgets: each only adds freedom to the one before.

    run: `package.module:class`, made as run(networks, dataset, settings) and called as run(model, images, labels, ids),
    giving a `descent.Attempt`. title: its name for readers. source: paper and section. helpers: names of the auxiliary
    networks that it reads. faces: it turns attributes, so it takes only tasks that have them. axis: what a strength
    counts.
    keeps_lightness: it promises to change no pixel's lightness, which the verification looks at.
    """

    run: ClassVar[str] = ""
    title: ClassVar[str] = ""
    source: ClassVar[str] = ""
    helpers: ClassVar[tuple[str, ...]] = ()
    faces: ClassVar[bool] = False
    axis: ClassVar[str] = ""
    keeps_lightness: ClassVar[bool] = False

    strengths: tuple[float, ...] = ()
    confidence: Lead = 0.05

    def __post_init__(self) -> None:
        if any(low >= high for low, high in itertools.pairwise(self.strengths)):
            raise InputError(f"strengths {list(self.strengths)} must ascend, each larger than the one before")

    def passes(self) -> float:
        """Steps forward and backward that one image costs under all strengths."""
        raise NotImplementedError


class Helper(Settings, frozen=True):
    """An auxiliary network of semantic attacks and the settings of its training.

    network, trainer: `package.module:class`. reads: the auxiliary networks that its training or its gates read.
    attributes: it needs a task that has some. cost: of a step of its training, in those of the oracle.
    """

    network: ClassVar[str] = ""
    trainer: ClassVar[str] = ""
    reads: ClassVar[tuple[str, ...]] = ()
    attributes: ClassVar[bool] = False
    cost: ClassVar[float] = 1.0

    epochs: Annotated[Count, about("passes over the training images")] = 10
    batch_size: Annotated[int, Meta(ge=2), about("of an optimiser step", "images")] = 64
    learning_rate: Annotated[Positive, about("at its peak")] = 2e-3
    weight_decay: Annotated[NotNegative, about("of AdamW; the editor takes Adam and has none")] = 1e-4
    seed: Annotated[Seed, about("of the network and of its training")] = 0
