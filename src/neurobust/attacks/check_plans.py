"""The attacks that checks and canaries run beside a study's own, and the modules that they need. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping

from neurobust.attacks.plan import AttackPlan, read_plan
from neurobust.attacks.registry import CANARY_METHOD, attack_modules

# With the whole box as its ball, a sound attack leaves nothing standing.
UNBOUNDED = read_plan(
    "unbounded", {"method": "pgd", "norm": "linf", "unit": "1", "budgets": [0, 1], "steps": 20, "restarts": 2}
)
# What canaries meet in a study without an iterative attack.
DEFAULT = read_plan(
    CANARY_METHOD, {"method": CANARY_METHOD, "norm": "linf", "budgets": [0, 2, 8], "steps": 20, "loss": "margin"}
)


def canary_plans(plans: Mapping[str, AttackPlan]) -> dict[str, AttackPlan]:
    """The study's attacks that canaries meet; a default PGD too where the study has no iterative one."""
    chosen = {name: plan for name, plan in plans.items() if plan.attack.canary}
    if not any(plan.attack.probed for plan in chosen.values()):
        chosen[DEFAULT.name] = DEFAULT
    return chosen


def canary_modules(plans: Mapping[str, AttackPlan]) -> list[str]:
    """The modules of the attacks that canaries and their checks meet, sorted."""
    return attack_modules(canary_plans(plans), UNBOUNDED.method)


def network_modules(plans: Mapping[str, AttackPlan]) -> list[str]:
    """The modules of the attacks that a network and its checks meet, sorted."""
    return attack_modules(plans, UNBOUNDED.method)
