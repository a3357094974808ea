"""Which condition a guided one is measured against: the one that differs from it in nothing but shuffled images."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from msgspec.structs import replace

from neurobust.core.reference_range import BASELINE
from neurobust.networks.conditions import Condition
from neurobust.study.model import Study

FRAGILITY = "fragility"  # the analysis that says how little moves a teacher's answers
SHUFFLED = "shuffled"  # the control that every guided condition must beat


class Teacher(NamedTuple):
    """What answers for a brain in a guided condition: a predictor, the mean over all its seeds, or (None) the measured
    responses."""

    predictor: str | None
    ensemble: bool


class Gain(NamedTuple):
    """A guided condition, the ROI that guides it and what it is measured against: its own shuffle, else `none`."""

    condition: str
    roi: str
    control: str


def shuffles_of(conditions: Mapping[str, Condition], name: str) -> list[str]:
    """The conditions that differ from another in nothing but that its images are shuffled; that of its name first.

    Which other weights are trained beside them is no difference.
    """

    def plain(condition: Condition) -> Condition:
        return replace(condition, control=None, sweep=None, weights=None)

    own = plain(conditions[name])
    found = [other for other, c in conditions.items() if c.control == SHUFFLED and plain(c) == own]
    return sorted(found, key=lambda other: other != f"{name}-{SHUFFLED}")


def gains_of(study: Study, task: str) -> Iterator[Gain]:
    """The guided conditions of a task, in the study's order, each with what it is measured against; one of which
    neither a shuffle nor `none` is trained is left out."""
    trained = [name for name in study.tasks[task].conditions if name in study.conditions]
    for name in trained:
        condition = study.conditions[name]
        if condition.guided and condition.roi is not None:
            others = [*shuffles_of(study.conditions, name), BASELINE]
            control = next((other for other in others if other in trained), None)
            if control is not None:
                yield Gain(name, condition.roi, control)


def teachers_of(study: Study) -> dict[str, Teacher]:
    """The guided conditions that some task trains, each with its teacher; none where all have the same one, so that
    nothing is compared."""
    trained = {name for task in study.tasks.values() for name in task.conditions}
    chosen = {name: c for name, c in study.conditions.items() if c.guided and name in trained}
    guided = {name: Teacher(c.predictor, c.ensemble) for name, c in chosen.items()}
    return guided if len(set(guided.values())) > 1 else {}


def guides(study: Study, conditions: Iterable[str]) -> list[tuple[str, str]]:
    """The predictors that answer for a brain in the guided ones of some conditions, each with an ROI."""
    chosen = [study.conditions[name] for name in conditions]
    taught = [(c.predictor, c.target or ()) for c in chosen if c.guided and c.predictor is not None]
    return list(dict.fromkeys((predictor, roi) for predictor, rois in taught for roi in rois))


def teaching(study: Study) -> list[tuple[str, str]]:
    """The predictors among them, each with an ROI for which it answers."""
    return guides(study, teachers_of(study))


def other_teachers(study: Study) -> list[tuple[str, str]]:
    """Those that pages do not show, each with an ROI, where fragility is asked: nothing else is asked of them."""
    asked = teaching(study) if FRAGILITY in study.explain else []
    return [pair for pair in asked if pair[0] != study.predictor]
