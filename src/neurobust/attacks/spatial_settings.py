"""Settings of the attack by rotation and translation (`spatial`)."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from neurobust.attacks.description import Attack
from neurobust.core.settings import Count, Share, about

Padding = Annotated[Literal["zero", "reflect"], about("what comes from outside the image: black, or mirrored")]


class RotationTranslation(Attack, frozen=True):
    """Worst rotation and shift within a share of the largest range: the exact worst case on a grid."""

    run = "neurobust.attacks.spatial:rotation_translation"
    source = "Engstrom et al., ICML 2019"
    shown_unit = "of the range"
    largest = 1.0
    minimum = True

    norm: Literal["rotation-translation"] = "rotation-translation"
    angle: Annotated[float, Meta(ge=0, le=180), about("either way at budget 1", "degrees")] = 30.0
    translation: Annotated[Share, about("of the side, each way, at budget 1")] = 3 / 32
    angles: Annotated[Count, about("of the grid")] = 31
    shifts: Annotated[Count, about("of the grid, each way")] = 5
    padding: Padding = "zero"

    def __post_init__(self) -> None:
        turns, moves = self.angle > 0 and self.angles > 1, self.translation > 0 and self.shifts > 1
        if not turns and not moves:
            raise ValueError(
                f"angles: {self.angles}, shifts: {self.shifts}: nothing is turned or moved; give more than one, and an "
                "angle or a translation above 0"
            )

    def passes(self, budgets: int) -> float:
        """Every point of the grid, once for all budgets."""
        return self.angles * self.shifts**2
