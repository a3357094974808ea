"""Checks of what the attacks of one network found on the same images: each result against all the others.

An ascent must break what single steps, noise and attacks without gradients break (`weaker`), and nearly all that any
attack of its norm breaks, minimum-norm, adaptive and ensemble ones included. The records are those of `checks`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol, cast

import numpy as np

from neurobust.attacks.checks import TOLERANCE, check, few
from neurobust.attacks.plan import AttackPlan
from neurobust.files.checks import Check

REACH = 2.0  # budgets that the steps of an ascent must be able to walk: from one side of its ball to the other
# Share of images by which all attacks together may beat one ascent. AutoAttack lies one to five points under an honest
# PGD (Croce and Hein, ICML 2020, table 2), eleven under one of few steps on digits; a fooled one loses more. The answer
# is read from the worst case in any case.
WORST = 0.15


@dataclass(frozen=True)
class Outcome:
    """What an attack did to N images under B budgets: clean_correct bool (N,), success bool (N, B), what its
    verification counted; abstained: bool (N,), images that broke because the network gave no answer; blind: bool (N,),
    images that only a member of an ensemble broke which asks for no gradient. Both None where nothing is known."""

    plan: AttackPlan
    clean_correct: np.ndarray
    success: np.ndarray
    verification: Mapping[str, int]
    abstained: np.ndarray | None = None
    blind: np.ndarray | None = None

    def within(self, radius: float) -> np.ndarray:
        """Which images the attack broke at a budget of at most `radius`, in its own unit, bool (N,)."""
        places = [place for place, own in enumerate(self.plan.radii) if own <= radius * (1 + 1e-9)]
        return self.success[:, places[-1]] if places else ~self.clean_correct


def outcome_of(plan: AttackPlan, found: Mapping[str, np.ndarray], verification: Mapping[str, int]) -> Outcome:
    """An outcome from the arrays of a `search.AttackResult`, `member` -1 where no part of an ensemble is named."""
    success = found["first"][:, None] <= np.arange(len(plan.budgets))
    blind = [place for place, member in enumerate(plan.attack.members) if member.black_box]
    alone = np.isin(found["member"], blind) if plan.attack.members else None
    return Outcome(plan, found["clean_correct"], success, verification, found["abstained"], alone)


class Climb(Protocol):
    """What a probed attack has: the loss and the steps of the ascent that the checks repeat."""

    @property
    def loss(self) -> str:
        """A name of `losses.LOSSES`."""

    @property
    def steps(self) -> int:
        """Of one climb."""


def climb_of(plan: AttackPlan) -> Climb:
    """The ascent of a probed attack (`Attack.probed`)."""
    return cast(Climb, plan.attack)


def table_checks(outcomes: Mapping[str, Outcome]) -> list[Check]:
    """Checks of the results of one network's attacks on the same images."""
    found = [monotone(name, outcome) for name, outcome in outcomes.items()]
    checked = sum(outcome.verification["checked"] for outcome in outcomes.values())
    demoted = sum(outcome.verification["demoted"] for outcome in outcomes.values())
    share = demoted / max(checked, 1)
    found.append(check("verification", share <= TOLERANCE, share, f"{demoted} of {checked} adversarials demoted"))
    losses = {climb_of(outcome.plan).loss for outcome in outcomes.values() if outcome.plan.attack.probed}
    if losses:
        note = f"losses of the iterative attacks: {', '.join(sorted(losses))}"
        found.append(check("margin_loss", bool(losses & {"margin", "dlr"}), None, note))
    for name, outcome in outcomes.items():
        found += silence(name, outcome)
        if outcome.plan.attack.climbs:
            found += reach(name, outcome.plan)
            found += comparisons(name, outcome, outcomes)
            found += beaten(name, outcome, outcomes)
        if outcome.plan.attack.black_box or outcome.blind is not None:
            found += without_gradient(name, outcome, outcomes)
    return found


def monotone(name: str, outcome: Outcome) -> Check:
    """No image may recover at a larger budget."""
    recovered = int((outcome.success[:, :-1] & ~outcome.success[:, 1:]).any(1).sum())
    return check("monotone", recovered == 0, recovered, "images that recover at a larger budget", name)


def silence(name: str, outcome: Outcome) -> Iterator[Check]:
    """An image that breaks because the network gives no answer counts against it; a network that gives some is told."""
    if outcome.abstained is not None and outcome.clean_correct.any():
        share = (outcome.abstained & outcome.clean_correct).sum() / outcome.clean_correct.sum()
        note = "share of images that count as broken because the logits are not finite there"
        yield check("answers", share <= TOLERANCE, share, note, name)


def reach(name: str, plan: AttackPlan) -> list[Check]:
    """An ascent whose steps are too short for its ball looks like robustness. Left out where the steps adapt."""
    if not hasattr(plan.attack, "rel_stepsize"):
        return []
    size = plan.attack.rel_stepsize
    walked = 2.5 if size is None else size * climb_of(plan).steps  # None: 2.5 / steps
    return [check("reach", walked >= REACH, walked, "budgets that all steps walk together; at least 2", name)]


