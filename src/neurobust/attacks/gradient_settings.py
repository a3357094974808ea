"""Settings of FGSM, PGD and APGD (`gradient`)."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from neurobust.attacks.description import Attack, AttackLoss, Draws, WarmSteps
from neurobust.core.settings import Count, Positive, Whole, about

Steps = Annotated[Count, about("of a climb")]


class FGSM(Attack, frozen=True):
    """One step of the whole budget along the gradient at the clean image."""

    run = "neurobust.attacks.gradient:fgsm"
    source = "Goodfellow et al., ICLR 2015"
    weaker = True
    canary = True

    norm: Literal["linf", "l2"] = "linf"
    loss: AttackLoss = "ce"

    def passes(self, budgets: int) -> float:
        """At most a gradient and a test at each budget."""
        return 2 * budgets


class Climbing(Attack, frozen=True):
    """Gradient ascent over nested budgets: what its climbs are, whatever it climbs towards."""

    norm: Literal["linf", "l2"] = "linf"
    loss: AttackLoss = "margin"
    steps: Steps = 50
    warm_steps: WarmSteps = None
    eot: Draws = 1

    def steps_of(self, warm: bool) -> int:
        """Steps of one climb; `warm`: it goes on from another budget's best point."""
        return self.warm_steps if warm and self.warm_steps is not None else self.steps

    def steps_over(self, budgets: int) -> int:
        """Steps of a climb at each of this many budgets, all but the first of them warm."""
        return self.steps_of(warm=False) + (budgets - 1) * self.steps_of(warm=True)


class Ascending(Climbing, frozen=True):
    """Ascent away from the label: what PGD and APGD share."""

    climbs = True
    probed = True
    canary = True

    restarts: Annotated[Whole, about("cold starts from a random point of the ball, for images that still stand")] = 0
    order: Annotated[
        Literal["ascending", "bisection"],
        about("of the budgets: all up to the smallest that breaks an image, or about log2 of them"),
    ] = "ascending"

    def passes(self, budgets: int) -> float:
        """A climb at every budget that is tried, all but the first of them warm, and cold ones for the restarts."""
        if self.order == "bisection":
            budgets = min(budgets, math.ceil(math.log2(budgets + 1)))
        return 2 * self.eot * (self.steps_over(budgets) + budgets * self.restarts * self.steps)


class PGD(Ascending, frozen=True):
    """Projected gradient ascent with steps of a fixed length."""

    run = "neurobust.attacks.gradient:pgd"
    source = "Madry et al., ICLR 2018"

    steps: Steps = 20
    rel_stepsize: Annotated[Positive | None, about("length of a step; default: 2.5 / steps", "budgets")] = None


class APGD(Ascending, frozen=True):
    """Projected ascent with momentum whose steps shrink by themselves where progress stalls."""

    run = "neurobust.attacks.gradient:apgd"
    source = "Croce and Hein, ICML 2020, algorithm 1"


class TargetedAPGD(Climbing, frozen=True):
    """APGD towards each of the likeliest wrong classes in turn."""

    run = "neurobust.attacks.gradient:apgd_targeted"
    source = "Croce and Hein, ICML 2020, section 4"

    loss: AttackLoss = "dlr"
    targets: Annotated[Count, about("wrong classes to climb towards, the likeliest first")] = 9

    def passes(self, budgets: int) -> float:
        """A climb towards each target at every budget, all but those at the first warm."""
        return 2 * self.eot * self.targets * self.steps_over(budgets)
