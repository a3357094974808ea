"""Settings of the attack within a perceptual distance (`perceptual_attack`)."""

from __future__ import annotations

from typing import Annotated, Literal

from neurobust.attacks.description import Attack, AttackLoss, Draws, RandomDraws
from neurobust.core.settings import Count, Positive, about

OF_FEATURES = "of LPIPS form"


class Perceptual(Attack, frozen=True):
    """Any change that the oracle's features hardly see: ascent under a penalty on their distance beyond the budget."""

    run = "neurobust.attacks.perceptual_attack:perceptual"
    source = "Laidlaw et al., ICLR 2021 (LPA); distance of Zhang et al., CVPR 2018"
    shown_unit = OF_FEATURES
    climbs = True
    helpers = ("oracle",)
    measure = "neurobust.attacks.perceptual_attack:distance_of"

    norm: Literal["lpips"] = "lpips"
    loss: AttackLoss = "margin"
    steps: Annotated[Count, about("of a round")] = 20
    rounds: Annotated[Count, about("at each budget; the penalty grows after one that ends outside it")] = 5
    penalty: Annotated[Positive, about("weight of the distance beyond the budget in the first round")] = 0.01
    eot: Draws = 1

    def passes(self, budgets: int) -> float:
        """A gradient a step and a look at the end of each round; those of the oracle are as many and not counted."""
        return self.eot * self.rounds * (2 * self.steps + 1) * budgets


class RandomPerceptual(RandomDraws, frozen=True):
    """Best of several random changes of the budget's distance, by turns from one for the whole to one per pixel."""

    run = "neurobust.attacks.perceptual_attack:random_perceptual"
    source = "baseline: random changes"
    shown_unit = OF_FEATURES
    helpers = ("oracle",)
    measure = "neurobust.attacks.perceptual_attack:distance_of"

    norm: Literal["lpips"] = "lpips"
