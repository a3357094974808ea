"""How well the predictors predict: each voxel's accuracy against the highest that its noise allows."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd

from neurobust.core.seeding import numpy_rng
from neurobust.files.predictor_tables import read_voxels, voxels_path
from neurobust.report.style import INK, empty_svg, is_leftmost, panel_blocks, rc, to_svg
from neurobust.report.view import View

SHOWN = 500  # points per panel: more only thicken the cloud and the file


def draw_predictors(view: View) -> str:
    """A panel per ROI, a point per voxel (first predictor seed): r against sqrt(NC/100); the diagonal is the limit."""
    study, rois = view.study, view.study.rois
    if not rois or not study.predictor_seeds:
        return empty_svg("No ROI was configured.")
    with rc():
        figure, (axes,) = panel_blocks([""], len(rois), 2.5)
        for index, (axis, roi) in enumerate(zip(axes, rois, strict=True)):
            voxels = read_voxels(voxels_path(study.root, study.predictor, roi, study.predictor_seeds[0]))
            draw_roi(view, axis, roi, voxels)
            axis.set_ylabel("prediction accuracy r" if is_leftmost(index, len(rois)) else "")
            axis.set_xlabel("√(noise ceiling)")
        return to_svg(figure, "Predictor accuracy against the noise ceiling, per ROI and voxel")


def draw_roi(view: View, axis: Any, roi: str, voxels: pd.DataFrame) -> None:
    """One panel; at most `SHOWN` voxels, drawn at random, and the median of r / sqrt(NC) over all of them."""
    style = view.roi_style(roi)
    ceiling = np.sqrt(np.clip(voxels["noise_ceiling"].to_numpy(float), 0, 100) / 100)
    r = voxels["r"].to_numpy(float)
    keep = np.flatnonzero(np.isfinite(ceiling) & np.isfinite(r))
    axis.plot([0, 1], [0, 1], color=INK, linewidth=0.8, alpha=0.7)
    axis.axhline(0, color=INK, linewidth=0.6, alpha=0.35)
    axis.set(xlim=(0, 1), ylim=(min(-0.1, float(r[keep].min())) if len(keep) else -0.1, 1), title=roi)
    axis.grid(axis="both", visible=True)
    if not len(keep):
        axis.text(0.5, 0.45, "no voxels", ha="center", va="center", alpha=0.7)
        return
    shown = (
        keep if len(keep) <= SHOWN else np.sort(numpy_rng("report", "voxels", roi).choice(keep, SHOWN, replace=False))
    )
    axis.plot(ceiling[shown], r[shown], linestyle="none", markersize=2.4, alpha=0.5, markeredgewidth=0, **style)
    table = view.tables["predictors"]
    row = table[(table["roi"] == roi) & (table["subject"] == "all")]
    if len(row) and math.isfinite(median := float(row["median_r_normalised"].mean())):
        axis.plot([0, 1], [0, median], color=style["color"], linewidth=1.2, linestyle=(0, (4, 2)))
        text = f"median r/√NC {median:.2f}\n{len(voxels)} voxels"
        axis.text(0.04, 0.96, text, transform=axis.transAxes, va="top", fontsize=8, color=style["color"])