def half_way(outcome: Outcome, rows: np.ndarray) -> int | None:
    """The place of the budget above 0 that breaks nearest to half of some images, the largest of several; None without
    either."""
    ahead = [place for place, budget in enumerate(outcome.plan.budgets) if budget > 0]
    if not ahead or not len(rows):
        return None
    return min(ahead, key=lambda place: (abs(outcome.success[rows, place].mean() - 0.5), -place))


# --- one attack against another ---


@dataclass(frozen=True)
class Pairing:
    """A strong and a weak attack of one network, and the index pairs of the budgets that both had."""

    strong: Outcome
    weak: Outcome
    pairs: list[tuple[int, int]]
    names: tuple[str, str]

    @property
    def label(self) -> str:
        """Both names."""
        return " vs ".join(self.names)


def comparisons(strong: str, outcome: Outcome, outcomes: Mapping[str, Outcome]) -> list[Check]:
    """An iterative attack against the single step, noise and the attacks without gradients, of the same norm."""
    found = []
    for weak, other in outcomes.items():
        if not other.plan.attack.weaker:
            continue
        pairs = common_budgets(outcome.plan, other.plan) if other.plan.norm == outcome.plan.norm else []
        if not pairs or not outcome.clean_correct.any():
            continue
        pairing = Pairing(outcome, other, pairs, (strong, weak))
        found.append(not_weaker(pairing))
        if other.plan.attack.noise:
            found.append(far_weaker(pairing))
    return found


def common_budgets(one: AttackPlan, two: AttackPlan) -> list[tuple[int, int]]:
    """Index pairs of the positive budgets that two attacks of the same unit share."""
    if one.unit != two.unit:
        return []
    places = {budget: index for index, budget in enumerate(two.budgets)}
    return [(i, places[b]) for i, b in enumerate(one.budgets) if b > 0 and b in places]


def not_weaker(pairing: Pairing) -> Check:
    """What a weaker attack breaks, the stronger one breaks too, image by image."""
    strong, weak, correct = pairing.strong.success, pairing.weak.success, pairing.strong.clean_correct
    missed = max((weak[correct, j] & ~strong[correct, i]).sum() for i, j in pairing.pairs)
    note = "largest share of images that {1} breaks and {0} does not".format(*pairing.names)
    return check("not_weaker", few(missed, correct.sum()), missed / correct.sum(), note, pairing.label)


def far_weaker(pairing: Pairing) -> Check:
    """Noise must break at most half as many images, at the first budget where the strong attack breaks half of them.

    Where the strong attack breaks next to nothing, noise may break as little as a rounding accident would.
    """
    strong, weak, correct = pairing.strong.success, pairing.weak.success, pairing.strong.clean_correct
    rates = [(strong[correct, i].mean(), weak[correct, j].mean()) for i, j in pairing.pairs]
    white, noise = next((pair for pair in rates if pair[0] >= 0.5), rates[-1])
    ratio, passed = noise / white if white else None, noise <= max(white / 2, 2 * TOLERANCE)
    note = "{1} breaks {noise:.3f} and {0} {white:.3f} of the clean-correct images"
    return check("noise_weaker", passed, ratio, note.format(*pairing.names, noise=noise, white=white), pairing.label)


# --- one attack against all the others ---


def of_norm(plan: AttackPlan, outcomes: Mapping[str, Outcome]) -> dict[str, Outcome]:
    """The results of the attacks of the same norm."""
    return {name: other for name, other in outcomes.items() if other.plan.norm == plan.norm}


def beaten(name: str, outcome: Outcome, outcomes: Mapping[str, Outcome]) -> Iterator[Check]:
    """An ascent against the pointwise worst case of its norm over all other attacks, image by image.

    At each of its budgets the others count with what they broke at theirs up to that.
    """
    others = {other: found for other, found in of_norm(outcome.plan, outcomes).items() if other != name}
    correct = outcome.clean_correct
    if not others or not correct.any():
        return
    most, by = 0, ""
    for place, radius in enumerate(outcome.plan.radii):
        missed = {other: found.within(radius) & correct & ~outcome.success[:, place] for other, found in others.items()}
        together = int(np.logical_or.reduce(list(missed.values())).sum())
        if together > most:
            most, by = together, max(missed, key=lambda other: missed[other].sum())
    note = f"largest share of images that other attacks break and it does not{f', {by} most of them' if by else ''}"
    yield check("worst_case", few(most, correct.sum(), WORST), most / correct.sum(), note, name)


def without_gradient(name: str, outcome: Outcome, outcomes: Mapping[str, Outcome]) -> Iterator[Check]:
    """Images that fall to an attack, or to an ensemble's member, that asks for no gradient, and to no other attack.

    Where queries find what gradients do not, the gradients lead astray (the flag of AutoAttack).
    """
    correct = outcome.clean_correct
    climbing = [other for other in of_norm(outcome.plan, outcomes).values() if other.plan.attack.climbs]
    if not correct.any() or (outcome.blind is None and not climbing):
        return
    if outcome.blind is not None:
        alone = int((outcome.blind & correct).sum())
    else:
        alone = max(
            int((outcome.success[:, place] & correct & ~np.logical_or.reduce([o.within(r) for o in climbing])).sum())
            for place, r in enumerate(outcome.plan.radii)
        )
    note = "share of images that fall to queries alone, where every ascent fails"
    yield check("queries_alone", few(alone, correct.sum()), alone / correct.sum(), note, name)
