"""A semantic attack as a study configures it: its settings, and whom it meets. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from msgspec import Struct

from neurobust.attacks.semantic.description import Helper, SemanticAttack
from neurobust.attacks.semantic.registry import HELPERS, SEMANTIC
from neurobust.core.errors import InputError
from neurobust.core.faults import Faults
from neurobust.core.settings import Given, Names, Settings, about, field_names, known_keys, read, written


class Choice(Settings, frozen=True):
    """What a study says of a semantic attack beside its settings: none of it changes a number."""

    tasks: Annotated[Names | None, about("default: all")] = None
    conditions: Annotated[Names | None, about("whose networks are attacked; default: all")] = None
    reference_strength: Annotated[float | None, about("that tables quote; default: the middle one above 0")] = None


class SemanticPlan(Struct, frozen=True):
    """One semantic attack of a study: its name, its settings, and what the study chose (see `Choice`)."""

    name: str
    attack: SemanticAttack
    tasks: tuple[str, ...] | None = None
    conditions: tuple[str, ...] | None = None
    reference_strength: float | None = None

    @property
    def strengths(self) -> tuple[float, ...]:
        """Its strengths, ascending, as numbers of one type."""
        return tuple(map(float, self.attack.strengths))

    def settings(self) -> dict[str, Any]:
        """All that makes its numbers, every default filled in, as JSON types."""
        return {**written(self.attack), "strengths": list(self.strengths)}


def read_semantic(name: str, given: Given, where: str = "semantic") -> SemanticPlan:
    """The semantic attack `name` that a configuration describes; InputError for whatever none could use."""
    kind, where = SEMANTIC.find(name, f"{where}.{name}"), f"{where}.{name}"
    if not isinstance(given, Mapping):
        read(kind, given, where)  # which says so
    outer, faults = field_names(Choice), Faults()
    given = known_keys(kind, given, where, faults, outer)
    attack = faults.kept(lambda: read(kind, {key: value for key, value in given.items() if key not in outer}, where))
    choice = faults.kept(lambda: read(Choice, {key: value for key, value in given.items() if key in outer}, where))
    faults.refuse()
    if choice.reference_strength is not None and choice.reference_strength not in attack.strengths:
        raise InputError(
            f"{where}.reference_strength: {choice.reference_strength:g} is not one of its `strengths` "
            f"{list(attack.strengths)}"
        )
    return SemanticPlan(name, attack, choice.tasks, choice.conditions, choice.reference_strength)


def read_helper(name: str, given: Given, where: str = "semantic.networks") -> Helper:
    """The settings of the auxiliary network `name`, with its own defaults; InputError for what none could use."""
    return read(HELPERS.find(name, f"{where}.{name}"), given, f"{where}.{name}")
