"""Every image under one attack: finished cells are read, the others computed batch by batch and kept."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from torch import Tensor

from neurobust.attacks.engine.cells import Parts, cell_path, read_cell
from neurobust.attacks.engine.subject import Bench
from neurobust.core import deadline
from neurobust.core.progress import Progress
from neurobust.files.records import write_arrays

Arrays = dict[str, np.ndarray]


class Method(Protocol):
    """An attack as the engine runs it."""

    @property
    def parts(self) -> Parts:
        """What makes its numbers beside the files and the images: settings and sources, as JSON types."""

    @property
    def arrays(self) -> frozenset[str]:
        """Arrays without which a cell is damaged."""

    def attack(self, images: Tensor, labels: Tensor, ids: tuple[int, ...], keep: int) -> Arrays:
        """Attack and verify images (n, 3, H, W) with labels (n,) and rows `ids`.

        Returns arrays whose first axis is the images, except pictures, of which the first `keep` are given, and
        `counts`, of which there is one row.
        """


@dataclass(frozen=True)
class Cells:
    """A folder of finished cells of `images` images each; `examples`: of how many of all images pictures are kept.

    files: what else makes the numbers of all its cells, such as digests of files.
    """

    folder: Path
    images: int
    examples: int
    files: Parts

    def path(self, method: Method, rows: np.ndarray, start: int) -> Path:
        """Where the cell of the images `rows` lies, before which `start` others are attacked."""
        parts = {"ids": rows.tolist(), "start": start, "examples": self.examples, "files": self.files, **method.parts}
        return cell_path(self.folder, parts)

    def number(self, bench: Bench) -> int:
        """How many cells an attack on all images of a bench has."""
        return -(-len(bench.rows) // self.images)


def evaluate(method: Method, bench: Bench, cells: Cells, progress: Progress) -> Arrays:
    """All arrays of an attack on a bench, its cells joined in order; `seconds` (cells,) is what they took."""
    done = []
    for start in range(0, len(bench.rows), cells.images):
        part = slice(start, min(start + cells.images, len(bench.rows)))
        path = cells.path(method, bench.rows[part], start)
        cell = read_cell(path, {*method.arrays, "seconds"})
        if cell is None:
            deadline.check()
            cell = compute_cell(method, bench, part, cells.examples)
            write_arrays(path, cell)
        done.append(cell)
        progress.step()
    return joined(done)


def compute_cell(method: Method, bench: Bench, part: slice, examples: int) -> Arrays:
    """Attack a part of a bench's images batch by batch; pictures are kept of the first `examples` of all."""
    began, found = time.monotonic(), []
    for start in range(part.start, part.stop, bench.attack_batch):
        rows = slice(start, min(start + bench.attack_batch, part.stop))
        ids = tuple(bench.rows[rows].tolist())
        found.append(method.attack(*bench.batch(rows), ids, max(0, examples - start)))
    return joined(found) | {"seconds": np.array([time.monotonic() - began])}


def joined(parts: list[Arrays]) -> Arrays:
    """Arrays of the same names one after the other along their first axis."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
