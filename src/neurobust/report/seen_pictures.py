"""Pictures of what a predictor sees: its most exciting images, what in an image counts, and what fools it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from neurobust.files.prf_maps import STIMULUS_DEGREES
from neurobust.report.examples import amplify
from neurobust.report.picture_grid import Picture, PictureRow, picture_grid
from neurobust.report.seen_data import arrays_of, one_value, rows_of
from neurobust.report.style import empty_svg, rc, to_svg
from neurobust.report.view import View

Arrays = Mapping[str, np.ndarray]
STARTS = 2  # images of each component where several ROIs share a figure
REACH = 2.0  # sizes of a pRF that its circle shows


def draw_exciting(view: View) -> str:
    """The most exciting images of each ROI: a row per component, or a row per ROI where there are several."""
    found = arrays_of(view, "exciting")
    if not found:
        return empty_svg("No most exciting image was made.")
    rows = rows_of(view, "exciting")
    drawn = [
        row for roi, arrays in found.items()
        for row in (component_rows(roi, arrays, rows) if len(found) == 1 else [roi_row(roi, arrays, rows)])
    ]  # fmt: skip
    with rc():
        return to_svg(picture_grid(drawn), "Most exciting images of each ROI's predictor")


def component_names(arrays: Arrays) -> list[str]:
    """The components in their order, that of the arrays."""
    return [name for name in arrays if name != "natural"]


def in_sd(row: pd.Series | None) -> str:
    """A response in standard deviations: `+3.9 SD`."""
    return "" if row is None else f"{row['value']:+.1f} SD".replace("-", "−")


def component_rows(roi: str, arrays: Arrays, rows: pd.DataFrame) -> list[PictureRow]:
    """One row per component: its images, best first, and the best natural image."""
    found = []
    for k, name in enumerate(component_names(arrays)):
        best = in_sd(one_value(rows, roi, "response to the most exciting image", name))
        natural = in_sd(one_value(rows, roi, "response to the best natural image", name))
        made = [
            Picture(image, best if j == 0 else "", ("best" if j == 0 else f"start {j + 1}") if k == 0 else "")
            for j, image in enumerate(arrays[name])
        ]
        shown = Picture(arrays["natural"][k], natural, "natural image" if k == 0 else "")
        found.append(PictureRow(name, [*made, shown]))
    return found


def roi_row(roi: str, arrays: Arrays, rows: pd.DataFrame) -> PictureRow:
    """One row for an ROI: the best images of each component."""
    pictures = []
    for name in component_names(arrays):
        best = in_sd(one_value(rows, roi, "response to the most exciting image", name))
        for j, image in enumerate(arrays[name][:STARTS]):
            pictures.append(Picture(image, best if j == 0 else "", name if j == 0 else ""))
    return PictureRow(roi, pictures)


def draw_attribution(view: View) -> str:
    """Per ROI: images, what in each counts (integrated gradients), and single voxels' maps with their pRFs."""
    found = arrays_of(view, "attribution")
    if not found:
        return empty_svg("No attribution was made.")
    drawn = []
    for roi, arrays in found.items():
        title = roi if len(found) > 1 else ""
        drawn.append(PictureRow("image", [Picture(image) for image in arrays["images"]], title))
        pairs = zip(arrays["gradients"], arrays["images"], strict=True)
        drawn.append(PictureRow("what counts", [signed_map(*pair) for pair in pairs]))
        drawn.append(PictureRow("single voxels", voxel_maps(arrays)))
    with rc():
        return to_svg(picture_grid(drawn), "What in an image the ROI's predicted response rests on")


def signed_map(gradient: np.ndarray, image: np.ndarray) -> Picture:
    """A map of both signs over its grey image, smoothed over 3 x 3 pixels; full colour at its 99 % largest value."""
    wide = np.pad(gradient, 1, mode="edge")
    height, width = gradient.shape
    smooth = np.mean([wide[i : i + height, j : j + width] for i in range(3) for j in range(3)], axis=0)
    most = float(np.quantile(np.abs(smooth), 0.99)) or 1.0
    return Picture(smooth, colours="PiYG", low=-most, high=most, behind=image.mean(2))


def voxel_maps(arrays: Arrays) -> list[Picture]:
    """How far single voxels move when a patch is covered, with the circle of the pRF where it is known."""
    pictures = []
    for k, found in enumerate(arrays["voxels"]):
        circle = None
        if "prfs" in arrays and np.isfinite(arrays["prfs"][k]).all():
            x, y, size = (float(value) / STIMULUS_DEGREES * found.shape[0] for value in arrays["prfs"][k])
            circle = (found.shape[1] / 2 + x, found.shape[0] / 2 - y, REACH * size)
        pictures.append(Picture(found, colours="magma", low=0.0, high=float(found.max()) or 1.0, circle=circle))
    return pictures


def fooled_pictures(image: np.ndarray, arrays: Arrays, k: int, heads: bool) -> list[Picture]:
    """The k-th image, and for each norm the changed image and the change, or that none was found."""
    pictures = [Picture(image, head="image" if heads else "")]
    for norm, name in (("linf", "L∞"), ("l2", "L2")):
        change = arrays[norm][k].astype(float)
        found = np.isfinite(change).all()
        shown, factor = amplify(change) if found else (np.full(image.shape, 0.5), 1)
        changed = np.clip(image + change, 0, 1) if found else image
        pictures.append(Picture(changed, "" if found else "not found", f"changed, {name}" if heads else ""))
        pictures.append(Picture(shown, f"×{factor}", "the change" if heads else ""))
    return pictures


def draw_fooled(view: View) -> str:
    """Per ROI: images, the same after the smallest change of each norm, and the changes, amplified."""
    found = arrays_of(view, "fragility")
    if not found:
        return empty_svg("No smallest change was looked for.")
    drawn: list[PictureRow] = []
    for roi, arrays in found.items():
        images = arrays["images"] if len(found) == 1 else arrays["images"][:1]
        for k, image in enumerate(images):
            drawn.append(PictureRow(roi if k == 0 else "", fooled_pictures(image, arrays, k, heads=not drawn)))
    with rc():
        return to_svg(picture_grid(drawn), "Images whose predicted response the smallest change moves by one SD")
