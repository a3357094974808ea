"""`attacks/{network}/verification.parquet` and `.npz`: which pairs of faces a network takes for one person."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from msgspec import Struct

from neurobust.core.io import Provenance, write_parquet
from neurobust.files.auxiliary import NetworkGate
from neurobust.files.records import attributes_of, read_fields, read_table, write_fields
from neurobust.files.semantic_table import ATTACK as ATTACK

if TYPE_CHECKING:
    import pandas as pd

NETWORK, IDENTITY = "network", "identity"  # who verifies: the network under attack, the task's identity network
REQUIRED = {"image", "goal", "attribute", "variant", "rate", "clean_wrong", "success"}


class Threshold(Struct, frozen=True):
    """The squared distance of unit embeddings up to which two images count as one person, at a false-positive rate.

    verifier: whose embeddings. threshold, passing, accepted: None where the impostor pairs are too few to measure the
    rate. impostors: pairs of two people, of `people` people; passing: how many of them pass; genuine: pairs of one
    person; accepted: the share of them that passes.
    """

    verifier: str
    rate: float
    threshold: float | None
    impostors: int
    passing: int | None
    people: int
    genuine: int
    accepted: float | None


class VerificationRecord(Struct, frozen=True):
    """How a table was made; split: where the pairs that set the thresholds are from; gates: of the auxiliary networks
    that the attack reads; seconds of work and what the verification counted."""

    task: str
    architecture: str
    condition: str
    seed: int
    attack: str
    thresholds: list[Threshold]
    split: str
    gates: list[NetworkGate]
    gates_passed: bool
    settings: dict[str, Any]
    seconds: float | None = None
    verification: dict[str, int] | None = None
    provenance: Provenance | None = None


@dataclass(frozen=True)
class VerificationExamples:
    """Pictures of the first pairs, float32 in [0,1]: rows of dataset.h5 `image` (k,) and, by goal, `reference` (k, G);
    names `goals` (G,) and `attributes` (A,); `clean` (k, H, W, 3), `references` (k, G, H, W, 3), and by goal and
    attribute (k, G, A, H, W, 3) the plain edit, `edited`, and what the attack made at the strictest rate, `attacked`,
    with whether it broke the pair there, `success` (k, G, A)."""

    image: np.ndarray
    reference: np.ndarray
    goals: np.ndarray
    attributes: np.ndarray
    clean: np.ndarray
    references: np.ndarray
    edited: np.ndarray
    attacked: np.ndarray
    success: np.ndarray


def verification_table_path(results: Path | str, network: str) -> Path:
    """Where a network's table lies; network: its names as a path (`NetworkName.path`)."""
    return Path(results) / "attacks" / network / "verification.parquet"


def verification_examples_path(results: Path | str, network: str) -> Path:
    """Where a network's pictures lie, beside its table."""
    return verification_table_path(results, network).with_suffix(".npz")


def write_verification_table(path: Path, frame: pd.DataFrame, record: VerificationRecord) -> None:
    """Write a row per pair, attribute, variant and rate, and how they were made, atomically."""
    write_parquet(path, frame, attributes_of(record))


def read_verification_table(path: Path) -> tuple[pd.DataFrame, VerificationRecord]:
    """A row per pair, attribute, variant and rate, and how they were made; InputError where the file is not that."""
    return read_table(path, VerificationRecord, "the pairs of a verification", REQUIRED)


def write_verification_examples(path: Path, examples: VerificationExamples) -> None:
    """Write the pictures of one network, atomically."""
    write_fields(path, examples)


def read_verification_examples(path: Path) -> VerificationExamples:
    """The pictures of one network; InputError where the file is not that."""
    return read_fields(path, VerificationExamples)
