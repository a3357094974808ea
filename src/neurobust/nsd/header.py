"""NIfTI-1 headers of files, gzipped or not: read strictly, because what is wrong there is wrong everywhere after."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import nibabel as nib
import numpy as np

from neurobust.core.errors import InputError
from neurobust.core.unreadable import unreadable

open_gzip: Callable[..., Any] = gzip.open
GZIP_ERRORS: tuple[type[Exception], ...] = (OSError, EOFError, zlib.error)
try:  # about twice as fast as gzip; the cost of a session is decompression
    from isal import igzip, isal_zlib

    open_gzip, GZIP_ERRORS = igzip.open, (*GZIP_ERRORS, cast(type[Exception], isal_zlib.error))
except ImportError:
    pass

HEADER_BYTES = 348
LARGEST_OFFSET = 1 << 20  # bytes before the data: the header, and extensions that NSD does not have
FETCH_AGAIN = "delete it and fetch it again"
ABSENT = "no such file; fetch it from the bucket"


PLAIN = tuple(HEADER_BYTES.to_bytes(4, order) for order in ("little", "big"))  # how a NIfTI-1 begins


def open_nifti(path: Path) -> Any:
    """The bytes of a NIfTI file: x.nii.gz decompressed, its uncompressed copy x.nii as it is.

    Raises InputError for a file that is not compressed and is named as if it were.
    """
    if path.suffix == ".nii":
        return path.open("rb")
    with path.open("rb") as file:
        if file.read(4) in PLAIN:
            raise InputError(f"{path}: not compressed, whatever its name says; rename it to {path.stem}, or gzip it")
    return open_gzip(path, "rb")


@dataclass(frozen=True)
class Header:
    """Shape (X, Y, Z[, T]), dtype on disk with its byte order, bytes before the data, affine (4, 4) in mm."""

    shape: tuple[int, ...]
    dtype: np.dtype
    offset: int
    affine: np.ndarray

    @property
    def data_bytes(self) -> int:
        """Bytes of all voxels."""
        return int(np.prod(self.shape, dtype=object)) * self.dtype.itemsize


@contextmanager
def one_line_errors(path: Path, errors: tuple[type[Exception], ...]) -> Iterator[None]:
    """Turn the errors of a file that is damaged, or only locked, into one InputError."""
    try:
        yield
    except FileNotFoundError as error:
        raise InputError(f"{path}: {ABSENT}") from error
    except errors as error:
        raise unreadable(path, error, f"truncated or damaged; {FETCH_AGAIN}") from error


def read_exactly(stream, view: memoryview) -> None:
    """Fill `view` from a stream; EOFError if it ends before."""
    done = 0
    while done < len(view):
        count = stream.readinto(view[done:])
        if not count:
            raise EOFError("the data end too early")
        done += count


def same_place(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two affines (4, 4) place voxels alike, to a thousandth of a millimetre."""
    return np.allclose(one, other, atol=1e-3)


def read_header(path: Path, stream) -> Header:
    """The header of a stream, which is left at the first voxel; InputError for one that NSD's files do not have."""
    raw = bytearray(HEADER_BYTES)
    read_exactly(stream, memoryview(raw))
    if raw[344:348] != b"n+1\0" or HEADER_BYTES not in (int.from_bytes(raw[:4], order) for order in ("little", "big")):
        raise InputError(f"{path}: not a single-file NIfTI-1; {FETCH_AGAIN}")
    try:
        header = nib.Nifti1Header(bytes(raw), check=False)
        dtype, shape = header.get_data_dtype(), tuple(int(n) for n in header.get_data_shape())
        affine, offset = header.get_best_affine(), float(header["vox_offset"])
        slope, intercept = float(header["scl_slope"]), float(header["scl_inter"])
    except Exception as error:  # nibabel raises whatever the bytes lead it to
        reason = " ".join(str(error).split())
        raise InputError(f"{path}: not a NIfTI-1 header ({reason}); {FETCH_AGAIN}") from error
    if not shape or min(shape) < 1:
        raise InputError(f"{path}: shape {shape} in its header; {FETCH_AGAIN}")
    if dtype.kind not in "iuf":
        raise InputError(f"{path}: dtype {dtype} in its header is not a number's; {FETCH_AGAIN}")
    if not HEADER_BYTES <= offset <= LARGEST_OFFSET:
        raise InputError(f"{path}: data begin at byte {offset:g} by its header; {FETCH_AGAIN}")
    if not (slope in (0, 1) or np.isnan(slope)) or not (intercept == 0 or np.isnan(intercept)):
        raise InputError(
            f"{path}: scaled by {slope:g} and {intercept:g} in its header; NSD's files are not. {FETCH_AGAIN}"
        )
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-9:
        raise InputError(f"{path}: its affine {affine[:3].tolist()} places no voxel; {FETCH_AGAIN}")
    read_exactly(stream, memoryview(bytearray(int(offset) - HEADER_BYTES)))
    return Header(shape, dtype, int(offset), affine)


def read_array(path: Path) -> tuple[Header, np.ndarray]:
    """A volume or series as (header, array (X, Y, Z[, T]) in native byte order); length and gzip's CRC are checked."""
    with one_line_errors(path, (*GZIP_ERRORS, MemoryError)), open_nifti(path) as stream:
        header = read_header(path, stream)
        flat = np.empty(header.data_bytes // header.dtype.itemsize, header.dtype)
        read_exactly(stream, flat.data.cast("B"))
        read_end(path, stream)
    native = flat.astype(header.dtype.newbyteorder("="), copy=False)
    return header, native.reshape(header.shape, order="F")


def read_end(path: Path, stream) -> None:
    """Read on past the last voxel: the decompressor verifies length and checksum only there."""
    if stream.read(1):
        raise InputError(f"{path}: longer than its header says; {FETCH_AGAIN}")
