"""Which voxels an ROI has. Every index is a C-order flat index into (X, Y, Z), ascending."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from neurobust.errors import InputError
from neurobust.nsd import layout
from neurobust.nsd.ctab import resolve_labels
from neurobust.nsd.volumes import Grid, read_volume

SPEC_KEYS = ("atlas", "labels", "hemisphere", "within", "ncsnr_min")


def check_spec(roi: str, spec: Mapping[str, Any]) -> None:
    """Raise InputError unless `spec` is {atlas, labels, hemisphere?, within?, ncsnr_min?}."""
    for key in spec:
        if key not in SPEC_KEYS:
            raise InputError(f"rois.{roi}.{key}: unknown key; known are {', '.join(SPEC_KEYS)}")
    for key in ("atlas", "within"):
        if (key == "atlas" or spec.get(key) is not None) and spec.get(key) not in layout.ATLASES:
            raise InputError(f"rois.{roi}.{key}: '{spec.get(key)}' is not one of {', '.join(layout.ATLASES)}")
    if not isinstance(spec.get("labels"), (list, tuple)) or not spec["labels"]:
        raise InputError(f"rois.{roi}.labels: {spec.get('labels')!r} must be a list of label names")
    if spec.get("hemisphere") not in (None, *layout.HEMISPHERES):
        raise InputError(f"rois.{roi}.hemisphere: '{spec['hemisphere']}' is not lh or rh")


def roi_files(root: Path, subject: str, spec: Mapping[str, Any]) -> dict[str, Path]:
    """The small files that decide an ROI's voxels, by name."""
    atlas, hemisphere = spec["atlas"], spec.get("hemisphere")
    files = {
        "brainmask": layout.brainmask(root, subject),
        "labels": layout.roi(root, subject, atlas, hemisphere),
        "ctab": layout.ctab(root, subject, atlas),
    }
    if spec.get("within"):
        files["within"] = layout.roi(root, subject, spec["within"])
    return files


def roi_voxels(root: Path, subject: str, roi: str, spec: Mapping[str, Any], grid: Grid, ncsnr: np.ndarray):
    """int64 index of the voxels of an ROI inside the brain mask; none is allowed (not every subject has every ROI).

    `ncsnr` (X*Y*Z,) is the published one, C-order flat; voxels without a value fail any `ncsnr_min`.
    Raises InputError for a bad spec, an unknown label and files that do not fit the grid.
    """
    check_spec(roi, spec)
    files = roi_files(root, subject, spec)
    ids = resolve_labels(files["ctab"], spec["labels"])
    labels, _ = read_volume(files["labels"], grid)
    # Labels are compared, never cast to bool: -1 (not cortex) would count as inside.
    mask = np.isin(labels.ravel(), ids) & grid.mask
    if "within" in files:
        mask &= read_volume(files["within"], grid)[0].ravel() > 0
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
        mask |= read_volume(path, grid)[0].ravel() > 0
    mask &= grid.mask
    if not mask.any():
        raise InputError(f"{layout.func_folder(root, subject)}: no label lies in the brain mask; copy roi/ again")
    return np.flatnonzero(mask).astype(np.int64)
