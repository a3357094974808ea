"""Settings of the attacks on the regularisation itself (`adaptive`)."""

from __future__ import annotations

from typing import Annotated, Literal

from neurobust.attacks.description import Attack, AttackLoss
from neurobust.core.settings import Count, NotNegative, about


class Adaptive(Attack, frozen=True):
    """Fixed-step ascent on an objective that reads the neural head."""

    neural_head = True

    norm: Literal["linf", "l2"] = "linf"
    loss: AttackLoss = "margin"
    steps: Annotated[Count, about("at every budget")] = 20

    def passes(self, budgets: int) -> float:
        """A gradient a step at every budget."""
        return 2 * self.steps * budgets


class AdaptiveJoint(Adaptive, frozen=True):
    """Drives the logits and the neural response away from the clean ones at once."""

    run = "neurobust.attacks.adaptive:adaptive_joint"
    source = "after Tramer et al., NeurIPS 2020"

    neural_weight: Annotated[NotNegative, about("of the change of the neural response, beside the loss")] = 1.0


class AdaptiveCollision(Adaptive, frozen=True):
    """Makes the neural response that of an image of another class."""

    run = "neurobust.attacks.adaptive:adaptive_collision"
    source = "after Sabour et al., ICLR 2016 (feature collision)"
