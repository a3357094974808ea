"""`attacks/{network}/checks.json`: what the masking checks found of one network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from neurobust.files.records import read_record, write_record


class Check(Struct, frozen=True):
    """One check; attack: whose, empty where it is of the network alone; value: what was measured, None for a yes or
    no."""

    check: str
    passed: bool
    attack: str = ""
    value: float | None = None
    note: str = ""

    @property
    def label(self) -> str:
        """`check` or `check/attack`."""
        return "/".join(filter(None, (self.check, self.attack)))


def checks_path(results: Path | str, network: str) -> Path:
    """Where a network's checks lie; network: its names as a path (`NetworkName.path`)."""
    return Path(results) / "attacks" / network / "checks.json"


def confirmed_path(results: Path | str) -> Path:
    """Where it is said that every attack ran on every network."""
    return Path(results) / "attacks" / "confirmed.txt"


def write_checks(path: Path, checks: Sequence[Check]) -> None:
    """Write the checks of one network, atomically."""
    write_record(path, list(checks))


def read_checks(path: Path) -> list[Check]:
    """The checks in their order; InputError where the file is not a list of checks."""
    return read_record(path, list[Check], "a list of checks")
