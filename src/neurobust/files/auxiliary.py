"""`attacks/{task}/auxiliary/{helper}.safetensors` and `.json`: an auxiliary network of semantic attacks, its gates."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from msgspec import Struct
from msgspec.structs import asdict

from neurobust.core.io import Provenance
from neurobust.files.records import read_record, write_record


class Gate(Struct, frozen=True, kw_only=True):
    """A number that an auxiliary network must reach: at least the threshold, or at most it; value: None where it was no
    number, which fails."""

    gate: str
    value: float | None
    threshold: float
    at_most: bool
    passed: bool
    note: str = ""

    def of(self, network: str) -> NetworkGate:
        """The gate with the name of its network."""
        return NetworkGate(network=network, **asdict(self))


class NetworkGate(Gate, frozen=True, kw_only=True):
    """A gate among those of several networks."""

    network: str


class AuxiliaryRecord(Struct, frozen=True, kw_only=True):
    """How an auxiliary network was trained and judged; history: a record per epoch."""

    network: str
    gates: list[Gate]
    task: str = ""
    passed: bool = False
    history: list[dict[str, float]] = []
    parameters: int = 0
    provenance: Provenance = {}


def auxiliary_weights_path(results: Path | str, task: str, helper: str) -> Path:
    """Where the weights of a task's auxiliary network lie."""
    return Path(results) / "attacks" / task / "auxiliary" / f"{helper}.safetensors"


def auxiliary_record_path(results: Path | str, task: str, helper: str) -> Path:
    """Where the gates of a task's auxiliary network lie."""
    return Path(results) / "attacks" / task / "auxiliary" / f"{helper}.json"


def write_auxiliary_record(path: Path, record: AuxiliaryRecord) -> None:
    """Write what is known of an auxiliary network, atomically."""
    write_record(path, record)


def read_auxiliary_record(path: Path) -> AuxiliaryRecord:
    """What is known of an auxiliary network; InputError where the file is not that."""
    return read_record(path, AuxiliaryRecord, "the record of an auxiliary network")


def all_passed(gates: Iterable[Gate]) -> bool:
    """Whether there are gates and every one is passed."""
    gates = list(gates)
    return bool(gates) and all(entry.passed for entry in gates)
