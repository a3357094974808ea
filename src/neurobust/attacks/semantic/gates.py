"""Acceptance gates: numbers on held-out images that an auxiliary network must reach before its attack means anything.

An attack whose network failed a gate still runs, so that a cheap study shows the whole path; its table and its page say
so. A network whose loss is not finite is not kept: its training ends with an error and there is no attack.
"""

from __future__ import annotations

import math

from neurobust.files.auxiliary import Gate


def gate(name: str, value: float, threshold: float, *, at_most: bool = False, note: str = "") -> Gate:
    """One gate: passed if the value is at least (`at_most`: at most) the threshold; one that is not finite fails."""
    value = float(value)
    finite = math.isfinite(value)
    passed = finite and (value <= threshold if at_most else value >= threshold)
    return Gate(
        gate=name, value=value if finite else None, threshold=float(threshold), at_most=at_most, passed=bool(passed),
        note=note,
    )  # fmt: skip


def chance_corrected(accuracy: float, classes: int) -> float:
    """(accuracy - chance) / (1 - chance): 0 for guessing, 1 for perfect, whatever the number of classes."""
    chance = 1 / classes
    return (accuracy - chance) / (1 - chance)
