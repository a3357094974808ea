"""An attack as a study configures it: a name, a method with its settings, and the budgets. Imports no torch."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import Annotated, Any

from msgspec import Struct
from msgspec.structs import replace

from neurobust.attacks.description import Attack
from neurobust.attacks.registry import ATTACKS
from neurobust.core.errors import InputError
from neurobust.core.explain import as_number
from neurobust.core.faults import Faults
from neurobust.core.names import one_of
from neurobust.core.settings import Given, Settings, about, field_names, known_keys, read, written

# What one unit of a configured budget is, in the attack's own unit (pixels in [0, 1], turns of hue, change of factor).
UNITS = {"1/255": 1 / 255, "1": 1.0}


class Shown(Settings, frozen=True):
    """What a study says of an attack for readers: none of it changes a number."""

    label: Annotated[str, about("for readers; default: its name")] = ""


COMMON = ("method", "budgets", "unit", *field_names(Shown))  # keys of every attack; the rest is the method's


class AttackPlan(Struct, frozen=True):
    """One attack of a study.

    budgets ascend from 0, in units of `unit`. label is for readers.
    """

    name: str
    method: str
    attack: Attack
    budgets: tuple[float, ...]
    unit: str
    label: str

    @property
    def norm(self) -> str:
        """The norm or range that its budgets bound."""
        return self.attack.norm

    @property
    def scale(self) -> float:
        """One unit of the budgets in the attack's own unit."""
        return UNITS[self.unit]

    @property
    def radii(self) -> tuple[float, ...]:
        """The budgets in the attack's own unit."""
        return tuple(budget * self.scale for budget in self.budgets)

    @property
    def passes(self) -> float:
        """Passes through the network that one image costs."""
        return self.attack.passes(sum(budget > 0 for budget in self.budgets))

    def settings(self) -> dict[str, Any]:
        """All that makes its numbers, every default filled in, as JSON types. `read_plan` reads it again."""
        return {
            "method": self.method, "unit": self.unit, "budgets": list(self.budgets), **written(self.attack),
        }  # fmt: skip


def read_plan(name: str, given: Given, where: str = "attacks") -> AttackPlan:
    """The attack `name` that a configuration describes; InputError for whatever no attack could use."""
    where, faults = f"{where}.{name}", Faults()
    kind = ATTACKS.chosen(given, "method", where)
    own = {key: value for key, value in known_keys(kind, given, where, faults, COMMON).items() if key not in COMMON}
    norm, norms = given.get("norm"), kind.norms()
    if norm is not None and norms and norm not in norms:
        said = f"{where}.norm: {norm!r} is not a norm of {given['method']}; choose one of {one_of(norm, norms)}"
        faults.messages.append(said)
        own["norm"] = norms[0]
    attack = faults.kept(lambda: read(kind, own, where))
    shown = faults.kept(lambda: read(Shown, {key: given[key] for key in field_names(Shown) if key in given}, where))
    unit = faults.kept(lambda: unit_of(given, attack, where))
    plan = AttackPlan(name, given["method"], attack, (), unit, faults.kept(lambda: shown.label or name))
    planned = faults.kept(lambda: with_budgets(plan, given.get("budgets"), f"{where}.budgets"))
    faults.refuse()
    return planned


def unit_of(given: Given, attack: Attack, where: str) -> str:
    """The unit of an attack's budgets; InputError for one that there is not."""
    unit = str(given["unit"]) if "unit" in given else "1"
    if "unit" not in given and attack.norm == "linf":
        unit = "1/255"
    if unit not in UNITS:
        raise InputError(f"{where}.unit: {unit!r} is not known; choose one of {one_of(unit, UNITS)}")
    return unit


def with_budgets(plan: AttackPlan, budgets: Any, where: str) -> AttackPlan:
    """The same attack at other budgets, in its unit; InputError, with `where`, for a list that it cannot use."""
    values = check_budgets(budgets, where)
    if values[-1] * plan.scale > plan.attack.largest:
        unit = f" ({plan.attack.unit})" if plan.attack.unit and plan.scale == 1 else ""
        raise InputError(
            f"{where}: {values[-1]:g} is over {plan.attack.largest / plan.scale:g}, the whole range{unit}; lower it"
        )
    return replace(plan, budgets=values)


def read_plans(given: Mapping[str, Given]) -> dict[str, AttackPlan]:
    """Every attack of a configuration, by name, in its order."""
    return {name: read_plan(name, settings) for name, settings in given.items()}


def check_budgets(budgets: Any, where: str) -> tuple[float, ...]:
    """The budgets as floats; they must be finite, ascend and begin with 0."""
    if budgets is None:
        raise InputError(f"{where}: missing; give a list of numbers that ascend from 0")
    numbers = isinstance(budgets, (list, tuple)) and all(type(budget) in (int, float) for budget in budgets)
    if not numbers:
        text = next((budget for budget in budgets if isinstance(budget, str)), "") if isinstance(budgets, list) else ""
        raise InputError(f"{where}: {budgets!r} is not a list of numbers that ascend from 0{as_number(text)}")
    values = tuple(map(float, budgets))
    if endless := [value for value in values if not math.isfinite(value)]:
        raise InputError(f"{where}: {list(budgets)}: {endless[0]} is not a finite number; give one")
    ascending = all(low < high for low, high in itertools.pairwise(values))
    if len(values) < 2 or not ascending or values[0] != 0:
        raise InputError(f"{where}: {list(budgets)} must ascend from 0 and name at least one budget above it")
    return values
