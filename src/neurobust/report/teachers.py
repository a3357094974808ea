"""Which predictor is the better teacher? How well each predicts and how firmly, beside what networks gained from it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from neurobust.core.reference_range import BASELINE
from neurobust.files.explained import predictor_analysis_path, read_explained
from neurobust.files.predictor_tables import ReadVoxels, read_voxels, voxels_path
from neurobust.report.blocks import Row
from neurobust.report.contents import ends
from neurobust.report.gains import guided_on, own_shuffle
from neurobust.study.model import Study
from neurobust.study.pairs import FRAGILITY, Teacher, teachers_of

Rows = Mapping[str, list[Row]]
CHANGES = {"fragility": "smallest change, L∞", "random": "random change, L∞"}  # column -> measure of `fragility`


def teacher_rows(study: Study, rows: Rows, read: ReadVoxels = read_voxels) -> list[Row]:
    """A row per guided condition of each task and architecture, where the study has several teachers.

    rows: of the tables `summary`, `differences` and `verdicts`, whose numbers under the attack of the answer are here
    again. accuracy: median r / sqrt(NC) over the ROIs' voxels; fragility, random: medians over images of the smallest
    and of a random change that moves the response by a standard deviation (L-infinity, 1/255). The accuracy is the mean
    over the predictor's seeds, the changes are medians, NaN where so many seeds are not moved within the analysis's
    reach. All are NaN of a mean over predictors and of measured responses.
    """
    found, quality = [], {}
    for name, teacher in teachers_of(study).items():
        rois = study.conditions[name].target or ()
        if (teacher, rois) not in quality:
            quality[teacher, rois] = quality_of(study, teacher, rois, read)
        for task, architecture in study.blocks():
            if name in study.tasks[task].conditions:
                names = {"task": task, "architecture": architecture, "condition": name}
                described = {"roi": study.conditions[name].roi, "teacher": described_as(study, teacher)}
                found.append(
                    {**names, **described, "images": guided_on(study.conditions[name]), **quality[teacher, rois]}
                    | numbers_of(study, names, rows)
                )
    return found


def described_as(study: Study, teacher: Teacher) -> str:
    """A teacher in words."""
    if teacher.predictor is None:
        return "measured responses"
    return f"mean of {len(study.predictor_seeds)} {teacher.predictor}" if teacher.ensemble else teacher.predictor


def quality_of(study: Study, teacher: Teacher, rois: tuple[str, ...], read: ReadVoxels) -> dict[str, float]:
    """Accuracy of a predictor of some ROIs and what moves it, over its seeds; NaN where it has none."""
    unknown = dict.fromkeys(("accuracy", *CHANGES), math.nan)
    if teacher.predictor is None or teacher.ensemble:
        return unknown
    by_seed = [one_seed(study, teacher.predictor, rois, seed, read) for seed in study.predictor_seeds]
    changes = {column: median_reached([found[column] for found in by_seed]) for column in CHANGES}
    return {"accuracy": float(np.mean([found["accuracy"] for found in by_seed])), **changes}


def median_reached(changes: Sequence[float]) -> float:
    """The median of changes, of which NaN is one larger than any that was tried; NaN where the median is such a one."""
    found = float(np.median(np.nan_to_num(changes, nan=np.inf)))
    return found if np.isfinite(found) else math.nan


def one_seed(study: Study, predictor: str, rois: tuple[str, ...], seed: int, read: ReadVoxels) -> dict[str, float]:
    """The same of one seed; of several ROIs the changes are means over them."""
    voxels = pd.concat([read(voxels_path(study.root, predictor, roi, seed)) for roi in rois])
    found = {"accuracy": float(voxels["r_normalised"].median()), **dict.fromkeys(CHANGES, math.nan)}
    paths = [predictor_analysis_path(study.root, predictor, roi, seed, FRAGILITY) for roi in rois]
    if not all(path.exists() for path in paths):
        return found
    tables = [read_explained(path)[0].set_index("measure")["value"] for path in paths]
    for measure, table in itertools.product(CHANGES.values(), tables):
        if measure not in table:
            return found
    changes = {column: [float(table[measure]) for table in tables] for column, measure in CHANGES.items()}
    return found | {column: float(np.mean(values)) for column, values in changes.items()}


def numbers_of(study: Study, names: Mapping[str, str], rows: Rows) -> Row:
    """What came of the networks of one condition, under the attack of the answer; NaN where nothing stands for it."""

    def of_condition(table: str) -> list[Row]:
        return [row for row in rows[table] if all(row[key] == value for key, value in names.items())]

    differences = [r for r in of_condition("differences") if r["answer"] and r["measure"] == "robust_accuracy"]
    said = next(iter(of_condition("verdicts")), {})
    baselines = {"over_none": BASELINE, "over_shuffle": own_shuffle(study.conditions, names["condition"])}
    found: Row = {"attack": said.get("attack", ""), "budget": said.get("budget", math.nan)}
    found["verdict"] = said.get("verdict", "")
    summary = next((row for row in of_condition("summary") if row["attack"] == found["attack"]), {})
    found |= {key: summary.get(key, math.nan) for key in ("clean_accuracy", "robust_accuracy")}
    for column, baseline in baselines.items():
        row = next((row for row in differences if row["baseline"] == baseline), {})
        values = (row.get(key, math.nan) for key in ("difference", "low", "high"))
        found |= dict(zip(ends(column), values, strict=True))
    return found
