"""Figures of the quality of data and predictors: sessions one by one, and accuracies against their ceilings."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from neurobust.files.predictor_tables import read_voxels, voxels_path
from neurobust.report.entries import short
from neurobust.report.quality_section import OUT_OF_SCALE
from neurobust.report.style import INK, NEUTRAL, PALETTE, empty_svg, is_leftmost, panel_blocks, rc, tip, to_svg
from neurobust.report.view import View

BINS = np.linspace(-0.4, 1.0, 36)
PANELS = ("mean, % signal change", "scale, in the median session’s", "r of trials with their repeats")


def draw_sessions(view: View) -> str:
    """A row per subject, a point per session: mean, scale, and how much trials resemble their repeats."""
    table = view.tables["sessions"]
    parts = [(str(subject), part) for subject, part in table.groupby("subject", sort=False)]
    if not parts:
        return empty_svg("Sessions were not measured one by one.")
    with rc():
        figure, blocks = panel_blocks([name for name, _ in parts], len(PANELS), 1.25, wide=3.7)
        for (subject, part), axes in zip(parts, blocks, strict=True):
            for axis, column, title in zip(axes, ("mean", "relative_scale", "repeats_r"), PANELS, strict=True):
                draw_points(axis, part, column)
                axis.set_title(title, fontsize=8.5)
            axes[0].axhline(0, color=INK, linewidth=0.6, alpha=0.35)
            for limit in (1 / OUT_OF_SCALE, OUT_OF_SCALE):
                axes[1].axhline(limit, color=INK, linewidth=0.8, alpha=0.6, linestyle=(0, (4, 2)))
            axes[1].set_ylim(0, max(2.2, 1.1 * float(np.nanmax([*part["relative_scale"], 0]))))
            draw_chance(view, axes[2], subject)
        return to_svg(figure, "Mean, scale and repeat reliability of each session, per subject")


def draw_points(axis: Any, part: pd.DataFrame, column: str) -> None:
    """One panel: a point per session that has the number."""
    (marks,) = axis.plot(part["session"], part[column], color=PALETTE[0], marker="o", markersize=3, linewidth=0.8)
    known = part[part[column].notna()]
    sessions = zip(known["session"], known[column], strict=True)
    tip(marks, [f"session {session}: {short(value)}" for session, value in sessions])
    axis.set_xlim(0.5, float(part["session"].max()) + 0.5)
    axis.xaxis.get_major_locator().set_params(integer=True)
    axis.set_xlabel("session")


def draw_chance(view: View, axis: Any, subject: str) -> None:
    """What trials have in common with other images, as a dashed line; the axis begins at or below it."""
    brains = view.tables["brains"]
    known = brains.loc[brains["subject"] == subject, "chance_r"].dropna()
    for chance in known:
        axis.axhline(chance, color=INK, linewidth=0.8, alpha=0.6, linestyle=(0, (4, 2)))
    axis.set_ylim(bottom=min(0.0, *axis.get_ylim(), *known))


def draw_reached(view: View) -> str:
    """A panel per ROI: how many voxels have which accuracy r, and which highest one their noise allows."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    study, rois = view.study, view.study.rois
    if not rois or not study.predictor_seeds:
        return empty_svg("No ROI was configured.")
    with rc():
        handles = [
            Patch(color=NEUTRAL, alpha=0.35, label="ceiling √NC"),
            Line2D([], [], color=INK, label="accuracy r on held-out images"),
        ]
        figure, (axes,) = panel_blocks([""], len(rois), 1.7, handles)
        for index, (axis, roi) in enumerate(zip(axes, rois, strict=True)):
            voxels = read_voxels(voxels_path(study.root, study.predictor, roi, study.predictor_seeds[0]))
            draw_shares(axis, voxels, view.roi_style(roi)["color"])
            axis.set(title=roi, xlim=(BINS[0], BINS[-1]), xlabel="correlation")
            axis.set_ylabel("voxels" if is_leftmost(index, len(rois)) else "")
        return to_svg(figure, "Accuracy of the predictors and noise ceilings, a histogram over voxels per ROI")


def draw_shares(axis: Any, voxels: pd.DataFrame, color: str) -> None:
    """One panel; what lies beyond its ends counts at them. Dashed lines: medians."""
    ceiling = np.sqrt(np.clip(voxels["noise_ceiling"].to_numpy(float), 0, 100) / 100)
    r = voxels["r"].to_numpy(float)
    for values, look, line in (
        (ceiling, {"color": NEUTRAL, "alpha": 0.35}, NEUTRAL),
        (r, {"color": color, "histtype": "step", "linewidth": 1.5}, color),
    ):
        known = np.clip(values[np.isfinite(values)], BINS[0], BINS[-1])
        if len(known):
            axis.hist(known, BINS, **look)
            axis.axvline(float(np.median(known)), color=line, linewidth=1.1, linestyle=(0, (4, 2)))
    axis.yaxis.get_major_locator().set_params(integer=True)
