"""From analyses and a bench to files: what the entry points of the three scopes share."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

import pandas as pd
from msgspec.structs import asdict

from neurobust.core.io import Provenance, provenance
from neurobust.core.places import load
from neurobust.core.settings import written
from neurobust.explain.description import Analysis, Need
from neurobust.explain.findings import Findings, Row
from neurobust.files.explained import COLUMNS, STUDY_COLUMNS, ExplainedRecord, write_explained, write_explained_arrays


class Bench(Protocol):
    """What analyses of a scope look at."""

    def lacks(self, need: Need) -> str | None:
        """Why an analysis that needs this cannot be made; None where it can."""


@dataclass(frozen=True)
class Job:
    """What the record of each table of a job says: the files that it read, by name, whose seed, which images; folder:
    where the tables lie."""

    folder: Path
    inputs: Mapping[str, Path]
    seed: int | None = None
    images: tuple[int, ...] = ()


def explain(bench: Bench, analyses: Mapping[str, Analysis], job: Job) -> None:
    """Make every analysis on one bench and write its table, `{folder}/{name}.parquet`, and its arrays."""
    made = provenance(job.inputs)  # each input is digested once
    for name, settings in analyses.items():
        lacking = next(filter(None, map(bench.lacks, settings.needs)), None)
        found = Findings([]) if lacking else findings_of(bench, settings)
        how: Provenance = {**made, "params": written(settings)}
        record = ExplainedRecord(name, how, job.seed, list(job.images), lacking)
        table = job.folder / f"{name}.parquet"
        write_explained(table, frame_of(found, settings), record)
        if settings.leaves_arrays:
            write_explained_arrays(table, found.arrays)


def findings_of(bench: Bench, settings: Analysis) -> Findings:
    """What an analysis finds; its measures must be those of its description."""
    found = cast(Callable[[Bench, Analysis], Findings], load(settings.run))(bench, settings)
    if unknown := sorted({row.measure for row in found.rows} - set(settings.measures)):
        raise AssertionError(f"{settings.run}: measure '{unknown[0]}' is not in its description")
    return found


def frame_of(found: Findings, settings: Analysis) -> pd.DataFrame:
    """The rows of a table; what is undefined is NaN. A table of a whole study has STUDY_COLUMNS too."""
    columns = [*COLUMNS, *(STUDY_COLUMNS if settings.scope == "study" else ())]
    frame = pd.DataFrame([asdict(row) for row in found.rows], columns=list(Row.__struct_fields__))[columns]
    for name in ("value", "low", "high"):
        frame[name] = frame[name].astype(float).fillna(math.nan)
    return frame.astype({"n_images": "int64"})
