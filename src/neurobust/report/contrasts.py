"""Contrasts: which networks stand against which, what each image says of them, and what clean accuracy explains."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from neurobust.core.reference_range import BASELINE
from neurobust.core.settings import field_names, written
from neurobust.networks.conditions import Condition
from neurobust.report.areas import relative_area
from neurobust.report.cells import Cell, common_images
from neurobust.report.gates import Evidence, deciding
from neurobust.report.guided import sweep_of
from neurobust.report.minimal import own_budget
from neurobust.statistics import Interval, crossed_interval, seed_interval
from neurobust.study.claims import Contrast, is_control
from neurobust.study.pairs import SHUFFLED, shuffles_of

NEAR = 0.02  # clean accuracies that count as matched
NONE = Interval(math.nan, math.nan, math.nan, 0)  # a reading that cannot be made
# What two conditions of one recipe may differ in: what they are guided by, and what a control takes away.
FREE = ("target", "control", "match", "features", "weights", "sweep")
UNMEASURED = (*FREE, "predictor", "pairs", "on")  # and a control that cannot be made of measured responses
ANY = ""  # the recipe of what has none of its own, such as a reference: it stands against every recipe


class NotInStudyError(Exception):
    """What a claim needs and this study lacks; the message names it."""


class Sum(NamedTuple):
    """Conditions added and taken away, in this order: LO − V1, or (LO − LO-shuffled) − (V1 − V1-shuffled); under an
    attack, by a measure of `study.claims.Contrast`."""

    terms: tuple[tuple[int, str], ...]
    attack: str
    measure: str = "accuracy"

    @property
    def conditions(self) -> tuple[str, ...]:
        """The conditions that it looks at."""
        return tuple(dict.fromkeys(name for _, name in self.terms))

    @property
    def text(self) -> str:
        """For readers: `LO − V1`."""
        names = [name for _, name in self.terms]
        if len(names) == 2:
            return " − ".join(names)
        return f"({names[0]} − {names[1]}) − ({names[3]} − {names[2]})"


# --- names ---


def recipe(condition: Condition, but: Sequence[str] = FREE) -> str:
    """What a condition shares with those that it may be held against, as text."""
    fields = [name for name in field_names(Condition) if name not in but]
    return repr([written(getattr(condition, name)) for name in fields])


def control_of(evidence: Evidence, name: str, control: str) -> str:
    """The condition that is another one but for a control, trained on the task; its own by name first."""
    conditions = evidence.study.conditions
    if control == SHUFFLED:
        found = [other for other in shuffles_of(conditions, name) if other in evidence.conditions]
    else:
        found = [n for n in evidence.conditions if is_control_of(conditions[name], conditions[n], control)]
    if not found:
        raise NotInStudyError(f"control {control} of {name}")
    return min(found, key=lambda other: other != f"{name}-{control}")


def is_control_of(condition: Condition, other: Condition, control: str) -> bool:
    """Whether another condition is one but for a control, and for what such a control cannot share with it.

    That is the predictor where it was trained on shuffled pairs, and measured responses where the control has none.
    """
    if other.control != control or other.sweep or other.roi != condition.roi:
        return False
    free: Sequence[str] = FREE
    if condition.pairs and not other.removes.pairs:
        free = UNMEASURED
    elif other.removes.shuffled_predictor:
        free = (*FREE, "predictor")
    same = (other.on_task, other.on_stimuli) == (condition.on_task, condition.on_stimuli)
    return same and recipe(other, free) == recipe(condition, free)


def with_control(evidence: Evidence, name: str, control: str) -> str | None:
    """`control_of`, None where there is none."""
    try:
        return control_of(evidence, name, control)
    except NotInStudyError:
        return None


def guided_by(evidence: Evidence, roi: str) -> dict[str, str]:
    """The conditions that an ROI guides on the task, by recipe."""
    conditions = evidence.study.conditions
    own = [name for name in evidence.conditions if conditions[name].guided and conditions[name].roi == roi]
    found: dict[str, str] = {}
    for name in own:
        found.setdefault(recipe(conditions[name]), name)
    return found


def named(evidence: Evidence, name: str) -> dict[str, str]:
    """The conditions that a name of a claim means, by recipe (ANY for a reference); NotInStudyError for none."""
    conditions = evidence.study.conditions
    if found := guided_by(evidence, name):
        return found
    roi, dash, control = name.partition("-")
    if dash and is_control(control) and (guided := guided_by(evidence, roi)):
        controls = {key: with_control(evidence, condition, control) for key, condition in guided.items()}
        if found := {key: other for key, other in controls.items() if other}:
            return found
    if name in evidence.conditions:
        own = conditions[name]
        return {recipe(own) if own.roi is not None else ANY: name}
    for other in evidence.conditions:
        reference = conditions[other].reference
        if reference is not None and reference.kind == name:
            return {ANY: other}
    raise NotInStudyError(f"{name}")


def attack_named(evidence: Evidence, name: str) -> str:
    """The attack that a claim means: that of verdicts (`primary`), one by its name, or the one that decides a norm."""
    if name == "primary" and evidence.primary is not None:
        return evidence.primary
    if name in evidence.attacks:
        return name
    for attack in evidence.attacks.values():
        if attack.norm == name:
            return deciding(evidence.attacks, attack.measure)
    raise NotInStudyError(f"attack {name}")


def sums_of(evidence: Evidence, contrast: Contrast) -> dict[str, Sum]:
    """A contrast of a claim as sums of this study's conditions, one for each recipe that has all of it.

    Raises NotInStudyError, which says what is lacking.
    """
    attack = attack_named(evidence, contrast.attack)
    if contrast.measure == "accuracy" and evidence.budget(attack) is None:
        raise NotInStudyError(f"the reference budget of its norm among those of {attack}")
    met = {condition for condition, _ in evidence.cells[attack]}
    found: dict[str, Sum] = {}
    lacking: NotInStudyError | None = None
    for key, condition in named(evidence, contrast.condition).items():
        try:
            for other, baseline in baselines_of(evidence, condition, contrast.baseline).items():
                if ANY not in (key, other) and key != other:
                    continue
                terms = [(1, condition), (-1, baseline)]
                if contrast.over is not None:
                    terms += [(-1, control_of(evidence, condition, contrast.over))]
                    terms += [(1, control_of(evidence, baseline, contrast.over))]
                    terms = [terms[0], terms[2], terms[3], terms[1]]
                if unmet := [name for _, name in terms if name not in met]:
                    raise NotInStudyError(f"{unmet[0]} under {attack}")
                found[key or other] = Sum(tuple(terms), attack, contrast.measure)
        except NotInStudyError as error:
            lacking = lacking or error
    if not found:
        raise lacking or NotInStudyError(f"{contrast.condition} and {contrast.baseline} of one recipe")
    return found


def baselines_of(evidence: Evidence, condition: str, name: str) -> dict[str, str]:
    """What a condition is held against, by recipe: its own control where the name is that of one. A condition that is
    named itself is held against any recipe."""
    if is_control(name):
        return {ANY: control_of(evidence, condition, name)}
    found = named(evidence, name)
    return {ANY: name} if list(found.values()) == [name] and not guided_by(evidence, name) else found


# --- numbers ---


def cells_of(evidence: Evidence, total: Sum) -> dict[tuple[str, int], Cell]:
    """The networks of a sum under its attack, on the images that all have, for the seeds that all have."""
    cells = evidence.cells[total.attack]
    seeds = [s for s in evidence.seeds if all((name, s) in cells for name in total.conditions)]
    keys = [(name, seed) for name in total.conditions for seed in seeds]
    return dict(zip(keys, common_images([cells[key] for key in keys]), strict=True)) if keys else {}


def added(total: Sum, cells: dict[tuple[str, int], Cell], value: Callable[[Cell], np.ndarray]) -> np.ndarray:
    """A number per image of each network, added up by seed: (seeds, images); (0, 0) where no seed has all networks."""
    seeds = list(dict.fromkeys(seed for _, seed in cells))
    if not seeds:
        return np.empty((0, 0))
    rows = [sum(sign * np.asarray(value(cells[name, seed]), float) for sign, name in total.terms) for seed in seeds]
    return np.array(rows, dtype=float).reshape(len(seeds), -1)


def outcomes(evidence: Evidence, total: Sum, cells: dict[tuple[str, int], Cell]) -> np.ndarray:
    """What a sum is a mean of, (seeds, images): survival at the reference budget, or the smallest perturbation.

    The latter is in the attack's unit; an image that stands counts as the largest budget, and only images count that
    all networks of a seed read rightly (a clean error has no size). Nothing, (seeds, 0), where a seed has none.
    """
    if total.measure == "size":
        sizes = added(total, cells, lambda cell: np.minimum(own_budget(cell), cell.budgets[-1]))
        return among(sizes, read_rightly(total, cells))
    budget = evidence.budget(total.attack)
    assert budget is not None, total.attack  # of the primary attack, or `sums_of` has said so
    return added(total, cells, lambda cell: cell.at(budget))


def readings(evidence: Evidence, total: Sum, cells: dict[tuple[str, int], Cell]) -> dict[str, Interval]:
    """Three readings of a sum of accuracies that a difference in clean accuracy alone cannot make.

    area: from the first budget above 0, divided by each network's clean accuracy. both: over the images that all its
    networks of a seed read rightly. matched: between networks whose clean accuracies are within 2 points, by Student
    over seeds; of a condition with several weights the one that is nearest. One that cannot be made has no interval.
    """
    return {
        "area": area_reading(total, cells),
        "both": both_reading(evidence, total, cells),
        "matched": matched_reading(evidence, total),
    }


def area_reading(total: Sum, cells: dict[tuple[str, int], Cell]) -> Interval:
    """The area under the curve from the first budget above 0, as a share of clean accuracy."""

    def share(cell: Cell) -> np.ndarray:
        above = cell.budgets > 0 if cell.clean is None else np.ones(len(cell.budgets), dtype=bool)
        places = cell.budgets[above] + (0 if cell.clean is None else 1)  # a strength of 0 is an attack all the same
        return relative_area(np.column_stack([cell.correct, cell.robust[:, above]]), np.insert(places, 0, 0.0))

    values = added(total, cells, share)
    return crossed_interval(values) if values.size and np.isfinite(values).all() else NONE


def both_reading(evidence: Evidence, total: Sum, cells: dict[tuple[str, int], Cell]) -> Interval:
    """The sum over the images that all networks of a seed read rightly; the table is the ratio's linear term."""
    values = among(outcomes(evidence, total, cells), read_rightly(total, cells))
    return crossed_interval(values) if values.size else NONE


