"""Attacks: a classifier under noise, bounded-norm and colour attacks, every adversarial verified again."""

from neurobust.attacks.checks import model_checks, table_checks
from neurobust.attacks.evaluate import attack_network
from neurobust.attacks.registry import ATTACKS, resolve, run_attack
from neurobust.attacks.search import AttackResult
from neurobust.attacks.verify import verify

__all__ = [
    "ATTACKS",
    "AttackResult",
    "attack_network",
    "model_checks",
    "resolve",
    "run_attack",
    "table_checks",
    "verify",
]
