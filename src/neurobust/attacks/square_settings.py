"""Settings of the Square attack (`square`)."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from neurobust.attacks.description import Attack
from neurobust.core.settings import Count, about


class Square(Attack, frozen=True):
    """Random search with squares of new colour; it needs no gradient."""

    run = "neurobust.attacks.square:square"
    source = "Andriushchenko et al., ECCV 2020, algorithms 1 to 3"
    weaker = True
    black_box = True

    norm: Literal["linf", "l2"] = "linf"
    queries: Annotated[Count, about("tries per budget")] = 1000
    area: Annotated[float, Meta(gt=0, le=1), about("share of the image that the first squares cover")] = 0.8

    def passes(self, budgets: int) -> float:
        """A query is one pass."""
        return self.queries * budgets
