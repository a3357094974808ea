"""Small volumes of a subject (labels, masks, ncsnr) and the grid that they share with the betas."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from neurobust.core.errors import InputError
from neurobust.nsd import layout
from neurobust.nsd.header import FETCH_AGAIN, read_array, same_place
from neurobust.nsd.layout import Root


@dataclass(frozen=True)
class Grid:
    """A subject's functional grid: shape (X, Y, Z), affine (4, 4) in mm, the C-order flat brain mask, and its space."""

    shape: tuple[int, int, int]
    affine: np.ndarray
    mask: np.ndarray
    space: str = "func1pt8mm"


def read_volume(path: Path, grid: Grid | None = None) -> tuple[np.ndarray, np.ndarray]:
    """A 3D volume as (array (X, Y, Z) in the file's dtype, affine); it must lie on `grid` where one is given."""
    header, data = read_array(path)
    while data.ndim > 3 and data.shape[-1] == 1:
        data = data[..., 0]
    if data.ndim != 3:
        raise InputError(f"{path}: shape {data.shape} is not a volume (X, Y, Z); {FETCH_AGAIN}")
    if grid is not None and (data.shape != grid.shape or not same_place(header.affine, grid.affine)):
        raise InputError(
            f"{path}: its grid {data.shape} is not the brain mask's {grid.shape}, or is placed elsewhere; "
            f"use files of one subject in {grid.space}"
        )
    return data, header.affine


def read_labels(path: Path, grid: Grid) -> np.ndarray:
    """Labels (X, Y, Z) of an atlas: whole numbers, -1 not this cortex, 0 unlabelled, 1..N.

    A copy may have NaN in place of every -1; NaN beside -1 is an InputError, as is all else that is no label.
    """
    labels, _ = read_volume(path, grid)
    if labels.dtype.kind == "f" and not (labels == -1).any():
        labels = np.where(np.isnan(labels), labels.dtype.type(-1), labels)
    wrong = ~(np.isfinite(labels) & (labels >= -1))
    wrong[~wrong] = labels[~wrong] != np.rint(labels[~wrong])
    if wrong.any():
        raise InputError(f"{path}: {labels[wrong][0]} is not a label (-1, 0, 1, 2, ...); {FETCH_AGAIN}")
    return labels


def read_ncsnr(path: Path, grid: Grid) -> np.ndarray:
    """Published ncsnr (X, Y, Z), NaN where there is none; InputError for what cannot be one."""
    values, _ = read_volume(path, grid)
    if values.dtype.kind != "f":
        raise InputError(f"{path}: dtype {values.dtype} is not a float's; is it an ncsnr? {FETCH_AGAIN}")
    if np.isinf(values).any() or (values < 0).any():
        raise InputError(f"{path}: an ncsnr is infinite or below 0; {FETCH_AGAIN}")
    return values


def read_grid(root: Root, subject: str, space: str = "func1pt8mm") -> Grid:
    """The grid of a subject, from its brain mask."""
    layout.subject_number(subject)
    path = layout.brainmask(root, subject, space)
    mask, affine = read_volume(path)
    if not np.isfinite(mask).all():
        raise InputError(f"{path}: a mask with values that are not numbers; {FETCH_AGAIN}")
    if not mask.any():
        raise InputError(f"{path}: the brain mask is empty; {FETCH_AGAIN}")
    return Grid(mask.shape, affine, (mask != 0).ravel(), space)