def read_rightly(total: Sum, cells: dict[tuple[str, int], Cell]) -> np.ndarray:
    """Whether all networks of a seed read an image rightly, (seeds, images)."""
    seeds = list(dict.fromkeys(seed for _, seed in cells))
    right = [np.logical_and.reduce([cells[name, seed].correct for name in total.conditions]) for seed in seeds]
    return np.array(right, dtype=bool).reshape(len(seeds), -1)


def among(values: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """A table (seeds, images) whose means are those of some images of each seed: the ratio's linear term, as in
    `areas.relative_area`. (seeds, 0) where a seed has none of them."""
    counts = chosen.sum(1, keepdims=True)
    if not values.size or not counts.all():
        return np.empty((len(values), 0))
    means = (values * chosen).sum(1, keepdims=True) / counts
    return means + (values - means) * chosen * values.shape[1] / counts


def matched_reading(evidence: Evidence, total: Sum) -> Interval:
    """The sum between networks of matched clean accuracy, by Student over seeds."""
    (_, first), *rest = total.terms
    candidates = [
        Sum(((1, name), *rest), total.attack, total.measure)
        for name in sweep_of(evidence.study.conditions, first) if name in evidence.conditions
    ]  # fmt: skip
    apart = {candidate: abs(clean_difference(evidence, candidate)) for candidate in candidates}
    nearest = min(candidates, key=lambda candidate: apart[candidate])
    if not apart[nearest] <= NEAR:
        return NONE
    cells = cells_of(evidence, nearest)
    return seed_interval(outcomes(evidence, nearest, cells).mean(1)) if cells else NONE


def clean_difference(evidence: Evidence, total: Sum) -> float:
    """A sum of clean accuracies over the whole test set, mean over seeds; infinite where one is not known."""
    found = [[evidence.clean.get((name, s), math.nan) for s in evidence.seeds] for _, name in total.terms]
    value = float(sum(sign * np.mean(row) for (sign, _), row in zip(total.terms, found, strict=True)))
    return value if math.isfinite(value) else math.inf


def primary_sums(evidence: Evidence, condition: str) -> list[Sum]:
    """What a guided condition must beat: its own shuffle and `none`, and with guidance on the stimuli their labels.

    Raises NotInStudyError for what the study lacks of it.
    """
    attack = attack_named(evidence, "primary")
    met = {name for name, _ in evidence.cells[attack]}
    if BASELINE not in evidence.conditions:
        raise NotInStudyError("the condition none")
    baselines = [control_of(evidence, condition, control) for control in required_controls(evidence, condition)]
    baselines.append(BASELINE)
    if unmet := [name for name in (condition, *baselines) if name not in met]:
        raise NotInStudyError(f"{unmet[0]} under {attack}")
    return [Sum(((1, condition), (-1, baseline)), attack) for baseline in baselines]


def required_controls(evidence: Evidence, condition: str) -> list[str]:
    """The controls without which nothing is said of a condition; stimuli are more data, with or without a brain."""
    own = evidence.study.conditions[condition]
    return [SHUFFLED, "labels"] if own.on_stimuli and not own.on_task else [SHUFFLED]
