"""`attacks/{network}/semantic/transfer/{attack}.npz`: adversarials of an undefended network, for the others; and a few
of them beside their clean images, for readers, in `{attack}-pictures.npz`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from neurobust.files.records import read_fields, write_fields


@dataclass(frozen=True)
class SemanticAdversarials:
    """Rows of dataset.h5 `image` (n,) and their `label` (n,), whether the surrogate reads the clean image rightly
    `clean_correct` (n,), the index `first` (n,) of the smallest of the `strengths` (S,) that broke it, S where none
    did, and float32 `adversarial` (n, S, H, W, 3) in [0, 1]: the last image tried; clean errors stay unchanged."""

    image: np.ndarray
    label: np.ndarray
    clean_correct: np.ndarray
    first: np.ndarray
    strengths: np.ndarray
    adversarial: np.ndarray


def semantic_adversarials_path(results: Path | str, network: str, attack: str) -> Path:
    """Where a surrogate's adversarials lie; network: its names as a path (`NetworkName.path`)."""
    return Path(results) / "attacks" / network / "semantic" / "transfer" / f"{attack}.npz"


def write_semantic_adversarials(path: Path, found: SemanticAdversarials) -> None:
    """Write the adversarials of one surrogate, atomically."""
    write_fields(path, found)


def read_semantic_adversarials(path: Path) -> SemanticAdversarials:
    """The adversarials of one surrogate; InputError where the file is not that."""
    return read_fields(path, SemanticAdversarials)


@dataclass(frozen=True)
class LentPictures:
    """A few images that a surrogate's attack broke: rows of dataset.h5 `image` (n,), their `label` (n,), `clean` and at
    the largest strength `adversarial` (n, H, W, 3) in [0, 1], `answer` (n,) of the surrogate to the latter: a class,
    -1 for none; `strength` ()."""

    image: np.ndarray
    label: np.ndarray
    clean: np.ndarray
    adversarial: np.ndarray
    answer: np.ndarray
    strength: np.ndarray


def lent_pictures_path(results: Path | str, network: str, attack: str) -> Path:
    """Where a few of a surrogate's adversarials lie, beside all of them."""
    return semantic_adversarials_path(results, network, attack).with_name(f"{attack}-pictures.npz")


def write_lent_pictures(path: Path, pictures: LentPictures) -> None:
    """Write a few of a surrogate's adversarials, atomically."""
    write_fields(path, pictures)


def read_lent_pictures(path: Path) -> LentPictures:
    """A few of a surrogate's adversarials; InputError where the file is not that."""
    return read_fields(path, LentPictures)
