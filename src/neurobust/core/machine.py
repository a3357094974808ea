"""On what jobs ran: kinds of machines, noted by the processes that run there. Without names of hosts or people.

No file of a stage knows its machine: the same inputs give the same bytes. So the kinds lie in a folder of their own, a
file each, and a page lists them.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
from collections import Counter
from pathlib import Path

import msgspec
from msgspec import Struct

from neurobust.core.errors import InputError
from neurobust.core.io import canonical_json, read_json, write_json

CPUINFO = Path("/proc/cpuinfo")
DRIVER = Path("/proc/driver/nvidia/gpus")


class Machine(Struct, frozen=True):
    """A kind of machine: the model of its processor, how many cores, and its GPUs by model."""

    processor: str
    cores: int | None
    gpus: dict[str, int] = {}


def processor(file: Path = CPUINFO) -> str:
    """The model of the processor, as Linux says it; else its architecture."""
    try:
        with file.open(encoding="utf-8") as lines:
            names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
            return next(names, platform.machine())
    except OSError:
        return platform.machine()


def gpus(folder: Path = DRIVER) -> dict[str, int]:
    """The GPUs that the driver lists here, by model: how many. Asks no library, and so starts nothing on them."""
    found: Counter[str] = Counter()
    for file in sorted(folder.glob("*/information")):
        with contextlib.suppress(OSError):
            lines = file.read_text(encoding="utf-8").splitlines()
            found.update(line.partition(":")[2].strip() for line in lines if line.startswith("Model:"))
    return dict(sorted(found.items()))


def this_machine(cpuinfo: Path = CPUINFO, driver: Path = DRIVER) -> Machine:
    """What kind of machine this is."""
    return Machine(processor(cpuinfo), os.cpu_count(), gpus(driver))


def machines_folder(results: Path | str) -> Path:
    """Where the kinds of machines lie on which jobs of a study ran."""
    return Path(results) / "preflight" / "machines"


def note_machine(results: Path | str, found: Machine | None = None) -> None:
    """Note the kind of this machine, once; what cannot be written is left, since no job depends on it."""
    noted = msgspec.to_builtins(found or this_machine())
    path = machines_folder(results) / f"{hashlib.sha256(canonical_json(noted).encode()).hexdigest()[:12]}.json"
    if not path.exists():
        with contextlib.suppress(OSError):
            write_json(path, noted)


def machine_words(found: Machine) -> str:
    """A machine in words: processor, cores, GPUs."""
    many = [f"{count} × {name}" for name, count in found.gpus.items()]
    return ", ".join([found.processor, f"{found.cores} cores", *many])


def noted_machines(results: Path | str) -> list[str]:
    """The kinds of machines that jobs noted, in words, sorted; a file that is none of these is passed over."""
    found = []
    for path in machines_folder(results).glob("*.json"):
        with contextlib.suppress(InputError, OSError, msgspec.ValidationError):
            found.append(machine_words(msgspec.convert(read_json(path), Machine)))
    return sorted(found)
