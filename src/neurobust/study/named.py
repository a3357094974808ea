"""What a study names and what is known of it: the sources that its descriptions state. Imports no torch."""

from __future__ import annotations

from typing import Any, NamedTuple

from neurobust.networks.registry import LOSSES
from neurobust.study.model import Study, title_of


class Named(NamedTuple):
    """A thing that a study names: its kind, its name there, what it does in words, and its source, "" without one."""

    kind: str
    name: str
    does: str
    source: str


def things_of(study: Study) -> list[Named]:
    """Predictors, losses, controls, references and attacks of a study, each once, in the order of its lists."""
    found = [Named("predictor", name, p.kind, type(p).source) for name, p in study.predictors.items()]
    for condition in study.conditions.values():
        if condition.loss is not None:
            loss = LOSSES[condition.loss]
            found.append(Named("loss", condition.loss, loss.help, loss.source))
        if condition.control:
            found.append(Named("control", condition.control, condition.removes.help, condition.removes.source))
        if condition.reference is not None:
            own = condition.reference
            found.append(Named("reference", own.kind, first_line(own), type(own).source))
    for plan in study.attacks.values():
        found.append(Named("attack", plan.label, first_line(plan.attack), type(plan.attack).source))
    for name, semantic in study.semantic.attacks.items():
        found.append(
            Named("semantic attack", title_of(name), first_line(semantic.attack), type(semantic.attack).source)
        )
    if study.semantic.verification is not None:
        source = type(study.semantic.verification.settings).source
        found.append(Named("verification", "face verification", "", source))
    return list(dict.fromkeys(found))


def first_line(described: Any) -> str:
    """The first line of the docstring of a description's class, without its full stop."""
    return (type(described).__doc__ or "").strip().partition("\n")[0].rstrip(".")
