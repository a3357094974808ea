"""Semantic attacks: colour, texture and faces, made by networks that are trained here and must pass gates."""

from neurobust.attacks.semantic.evaluate import SEMANTIC, attack_semantic
from neurobust.attacks.semantic.fit import load_auxiliary, train_auxiliary
from neurobust.attacks.semantic.kinds import NETWORKS, TRAINERS

__all__ = ["NETWORKS", "SEMANTIC", "TRAINERS", "attack_semantic", "load_auxiliary", "train_auxiliary"]
