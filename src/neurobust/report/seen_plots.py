"""Plots of what a predictor sees: fields beside pRFs, layers, concepts, fragility, other versions of its images."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from neurobust.core.seeding import numpy_rng
from neurobust.report.blocks import in_roi
from neurobust.report.entries import short, with_range
from neurobust.report.seen_data import arrays_of, one_value, rows_of
from neurobust.report.style import (
    INK,
    NEUTRAL,
    Style,
    empty_svg,
    is_leftmost,
    key_beside,
    label_rows,
    log_across,
    panel_blocks,
    rc,
    tip,
    to_svg,
)
from neurobust.report.view import View

AXES = ("x", "y", "size")
SHOWN = 300  # points of a panel, voxels of a heat map
NORMS = (("L∞", "1/255"), ("L2", "pixel units"))


def titles_of(view: View, rois: list[str]) -> list[str]:
    """The title of each ROI's block, where there are several."""
    return rois if len(rois) > 1 else [""]


def draw_fields(view: View) -> str:
    """Per ROI three panels: a point per voxel, place and size of its field against those of its pRF."""
    found, rows = arrays_of(view, "fields"), rows_of(view, "fields")
    if not found:
        return empty_svg("No field could be compared with a population receptive field.")
    with rc():
        figure, blocks = panel_blocks(titles_of(view, list(found)), 3, 2.5)
        for (roi, arrays), axes in zip(found.items(), blocks, strict=True):
            field, prf = arrays["field"], arrays["prf"]
            both = np.flatnonzero(np.isfinite(field).all(1) & np.isfinite(prf).all(1))
            if len(both) > SHOWN:
                both = np.sort(numpy_rng("report", "fields", roi).choice(both, SHOWN, replace=False))
            for k, (axis, name) in enumerate(zip(axes, AXES, strict=True)):
                draw_cloud(axis, prf[both, k], field[both, k], view.roi_style(roi), name == "size")
                axis.set(xlabel=f"pRF, {name} (degrees)", title=r_text(one_value(rows, roi, f"r of {name}")))
                axis.set_ylabel("field (degrees)" if k == 0 else "")
        return to_svg(figure, "Fields of the predictor against population receptive fields")


def draw_cloud(axis: Any, x: np.ndarray, y: np.ndarray, style: Style, positive: bool) -> None:
    """A point per voxel and the diagonal."""
    axis.grid(axis="both", visible=True)
    if not len(x):
        axis.text(0.5, 0.5, "no voxels", ha="center", va="center", transform=axis.transAxes, alpha=0.7)
        return
    ends = np.array([0.0 if positive else -4.2, max(float(x.max()), float(y.max())) * 1.08 if positive else 4.2])
    axis.plot(ends, ends, color=INK, linewidth=0.8, alpha=0.7)
    axis.plot(x, y, linestyle="none", markersize=3.2, alpha=0.65, markeredgewidth=0, **style)
    axis.set(xlim=ends, ylim=ends)


def r_text(row: pd.Series | None) -> str:
    """`r .93 (.89 to .95)`."""
    if row is None:
        return ""
    ends = "" if pd.isna(row["low"]) else f" ({row['low']:.2f} to {row['high']:.2f})"
    return f"r {row['value']:.2f}{ends}".replace("-", "−")


def draw_tuning(view: View) -> str:
    """A panel per ROI: r of each layer alone (filled) and of all but it (hollow), beside that of all (dashed)."""
    rows = rows_of(view, "tuning")
    rois = [roi for roi in view.study.rois if len(in_roi(rows, roi))]
    if not rois:
        return empty_svg("No predictor's responses are a sum over layers.")
    layers = [name for name in dict.fromkeys(rows["layer"]) if name]
    with rc():
        figure, (axes,) = panel_blocks([""], len(rois), 0.8 + 0.24 * len(layers))
        for index, (axis, roi) in enumerate(zip(axes, rois, strict=True)):
            for measure, hollow in (("r of the layer alone", False), ("r of all but the layer", True)):
                part = in_roi(rows, roi)
                draw_marks(axis, part[part["measure"] == measure], layers, view.roi_style(roi), hollow)
            whole = one_value(rows, roi, "r of all layers")
            if whole is not None:
                axis.axvline(whole["value"], color=INK, linewidth=0.9, linestyle=(0, (4, 2)), alpha=0.7)
            name_lines(axis, layers, is_leftmost(index, len(rois)))
            axis.set(xlabel="r with measured responses", title=roi)
        return to_svg(figure, "Accuracy of each layer alone and of all but it, per ROI")


def draw_marks(
    axis: Any, part: pd.DataFrame, names: list[str], style: Style, hollow: bool, shift: float = 0.13
) -> None:
    """A mark and its interval per name, hollow ones a little below the filled."""
    for row in part.itertuples():
        y = len(names) - 1 - names.index(row.layer) + (-shift if hollow else shift)
        if pd.notna(row.low):
            axis.plot([row.low, row.high], [y, y], color=style["color"], linewidth=1.2, alpha=0.7)
        face = "none" if hollow else style["color"]
        (mark,) = axis.plot([row.value], [y], linestyle="none", markersize=5, markerfacecolor=face, **style)
        tip(mark, [f"{row.layer}, {row.measure}: {with_range(row.value, row.low, row.high, short)}"])


def name_lines(axis: Any, names: list[str], shown: bool) -> None:
    """The names of horizontal lines, from above; written where they are shown."""
    axis.grid(axis="x", visible=True)
    label_rows(axis, names, shown)


