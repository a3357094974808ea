"""Settings of the fast minimum norm attack (`fmn`)."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from neurobust.attacks.description import Attack
from neurobust.core.settings import Count, Positive, about


class FMN(Attack, frozen=True):
    """Finds the nearest adversarial: a ball per image shrinks while its point is adversarial and grows otherwise."""

    run = "neurobust.attacks.fmn:fmn"
    source = "Pintor et al., NeurIPS 2021"
    minimum = True

    norm: Literal["linf", "l2", "l1", "l0"] = "linf"
    steps: Annotated[Count, about("of the search")] = 100
    gamma: Annotated[
        float, Meta(gt=0, lt=1), about("share by which the radius changes at first; falls as a cosine")
    ] = 0.05
    stepsize: Annotated[Positive, about("l2 length of the first step; falls as a cosine", "pixel units")] = 1.0

    def passes(self, budgets: int) -> float:
        """A gradient a step, once for all budgets."""
        return 2 * self.steps
