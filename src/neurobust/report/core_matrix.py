"""How well the core that was trained for one ROI serves another: a matrix of losses, and the index of hierarchy."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd

from neurobust.explain.predictors.tuning import hierarchy_index
from neurobust.report.blocks import in_roi
from neurobust.report.entries import plain
from neurobust.report.hierarchy import place_of
from neurobust.report.seen_data import rows_of
from neurobust.report.style import empty_svg, panel_blocks, rc, say_cells, tip, to_svg
from neurobust.report.view import View

LEGIBLE = 14  # ROIs up to which cells have a number


def core_losses(rows: pd.DataFrame, rois: list[str]) -> np.ndarray:
    """What each core (row) loses on each ROI (column): r of the ROI's own core less that of this one, medians over
    voxels; NaN where a readout was not made."""
    served = np.full((len(rois), len(rois)), np.nan)
    for i, core in enumerate(rois):
        for row in in_roi(rows, core).itertuples():
            other = row.other or core
            if row.measure == "r of a new readout" and other in rois:
                served[i, rois.index(other)] = row.value
    return np.diag(served)[None, :] - served


def draw_cores(view: View) -> str:
    """Heat map: the core of the line, read anew for the ROI of the column; the index of hierarchy above it."""
    rows = rows_of(view, "transfer")
    rois = [roi for roi in view.study.rois if len(in_roi(rows, roi))]
    if len(rois) < 2:
        return empty_svg("No core was read for another ROI.")
    losses = core_losses(rows, rois)
    with rc():
        figure, ((axis,),) = panel_blocks([""], 1, 1.2 + 0.26 * len(rois), wide=1.9 + 0.5 * len(rois))
        draw_losses(axis, losses, rois)
        index = index_of(view, losses, rois)
        axis.set_title("" if math.isnan(index) else f"index of hierarchy {index:+.2f}".replace("-", "−"), pad=8)
        return to_svg(figure, "What the core of one ROI's predictor loses on another ROI")


def index_of(view: View, losses: np.ndarray, rois: list[str]) -> float:
    """The index over the ROIs whose place in the hierarchy is known; NaN below three."""
    places = np.array([place_of(view.study.rois[roi]) for roi in rois], float)
    known = np.flatnonzero(np.isfinite(places))
    part = losses[np.ix_(known, known)]
    return hierarchy_index(part, places[known].tolist()) if len(known) >= 3 and np.isfinite(part).all() else math.nan


def draw_losses(axis: Any, losses: np.ndarray, rois: list[str]) -> None:
    """One heat map around 0: red loses."""
    most = max(float(np.nanmax(np.abs(losses))), 1e-6)
    axis.grid(visible=False)
    axis.spines[:].set_visible(False)
    edges = np.arange(len(rois) + 1) - 0.5
    cells = axis.pcolormesh(edges, edges, losses, cmap="RdBu_r", vmin=-most, vmax=most, edgecolors="none", linewidth=0)
    said = say_cells(losses, rois, rois, lambda core, roi, x: f"core of {core}, read for {roi}: r lower by {plain(x)}")
    tip(cells, said)
    axis.invert_yaxis()
    axis.set_xticks(range(len(rois)), rois, rotation=40, ha="right", rotation_mode="anchor")
    axis.set_yticks(range(len(rois)), rois)
    axis.tick_params(length=0)
    axis.set(xlabel="read for", ylabel="core of")
    for i, j in np.ndindex(losses.shape) if len(rois) <= LEGIBLE else ():
        if np.isfinite(losses[i, j]):
            ink = "#ffffff" if abs(losses[i, j]) > 0.6 * most else "#111111"
            text = f"{losses[i, j]:.2f}".replace("-", "−")
            axis.text(j, i, text, ha="center", va="center", color=ink, fontsize=8)
