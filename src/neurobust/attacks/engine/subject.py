"""What an evaluation is asked for: a trained network, how many images it meets, and where the results go."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from neurobust.attacks.images import to_batch, to_labels
from neurobust.core.io import Provenance, provenance, sha256_file
from neurobust.files.dataset import Dataset
from neurobust.files.pixels import to_images


@dataclass(frozen=True)
class Subject:
    """A trained network and the first `n_images` of the test images that its task's networks all meet, as files.

    seed: the network's. names: its architecture, condition and the like, for the attributes of what is written.
    """

    dataset: Path
    model: Path
    seed: int
    n_images: int
    names: Mapping[str, str]

    @classmethod
    def of_job(cls, job: Any, n_images: int) -> Subject:
        """The network of a rule's job, by its input files `dataset` and `model` and its wildcards."""
        names = {name: job.wildcards[name] for name in ("task", "architecture", "condition")}
        return cls(Path(job.input.dataset), Path(job.input.model), int(job.wildcards.seed), n_images, names)

    def origin(self, **more: Path) -> dict[str, str]:
        """Torch's version and digests of the files that make its results, `more` among them: part of a cell's name."""
        files = {"dataset": self.dataset, "model": self.model, **more}
        return {"torch": torch.__version__, **{name: sha256_file(path) for name, path in files.items()}}

    def provenance(self, **more: Path) -> Provenance:
        """How its results were made; `more` are files that were read beside its own."""
        return provenance({"dataset": self.dataset, "model": self.model, **more}, seed=self.seed)


@dataclass(frozen=True)
class Outputs:
    """Where results go: a table per attack, the gallery, and the folder of finished cells."""

    tables: Mapping[str, Path]
    examples: Path
    cells: Path


@dataclass(frozen=True)
class Bench:
    """A network on its device beside the images that it meets: rows (N,) of its task, in the order of attack.

    `attack_batch` of them are attacked at once: it costs memory and changes no result beyond float32 rounding.
    """

    network: nn.Module
    data: Dataset
    rows: np.ndarray
    device: torch.device
    attack_batch: int

    @property
    def labels(self) -> np.ndarray:
        """The images' labels, int64 (N,)."""
        return self.data.labels[self.rows]

    def batch(self, part: slice) -> tuple[Tensor, Tensor]:
        """Images (n, 3, H, W) in [0,1] and labels (n,) of a part of the rows, on the device."""
        rows = self.rows[part]
        return to_batch(self.data, rows, self.device), to_labels(self.data, rows, self.device)

    def clean(self, count: int) -> np.ndarray:
        """The first images as float32 (n, H, W, 3) in [0,1], for galleries."""
        return to_images(to_batch(self.data, self.rows[:count], torch.device("cpu")))
