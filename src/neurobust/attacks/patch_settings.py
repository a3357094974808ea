"""Settings of the patch attack (`patch`)."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from neurobust.attacks.description import Attack, AttackLoss, Draws, RandomDraws
from neurobust.core.settings import Count, Positive, about

OF_AREA = "of the area"


class Patch(Attack, frozen=True):
    """A square patch of any colours whose content and place are climbed; the budget is its share of the area."""

    run = "neurobust.attacks.patch:patch"
    source = "Rao, Stutz and Schiele, ECCV workshops 2020"
    shown_unit = OF_AREA
    largest = 1.0
    climbs = True

    norm: Literal["patch"] = "patch"
    loss: AttackLoss = "margin"
    steps: Annotated[Count, about("of a climb")] = 50
    step_size: Annotated[Positive, about("length of a step", "of the range of a pixel")] = 0.1
    move_every: Annotated[Count, about("a move to another place is tried after as many steps")] = 2
    starts: Annotated[Count, about("climbs, for images that still stand")] = 3
    draws: Annotated[Count, about("random patches, from the best of which a climb starts")] = 20
    eot: Draws = 1

    def passes(self, budgets: int) -> float:
        """Every draw, a gradient per step and two looks per move, from every start at every budget."""
        moves = math.ceil(self.steps / self.move_every)
        return self.eot * self.starts * (self.draws + 2 * self.steps + 2 * moves) * budgets


class RandomPatch(RandomDraws, frozen=True):
    """Best of several square patches of random content at random places."""

    run = "neurobust.attacks.patch:random_patch"
    source = "baseline: random patches"
    shown_unit = OF_AREA
    largest = 1.0

    norm: Literal["patch"] = "patch"
