"""Settings of the attacks that see decisions alone (`decision`)."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from neurobust.attacks.description import Attack
from neurobust.core.settings import Count, Positive, about

# Share of the line from an image to a start of another class to which the boundary on it is found.
START_TOLERANCE = 1e-4


class Blended(Attack, frozen=True):
    """The nearest images of other classes, each pulled back along its line to the boundary."""

    run = "neurobust.attacks.decision:blended"
    source = "baseline: interpolation towards another class's image"
    weaker = True
    black_box = True
    minimum = True
    pool = True

    norm: Literal["l2", "linf"] = "l2"
    candidates: Annotated[Count, about("images of another class that are tried, the nearest first")] = 5

    def passes(self, budgets: int) -> float:
        """A bisection for every candidate, once for all budgets."""
        return math.ceil(-math.log2(START_TOLERANCE)) * self.candidates


class HopSkipJump(Attack, frozen=True):
    """Walks along the decision boundary by directions that are estimated from decisions."""

    run = "neurobust.attacks.decision:hopskipjump"
    source = "Chen et al., IEEE S&P 2020, algorithm 2"
    weaker = True
    black_box = True
    minimum = True
    pool = True

    norm: Literal["l2", "linf"] = "l2"
    steps: Annotated[Count, about("along the boundary")] = 20
    queries: Annotated[Count, about("of the first step's estimate; they grow as the root of the step")] = 100
    max_queries: Annotated[Count, about("of any step's estimate")] = 1000
    gamma: Annotated[Positive, about("precision of the bisection to the boundary, in the paper's unit")] = 1.0

    def __post_init__(self) -> None:
        if self.queries > self.max_queries:
            raise ValueError(
                f"max_queries: {self.max_queries}: the first estimate alone takes {self.queries}; raise it, or write "
                f"`queries: {self.max_queries}`"
            )

    def estimates(self, step: int) -> int:
        """Queries of the estimate at this step, counted from 0."""
        return int(min(self.queries * math.sqrt(step + 1), self.max_queries))

    def passes(self, budgets: int) -> float:
        """The estimates of all steps, once for all budgets."""
        return sum(self.estimates(step) for step in range(self.steps))
