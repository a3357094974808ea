"""Gates: is the instrument of a study able to see anything? And the budget at which all is read.

Both are fixed before any guided condition is looked at: the reference budget of a norm comes from `none` alone, and a
gate asks `none`, a positive control, predictors, checks and canaries. Of one task and architecture at a time.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from neurobust.core.reference_range import BASELINE, IN_RANGE, in_range
from neurobust.report.blocks import Row
from neurobust.report.cells import Cell, Cells, common_images, survival_differences, twins_of
from neurobust.report.entries import percent, signed, with_interval
from neurobust.report.predicted import LEAST_PREDICTED, Predicted
from neurobust.report.shown import NORMS, Measure, ShownAttack, answering, format_budget
from neurobust.statistics import SAME, Gate, crossed_interval
from neurobust.study.model import Study

SENSITIVITY = 0.10  # what the positive control must gain at least, by its lower bound
CUE_LOSS = 0.20  # what `none` must lose to a conflicting cue, or nothing is planted
CUE = "cue"  # the norm of attacks that turn the planted cue against the label
GATES = ("range", "sensitivity", "recovery", "prediction", "masking")  # in the order in which they are asked

Shown = Mapping[str, ShownAttack]


class Chosen(NamedTuple):
    """The reference budget of a norm: `attack` whose `none` decided, `none`'s `accuracy` there, whether it is in range.

    budget: the middle one where none is in range; None where there is no budget above 0. levels: `none`'s accuracy by
    budget above 0, of those that could be chosen.
    """

    attack: str
    budget: float | None
    accuracy: float
    in_range: bool
    levels: dict[float, float]


@dataclass(frozen=True)
class Evidence:
    """One task and architecture: what attacks did to its networks, and what says whether that can be trusted.

    attacks: with their reference budgets, semantic ones too; cells: by attack; chosen: the reference budget of each
    measure; clean: accuracy on the whole test set; checks, canaries: rows of the tables of these names; predicted:
    the areas that guide a condition through a predictor, by condition; spoiled: semantic attacks of which an auxiliary
    network failed its own gate.
    """

    study: Study
    task: str
    architecture: str
    attacks: Shown
    cells: Mapping[str, Cells]
    chosen: Mapping[Measure, Chosen]
    clean: Mapping[tuple[str, int], float]
    checks: list[Row] = field(default_factory=list)
    canaries: list[Row] = field(default_factory=list)
    predicted: Mapping[str, Mapping[str, Predicted]] = field(default_factory=dict)
    spoiled: frozenset[str] = frozenset()

    @property
    def block(self) -> Row:
        """The columns that name it."""
        return {"task": self.task, "architecture": self.architecture}

    @property
    def primary(self) -> str | None:
        """The attack that verdicts are read from (`shown.answering`); None where there are no results of it."""
        name = self.study.primary_attack
        name = answering(self.attacks, name) if name in self.attacks else name
        return name if self.cells.get(name) else None

    @property
    def conditions(self) -> tuple[str, ...]:
        """The study's conditions that are trained on the task."""
        return tuple(name for name in self.study.tasks[self.task].conditions if name in self.study.conditions)

    @property
    def positive_control(self) -> str | None:
        """The first of the study's positive controls that is trained on the task."""
        return next((name for name in self.study.positive_controls if name in self.conditions), None)

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds of the task's networks."""
        return self.study.tasks[self.task].seeds

    def budget(self, attack: str) -> float | None:
        """The reference budget of an attack, None where its list lacks it."""
        cell = next(iter(self.cells[attack].values()))
        return self.attacks[attack].reference(cell.budgets.tolist())

    def at(self, attack: str) -> str:
        """An attack and its reference budget for readers."""
        shown, budget = self.attacks[attack], self.budget(attack)
        return shown.label if budget is None else f"{shown.label} at {format_budget(budget, shown.unit)}"


# --- the reference budget ---


