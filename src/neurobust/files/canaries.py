"""`attacks/{task}/canaries.json`: which networks of known answer the attacks and checks of a task have caught."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from neurobust.core.io import Provenance
from neurobust.files.records import read_record, write_record


class Canary(Struct, frozen=True):
    """One canary: the checks that must fail on it (`expected`), those that failed (`found`) and whether that is it."""

    canary: str
    expected: list[str]
    found: list[str]
    caught: bool
    value: float | None
    note: str


class CanaryRecord(Struct, frozen=True):
    """The canaries of a task; images: how many they were attacked on; train_accuracy: of the small network that most
    of them are; attacks: names of the iterative ones."""

    canaries: list[Canary]
    images: int = 0
    train_accuracy: float = 0.0
    attacks: list[str] = []
    provenance: Provenance = {}


def canaries_path(results: Path | str, task: str) -> Path:
    """Where a task's canaries lie."""
    return Path(results) / "attacks" / task / "canaries.json"


def write_canaries(path: Path, record: CanaryRecord) -> None:
    """Write the canaries of a task, atomically."""
    write_record(path, record)


def read_canaries(path: Path) -> list[Canary]:
    """The canaries in their order; InputError where the file is not a record of canaries."""
    return read_record(path, CanaryRecord, "a record of canaries").canaries
