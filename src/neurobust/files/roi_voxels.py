"""Where the voxels of `cortex/{subject}/{roi}.h5` and of `betas.h5` lie, and how much signal an ROI's have.

A module of its own: what only pages read must not be among the sources of the jobs that write and train.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from neurobust.core.unreadable import unreadable

UNREADABLE = "not a readable ROI file; delete it and run again"

Shape = tuple[int, int, int]


@dataclass(frozen=True)
class RoiVoxels:
    """An ROI of a subject: voxel_index (voxels,) is the ascending C-order flat index into `shape` (X, Y, Z); ncsnr
    recomputed and as published, 0 where undefined; noise_ceiling in percent; each (voxels,)."""

    shape: Shape
    voxel_index: np.ndarray
    ncsnr: np.ndarray
    ncsnr_file: np.ndarray
    noise_ceiling: np.ndarray

    @property
    def places(self) -> np.ndarray:
        """(3, voxels): the place of each voxel in the volume."""
        return np.stack(np.unravel_index(self.voxel_index, self.shape))


def read_roi_voxels(path: Path) -> RoiVoxels:
    """Read the voxels of an ROI file without its responses; InputError where the file is not that."""
    import h5py

    try:
        with h5py.File(path, "r") as file:
            names = ("voxel_index", "ncsnr", "ncsnr_file", "noise_ceiling")
            arrays = {name: file[name][:] for name in names}
            x, y, z = (int(n) for n in file.attrs["shape"])
    except (OSError, KeyError, ValueError) as error:
        raise unreadable(path, error, UNREADABLE) from error
    return RoiVoxels((x, y, z), **arrays)


def read_labelled(path: Path) -> tuple[np.ndarray, Shape]:
    """voxel_index (voxels,) and shape (X, Y, Z) of betas.h5, without its betas; InputError for any other file."""
    import h5py

    try:
        with h5py.File(path, "r") as file:
            x, y, z = (int(n) for n in file.attrs["shape"])
            return file["voxel_index"][:], (x, y, z)
    except (OSError, KeyError, ValueError) as error:
        raise unreadable(path, error, "not a readable betas file; delete it and run again") from error
