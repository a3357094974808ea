"""What the figures of predictors read: the rows of the table `seen` and the arrays beside each analysis' table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from neurobust.files.explained import arrays_path, predictor_analysis_path, read_explained_arrays
from neurobust.report.blocks import in_roi
from neurobust.report.view import View

if TYPE_CHECKING:
    import numpy as np


def rows_of(view: View, analysis: str) -> pd.DataFrame:
    """The rows of one analysis of the predictors of the first seed, those with a value."""
    table = view.tables["seen"]
    table = table[(table["analysis"] == analysis) & table["value"].notna()]
    table = table.assign(**{name: table[name].fillna("") for name in ("layer", "other", "unit")})
    return table[table["seed"].isin(list(view.study.predictor_seeds)[:1])]


def one_value(rows: pd.DataFrame, roi: str, measure: str, layer: str = "") -> pd.Series | None:
    """The row of one measure of an ROI; None where there is none."""
    found = in_roi(rows, roi)
    found = found[(found["measure"] == measure) & (found["layer"] == layer)]
    return found.iloc[0] if len(found) else None


def arrays_of(view: View, analysis: str) -> dict[str, dict[str, np.ndarray]]:
    """ROI -> the arrays of an analysis of its predictor, of the first seed; only ROIs that have some."""
    study, found = view.study, {}
    for roi in study.rois if study.predictor_seeds else ():
        path = predictor_analysis_path(study.root, study.predictor, roi, study.predictor_seeds[0], analysis)
        arrays = read_explained_arrays(path) if arrays_path(path).exists() else {}
        if arrays:
            found[roi] = arrays
    return found
