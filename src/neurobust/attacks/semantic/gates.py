"""Acceptance gates: numbers on held-out images that an auxiliary network must reach before its attack means anything.

An attack whose network failed a gate still runs, so that a cheap study shows the whole path; its table and its page say
so. A network whose loss is not finite is no network: its training ends with an error and there is no attack.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from neurobust.core.errors import InputError
from neurobust.core.io import read_json

Gate = dict[str, Any]


def gate(name: str, value: float, threshold: float, *, at_most: bool = False, note: str = "") -> Gate:
    """One gate: passed if the value is at least (`at_most`: at most) the threshold; a value that is no number fails."""
    value = float(value)
    finite = math.isfinite(value)
    passed = finite and (value <= threshold if at_most else value >= threshold)
    return {
        "gate": name, "value": value if finite else None, "threshold": float(threshold), "at_most": at_most,
        "passed": bool(passed), "note": note,
    }  # fmt: skip


def chance_corrected(accuracy: float, classes: int) -> float:
    """(accuracy - chance) / (1 - chance): 0 for guessing, 1 for perfect, whatever the number of classes."""
    chance = 1 / classes
    return (accuracy - chance) / (1 - chance)


def all_passed(gates: Iterable[Mapping[str, Any]]) -> bool:
    """Whether there are gates and every one is passed."""
    gates = list(gates)
    return bool(gates) and all(entry["passed"] for entry in gates)


def read_gates(path: Path) -> list[Gate]:
    """The gates in an auxiliary network's JSON file, each with the network's name."""
    record = read_json(path)
    try:
        return [{"network": record["network"], **entry} for entry in record["gates"]]
    except (KeyError, TypeError) as error:
        raise InputError(
            f"{path}: not the record of an auxiliary network ({error}); delete it and run again"
        ) from error
