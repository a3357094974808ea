"""Settings of the colour attacks (`colour`)."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from neurobust.attacks.description import Attack
from neurobust.core.settings import about


class Colour(Attack, frozen=True):
    """The exact worst case on a grid of one colour change."""

    minimum = True

    grid: Annotated[int, Meta(ge=3), about("points over ± the largest budget; each budget's ends are added")] = 33

    def passes(self, budgets: int) -> float:
        """Every point of the grid, once for all budgets."""
        return self.grid


class Hue(Colour, frozen=True):
    """Worst hue shift within ± budget, in turns of the colour circle (0.5: the opposite hue)."""

    run = "neurobust.attacks.colour:hue"
    source = "grid search in HSV"
    shown_unit = "of the circle"
    largest = 0.5

    norm: Literal["hue"] = "hue"


class Saturation(Colour, frozen=True):
    """Worst HSV saturation factor within 1 ± budget (a factor below 0 is 0: grey)."""

    run = "neurobust.attacks.colour:saturation"
    source = "grid search in HSV"

    norm: Literal["saturation"] = "saturation"


class Brightness(Colour, frozen=True):
    """Worst amount within ± budget added to every pixel and channel (1: all black to all white)."""

    run = "neurobust.attacks.colour:brightness"
    source = "grid search"
    largest = 1.0

    norm: Literal["brightness"] = "brightness"


class Contrast(Colour, frozen=True):
    """Worst contrast factor within 1 ± budget around each channel's mean (a factor below 0 is 0: flat)."""

    run = "neurobust.attacks.colour:contrast"
    source = "grid search"

    norm: Literal["contrast"] = "contrast"
