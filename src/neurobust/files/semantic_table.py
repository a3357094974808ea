"""`attacks/{network}/semantic/{attack}.parquet` and `.npz`: what a semantic attack did to a network, and pictures."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from msgspec import Struct

from neurobust.core.io import Provenance, write_parquet
from neurobust.files.auxiliary import NetworkGate
from neurobust.files.records import attributes_of, read_arrays, read_table, write_arrays

if TYPE_CHECKING:
    import pandas as pd

ATTACK = "attack"  # the variant that is the attack itself; the others are baselines
REQUIRED = ("image", "variant", "strength", "success")
ARRAYS = ("image", "label", "strengths", "first", "clean_correct", "clean")  # in the order in which they are written


class SemanticRecord(Struct, frozen=True):
    """How a table was made; axis: what its strengths are, for readers; gates: of the attack's auxiliary networks;
    seconds of work and what the verification counted."""

    task: str
    architecture: str
    condition: str
    seed: int
    attack: str
    axis: str
    gates: list[NetworkGate]
    gates_passed: bool
    settings: dict[str, Any]
    seconds: float | None = None
    verification: dict[str, int] | None = None
    provenance: Provenance | None = None


@dataclass(frozen=True)
class SemanticExamples:
    """Pictures of some images: rows of dataset.h5 `image` (n,), `label` (n,), the index `first` (n,) of the strength
    that broke each, whether it was read rightly when `clean` (n, H, W, 3), and by variant (n, strengths, H, W, 3);
    notes: what the attack says of each image, by name, as text (n,): the attribute that was turned."""

    image: np.ndarray
    label: np.ndarray
    strengths: np.ndarray
    first: np.ndarray
    clean_correct: np.ndarray
    clean: np.ndarray
    variants: dict[str, np.ndarray]
    notes: dict[str, np.ndarray] = field(default_factory=dict)


def semantic_table_path(results: Path | str, network: str, attack: str) -> Path:
    """Where a semantic attack's table lies; network: its names as a path (`NetworkName.path`)."""
    return Path(results) / "attacks" / network / "semantic" / f"{attack}.parquet"


def semantic_examples_path(results: Path | str, network: str, attack: str) -> Path:
    """Where a semantic attack's pictures lie, beside its table."""
    return semantic_table_path(results, network, attack).with_name(f"{attack}.npz")


def write_semantic_table(path: Path, frame: pd.DataFrame, record: SemanticRecord) -> None:
    """Write a row per variant, image and strength, and how they were made, atomically."""
    write_parquet(path, frame, attributes_of(record))


def read_semantic_table(path: Path) -> tuple[pd.DataFrame, SemanticRecord]:
    """A row per image, variant and strength, and how they were made; InputError where the file is not that."""
    return read_table(path, SemanticRecord, "the rows of a semantic attack", REQUIRED)


def write_semantic_examples(path: Path, examples: SemanticExamples) -> None:
    """Write the pictures of one network, atomically."""
    arrays = {name: getattr(examples, name) for name in ARRAYS}
    shown = {f"example/{name}": values for name, values in examples.variants.items()}
    write_arrays(path, arrays | shown | {f"note/{name}": values for name, values in examples.notes.items()})


def read_semantic_examples(path: Path) -> SemanticExamples:
    """The pictures of one network; InputError where the file is not that."""
    arrays = read_arrays(path, (*ARRAYS, f"example/{ATTACK}"))
    variants, notes = (
        {name.partition("/")[2]: values for name, values in arrays.items() if name.startswith(f"{kind}/")}
        for kind in ("example", "note")
    )
    return SemanticExamples(**{name: arrays[name] for name in ARRAYS}, variants=variants, notes=notes)