def baseline_levels(cells: Cells) -> dict[float, float]:
    """Accuracy of `none` at each budget above 0, mean over its seeds and images; empty without `none`."""
    own = [cell for (condition, _), cell in cells.items() if condition == BASELINE and len(cell.images)]
    if not own:
        return {}
    robust = np.mean([cell.robust.mean(0) for cell in own], axis=0)
    return {float(b): float(r) for b, r in zip(own[0].budgets, robust, strict=True) if b > 0}


def choose(attack: ShownAttack, cells: Cells) -> Chosen:
    """The smallest budget at which `none` is in range; a semantic attack's own reference strength, where it has one."""
    levels = baseline_levels(cells)
    wanted = {b: r for b, r in levels.items() if attack.reference_budget in (None, b)}
    inside = [budget for budget, level in wanted.items() if in_range(level)]
    listed = next(iter(cells.values())).budgets.tolist() if cells else []
    budget = inside[0] if inside else attack.reference(listed)
    accuracy = math.nan if budget is None else levels.get(budget, math.nan)
    return Chosen(attack.name, budget, accuracy, bool(inside), wanted)


def deciding(attacks: Shown, measure: Measure) -> str:
    """The attack of a norm that chooses its budget: the worst case, else the first that looks at the network."""
    own = [name for name, attack in attacks.items() if attack.measure == measure]
    return min(own, key=lambda name: (not attacks[name].members, attacks[name].noise))


def at_reference(attacks: Shown, cells: Mapping[str, Cells]) -> tuple[dict[str, ShownAttack], dict[Measure, Chosen]]:
    """The attacks with the reference budget of their norm, one for all of a norm, and how each was chosen.

    cells: of one task and architecture, by attack; attacks without cells are left out.
    """
    shown = {name: attack for name, attack in attacks.items() if cells.get(name)}
    chosen = {}
    for measure in dict.fromkeys(attack.measure for attack in shown.values()):
        name = deciding(shown, measure)
        chosen[measure] = choose(shown[name], cells[name])
    return {n: replace(a, reference_budget=chosen[a.measure].budget) for n, a in shown.items()}, chosen


# --- the gates ---


def gates_of(evidence: Evidence, attack: str, conditions: Iterable[str]) -> list[Gate]:
    """The gates that a statement about some conditions under an attack must pass, in the order of GATES."""
    conditions = list(conditions)
    found = [range_gate(evidence, attack), sensitivity_gate(evidence), recovery_gate(evidence)]
    found += [prediction_gate(evidence, conditions), masking_gate(evidence, attack, conditions)]
    return [gate for gate in found if gate]


def range_gate(evidence: Evidence, attack: str) -> Gate:
    """Does `none` stand where a change can be seen, at a budget of the attack's norm?"""
    shown = evidence.attacks[attack]
    chosen = evidence.chosen[shown.measure]
    label = evidence.attacks[chosen.attack].label
    if chosen.in_range:
        place = format_budget(chosen.budget or 0, shown.unit)
        return Gate("range", True, f"none stands at {percent(chosen.accuracy, 0)} % under {label} at {place}")
    if not chosen.levels:
        return Gate("range", False, "there is no condition none")
    low, high = (percent(end, 0) for end in IN_RANGE)
    found = nearest_to_range(chosen.levels, shown.unit)
    return Gate("range", False, f"at no budget of {label} does none stand between {low} and {high} %: {found}")


def nearest_to_range(levels: Mapping[float, float], unit: str) -> str:
    """Where accuracies by budget, none of them in range, come nearest to it, and which budgets would be in it."""

    def at(budget: float) -> str:
        return f"{percent(levels[budget], 0)} % at {format_budget(budget, unit)}"

    stands = [budget for budget, level in levels.items() if level > IN_RANGE[1]]
    falls = [budget for budget, level in levels.items() if level < IN_RANGE[0]]
    if not falls:
        return f"{at(max(stands))}, give larger ones"
    if not stands:
        return f"{at(min(falls))}, give smaller ones"
    return f"{at(max(stands))} and {at(min(falls))}, give one between"


