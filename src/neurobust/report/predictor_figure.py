"""How well the predictors predict: each voxel's accuracy against the highest that its noise allows."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd

from neurobust.core.seeding import numpy_rng
from neurobust.report.study import Study, predictor_seeds
from neurobust.report.style import INK, empty_svg, is_leftmost, panel_blocks, rc, roi_style, to_svg
from neurobust.report.tables import read_voxels

SHOWN = 500  # points per panel: more only thicken the cloud and the file


def draw_predictors(study: Study, tables: dict[str, pd.DataFrame]) -> str:
    """A panel per ROI, a point per voxel (first predictor seed): r against sqrt(NC/100); the diagonal is the limit."""
    rois = list(study["rois"])
    if not rois or not predictor_seeds(study):
        return empty_svg("No ROI was configured.")
    seed = predictor_seeds(study)[0]
    with rc():
        figure, (axes,) = panel_blocks([""], len(rois), 2.5)
        for index, (axis, roi) in enumerate(zip(axes, rois, strict=True)):
            draw_roi(study, axis, roi, read_voxels(study, roi, seed), tables["predictors"])
            axis.set_ylabel("prediction accuracy r" if is_leftmost(index, len(rois)) else "")
            axis.set_xlabel("√(noise ceiling)")
        return to_svg(figure, "Predictor accuracy against the noise ceiling, per ROI and voxel")


def draw_roi(study: Study, axis: Any, roi: str, voxels: pd.DataFrame, table: pd.DataFrame) -> None:
    """One panel; at most `SHOWN` voxels, drawn at random, and the median of r / sqrt(NC) over all of them."""
    style = roi_style(study, roi)
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
    row = table[(table["roi"] == roi) & (table["subject"] == "all")]
    if len(row) and math.isfinite(median := float(row["median_r_normalised"].mean())):
        axis.plot([0, 1], [0, median], color=style["color"], linewidth=1.2, linestyle=(0, (4, 2)))
        text = f"median r/√NC {median:.2f}\n{len(voxels)} voxels"
        axis.text(0.04, 0.96, text, transform=axis.transAxes, va="top", fontsize=8, color=style["color"])
