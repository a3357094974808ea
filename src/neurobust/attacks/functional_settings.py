"""Settings of attacks that apply one bounded function to an image's places or colours (`functional`)."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from neurobust.attacks.description import Attack, AttackLoss, Draws, RandomDraws
from neurobust.core.settings import Count, NotNegative, Positive, Whole, about

Points = Annotated[int, Meta(ge=2)]
Grid = Annotated[tuple[Points, Points, Points], about("points of the colour grid along lightness, u and v")]
GRID = (16, 32, 32)  # Laidlaw and Feizi 2019
OF_SIDE, OF_LUV = "of the side", "of LUV"


class Functional(Attack, frozen=True):
    """Projected ascent over the parameters of a bounded function, at every budget from the last one's best."""

    climbs = True

    loss: AttackLoss = "margin"
    steps: Annotated[Count, about("of a climb")] = 50
    rel_stepsize: Annotated[Positive | None, about("length of a step; default: 2.5 / steps", "budgets")] = None
    restarts: Annotated[Whole, about("cold starts from a random function, for images that still stand")] = 1
    eot: Draws = 1

    def passes(self, budgets: int) -> float:
        """A climb from the last budget's best and one from every restart, at each budget."""
        return 2 * self.eot * self.steps * (1 + self.restarts) * budgets


class StAdv(Functional, frozen=True):
    """Each pixel is taken from a place up to the budget away, each way: a smooth flow."""

    run = "neurobust.attacks.functional:stadv"
    source = "Xiao et al., ICLR 2018; bounded as in Laidlaw et al., ICLR 2021"
    shown_unit = OF_SIDE
    largest = 1.0

    norm: Literal["flow"] = "flow"
    smoothness: Annotated[
        NotNegative, about("of the flow: the weight of its roughness beside the loss, gradients at equal size")
    ] = 0.3


class ReColorAdv(Functional, frozen=True):
    """Each colour is changed by up to the budget in every coordinate of LUV, equal colours equally: a smooth grid."""

    run = "neurobust.attacks.functional:recoloradv"
    source = "Laidlaw and Feizi, NeurIPS 2019"
    shown_unit = OF_LUV
    largest = 1.0

    norm: Literal["colour"] = "colour"
    grid: Grid = GRID
    smoothness: Annotated[
        NotNegative, about("of the grid: the weight of its roughness beside the loss, gradients at equal size")
    ] = 0.03


class RandomFunction(RandomDraws, frozen=True):
    """Best of several random functions, by turns from one value for the whole to one per point."""


class RandomFlow(RandomFunction, frozen=True):
    """Best of several random flows that reach the budget somewhere."""

    run = "neurobust.attacks.functional:random_flow"
    source = "baseline: random flows"
    shown_unit = OF_SIDE
    largest = 1.0

    norm: Literal["flow"] = "flow"


class RandomColour(RandomFunction, frozen=True):
    """Best of several random colour grids that reach the budget somewhere."""

    run = "neurobust.attacks.functional:random_colour"
    source = "baseline: random colour grids"
    shown_unit = OF_LUV
    largest = 1.0

    norm: Literal["colour"] = "colour"
    grid: Grid = GRID
