"""Settings of the fast adaptive boundary attack (`fab`)."""

from __future__ import annotations

from typing import Annotated, Literal

from neurobust.attacks.description import Attack
from neurobust.core.settings import Count, about


class FAB(Attack, frozen=True):
    """Finds the nearest adversarial: steps onto the linearised boundary of each likely class, drawn to the image."""

    run = "neurobust.attacks.fab:fab"
    source = "Croce and Hein, arXiv 2019"
    minimum = True

    norm: Literal["linf", "l2"] = "linf"
    steps: Annotated[Count, about("towards each class")] = 100
    targets: Annotated[Count, about("wrong classes to step towards, the likeliest first")] = 9

    def passes(self, budgets: int) -> float:
        """A gradient and a test a step, once for all budgets."""
        return 3 * self.targets * self.steps
