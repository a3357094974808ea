"""The attacks as a page shows them: those of the study, and the worst case over those whose budgets compare."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from neurobust.attacks.plan import AttackPlan

NORMS = {"linf": "L∞", "l2": "L2", "l1": "L1", "l0": "L0"}  # names of norms for readers
Measure = tuple[str, str]  # (norm, unit): attacks that share both have budgets that compare


@dataclass(frozen=True)
class ShownAttack:
    """An attack for readers. unit: of its budgets; noise: it does not look at the network; reference_budget: its norm's
    (`gates.at_reference`) or a semantic attack's strength, None for the middle one; members: of a worst case, the names
    of its attacks."""

    name: str
    label: str
    norm: str
    unit: str
    noise: bool = False
    reference_budget: float | None = None
    members: tuple[str, ...] = ()

    @property
    def measure(self) -> Measure:
        """What its budgets are measured in."""
        return self.norm, self.unit

    def reference(self, budgets: Iterable[float]) -> float | None:
        """The budget that tables quote: the reference one, None where it is not among `budgets`; without one the middle
        one above 0."""
        budgets = list(budgets)
        if self.reference_budget is None:
            return middle_budget(budgets)
        return float(self.reference_budget) if self.reference_budget in budgets else None


def shown_attacks(plans: Mapping[str, AttackPlan], failed: Collection[str] = ()) -> dict[str, ShownAttack]:
    """A study's attacks and, per norm and unit that two of them share, their per-image worst case `worst-<norm>`.

    In reading order: attacks as configured, worst cases, noise. failed: attacks that have not met every network; a
    worst case that not every network met says nothing, so they are no part of it.
    """
    found = {
        name: ShownAttack(name, plan.label, plan.norm, plan.attack.unit, plan.attack.noise)
        for name, plan in plans.items()
    }
    for (norm, unit), members in by_measure(found).items():
        if len(members) > 1 and (members := [member for member in members if member not in failed]):
            name, label = f"worst-{norm}", f"worst case {NORMS.get(norm, norm)}"
            found[name] = ShownAttack(name, label, norm, unit, members=tuple(members))
    return dict(sorted(found.items(), key=lambda item: item[1].noise))


def answering(attacks: Mapping[str, ShownAttack], primary: str) -> str:
    """The attack that the answer is read from: the worst case over the primary one's norm, itself where it is alone."""
    return next((n for n, a in attacks.items() if a.members and a.measure == attacks[primary].measure), primary)


def by_measure(attacks: Mapping[str, ShownAttack]) -> dict[Measure, list[str]]:
    """Names of attacks by norm and unit, worst cases left out: those whose budgets can be compared."""
    groups: dict[Measure, list[str]] = {}
    for name, attack in attacks.items():
        if not attack.members:
            groups.setdefault(attack.measure, []).append(name)
    return groups


def middle_budget(budgets: Iterable[float]) -> float | None:
    """The middle one of the budgets above 0, the larger of two; None where there is none."""
    positive = sorted(budget for budget in budgets if budget > 0)
    return positive[len(positive) // 2] if positive else None


def format_budget(budget: float, unit: str) -> str:
    """A budget with its unit: `4/255`, `0.5 L2`, `budget 0.1`."""
    if unit == "1/255":
        return f"{budget:g}/255"
    return f"{budget:g} {unit}" if unit else f"budget {budget:g}"


def beside_norm(norm: str, unit: str) -> str:
    """The unit where the norm's name stands beside it: empty where it would say the same again."""
    return unit if unit != NORMS.get(norm) else ""
