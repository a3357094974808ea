"""Settings of AutoAttack (`ensemble`)."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from neurobust.attacks.description import Attack, Draws
from neurobust.attacks.fab_settings import FAB
from neurobust.attacks.fmn_settings import FMN
from neurobust.attacks.gradient_settings import APGD, TargetedAPGD
from neurobust.attacks.square_settings import Square
from neurobust.core.settings import Count, about


class AutoAttack(Attack, frozen=True):
    """APGD, targeted APGD, FMN, targeted FAB and Square: each meets only the images that the ones before left.

    The defaults are the standard protocol's; FMN is none of its attacks, and cheap beside them.
    """

    run = "neurobust.attacks.ensemble:autoattack"
    source = "Croce and Hein, ICML 2020; Croce and Hein, arXiv 2019 (FAB); Pintor et al., NeurIPS 2021 (FMN)"
    climbs = True
    probed = True
    loss: ClassVar[str] = "margin"  # of the climb that the checks repeat; its members climb cross-entropy and DLR

    norm: Literal["linf", "l2"] = "linf"
    steps: Annotated[Count, about("of both APGD, FMN and FAB")] = 100
    targets: Annotated[Count, about("wrong classes of targeted APGD and FAB, the likeliest first")] = 9
    queries: Annotated[Count, about("tries of Square per budget")] = 5000
    eot: Draws = 1

    @property
    def members(self) -> tuple[APGD, TargetedAPGD, FMN, FAB, Square]:
        """The attacks that it is made of, in their order."""
        norm, steps = self.norm, self.steps
        return (
            APGD(norm=norm, loss="ce", steps=steps),
            TargetedAPGD(norm=norm, loss="dlr", targets=self.targets, steps=steps),
            FMN(norm=norm, steps=steps),
            FAB(norm=norm, steps=steps, targets=self.targets),
            Square(norm=norm, queries=self.queries),
        )

    def passes(self, budgets: int) -> float:
        """Those of its members."""
        return self.eot * sum(member.passes(budgets) for member in self.members)
