"""Small volumes of a subject (labels, masks, ncsnr) and the grid that they share with the betas."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np

from neurobust.errors import InputError
from neurobust.nsd import layout


@dataclass(frozen=True)
class Grid:
    """A subject's functional grid: shape (X, Y, Z), affine (4, 4) in mm, and the C-order flat brain mask."""

    shape: tuple[int, int, int]
    affine: np.ndarray
    mask: np.ndarray


def read_volume(path: Path, grid: Grid | None = None) -> tuple[np.ndarray, np.ndarray]:
    """A 3D volume as (array (X, Y, Z) in the file's dtype, affine); it must lie on `grid` where one is given."""
    try:
        image = nib.load(path)
        data = np.asanyarray(image.dataobj)
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file; copy it from the bucket") from error
    except (nib.filebasedimages.ImageFileError, EOFError, OSError, ValueError, KeyError, zlib.error) as error:
        raise InputError(f"{path}: not a readable NIfTI volume ({error}); copy it from the bucket again") from error
    if data.ndim != 3:
        raise InputError(f"{path}: shape {data.shape} is not a volume (X, Y, Z); copy it from the bucket again")
    if grid is not None and (data.shape != grid.shape or not np.allclose(image.affine, grid.affine, atol=1e-3)):
        raise InputError(
            f"{path}: its grid {data.shape} is not the brain mask's {grid.shape}, or is placed elsewhere; "
            "use files of one subject in func1pt8mm"
        )
    return data, image.affine


def read_grid(root: Path, subject: str) -> Grid:
    """The grid of a subject, from its brain mask."""
    layout.subject_number(subject)
    mask, affine = read_volume(layout.brainmask(root, subject))
    return Grid(mask.shape, affine, (mask != 0).ravel())
