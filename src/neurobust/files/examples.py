"""`attacks/{network}/examples.npz`: a few images of a network as each attack left them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from neurobust.files.records import read_arrays, write_arrays


@dataclass(frozen=True)
class Examples:
    """Rows of dataset.h5 `image` (n,), their `label` (n,), the `clean` images (n, H, W, 3) in [0, 1], and by attack the
    adversarial ones, NaN where none was found, and the budgets (n,) that they took."""

    image: np.ndarray
    label: np.ndarray
    clean: np.ndarray
    adversarial: dict[str, np.ndarray]
    budget: dict[str, np.ndarray]


def examples_path(results: Path | str, network: str) -> Path:
    """Where a network's examples lie; network: its names as a path (`NetworkName.path`)."""
    return Path(results) / "attacks" / network / "examples.npz"


def write_examples(path: Path, examples: Examples) -> None:
    """Write the examples of one network, atomically."""
    arrays = {"image": examples.image, "label": examples.label, "clean": examples.clean}
    for attack, adversarial in examples.adversarial.items():
        arrays |= {f"adversarial/{attack}": adversarial, f"budget/{attack}": examples.budget[attack]}
    write_arrays(path, arrays)


def read_examples(path: Path) -> Examples:
    """The examples of one network; InputError where the file is not that."""
    arrays = read_arrays(path, ("image", "label", "clean"))
    parts: dict[str, dict[str, np.ndarray]] = {"adversarial": {}, "budget": {}}
    for name, values in arrays.items():
        part, _, attack = name.partition("/")
        if attack and part in parts:
            parts[part][attack] = values
    return Examples(arrays["image"], arrays["label"], arrays["clean"], parts["adversarial"], parts["budget"])
