"""Settings of the transfer: the attack whose adversarials every other network meets. Imports no torch."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from neurobust.attacks.description import AttackLoss
from neurobust.attacks.plan import UNITS
from neurobust.core.settings import Count, Positive, Settings, about, written


class Transfer(Settings, frozen=True, kw_only=True):
    """A fixed-step ascent that uses the whole budget, from the clean image and without a random part."""

    method: Literal["pgd"] = "pgd"
    norm: Literal["linf", "l2"] = "linf"
    budget: Annotated[Positive, about("in 1/255 for linf, in pixel units for l2")]
    steps: Annotated[Count, about("of the ascent")] = 10
    loss: AttackLoss = "margin"
    images: Annotated[Count | None, about("the first of the attacked ones; default: all")] = None
    ensembles: Annotated[bool, about("all seeds of a condition together are a source too")] = False

    @property
    def unit(self) -> str:
        """What one unit of the budget is."""
        return "1/255" if self.norm == "linf" else "1"

    @property
    def radius(self) -> float:
        """The budget in pixel units."""
        return self.budget * UNITS[self.unit]

    def settings(self) -> dict[str, Any]:
        """All that makes its numbers, every default filled in, as JSON types."""
        return {**written(self), "unit": self.unit}

    def passes(self, networks: int, attacked: int) -> float:
        """Image passes of one task and architecture: every network sees the adversarials of each.

        attacked: images that the study attacks. The ascent of each network is not in it, but those of ensembles are.
        """
        climbs = 2 * self.steps * networks if self.ensembles else 0
        return float(min(self.images or attacked, attacked) * (networks**2 + climbs))