def control_attack(evidence: Evidence) -> str | None:
    """The attack under which the positive control is read: that of verdicts, or where it has no norm the first with."""
    bounded = [name for name, attack in evidence.attacks.items() if attack.norm in NORMS and not attack.noise]
    return evidence.primary if evidence.primary in bounded else next(iter(bounded), None)


def sensitivity_gate(evidence: Evidence) -> Gate:
    """Is the study's positive control more robust than `none`, by 10 points at least?"""
    control, attack = evidence.positive_control, control_attack(evidence)
    if control is None or attack is None or BASELINE not in evidence.conditions:
        lacking = "no adversarially trained condition" if control is None else "no bounded attack on it and on none"
        return Gate("sensitivity", False, f"there is {lacking} to show that a gain would be seen")
    chosen = evidence.chosen[evidence.attacks[attack].measure]
    met = twins_of(evidence.cells[attack], control, BASELINE)
    if not met or not chosen.in_range or evidence.budget(attack) is None:
        return Gate("sensitivity", False, f"{control} cannot be read: no budget of {attack} is in range")
    interval = crossed_interval(difference(evidence, attack, control, BASELINE))
    ends = interval.mean, interval.low, interval.high
    said = f"{control} − none is {with_interval(*ends)} under {evidence.at(attack)}"
    if interval.low > SENSITIVITY:
        return Gate("sensitivity", True, said)
    return Gate("sensitivity", False, f"{said}; its lower bound must be above {signed(SENSITIVITY)}")


def recovery_gate(evidence: Evidence) -> Gate | None:
    """In a planted world with a cue: does `none` use it? None where the study does not turn the cue."""
    turned = [name for name, attack in evidence.attacks.items() if attack.norm == CUE]
    if not turned or not evidence.study.phantom:
        return None
    own = [cell for (condition, _), cell in evidence.cells[turned[0]].items() if condition == BASELINE]
    if not own:
        return Gate("recovery", False, "there is no condition none to say whether the cue is used")
    clean, conflict = (float(np.mean([part(cell).mean() for cell in own])) for part in (correct, at_largest))
    said = f"none falls from {percent(clean, 0)} to {percent(conflict, 0)} % when the cue is turned against the label"
    passed = clean - conflict >= CUE_LOSS - SAME  # shares of images are not exact
    return Gate("recovery", passed, said if passed else f"{said}: nothing is planted that it uses")


def correct(cell: Cell) -> np.ndarray:
    """Whether each image is read rightly when nothing attacks it."""
    return cell.correct


def at_largest(cell: Cell) -> np.ndarray:
    """Whether each image survives the largest budget."""
    return cell.robust[:, -1]


def prediction_gate(evidence: Evidence, conditions: Iterable[str]) -> Gate | None:
    """Do the predictors that guide some conditions predict their areas? None where none of them has a predictor."""
    asked = {area: found for name in conditions for area, found in guiding(evidence, name).items()}
    if not asked:
        return None
    if unknown := [area for area, found in asked.items() if found is None]:
        condition, _, roi = unknown[0]
        return Gate("prediction", False, f"nothing says whether the predictor of {condition} predicts {roi}")
    areas = {(predictor, roi, found) for (_, predictor, roi), found in asked.items() if found is not None}
    predictor, roi, worst = min(areas, key=lambda area: (area[2].share, *area[:2]))
    by = f" by {predictor}" if len({area[0] for area in areas}) > 1 else ""
    said = f"{worst.found} of {worst.voxels} voxels of {roi} are predicted{by} on held-out images"
    if worst.enough:
        return Gate("prediction", True, said if len(areas) == 1 else f"{said}, and no smaller share of any other area")
    return Gate("prediction", False, f"{said}; {percent(LEAST_PREDICTED, 0)} % must be")


def guiding(evidence: Evidence, name: str) -> dict[tuple[str, str, str], Predicted | None]:
    """The areas that guide a condition through a predictor, by (condition, predictor, area); None where nothing is
    known of one. A weight of a sweep has those of the condition that it belongs to; a control has none."""
    condition = evidence.study.conditions.get(name)
    if condition is not None and condition.sweep:
        name, condition = condition.sweep, evidence.study.conditions.get(condition.sweep)
    if condition is None or not condition.guided or condition.predictor is None:
        return {}
    known = evidence.predicted.get(name, {})
    return {(name, condition.predictor, roi): known.get(roi) for roi in condition.target or ()}


