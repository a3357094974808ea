"""What an attack is to the rest of the house: one class per method, its fields the settings, its constants the facts.

Descriptions import no torch. The schema of the configuration, its checks, the prices of a plan, the report's units and
the reference of all attacks are made from them. A new attack is one such class and a line in `registry` (or an entry
point `neurobust.attacks` of another package).
"""

from __future__ import annotations

import math
from typing import Annotated, ClassVar, Literal

from neurobust.core.settings import Count, Settings, about, choices

# Losses that an attack climbs (`losses.LOSSES`).
AttackLoss = Annotated[
    Literal["ce", "margin", "dlr"],
    about("what is maximised: cross-entropy, the largest wrong logit minus the right one, or that as a ratio"),
]
Draws = Annotated[Count, about("passes that are averaged, for networks that draw random numbers")]
Repeats = Annotated[Count, about("draws per image, of which the best counts")]
WarmSteps = Annotated[Count | None, about("at every budget but an image's first; default: as many as steps")]

# How readers see the budgets of a norm; a range of its own (hue, ...) is named by its attack.
UNITS = {"linf": "1/255", "l2": "L2", "l1": "L1", "l0": "values"}


class Attack(Settings, frozen=True):
    """An attack and its settings. `norm` is a field of every attack; one literal where there is no choice.

    run: `package.module:function`, called as run(batch, settings) and giving a `search.AttackResult`.
    source: paper and equation or algorithm. shown_unit: of budgets, where `UNITS` does not say it. largest: the budget
    that covers the whole range, in the attack's own unit; a larger one is refused.
    noise: it draws perturbations without looking at the network. climbs: it is an iterative gradient ascent, which must
    break what weaker attacks break. weaker: what it breaks, an ascent of its norm must break too. black_box: it asks
    for answers, never for a gradient. probed: an ascent with `loss` and `steps` (`outcomes.Climb`), a climb of which
    the checks repeat; on canaries it must break the undefended one. canary: it takes part in the attacks on canaries.
    minimum: one run serves every budget. pool: it is given other images of the
    task. neural_head: it reads the head that the neural loss has trained. twins: it is given the images with the cue of
    another class, so that only tasks that bear a cue meet it. helpers: names of the auxiliary networks of the task
    (`semantic.registry.HELPERS`) that it is given. bring: `package.module:function` that makes of the settings networks
    from `files`, by name, which it is given too. measure: `package.module:function` that makes of a batch the
    distance which budgets bound, where that is no norm of `norms.MEASURED`: the verification measures by it again.
    """

    run: ClassVar[str] = ""
    source: ClassVar[str] = ""
    shown_unit: ClassVar[str] = ""
    largest: ClassVar[float] = math.inf
    noise: ClassVar[bool] = False
    climbs: ClassVar[bool] = False
    weaker: ClassVar[bool] = False
    black_box: ClassVar[bool] = False
    probed: ClassVar[bool] = False
    canary: ClassVar[bool] = False
    minimum: ClassVar[bool] = False
    pool: ClassVar[bool] = False
    neural_head: ClassVar[bool] = False
    twins: ClassVar[bool] = False
    helpers: ClassVar[tuple[str, ...]] = ()
    bring: ClassVar[str] = ""
    measure: ClassVar[str] = ""

    norm: str = "linf"

    @classmethod
    def norms(cls) -> tuple[str, ...]:
        """The norms or ranges that it can be run under."""
        return choices(cls, "norm")

    @property
    def members(self) -> tuple[Attack, ...]:
        """The attacks that it is made of, in the order of the result's `member`; none where it is one."""
        return ()

    @property
    def reads(self) -> tuple[str, ...]:
        """The auxiliary networks of the task that it is given under these settings."""
        return self.helpers

    @property
    def files(self) -> dict[str, str]:
        """Paths of the user's own files that it reads, by key; none for most."""
        return {}

    @property
    def unit(self) -> str:
        """The unit that readers see beside a budget."""
        return self.shown_unit or UNITS.get(self.norm, "")

    def passes(self, budgets: int) -> float:
        """Passes through the network, forward and backward, that one image costs under this many budgets above 0."""
        raise NotImplementedError


class RandomDraws(Attack, frozen=True):
    """Best of several random perturbations."""

    noise = True

    repeats: Repeats = 10

    def passes(self, budgets: int) -> float:
        """Every draw is tried at every budget."""
        return self.repeats * budgets
