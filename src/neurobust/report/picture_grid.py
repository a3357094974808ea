"""Figures that are made of pictures: rows of small images with a line of text beneath each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from neurobust.report.style import WIDTH

LARGEST = 1.35  # inches of a picture
TEXT, HEAD, GAP = 0.22, 0.28, 0.09  # inches of a line beneath, a title above, and between pictures
STUB = 1.5  # inches of the names of rows


@dataclass(frozen=True)
class Picture:
    """image (H, W, 3) in [0, 1] or (H, W) with a colour map from `low` to `high`; beneath: a line of text; circle: x, y
    and radius in pixels; behind: a grey image under a translucent map; head: a title above it."""

    image: np.ndarray
    beneath: str = ""
    head: str = ""
    colours: str = "viridis"
    low: float | None = None
    high: float | None = None
    circle: tuple[float, float, float] | None = None
    behind: np.ndarray | None = None


@dataclass(frozen=True)
class PictureRow:
    """A name at the left, and pictures; title: a heading above the row, where another block begins."""

    name: str
    pictures: Sequence[Picture] = field(default_factory=list)
    title: str = ""


def picture_grid(rows: Sequence[PictureRow]) -> Any:
    """A figure of rows of pictures. Call within `style.rc()`."""
    from matplotlib.figure import Figure

    count = max(len(row.pictures) for row in rows)
    side = min(LARGEST, (WIDTH - STUB) / count - GAP)
    tops, height = [], 0.0
    for row in rows:
        height += HEAD * bool(row.title) + HEAD * any(picture.head for picture in row.pictures)
        tops.append(height)
        height += side + TEXT * any(picture.beneath for picture in row.pictures) + GAP
    width = STUB + count * (side + GAP)
    figure = Figure(figsize=(width, height))
    for row, top in zip(rows, tops, strict=True):
        middle = 1 - (top + side / 2) / height
        heads = any(picture.head for picture in row.pictures)
        if row.title:
            line = 1 - (top - HEAD * heads - 0.5 * HEAD) / height
            figure.text(0.004, line, row.title, fontsize=11, fontweight="bold", va="center")
        figure.text(0.004, middle, row.name, va="center", fontsize=9)
        for k, picture in enumerate(row.pictures):
            left = (STUB + k * (side + GAP)) / width
            axis = figure.add_axes((left, 1 - (top + side) / height, side / width, side / height))
            draw_picture(axis, picture)
            if picture.head:
                figure.text(left, 1 - (top - 0.1) / height, picture.head, fontsize=8.5, va="center")
            if picture.beneath:
                beneath = 1 - (top + side + 0.55 * TEXT) / height
                figure.text(left + side / width / 2, beneath, picture.beneath, ha="center", va="center", fontsize=8)
    return figure


def draw_picture(axis: Any, picture: Picture) -> None:
    """One picture, without axes; pixels as they are."""
    from matplotlib.patches import Circle

    axis.set_axis_off()
    height, width = picture.image.shape[:2]
    extent = (0, width, height, 0)
    if picture.behind is not None:
        axis.imshow(picture.behind, cmap="gray", vmin=0, vmax=1, extent=extent, interpolation="none", alpha=0.55)
    alpha = None if picture.behind is None else 0.75
    axis.imshow(
        picture.image, cmap=picture.colours, vmin=picture.low, vmax=picture.high, extent=extent, interpolation="none",
        alpha=alpha,
    )  # fmt: skip
    if picture.circle is not None:
        x, y, radius = picture.circle
        axis.add_patch(Circle((x, y), radius, fill=False, color="#ffffff", linewidth=1.4))
    axis.set(xlim=(0, width), ylim=(height, 0))
