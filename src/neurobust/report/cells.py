"""One network under one attack: a parquet file as an images x budgets array."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from neurobust.core.errors import InputError
from neurobust.files.attack_table import AttackRecord, grid_of, least_distances, read_attack_columns
from neurobust.report.areas import curve_area, relative_area

if TYPE_CHECKING:
    import pandas as pd

COSTS = ("n_forward", "n_backward")  # passes of an image, by kind
Cells = dict[tuple[str, int], "Cell"]  # under one attack, by the network's condition and seed


class Cell(NamedTuple):
    """Who survived what: `images` (n,) rows of dataset.h5, `budgets` (b,) ascending from 0, `robust` (n, b) bool.

    `cost`: passes per image; `record`: how its table was made. `distance` (n,): size of each image's verified
    adversarial, NaN where there is none; None where it is not recorded. `member` (n, b): which attack of an ensemble
    had broken the image, empty where none; None for any other attack. `clean` (n,): whether the network reads the image
    rightly; None where that is what stands at budget 0. `abstained` (n, b): whether it counts as broken because the
    network gives no answer; None where that is not recorded.
    """

    images: np.ndarray
    budgets: np.ndarray
    robust: np.ndarray
    cost: dict[str, float]
    record: AttackRecord = AttackRecord()
    distance: np.ndarray | None = None
    member: np.ndarray | None = None
    clean: np.ndarray | None = None
    abstained: np.ndarray | None = None

    @property
    def correct(self) -> np.ndarray:
        """Whether the network reads each image rightly when nothing attacks it, (n,)."""
        return self.robust[:, 0] if self.clean is None else self.clean

    def at(self, budget: float) -> np.ndarray:
        """Whether each image survives `budget`."""
        return self.robust[:, int(np.flatnonzero(self.budgets == budget)[0])]

    def area(self) -> np.ndarray:
        """Each image's share of the budget range that it survives (area under its own curve)."""
        return curve_area(self.robust, self.budgets)

    def relative_area(self) -> np.ndarray:
        """Each image's part in what is left of the clean accuracy over the budgets above 0 (`relative_area`)."""
        return relative_area(self.robust, self.budgets)


def by_strength(frame: pd.DataFrame) -> Cell:
    """Rows (image, strength, clean_correct, success) as a cell whose budgets are the strengths; clean errors are no
    survivors."""
    broken = frame.pivot(index="image", columns="strength", values="success").astype(bool)
    clean = frame.drop_duplicates("image").set_index("image")["clean_correct"].reindex(broken.index).to_numpy(bool)
    robust = ~broken.to_numpy() & clean[:, None]
    return Cell(broken.index.to_numpy(), broken.columns.to_numpy(float), robust, {}, clean=clean)


def read_cell(path: Path) -> Cell:
    """Read an attack's parquet file.

    A clean error counts as a success of the attack, so robust accuracy is 1 - mean(success). Where budget 0 is not in
    the file, clean accuracy stands there. An attack that failed (`AttackRecord.failed`) has no images. Raises
    InputError where a column, an image or a budget is missing.
    """
    found, record = read_attack_columns(path)
    if record.failed:
        return Cell(np.empty(0, np.int64), np.zeros(1), np.empty((0, 1), bool), dict.fromkeys(COSTS, np.nan), record)
    images, budgets = grid_of(found) or (np.unique(found["image"]), np.unique(found["budget"]))
    shape = (len(images), len(budgets))
    clean = found["clean_correct"].astype(bool).reshape(shape)
    robust = ~found["success"].astype(bool).reshape(shape) & clean
    distance = least_distances(found, len(budgets))
    if shape[0] and (not shape[1] or budgets[0] > 0):
        budgets, robust = np.insert(budgets, 0, 0.0), np.column_stack([clean[:, 0], robust])
    cost = {name: float(found[name].sum()) / max(shape[0], 1) for name in COSTS}
    member = found["member"].astype(str).reshape(shape) if "member" in found and robust.shape == shape else None
    abstained = None
    if "abstained" in found and robust.shape == shape:
        abstained = found["abstained"].astype(bool).reshape(shape)
    return Cell(images, budgets, robust, cost, record, distance, member, abstained=abstained)


def worst_case(cells: list[Cell], leading: Cell | None = None) -> Cell:
    """The pointwise worst case: an image survives a budget if it survives every attack there (Carlini et al. 2019).

    At the budgets of `leading`, one of the cells, or else at those that all of them have. An attack that lacks one of
    the former counts with what it broke at a smaller one.
    """
    images, budgets = shared_images(cells), cells[0].budgets
    for cell in cells[1:] if leading is None else []:
        budgets = np.intersect1d(budgets, cell.budgets)
    budgets = budgets if leading is None else leading.budgets
    robust = np.ones((len(images), len(budgets)), dtype=bool)
    for cell in cells:
        columns = np.searchsorted(cell.budgets, budgets, side="right") - 1  # every list begins with 0
        robust &= cell.robust[rows_of(cell, images)][:, columns]
    cost = {name: sum(cell.cost[name] for cell in cells) for name in cells[0].cost}
    return Cell(images, budgets, robust, cost)


def shared_images(cells: list[Cell]) -> np.ndarray:
    """The images that all cells hold, ascending. Most often they hold the same: that is asked first."""
    images = cells[0].images
    for cell in cells[1:]:
        images = images if np.array_equal(images, cell.images) else np.intersect1d(images, cell.images)
    return images


def rows_of(cell: Cell, images: np.ndarray) -> slice | np.ndarray:
    """Where a cell has these images, which it all holds: what picks them from its arrays."""
    return slice(None) if np.array_equal(images, cell.images) else np.isin(cell.images, images)


def common_images(cells: list[Cell]) -> list[Cell]:
    """The same cells on the images that all of them hold. Raises InputError where their budgets differ."""
    images = shared_images(cells)
    for cell in cells[1:]:
        if not np.array_equal(cell.budgets, cells[0].budgets):
            lists = f"{cells[0].budgets.tolist()} and {cell.budgets.tolist()}"
            raise InputError(f"attack '{cell.record.attack}': networks attacked at budgets {lists}; run it again")
    rows = [rows_of(cell, images) for cell in cells]
    return [
        cell._replace(
            images=images,
            robust=cell.robust[row],
            distance=None if cell.distance is None else cell.distance[row],
            clean=None if cell.clean is None else cell.clean[row],
            abstained=None if cell.abstained is None else cell.abstained[row],
        )
        for cell, row in zip(cells, rows, strict=True)
    ]


def twins_of(cells: Cells, condition: str, baseline: str) -> list[tuple[Cell, Cell]]:
    """The two cells of each seed that both conditions have."""
    seeds = [seed for name, seed in cells if name == condition and (baseline, seed) in cells]
    return [(cells[condition, seed], cells[baseline, seed]) for seed in seeds]


def survival_differences(twins: Iterable[tuple[Cell, Cell]], budget: float) -> np.ndarray:
    """Whether each image survives `budget` in the first of each pair minus whether it does in the second: (pairs,
    images), on the images that both hold in the same order."""
    return np.array([own.at(budget).astype(float) - other.at(budget) for own, other in twins])
