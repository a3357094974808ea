"""`neurobust status --html`: one page of a study while it runs, made of what is there and of nothing else.

It compares nothing: gates, verdicts and intervals need the whole, and are the report's.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd

from neurobust.core.errors import InputError
from neurobust.core.io import write_text
from neurobust.files.attack_table import attack_table_path
from neurobust.files.network_metrics import metrics_path, read_metrics
from neurobust.files.predictor_tables import LEAST_CEILING, read_voxels, voxels_path
from neurobust.files.quality import quality_path, read_quality
from neurobust.report.blocks import Row
from neurobust.report.cells import read_cell
from neurobust.report.entries import between, over_seeds, percent, plain
from neurobust.report.live import Progress, Reader, begun_files, files_of, grouped, progress_of
from neurobust.report.shown import format_budget
from neurobust.report.site import STATUS_FILE, front_page
from neurobust.study.model import Study
from neurobust.study.paths import FOLDERS

MARK = '<meta name="generator" content="neurobust status">'
Clock = Callable[[], datetime]


@dataclass(frozen=True)
class Live:
    """What the page says: how far each kind of file is, and tables of what is there; `when`: UTC, to the minute."""

    study: Study
    when: str
    progress: list[Progress]
    brains: list[Row]
    predictors: list[Row]
    networks: list[Row]

    @property
    def complete(self) -> bool:
        """Whether nothing is missing, being written or damaged."""
        return all(part.complete for part in self.progress)

    def count(self, what: str) -> int:
        """How many files there are of a kind: files, there, begun, missing or unreadable."""
        return sum(len(getattr(part, what)) for part in self.progress)


def status_path(study: Study, name: str = "") -> Path:
    """Where the page is written: by default `status.html` in the results.

    Raises InputError for a name that is no .html file, lies in no folder, is a file of the study, or is somebody's.
    """
    path = Path(name) if name else study.root / STATUS_FILE
    own = [study.root / folder for folder in FOLDERS]
    if path.suffix.lower() != ".html":
        raise InputError(f"--html: {name}: not the name of a page; let it end in .html")
    if path.is_dir() or (name and not path.parent.is_dir()):
        raise InputError(f"--html: {name}: {'a folder' if path.is_dir() else 'there is no such folder'}; name a file")
    if any(path.resolve().is_relative_to(folder.resolve()) for folder in own):
        raise InputError(f"--html: {name}: lies among the results of the study, where jobs write; name another place")
    if path.is_symlink() and not path.exists():
        raise InputError(f"--html: {path}: a link to nothing, and stays; mend it, or name another file")
    if path.exists() and not is_status(path):
        raise InputError(f"--html: {path}: is no page of `neurobust status`, and stays; name another file")
    return path


def is_status(path: Path) -> bool:
    """Whether a file is a page of `neurobust status`, and not somebody's."""
    return MARK in path.read_text(encoding="utf-8", errors="replace")[:2000]


def write_status(study: Study, path: Path, clock: Clock = lambda: datetime.now(UTC)) -> Live:
    """Write the page of what is there now, in the place of an earlier one."""
    from neurobust.report.page import TEMPLATES, environment

    live = look(study, clock)
    style = (TEMPLATES / "style.css").read_text(encoding="utf-8")
    names = {"primary": study.attacks[study.primary_attack].label, "mark": MARK}
    parts = [(part, grouped(part.missing, study.root)) for part in live.progress]
    page = environment().get_template("live.html").render(
        {"live": live, "study": study, "style": style, "parts": parts, "failed": failed(live), **names}
        | {"report": link_of(front_page(study.root), path)}
    )  # fmt: skip
    write_text(path, page)
    return live


def link_of(page: Path, path: Path) -> str:
    """A link to a page of the report; empty where it is not there."""
    return Path(os.path.relpath(page, path.parent)).as_posix() if page.is_file() else ""


