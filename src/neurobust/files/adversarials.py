"""`attacks/{network}/transfer.npz`: the adversarials of one network that the others of its architecture will meet."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from neurobust.files.records import read_fields, write_fields


@dataclass(frozen=True)
class Adversarials:
    """float32 `adversarial` (n, H, W, 3) in [0, 1], in the order in which they are written; whether the network reads
    the clean image rightly, `clean_correct` (n,); rows of dataset.h5 `image` (n,) and their `label` (n,)."""

    adversarial: np.ndarray
    clean_correct: np.ndarray
    image: np.ndarray
    label: np.ndarray


ARRAYS = tuple(field.name for field in fields(Adversarials))


def adversarials_path(results: Path | str, network: str) -> Path:
    """Where a network's adversarials lie; network: its names as a path (`NetworkName.path`)."""
    return Path(results) / "attacks" / network / "transfer.npz"


def write_adversarials(path: Path, found: Adversarials) -> None:
    """Write the adversarials of one network, atomically."""
    write_fields(path, found)


def read_adversarials(path: Path) -> Adversarials:
    """The adversarials of one network; InputError where the file is not that."""
    return read_fields(path, Adversarials)
