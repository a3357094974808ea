"""An attack: the border of the image turns black, up to a share of its side."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import torch

from neurobust.attacks.description import Attack
from neurobust.attacks.search import AttackResult, Batch, Search
from neurobust.core.settings import Share, about


class BlackFrame(Attack):
    """A black frame whose width is a share of the image's side."""

    run: ClassVar[str] = "outside.attack:black_frame"
    source: ClassVar[str] = "this file"
    shown_unit: ClassVar[str] = "of the side"

    norm: Literal["frame"] = "frame"
    darkness: Annotated[Share, about("how black the frame is")] = 1.0

    def passes(self, budgets: int) -> float:
        """One look at every budget."""
        return budgets


def black_frame(batch: Batch, settings: BlackFrame) -> AttackResult:
    """Try the frame of every budget on the images that stand there."""
    search = Search(batch)
    reached = torch.zeros(len(batch.images), dtype=torch.float64)
    for budget, width in search.positive():
        rows, inner = search.standing(budget), round(batch.images.shape[-1] * width)
        if not len(rows):
            break
        framed = batch.images[rows] * (1 - settings.darkness)
        size = batch.images.shape[-1]
        inside = (..., slice(inner, size - inner), slice(inner, size - inner))
        framed[inside] = batch.images[rows][inside]
        search.test(rows, framed, budget)
        reached[rows] = width
    return search.result(reached)