def look(study: Study, clock: Clock = lambda: datetime.now(UTC)) -> Live:
    """Read what is finished, then count."""
    files, reader = files_of(study), Reader(begun_files())
    brains = [row for subject in study.subjects for row in brain(study, subject, reader)]
    predictors = [row for roi in study.rois for row in predictor(study, roi, reader)]
    networks = [row for task, architecture in study.blocks() for row in block(study, task, architecture, reader)]
    progress = [progress_of(name, paths, reader) for name, paths in files.items()]
    when = clock().strftime("%Y-%m-%d %H:%M UTC")
    return Live(study, when, progress, brains, predictors, networks)


def failed(live: Live) -> list[str]:
    """Files that are there and cannot be read."""
    return [str(path) for part in live.progress for path in part.unreadable]


def brain(study: Study, subject: str, reader: Reader) -> list[Row]:
    """What the gate found of a subject, where it has looked."""
    found = reader.read(quality_path(study.root, subject), read_quality)
    if found is None:
        return []
    r = [np.nan if value is None else value for value in (found.ncsnr_r, found.repeats_r, found.chance_r)]
    return [
        {"subject": subject, "sessions": found.sessions, "ncsnr": plain(r[0], 3), "repeats": plain(r[1], 3)}
        | {"chance": plain(r[2], 3)}
    ]


def predictor(study: Study, roi: str, reader: Reader) -> list[Row]:
    """Accuracy of an ROI's predictors over the seeds that are there; nothing without any."""
    seeds = study.predictor_seeds
    paths = [voxels_path(study.root, study.predictor, roi, seed) for seed in seeds]
    tables = [table for path in paths if (table := reader.read(path, voxel_table)) is not None]
    if not tables:
        return []
    r, reached = (np.array([table[name].median() for table in tables]) for name in ("r", "r_normalised"))
    return [
        {"roi": roi, "seeds": f"{len(tables)} of {len(seeds)}", "voxels": len(tables[0])}
        | {"kept": int((tables[0]["noise_ceiling"] >= LEAST_CEILING).sum()), "r": plain(r.mean())}
        | {"reached": plain(reached.mean()), "range": between(reached.min(), reached.max(), plain)}
    ]


def voxel_table(path: Path) -> pd.DataFrame:
    """The columns of a voxel table that the page reads."""
    return read_voxels(path)[["r", "r_normalised", "noise_ceiling"]]


def block(study: Study, task: str, architecture: str, reader: Reader) -> list[Row]:
    """A task and architecture: its conditions with clean accuracy and, by budget, that under the primary attack, over
    the networks that are there; nothing where none is."""
    plan = study.attacks_of(task).get(study.primary_attack)
    lines = []
    for condition in study.tasks[task].conditions:
        own = [n for n in study.networks([condition], [task]) if n.architecture == architecture]
        trained = [reader.read(metrics_path(study.root, n.path), read_metrics) for n in own]
        clean = [found.clean_accuracy for found in trained if found is not None]
        cells = (
            []
            if plan is None
            else [reader.read(attack_table_path(study.root, n.path, plan.name), read_cell) for n in own]
        )
        met = [cell for cell in cells if cell is not None and len(cell.images)]
        if not clean and not met:
            continue
        lines.append(
            {"condition": condition, "clean": over_seeds(pd.Series(clean, dtype=float))}
            | {"trained": f"{len(clean)} of {len(own)}", "attacked": f"{len(met)} of {len(own)}"}
            | {"robust": [] if plan is None else [standing(met, budget) for budget in plan.budgets]}
        )
    heads = [] if plan is None else [format_budget(budget, plan.unit) for budget in plan.budgets]
    return [{"task": task, "architecture": architecture, "heads": heads, "lines": lines}] if lines else []


def standing(cells: list, budget: float) -> str:
    """Mean accuracy at a budget over networks, in percent; a dash without any that was attacked there."""
    known = [cell.at(budget).mean() for cell in cells if budget in cell.budgets]
    return percent(float(np.mean(known))) if known else percent(float("nan"))
