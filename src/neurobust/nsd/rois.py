"""Which voxels an ROI has. Every index is a C-order flat index into (X, Y, Z), ascending."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from neurobust.core.errors import InputError
from neurobust.nsd import layout
from neurobust.nsd.ctab import read_ctab, resolve_labels
from neurobust.nsd.spec import added, check_spec, limits, region_files
from neurobust.nsd.volumes import Grid, read_labels


def region_mask(root: Path, subject: str, region: Mapping[str, Any], grid: Grid) -> np.ndarray:
    """(X*Y*Z,) bool: voxels with one of a region's labels, or with any label if it names none."""
    files = region_files(root, subject, region)
    labels = read_labels(files["labels"], grid).ravel()
    if "ctab" not in files:
        return labels > 0  # never a cast to bool: -1 (not cortex) would count as inside
    ids = resolve_labels(files["ctab"], region["labels"])
    unnamed = np.setdiff1d(labels[labels > 0], list(read_ctab(files["ctab"]).values()))
    if len(unnamed):
        raise InputError(
            f"{files['labels']}: label {unnamed[0]:g} has no name in {files['ctab'].name}; fetch both again"
        )
    return np.isin(labels, ids)


def roi_voxels(root: Path, subject: str, roi: str, spec: Mapping[str, Any], grid: Grid, ncsnr: np.ndarray):
    """int64 index of the voxels of an ROI inside the brain mask; none is allowed (not every subject has every ROI).

    `ncsnr` (X*Y*Z,) is the published one, C-order flat; voxels without a value fail any `ncsnr_min`.
    Raises InputError for a bad spec, an unknown label and files that do not fit the grid.
    """
    check_spec(roi, spec)
    mask = np.logical_or.reduce([region_mask(root, subject, region, grid) for region in added(spec)]) & grid.mask
    if spec.get("within"):
        mask &= np.logical_or.reduce([region_mask(root, subject, region, grid) for region in limits(spec)])
    if spec.get("ncsnr_min") is not None:
        mask &= ncsnr >= spec["ncsnr_min"]
    return np.flatnonzero(mask).astype(np.int64)


def label_volumes(root: Path, subject: str) -> dict[str, Path]:
    """Every label volume that the mirror has for a subject (bilateral, lh, rh), by name; none is an InputError."""
    found = {}
    for atlas in layout.ATLASES:
        for hemisphere in (None, *layout.HEMISPHERES):
            path = layout.roi(root, subject, atlas, hemisphere)
            if path.exists():
                found[path.name.removesuffix(".nii.gz")] = path
    if not found:
        folder = layout.roi(root, subject, layout.ATLASES[0]).parent
        raise InputError(f"{folder}: no label volume such as nsdgeneral.nii.gz; copy the folder from the bucket")
    return found


def labelled_voxels(root: Path, subject: str, grid: Grid) -> np.ndarray:
    """int64 index of every voxel in the brain mask with a label > 0 in any atlas volume of the mirror.

    The hemispheres' volumes count too: where both claim a voxel, the bilateral one shows the left label only.
    """
    mask = np.zeros(grid.mask.shape, bool)
    for path in label_volumes(root, subject).values():
        mask |= read_labels(path, grid).ravel() > 0
    mask &= grid.mask
    if not mask.any():
        raise InputError(f"{layout.func_folder(root, subject)}: no label lies in the brain mask; copy roi/ again")
    return np.flatnonzero(mask).astype(np.int64)
