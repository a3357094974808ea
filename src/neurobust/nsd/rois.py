"""Which voxels an ROI has. Every index is a C-order flat index into (X, Y, Z), ascending."""

from __future__ import annotations

import numpy as np

from neurobust.core.errors import InputError
from neurobust.nsd.ctab import read_ctab, resolve_labels
from neurobust.nsd.layout import Root
from neurobust.nsd.regions import region_files
from neurobust.nsd.settings import ROI, Region
from neurobust.nsd.volumes import Grid, read_labels


def region_mask(root: Root, subject: str, region: Region, grid: Grid) -> np.ndarray:
    """(X*Y*Z,) bool: voxels with one of a region's labels, or with any label if it names none."""
    files = region_files(root, subject, region, grid.space)
    labels = read_labels(files["labels"], grid).ravel()
    if "ctab" not in files:
        return labels > 0  # never a cast to bool: -1 (not cortex) would count as inside
    ids = resolve_labels(files["ctab"], region.labels)
    unnamed = np.setdiff1d(labels[labels > 0], list(read_ctab(files["ctab"]).values()))
    if len(unnamed):
        raise InputError(
            f"{files['labels']}: label {unnamed[0]:g} has no name in {files['ctab'].name}; fetch both again"
        )
    return np.isin(labels, ids)


def roi_voxels(root: Root, subject: str, roi: ROI, grid: Grid, ncsnr: np.ndarray) -> np.ndarray:
    """int64 index of the voxels of an ROI inside the brain mask; none is allowed (not every subject has every ROI).

    `ncsnr` (X*Y*Z,) is the published one, C-order flat; voxels without a value fail any `ncsnr_min`.
    Raises InputError for an unknown label and for files that do not fit the grid.
    """
    mask = np.logical_or.reduce([region_mask(root, subject, region, grid) for region in roi.added]) & grid.mask
    if roi.limits:
        mask &= np.logical_or.reduce([region_mask(root, subject, region, grid) for region in roi.limits])
    if roi.ncsnr_min is not None:
        mask &= ncsnr >= roi.ncsnr_min
    return np.flatnonzero(mask).astype(np.int64)