def draw_concepts(view: View) -> str:
    """Per ROI two heat maps, concept by voxel: AUC of measured responses and of the predictor's. Voxels lie in the
    order of the concept that they tell best."""
    found = arrays_of(view, "concepts")
    if not found:
        return empty_svg("Nothing says what the stimuli show.")
    most = max(len(arrays["names"]) for arrays in found.values())
    with rc():
        figure, blocks = panel_blocks(titles_of(view, list(found)), 2, 0.85 + 0.19 * most, wide=4.6)
        for (roi, arrays), axes in zip(found.items(), blocks, strict=True):
            order = voxel_order(arrays["measured"], roi)
            names = [str(name).replace("_", " ") for name in arrays["names"]]
            for k, (axis, kind) in enumerate(zip(axes, ("measured", "predicted"), strict=True)):
                image = draw_heat(axis, arrays[kind][:, order])
                axis.set_yticks(range(len(names)), names)
                axis.tick_params(labelleft=k == 0, length=0)
                axis.set(xlabel="voxel", title=f"{kind} responses")
                if k == 1:
                    key_beside(axis, image, "AUC", [0, 0.5, 1])
        return to_svg(figure, "Area under the ROC curve of each voxel for each concept")


def draw_heat(axis: Any, auc: np.ndarray) -> Any:
    """AUC (concepts, voxels) around 1/2."""
    axis.grid(visible=False)
    axis.spines[:].set_visible(False)
    axis.set_xticks([])
    return axis.imshow(auc, cmap="RdBu_r", vmin=0, vmax=1, aspect="auto", interpolation="none")


def voxel_order(auc: np.ndarray, roi: str) -> np.ndarray:
    """Columns of AUC (concepts, voxels) in the order of the concept whose median is farthest from 1/2; at most `SHOWN`,
    drawn at random."""
    columns = np.flatnonzero(np.isfinite(auc).all(0))
    if len(columns) > SHOWN:
        columns = np.sort(numpy_rng("report", "concepts", roi).choice(columns, SHOWN, replace=False))
    if not len(columns):
        return columns
    best = int(np.abs(np.median(auc[:, columns], 1) - 0.5).argmax())
    return columns[np.argsort(-auc[best, columns], kind="stable")]


def draw_fragility(view: View) -> str:
    """Two panels, L∞ and L2, a line per ROI: the smallest change that moves its response by one standard deviation
    (filled), what random directions need (hollow), and how far natural images lie apart (bar)."""
    rows = rows_of(view, "fragility")
    rois = [roi for roi in view.study.rois if len(in_roi(rows, roi))]
    if not rois:
        return empty_svg("No smallest change was looked for.")
    with rc():
        figure, (axes,) = panel_blocks([""], len(NORMS), 0.95 + 0.34 * len(rois), wide=4.0)
        for index, (axis, (norm, unit)) in enumerate(zip(axes, NORMS, strict=True)):
            log_across(axis)
            for measure, hollow in ((f"smallest change, {norm}", False), (f"random change, {norm}", True)):
                for roi in rois:
                    row = one_value(rows, roi, measure)
                    if row is not None:
                        part = pd.DataFrame([row]).assign(layer=roi)
                        draw_marks(axis, part, rois, view.roi_style(roi), hollow, shift=0.0)
            for k, roi in enumerate(rois):
                apart = one_value(rows, roi, f"distance of images, {norm}")
                if apart is not None:
                    y = len(rois) - 1 - k
                    axis.plot([apart["value"]] * 2, [y - 0.28, y + 0.28], color=NEUTRAL, linewidth=2)
            name_lines(axis, rois, is_leftmost(index, len(NORMS)))
            plain_ticks(axis)
            axis.set(xlabel=f"{norm} ({unit})", title=f"change that moves the response by one SD, {norm}")
        return to_svg(figure, "Smallest and random changes that move the predicted response by one standard deviation")


def plain_ticks(axis: Any) -> None:
    """A logarithmic x axis with 1, 2, 5, 10, ... written as they are, and nothing between."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    axis.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.xaxis.set_minor_locator(NullLocator())


def draw_versions(view: View) -> str:
    """A panel per ROI: r with the measured responses on each version of the images; dashed: on the intact ones."""
    rows = rows_of(view, "shifted")
    rows = rows[rows["measure"] == "r on a version"]
    rois = [roi for roi in view.study.rois if len(in_roi(rows, roi))]
    if not rois:
        return empty_svg("No other version of the images was shown to a predictor.")
    names = list(dict.fromkeys(rows["layer"]))
    with rc():
        figure, (axes,) = panel_blocks([""], len(rois), 0.8 + 0.24 * len(names))
        for index, (axis, roi) in enumerate(zip(axes, rois, strict=True)):
            draw_marks(axis, in_roi(rows, roi), names, view.roi_style(roi), hollow=False, shift=0.0)
            whole = one_value(rows, roi, "r on a version", "intact")
            if whole is not None:
                axis.axvline(whole["value"], color=INK, linewidth=0.9, linestyle=(0, (4, 2)), alpha=0.7)
            axis.axvline(0, color=INK, linewidth=0.7, alpha=0.5)
            name_lines(axis, names, is_leftmost(index, len(rois)))
            axis.set(xlabel="r with measured responses", title=roi)
        return to_svg(figure, "Accuracy of the predictor on other versions of its images, per ROI")
