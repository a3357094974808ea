"""What a study will be able to see: the smallest difference by seeds and images, before anything runs.

From the spreads of a finished study (table `power` of its report), or else from documented ones.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from neurobust.core.errors import InputError
from neurobust.statistics import FEWEST_SEEDS, LEVEL, TYPICAL, Components, components, counted, detectable, seeds_for
from neurobust.study.model import Study

SEEDS = (2, 3, 5, 8, 10, 20)
IMAGES = (100, 300, 1000, 5000)
WANTED = 0.01  # accuracy: the gains that the literature reports
SPREADS = ("sd_seed", "sd_image", "sd_residual")  # columns of the table `power`, in the order of `Components`


def pooled(contrasts: Iterable[ArrayLike]) -> Components | None:
    """The spreads of a study from paired differences, each (seeds, images): root mean square over its contrasts.

    None without a contrast of three seeds or more: fewer say nothing of what seeds differ by.
    """
    tables = [table for table in map(np.asarray, contrasts) if len(table) >= FEWEST_SEEDS and table.shape[1]]
    return quadratic_mean([components(table) for table in tables]) if tables else None


def quadratic_mean(found: Sequence[Components]) -> Components:
    """The mean variances of several contrasts or tasks, as standard deviations."""
    return Components(*(math.sqrt(value) for value in np.square(found).mean(0).tolist()))


def detectable_table(
    spreads: Components, seeds: Sequence[int] = SEEDS, images: Sequence[int] = IMAGES, level: float = LEVEL
) -> np.ndarray:
    """The smallest difference (accuracy) that 80 % of studies see: (seeds, images)."""
    return np.array([[detectable(s, n, *spreads, level=level) for n in images] for s in seeds])


def power_sentence(seeds: int, images: int, spreads: Components = TYPICAL, wanted: float = WANTED) -> str:
    """`5 seeds x 1,000 images see 2.4 pp; 1 pp needs about 20 seeds`: what a contrast alone can show."""
    size = counted(seeds, images)
    seen = detectable(seeds, images, *spreads)
    said = f"{size} see {points(seen)}" if math.isfinite(seen) else f"{size}: no interval"
    needed = seeds_for(wanted, images, *spreads)
    if needed is None:
        return f"{said}; {points(wanted)} needs more images"
    return f"{said}; {points(wanted)} needs about {needed} seeds"


def points(accuracy: float) -> str:
    """A difference of accuracies in percentage points: `2.4 pp`, `1 pp`; there is none above 100."""
    return "nothing" if accuracy > 1 else f"{round(100 * accuracy, 1):g} pp"


def known_spreads(results: Path) -> dict[str, Components]:
    """Task -> the spreads that a study's own finished report measured, mean over its architectures; empty without one.

    Raises InputError where the table is not that.
    """
    path = results / "report" / "tables" / "power.csv"
    found: dict[str, list[Components]] = {}
    try:
        rows = list(csv.DictReader(path.read_text(encoding="utf-8").splitlines())) if path.exists() else []
        for row in rows:
            found.setdefault(row["task"], []).append(Components(*(float(row[name]) for name in SPREADS)))
    except (csv.Error, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: not the table `power` ({error}); run the report again, or delete it") from error
    return {task: quadratic_mean(measured) for task, measured in found.items()}


def claims_of(study: Study, task: str) -> int:
    """How many guided conditions a task of the study judges at once."""
    trained = [study.conditions[name] for name in study.tasks[task].conditions]
    return sum(condition.guided for condition in trained)


@dataclass(frozen=True)
class Size:
    """What decides what a task can show: seeds, attacked images, claims judged at once, and spreads (None: typical)."""

    seeds: int
    images: int
    claims: int
    measured: Components | None = None

    @property
    def spreads(self) -> Components:
        """What differences vary by: as measured, or as the literature's do."""
        return self.measured or TYPICAL


def sizes(study: Study, measured: Mapping[str, Components]) -> dict[Size, list[str]]:
    """Size -> the tasks of that size."""
    found: dict[Size, list[str]] = {}
    for name, task in study.tasks.items():
        size = Size(len(task.seeds), task.attack_images, claims_of(study, name), measured.get(name))
        found.setdefault(size, []).append(name)
    return found


def power_lines(study: Study, folder: Path) -> list[str]:
    """What the plan says: a sentence for each size of task, also corrected for its claims, and a table for each spread.

    folder: where the study's paths begin.
    """
    lines: list[str] = []
    found = sizes(study, known_spreads(folder / study.results))
    for size, tasks in found.items():
        where = f", {', '.join(tasks)}" if len(found) > 1 else ""
        said = power_sentence(size.seeds, size.images, size.spreads)
        lines.append(f"Power{where}: {said} (a single contrast, in 80 % of studies).")
        if size.claims > 1 and size.seeds > 1:
            seen = detectable(size.seeds, size.images, *size.spreads, level=1 - (1 - LEVEL) / size.claims)
            lines.append(f"The first of {size.claims} claims of a task, corrected for all of them: {points(seen)}.")
    for measured in dict.fromkeys(size.measured for size in found):
        tasks = [name for size, names in found.items() if size.measured == measured for name in names]
        origin = "assumed" if measured is None else f"measured by this study on {', '.join(tasks)}"
        lines += ["", *table_lines(measured or TYPICAL, origin)]
    return lines


def table_lines(spreads: Components, origin: str) -> list[str]:
    """The spreads in words, and what they let a study see by seeds and images."""
    said = (
        f"Spreads, {origin}: {points(spreads.seed)} between seeds, {points(spreads.image)} between images, "
        f"{points(spreads.residual)} of one image under one seed."
    )
    lines = [said, "", f"{'seeds':>8}" + "".join(f"{f'{count:,} images':>16}" for count in IMAGES)]
    for count, row in zip(SEEDS, detectable_table(spreads), strict=True):
        lines.append(f"{count:>8}" + "".join(f"{points(value):>16}" for value in row))
    return lines
