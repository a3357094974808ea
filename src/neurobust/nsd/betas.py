"""Reading single-trial betas of chosen voxels from a session file, without ever holding the session in memory."""

from __future__ import annotations

from pathlib import Path

import h5py
import nibabel as nib
import numpy as np

from neurobust.core.errors import InputError
from neurobust.nsd import header
from neurobust.nsd.header import FETCH_AGAIN, GZIP_ERRORS, one_line_errors, read_end, read_exactly, read_header
from neurobust.nsd.volumes import Grid

HDF5_ERRORS = (OSError, RuntimeError, KeyError)


def read_session(path: Path, voxel_index: np.ndarray, shape: tuple[int, int, int], trials: int) -> np.ndarray:
    """int16 (trials, voxels) betas of one session, percent signal change x 300, from .nii.gz, .nii or .hdf5.

    `voxel_index` is the C-order flat index into `shape` (X, Y, Z) in both formats. One volume or one voxel at a time
    is in memory besides the result. Raises InputError for a missing, truncated or damaged file and for a dtype, shape
    or scaling that betas of this subject do not have.
    """
    path = Path(path)
    if path.name.endswith((".nii.gz", ".nii")):
        return read_nifti_session(path, voxel_index, shape, trials)
    if path.suffix == ".hdf5":
        return read_hdf5_session(path, voxel_index, shape, trials)
    raise InputError(f"{path}: betas are read from .nii.gz or .hdf5 files only")


def check_place(path: Path, subject: str, grid: Grid) -> None:
    """`check_affine` of a session file; .hdf5 files have no affine."""
    if path.name.endswith((".nii.gz", ".nii")):
        with one_line_errors(path, GZIP_ERRORS), header.open_nifti(path) as stream:
            found = read_header(path, stream).affine
        check_affine(path, subject, found, grid)


def check_affine(path: Path, subject: str, found: np.ndarray, grid: Grid) -> None:
    """Raise InputError, with the likely cause, unless the affine of a subject's session is that of its brain mask, as
    for label volumes."""
    affine = grid.affine
    if header.same_place(found, affine):
        return
    codes, wanted = ("".join(nib.aff2axcodes(each)) for each in (found, affine))
    if codes != wanted:
        problem = f"its voxels are stored as {codes} and not as {wanted}: it looks mirrored or turned"
    else:
        moved = (np.linalg.inv(affine) @ found)[:3, 3].round(2)
        problem = f"its affine places it {moved.tolist()} voxels away from the brain mask: it looks moved"
    raise InputError(f"{path}: {subject}: {problem}; use betas of {grid.space} as published")


def check_shape(path: Path, found: tuple[int, ...], expected: tuple[int, ...], dtype: np.dtype) -> None:
    """Raise InputError unless a session has the expected shape and is int16."""
    if dtype.kind != "i" or dtype.itemsize != 2:
        raise InputError(f"{path}: dtype {dtype} is not int16; use betas of a functional volume as published")
    if found != expected:
        raise InputError(f"{path}: shape {found} is not the expected {expected}; is it this subject's? {FETCH_AGAIN}")


def read_nifti_session(path: Path, voxel_index: np.ndarray, shape: tuple[int, int, int], trials: int) -> np.ndarray:
    """`read_session` for NIfTI: one pass over the stream, gathering from each volume as it comes by."""
    x, y, z = np.unravel_index(voxel_index, shape)
    # NIfTI stores x fastest. Indices are converted, as transposing 750 volumes would cost more than reading them.
    fortran_index = np.ravel_multi_index((x, y, z), shape, order="F")
    result = np.empty((trials, len(voxel_index)), np.int16)
    with one_line_errors(path, GZIP_ERRORS), header.open_nifti(path) as stream:
        found = read_header(path, stream)
        check_shape(path, found.shape, (*shape, trials), found.dtype)
        volume = np.empty(int(np.prod(shape)), found.dtype)
        for trial in range(trials):
            read_exactly(stream, volume.data.cast("B"))
            result[trial] = volume[fortran_index]
        read_end(path, stream)
    return result


def read_hdf5_session(path: Path, voxel_index: np.ndarray, shape: tuple[int, int, int], trials: int) -> np.ndarray:
    """`read_session` for .hdf5 (trials, Z, Y, X): a chunk per voxel in file order, else volume by volume."""
    x, y, z = np.unravel_index(voxel_index, shape)
    with one_line_errors(path, HDF5_ERRORS), h5py.File(path, "r") as file:
        if "betas" not in file:
            raise InputError(f"{path}: no dataset 'betas' (has {sorted(file)}); {FETCH_AGAIN}")
        dataset = file["betas"]
        if not isinstance(dataset, h5py.Dataset):
            raise InputError(f"{path}: 'betas' is a group and not a dataset; {FETCH_AGAIN}")
        check_shape(path, dataset.shape, (trials, *shape[::-1]), dataset.dtype)
        if dataset.chunks is None or dataset.chunks[1:] != (1, 1, 1):
            flat = np.ravel_multi_index((z, y, x), shape[::-1])
            return np.stack([dataset[trial].ravel()[flat] for trial in range(trials)]).astype(np.int16, copy=False)
        columns = np.empty((len(voxel_index), trials), np.int16)
        order = np.lexsort((x, y, z))  # z slowest, as the chunks lie on disk
        places = zip(*(axis[order].tolist() for axis in (z, y, x)), strict=True)
        for voxel, (k, j, i) in zip(order.tolist(), places, strict=True):
            columns[voxel] = dataset[:, k, j, i]
    return np.ascontiguousarray(columns.T)