def masking_gate(evidence: Evidence, attack: str, conditions: Iterable[str]) -> Gate:
    """Does anything say that the attack was fooled, by the networks of some conditions or by those of known answer?"""
    label, conditions = evidence.attacks[attack].label, set(conditions)
    missed = [row["canary"] for row in evidence.canaries if not row["caught"]]
    asked = checks_of(evidence, attack, conditions)
    failed = [row for row in asked if not row["passed"]]
    if attack in evidence.spoiled:
        return Gate("masking", False, f"an auxiliary network of {label} failed its own gate")
    if missed:
        return Gate("masking", False, f"canaries were not caught: {', '.join(missed)}")
    if failed:
        named = "; ".join(
            f"{row['condition']} seed {row['seed']}: {row['check'].replace('_', ' ')}" for row in failed[:3]
        )
        more = f" and {len(failed) - 3} more" if len(failed) > 3 else ""
        return Gate("masking", False, f"{len(failed)} of {len(asked)} checks failed ({named}{more})")
    if not asked or not evidence.canaries:
        return Gate("masking", False, f"no {'canary' if asked else 'check'} was run")
    met, checked = {name for name, _ in evidence.cells.get(attack, {})}, {row["condition"] for row in asked}
    if unchecked := sorted(met.intersection(conditions) - checked):
        return Gate("masking", False, f"no check was run of {', '.join(unchecked)}")
    caught = len(evidence.canaries)
    return Gate("masking", True, f"{len(asked)} checks under {label} clean, {caught} of {caught} canaries caught")


def checks_of(evidence: Evidence, attack: str, conditions: Iterable[str]) -> list[Row]:
    """The checks of some conditions' networks that concern an attack: its own, its members', those of the network.

    Its own are also those against a weaker attack ("pgd vs square"); transfer says something of the network.
    """
    names, chosen = (attack, *evidence.attacks[attack].members), set(conditions)
    against = tuple(f"{name} vs " for name in names)
    return [
        row for row in evidence.checks if row["condition"] in chosen
        and (row["attack"] in ("", *names) or row["attack"].startswith(against) or row["check"] == "transfer")
    ]  # fmt: skip


def gate_rows(evidence: Evidence) -> list[Row]:
    """The rows of the table `gates`: of the attack of verdicts. affects: the conditions of which nothing is said."""
    if evidence.primary is None:
        return []
    rows = []
    for gate in gates_of(evidence, evidence.primary, evidence.conditions):
        affects = "" if gate.passed else ", ".join(affected(evidence, evidence.primary, gate.name))
        rows.append(
            evidence.block | {"gate": gate.name, "passed": gate.passed, "affects": affects, "sentence": gate.sentence}
        )
    return rows


def affected(evidence: Evidence, attack: str, gate: str) -> list[str]:
    """The conditions of which a failed gate says that nothing may be said; none where that is all of them."""
    if gate == "prediction":
        areas = {name: guiding(evidence, name).values() for name in evidence.conditions}
        return [name for name, own in areas.items() if not all(area is not None and area.enough for area in own)]
    if gate == "masking" and all(row["caught"] for row in evidence.canaries):
        failed = [row for row in checks_of(evidence, attack, evidence.conditions) if not row["passed"]]
        return list(dict.fromkeys(row["condition"] for row in failed))
    return []


def difference(evidence: Evidence, attack: str, condition: str, baseline: str) -> np.ndarray:
    """Whether each image survives under a condition minus whether it does under another, (seeds, images)."""
    twins = twins_of(evidence.cells[attack], condition, baseline)
    both = common_images([cell for pair in twins for cell in pair])
    return survival_differences(zip(both[::2], both[1::2], strict=True), evidence.budget(attack) or 0)
