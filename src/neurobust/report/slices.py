"""Where the voxels of a subject lie, as small pictures of slices: voxel by voxel, transparent where there is none.

A slice is seen from above, as it is stored: the first axis to the right, the second upwards. The frame of a picture is
that of the volume.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from neurobust.files.betas import betas_path
from neurobust.files.predictor_tables import LEAST_CEILING
from neurobust.files.roi import roi_path
from neurobust.files.roi_voxels import RoiVoxels, Shape, read_labelled, read_roi_voxels
from neurobust.report.examples import png_address
from neurobust.report.quality import at_edge
from neurobust.report.style import NEUTRAL
from neurobust.report.view import View

SLICES = 6  # of the map of noise ceilings
OTHERS = (134, 140, 150, 70)  # RGBA of labelled voxels that are not meant
# Noise ceilings in percent: lower limit of a step and its colour, darker is lower.
STEPS = ((0.0, NEUTRAL), (LEAST_CEILING, "#6a51b8"), (15.0, "#b0488f"), (30.0, "#dd6a50"), (50.0, "#e8a83c"))


@dataclass(frozen=True)
class Slice:
    """A picture as a data address, its name, a line beneath, and what it shows in words."""

    address: str
    name: str
    note: str
    words: str


@dataclass(frozen=True)
class Cortex:
    """A subject's voxels: those of each ROI that it has, and every labelled one (n,), in a volume of `shape`."""

    subject: str
    shape: Shape
    rois: Mapping[str, RoiVoxels]
    labelled: np.ndarray


def read_cortex(view: View, subject: str) -> Cortex | None:
    """The voxels of a subject; None where it has no ROI of the study.

    Labelled voxels are those of betas.h5, where that is there: only its index is read.
    """
    study = view.study
    paths = {roi: roi_path(study.root, subject, roi) for roi in study.rois}
    rois = {roi: found for roi, path in paths.items() if path.exists() and len((found := read_roi_voxels(path)).ncsnr)}
    if not rois:
        return None
    shape = next(iter(rois.values())).shape
    labelled = np.unique(np.concatenate([found.voxel_index for found in rois.values()]))
    betas = betas_path(study.root, subject)
    if betas.exists():
        index, whole = read_labelled(betas)
        labelled = index if whole == shape else labelled
    return Cortex(subject, shape, rois, labelled)


def coverage_slices(view: View, cortex: Cortex) -> list[Slice]:
    """Of each ROI the horizontal slice that has most of its voxels, in its colour among all labelled ones."""
    found = []
    for roi, voxels in cortex.rois.items():
        levels, sizes = np.unique(voxels.places[2], return_counts=True)
        level, here = int(levels[sizes.argmax()]), int(sizes.max())
        picture = Canvas(cortex.shape, level)
        picture.paint(cortex.labelled, OTHERS)
        picture.paint(voxels.voxel_index, (*rgb(str(view.roi_style(roi)["color"])), 255))
        edge = int(at_edge(voxels).sum())
        note = f"slice {level + 1}: {here} of {len(voxels.ncsnr)}" + (f"; {edge} at the edge" if edge else "")
        words = f"{roi} of {cortex.subject}, slice {level + 1} of {cortex.shape[2]}, which has {here} of its voxels"
        found.append(Slice(picture.address(), roi, note, words))
    return found


def ceiling_slices(cortex: Cortex) -> list[Slice]:
    """Noise ceilings on a few horizontal slices, spread over the ROIs' voxels; in steps (`STEPS`)."""
    index, ceiling = ceilings(cortex.rois)
    heights = np.unravel_index(index, cortex.shape)[2]
    limits = np.array([low for low, _ in STEPS])
    step = np.searchsorted(limits, ceiling, side="right") - 1
    found = []
    for level in levels_of(heights):
        picture = Canvas(cortex.shape, level)
        picture.paint(cortex.labelled, OTHERS)
        for place, (_, colour) in enumerate(STEPS):
            picture.paint(index[step == place], (*rgb(colour), 255))
        here = ceiling[heights == level]
        name, note = f"slice {level + 1}", f"median {np.median(here):.0f} % of {len(here)}"
        words = f"noise ceilings of {cortex.subject} in slice {level + 1} of {cortex.shape[2]}: {note} voxels"
        found.append(Slice(picture.address(), name, note, words))
    return found


def ceilings(rois: Mapping[str, RoiVoxels]) -> tuple[np.ndarray, np.ndarray]:
    """The voxels of some ROIs, each once, and their noise ceilings in percent, 0 where there is none."""
    index, first = np.unique(np.concatenate([found.voxel_index for found in rois.values()]), return_index=True)
    return index, np.nan_to_num(np.concatenate([found.noise_ceiling for found in rois.values()])[first])


def levels_of(heights: np.ndarray, most: int = SLICES) -> list[int]:
    """At most so many slices (ascending) that lie evenly among voxels at these heights (n,)."""
    shares = (np.arange(most) + 0.5) / most
    return sorted({int(level) for level in np.quantile(heights, shares, method="nearest")})


def rgb(colour: str) -> tuple[int, int, int]:
    """Red, green and blue of a colour such as #3b82c4."""
    red, green, blue = (int(colour[start : start + 2], 16) for start in (1, 3, 5))
    return red, green, blue


class Canvas:
    """A horizontal slice of a volume (X, Y, Z) at one height, to paint voxels on: an RGBA picture (Y, X)."""

    def __init__(self, shape: Shape, level: int):
        self.shape, self.level = shape, level
        self.pixels = np.zeros((shape[1], shape[0], 4), np.uint8)

    def paint(self, voxel_index: np.ndarray, colour: Sequence[int]) -> None:
        """Give those of some voxels that lie in the slice a colour (RGBA)."""
        x, y, z = np.unravel_index(voxel_index, self.shape)
        here = z == self.level
        self.pixels[self.shape[1] - 1 - y[here], x[here]] = colour

    def address(self) -> str:
        """The picture as a PNG data address."""
        return png_address(self.pixels, optimize=True)
