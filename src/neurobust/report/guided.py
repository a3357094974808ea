"""Which conditions a study compares with which: guided ones with `none` and with their controls, and their sweeps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from neurobust.core.errors import InputError
from neurobust.core.reference_range import BASELINE
from neurobust.core.settings import written
from neurobust.networks.conditions import Condition
from neurobust.report.blocks import Row
from neurobust.study.model import Study
from neurobust.study.pairs import SHUFFLED

Conditions = Mapping[str, Condition]


def in_order(conditions: Conditions, names: Iterable[str]) -> list[str]:
    """The conditions that are among `names`, each once, in the study's order."""
    found = set(names)
    return [name for name in conditions if name in found]


def controls_of(conditions: Conditions, name: str) -> list[str]:
    """The controls of a condition: same target, one ingredient removed; its own `-shuffled` first. A sweep has none."""
    if not conditions[name].guided:
        return []
    target = conditions[name].roi
    found = [
        other for other, condition in conditions.items()
        if condition.control and not condition.sweep and condition.roi == target
    ]  # fmt: skip
    return sorted(found, key=lambda other: other != f"{name}-{SHUFFLED}")


def compared(conditions: Conditions) -> list[tuple[str, str]]:
    """The comparisons of a study: (guided condition or control, none) and (guided condition, each of its controls)."""
    found = []
    for name, condition in conditions.items():
        if condition.roi is None or condition.sweep:
            continue
        if BASELINE in conditions:
            found.append((name, BASELINE))
        found += [(name, control) for control in controls_of(conditions, name)]
    return found


def sweep_of(conditions: Conditions, name: str) -> list[str]:
    """A condition and its other weights."""
    return [name, *(other for other, condition in conditions.items() if condition.sweep == name)]


def roi_part(study: Study, roi: str) -> Study:
    """The part of a study that one ROI's page shows: its conditions and controls beside `none` and positive controls.

    Raises InputError for an ROI that the study does not have.
    """
    if roi not in study.rois:
        raise InputError(f"report: unknown ROI '{roi}' (the study has {list(study.rois)}); name one of these")
    conditions = {name: study.conditions[name] for name in study.conditions_of(roi)}
    tasks = {name: study.tasks[name] for name in study.tasks_of(roi)}
    return msgspec.structs.replace(study, rois={roi: study.rois[roi]}, conditions=conditions, tasks=tasks, claims={})


def recipe_of(condition: Condition) -> Row:
    """What a condition says beyond the defaults, its target as one name: what a page shows of it.

    Its other weights are conditions of their own.
    """
    fields = [field for field in msgspec.structs.fields(Condition) if field.name not in ("target", "weights")]
    said = {field.name: getattr(condition, field.name) for field in fields}
    recipe = {field.name: written(said[field.name]) for field in fields if said[field.name] != field.default}
    return {**recipe, "target": condition.roi}
