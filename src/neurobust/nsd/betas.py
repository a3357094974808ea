"""Reading single-trial betas of chosen voxels from a session file, without ever holding the session in memory."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import nibabel as nib
import numpy as np

from neurobust.errors import InputError

try:  # about twice as fast as gzip; the session's cost is decompression
    from isal import igzip, isal_zlib

    open_gzip, GZIP_ERRORS = igzip.open, (OSError, EOFError, zlib.error, isal_zlib.error)
except ImportError:
    open_gzip, GZIP_ERRORS = gzip.open, (OSError, EOFError, zlib.error)

HEADER_BYTES = 348
MEND = "copy it from the bucket again"


def to_percent(betas: np.ndarray) -> np.ndarray:
    """Percent signal change as float32 from int16 betas (x 300); another dtype is refused, as scaled already."""
    if betas.dtype != np.int16:
        raise TypeError(f"betas are {betas.dtype}, not the int16 of NSD: have they been divided by 300 already?")
    return betas.astype(np.float32) / np.float32(300)


def read_session(path: Path, voxel_index: np.ndarray, shape: tuple[int, int, int], trials: int) -> np.ndarray:
    """int16 (trials, voxels) betas of one session, percent signal change x 300, from .nii.gz or .hdf5.

    `voxel_index` is the C-order flat index into `shape` (X, Y, Z) in both formats. One volume or one voxel at a time
    is in memory besides the result. Raises InputError for a missing, truncated or damaged file and for a dtype, shape
    or scaling that betas of this subject do not have.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path}: no such file; copy the session from the bucket")
    if path.name.endswith(".nii.gz"):
        return read_nifti_session(path, voxel_index, shape, trials)
    if path.suffix == ".hdf5":
        return read_hdf5_session(path, voxel_index, shape, trials)
    raise InputError(f"{path}: betas are read from .nii.gz or .hdf5 files only")


def check_shape(path: Path, found: tuple[int, ...], expected: tuple[int, ...], dtype: np.dtype) -> None:
    """Raise InputError unless a session has the expected shape and is int16."""
    if dtype.kind != "i" or dtype.itemsize != 2:
        raise InputError(f"{path}: dtype {dtype} is not int16; use betas of the func1pt8mm space as published")
    if found != expected:
        raise InputError(f"{path}: shape {found} is not the expected {expected}; is it this subject's? {MEND}")


@contextmanager
def one_line_errors(path: Path, errors: tuple[type[Exception], ...]) -> Iterator[None]:
    """Turn the errors of a damaged file into one InputError."""
    try:
        yield
    except errors as error:
        raise InputError(f"{path}: truncated or damaged ({error}); {MEND}") from error


def read_nifti_session(path: Path, voxel_index: np.ndarray, shape: tuple[int, int, int], trials: int) -> np.ndarray:
    """`read_session` for .nii.gz: one pass over the stream, gathering from each volume as it comes by."""
    x, y, z = np.unravel_index(voxel_index, shape)
    # NIfTI stores x fastest. Indices are converted, as transposing 750 volumes would cost more than reading them.
    fortran_index = np.ravel_multi_index((x, y, z), shape, order="F")
    result = np.empty((trials, len(voxel_index)), np.int16)
    with one_line_errors(path, GZIP_ERRORS), open_gzip(path, "rb") as stream:
        dtype = read_nifti_header(path, stream, shape, trials)
        volume = np.empty(int(np.prod(shape)), dtype)
        for trial in range(trials):
            read_exactly(stream, memoryview(volume).cast("B"))
            result[trial] = volume[fortran_index]
        # Reading on past the last volume makes the decompressor verify length and checksum.
        if stream.read(1):
            raise InputError(f"{path}: longer than its header says; {MEND}")
    return result


def read_nifti_header(path: Path, stream, shape: tuple[int, int, int], trials: int) -> np.dtype:
    """Check the header of a session's stream and leave the stream at the first volume; return the dtype on disk."""
    raw = bytearray(HEADER_BYTES)
    read_exactly(stream, memoryview(raw))
    header = nib.Nifti1Header(bytes(raw), check=False)
    if header["sizeof_hdr"] != HEADER_BYTES or header["magic"].item() != b"n+1":
        raise InputError(f"{path}: not a single-file NIfTI-1; {MEND}")
    dtype, found = header.get_data_dtype(), tuple(int(n) for n in header.get_data_shape())
    check_shape(path, found, (*shape, trials), dtype)
    slope, intercept = float(header["scl_slope"]), float(header["scl_inter"])
    if not (slope in (0, 1) or np.isnan(slope)) or not (intercept == 0 or np.isnan(intercept)):
        raise InputError(f"{path}: scaled by {slope:g} and {intercept:g} in its header; NSD's betas are not. {MEND}")
    read_exactly(stream, memoryview(bytearray(int(header["vox_offset"]) - HEADER_BYTES)))
    return dtype


def read_exactly(stream, view: memoryview) -> None:
    """Fill `view` from a stream; EOFError if it ends before."""
    done = 0
    while done < len(view):
        count = stream.readinto(view[done:])
        if not count:
            raise EOFError("the data end before the last volume")
        done += count


def read_hdf5_session(path: Path, voxel_index: np.ndarray, shape: tuple[int, int, int], trials: int) -> np.ndarray:
    """`read_session` for .hdf5 (trials, Z, Y, X): a chunk per voxel in file order, else volume by volume."""
    x, y, z = np.unravel_index(voxel_index, shape)
    with one_line_errors(path, (OSError,)), h5py.File(path, "r") as file:
        if "betas" not in file:
            raise InputError(f"{path}: no dataset 'betas' (has {sorted(file)}); {MEND}")
        dataset = file["betas"]
        check_shape(path, dataset.shape, (trials, *shape[::-1]), dataset.dtype)
        if dataset.chunks is None or dataset.chunks[1:] != (1, 1, 1):
            flat = np.ravel_multi_index((z, y, x), shape[::-1])
            return np.stack([dataset[trial].ravel()[flat] for trial in range(trials)]).astype(np.int16, copy=False)
        columns = np.empty((len(voxel_index), trials), np.int16)
        for voxel in np.lexsort((x, y, z)):  # z slowest, as the chunks lie on disk
            columns[voxel] = dataset[:, z[voxel], y[voxel], x[voxel]]
    return np.ascontiguousarray(columns.T)
