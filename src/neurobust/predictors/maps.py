"""Voxel tables written back to the subject's own volume."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from pathlib import Path

import nibabel as nib
import numpy as np

from neurobust.core.errors import InputError
from neurobust.core.io import read_parquet, replacing
from neurobust.files.roi import read_roi


def voxel_volume(values: np.ndarray, voxel_index: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Values (V,) at C-order flat indices (V,) of a float32 volume (X, Y, Z); NaN elsewhere."""
    volume = np.full(int(np.prod(shape)), np.nan, np.float32)
    volume[voxel_index] = values
    return volume.reshape(shape)


def write_nifti(path: Path, volume: np.ndarray, affine: np.ndarray) -> None:
    """Write a volume as .nii.gz, atomically and without a date in the gzip header: equal volumes give equal bytes."""
    image = nib.Nifti1Image(volume, affine)
    image.header.set_xyzt_units("mm", "sec")
    with replacing(path) as temporary:
        temporary.write_bytes(gzip.compress(image.to_bytes(), 6, mtime=0))


def map_voxels(voxels: Path, rois: list[Path], measures: list[str], folder: Path) -> None:
    """Write {folder}/{subject}_{measure}.nii.gz for the subjects of the ROI files and columns of `voxels.parquet`.

    Grid and affine are those of the ROI file, which has them from the subject's brain mask. A subject that lacks the
    ROI gets volumes of NaN. Raises InputError for a measure that the table lacks or a voxel outside the grid.
    """
    table, _ = read_parquet(voxels)
    for measure in measures:
        if measure not in table:
            raise InputError(f"{voxels}: no column '{measure}' (has {', '.join(table)}); delete it and run again")
    for roi in rois:
        found = read_roi(roi, trials=False)
        part = table[table["subject"] == found.subject]
        index = part["voxel_index"].to_numpy()
        if len(index) and (index.min() < 0 or index.max() >= np.prod(found.shape)):
            raise InputError(
                f"{voxels}: voxel {index.max()} of {found.subject} lies outside the grid {found.shape} of {roi}; "
                "delete both, run again"
            )
        for measure in measures:
            volume = voxel_volume(part[measure].to_numpy(), index, found.shape)
            write_nifti(folder / f"{found.subject}_{measure}.nii.gz", volume, found.affine)
