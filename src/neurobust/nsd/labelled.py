"""The label volumes that a mirror has, and every voxel with a label in one of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from neurobust.core.errors import InputError
from neurobust.nsd import layout
from neurobust.nsd.layout import Root
from neurobust.nsd.volumes import Grid, read_labels


def label_volumes(root: Root, subject: str, space: str = "func1pt8mm") -> dict[str, Path]:
    """Every label volume that the mirror has for a subject (bilateral, lh, rh), by name; none is an InputError."""
    found = {}
    for atlas in layout.ATLASES:
        for hemisphere in (None, *layout.HEMISPHERES):
            path = layout.roi(root, subject, atlas, hemisphere, space)
            if path.exists():
                found[path.name.removesuffix(".gz").removesuffix(".nii")] = path
    if not found:
        folder = layout.roi(root, subject, layout.ATLASES[0], space=space).parent
        raise InputError(f"{folder}: no label volume such as nsdgeneral.nii.gz; copy the folder from the bucket")
    return found


def labelled_voxels(root: Root, subject: str, grid: Grid) -> np.ndarray:
    """int64 index of every voxel in the brain mask with a label > 0 in any atlas volume of the mirror.

    The hemispheres' volumes count too: where both claim a voxel, the bilateral one shows the left label only.
    """
    mask = np.zeros(grid.mask.shape, bool)
    for path in label_volumes(root, subject, grid.space).values():
        mask |= read_labels(path, grid).ravel() > 0
    mask &= grid.mask
    if not mask.any():
        raise InputError(
            f"{layout.brainmask(root, subject, grid.space)}: no label lies in the brain mask; copy it and roi/ again"
        )
    return np.flatnonzero(mask).astype(np.int64)
