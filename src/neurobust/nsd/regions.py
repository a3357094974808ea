"""The small files that decide which voxels an ROI has. No arrays here: the workflow reads it in every job."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from neurobust.nsd import layout
from neurobust.nsd.layout import Root
from neurobust.nsd.settings import ROI, Region


def region_files(root: Root, subject: str, region: Region, space: str = "func1pt8mm") -> dict[str, Path]:
    """The label volume of a region, and the colour table if it names labels."""
    files = {"labels": layout.roi(root, subject, region.atlas, region.hemisphere, space)}
    if region.labels:
        files["ctab"] = layout.ctab(root, subject, region.atlas)
    return files


def roi_files(root: Root, subject: str, roi: ROI, space: str = "func1pt8mm") -> dict[str, Path]:
    """The small files that decide an ROI's voxels, by name."""
    files = {"brainmask": layout.brainmask(root, subject, space)} | region_files(root, subject, roi, space)
    files |= numbered("plus", (region_files(root, subject, region, space) for region in roi.plus or ()))
    return files | numbered("within", (region_files(root, subject, region, space) for region in roi.limits))


def numbered(name: str, groups: Iterable[dict[str, Path]]) -> dict[str, Path]:
    """Files of several regions under names that tell them apart."""
    return {f"{name}{i}/{kind}": path for i, group in enumerate(groups) for kind, path in group.items()}
