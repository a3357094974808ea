"""Is a fetched file what its name says? Structure and checksums that the formats themselves carry."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py

from neurobust.core.errors import InputError
from neurobust.nsd import header
from neurobust.nsd.betas import HDF5_ERRORS
from neurobust.nsd.bucket import Listed, asked, retrying
from neurobust.nsd.ctab import read_ctab
from neurobust.nsd.design import read_design
from neurobust.nsd.header import FETCH_AGAIN, GZIP_ERRORS, one_line_errors, read_header
from neurobust.nsd.manifest import Facts

BLOCK = 1 << 20
STIM_INFO_COLUMNS, RESPONSES_COLUMNS = 41, 19


def verify(key: str, path: Path) -> Facts:
    """What there is to know of the file `path` that came from `key`; InputError if it is not what such a key holds."""
    for pattern, check in CHECKS.items():
        if re.search(pattern, key):
            return check(path)
    return {}


def check_session(path: Path) -> Facts:
    """A session of betas: int16 (X, Y, Z, T)."""
    facts = check_nifti(path)
    if len(facts["shape"]) != 4 or facts["dtype"] != "int16":
        raise InputError(
            f"{path}: {facts['dtype']} {facts['shape']} is not the int16 (X, Y, Z, T) of betas; {FETCH_AGAIN}"
        )
    return facts


def check_volume(path: Path) -> Facts:
    """A map or label volume: (X, Y, Z)."""
    facts = check_nifti(path)
    if len(facts["shape"]) != 3:
        raise InputError(f"{path}: shape {facts['shape']} is not a volume (X, Y, Z); {FETCH_AGAIN}")
    return facts


def check_nifti(path: Path) -> Facts:
    """A whole file with a sound header and exactly the voxels that it announces."""
    with one_line_errors(path, GZIP_ERRORS), header.open_nifti(path) as stream:
        found = read_header(path, stream)
        left = found.data_bytes
        while left:
            block = stream.read(min(BLOCK, left))
            if not block:
                raise EOFError("the data end too early")
            left -= len(block)
        header.read_end(path, stream)
    return {"shape": list(found.shape), "dtype": found.dtype.name, "affine": found.affine.round(4).tolist()}


def check_hdf5_session(path: Path) -> Facts:
    """The HDF5 twin of a session: `betas` int16 (T, Z, Y, X)."""
    facts = check_hdf5(path, "betas")
    if len(facts["shape"]) != 4 or facts["dtype"] != "int16":
        raise InputError(
            f"{path}: {facts['dtype']} {facts['shape']} is not the int16 (T, Z, Y, X) of betas; {FETCH_AGAIN}"
        )
    return facts


def check_brick(path: Path) -> Facts:
    """The stimuli: `imgBrick` uint8 (N, S, S, 3)."""
    facts = check_hdf5(path, "imgBrick")
    shape = facts["shape"]
    if facts["dtype"] != "uint8" or len(shape) != 4 or shape[3] != 3 or shape[1] != shape[2]:
        raise InputError(
            f"{path}: {facts['dtype']} {shape} is not the uint8 (images, S, S, 3) of imgBrick; {FETCH_AGAIN}"
        )
    return facts


def check_hdf5(path: Path, name: str) -> Facts:
    """A dataset's shape, dtype, chunks and attributes; HDF5 itself notices a file that is too short."""
    with one_line_errors(path, HDF5_ERRORS), h5py.File(path, "r") as file:
        dataset = file.get(name)
        if not isinstance(dataset, h5py.Dataset):
            raise InputError(f"{path}: no dataset '{name}' (has {sorted(file)}); {FETCH_AGAIN}")
        return {
            "shape": list(dataset.shape), "dtype": dataset.dtype.name, "attrs": sorted({*dataset.attrs, *file.attrs}),
            "chunks": list(dataset.chunks) if dataset.chunks else None,
        }  # fmt: skip


def check_design(path: Path) -> Facts:
    """The design file, with every invariant of a design; its dtypes are among the facts."""
    return {"dtypes": read_design(path)[1]}


def check_table(path: Path, separator: str, columns: int) -> Facts:
    """A table with this many columns in each of its first and last lines."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not a text file; {FETCH_AGAIN}") from error
    header_line = lines[0].split(separator) if lines else []
    if len(header_line) != columns or len(lines) < 2:
        raise InputError(
            f"{path}: {len(header_line)} columns and {len(lines)} lines, not {columns} columns; {FETCH_AGAIN}"
        )
    return {"rows": len(lines) - 1, "columns": header_line}


def check_png(path: Path) -> Facts:
    """A PNG that decodes whole."""
    from PIL import Image, UnidentifiedImageError

    with one_line_errors(path, (OSError, UnidentifiedImageError, SyntaxError, ValueError)), Image.open(path) as image:
        image.load()
        if image.format != "PNG":
            raise InputError(f"{path}: a {image.format} and not a PNG; {FETCH_AGAIN}")
        return {"shape": [image.height, image.width, len(image.getbands())]}


CHECKS: dict[str, Callable[[Path], Facts]] = {
    r"/betas_session\d\d\.nii\.gz$": check_session,
    r"/betas_session\d\d\.hdf5$": check_hdf5_session,
    r"\.nii\.gz$": check_volume,
    r"/nsd_stimuli\.hdf5$": check_brick,
    r"/nsd_expdesign\.mat$": check_design,
    r"/nsd_stim_info_merged\.csv$": lambda path: check_table(path, ",", STIM_INFO_COLUMNS),
    r"/responses\.tsv$": lambda path: check_table(path, "\t", RESPONSES_COLUMNS),
    r"\.ctab$": lambda path: {"labels": len(read_ctab(path))},
    r"\.png$": check_png,
}


def digests(path: Path, part: int = 0) -> tuple[str, str, str]:
    """(SHA-256, MD5, S3's MD5 of the MD5s of `part` bytes each) of a file in one pass, in hex."""
    sha, whole, parts = hashlib.sha256(), hashlib.md5(usedforsecurity=False), []
    with path.open("rb") as file:
        while True:
            md5, left = hashlib.md5(usedforsecurity=False), part or 1 << 62
            while left and (block := file.read(min(BLOCK, left))):
                for digest in (sha, whole, md5):
                    digest.update(block)
                left -= len(block)
            if left == (part or 1 << 62):
                break
            parts.append(md5.digest())
    combined = hashlib.md5(b"".join(parts), usedforsecurity=False).hexdigest()
    return sha.hexdigest(), whole.hexdigest(), f"{combined}-{len(parts)}"


def check_etag(client: Any, listed: Listed, path: Path) -> tuple[str, str]:
    """(SHA-256, what the ETag said: "md5", "parts" or "unknown") of a fetched file; InputError if it says otherwise.

    An ETag is the MD5 of a file that was uploaded in one piece; of one uploaded in parts it is the MD5 of their MD5s,
    for which the server states the size of the parts.
    """
    part = 0
    if re.fullmatch(r"[0-9a-f]{32}-\d+", listed.etag):
        head = retrying(lambda: asked(client.head_object, listed.key, "ETag", Key=listed.key, PartNumber=1), listed.key)
        part = head["ContentLength"] if head.get("PartsCount") else 0
        if not part:
            return digests(path)[0], "unknown"
    elif not re.fullmatch(r"[0-9a-f]{32}", listed.etag):
        return digests(path)[0], "unknown"
    sha, md5, combined = digests(path, part)
    if (combined if part else md5) == listed.etag:
        return sha, "parts" if part else "md5"
    head = retrying(lambda: asked(client.head_object, listed.key, "ETag", Key=listed.key), listed.key)
    if "kms" in head.get("ServerSideEncryption", ""):  # such an ETag is not a checksum
        return sha, "unknown"
    raise InputError(f"{listed.key}: what was fetched does not have the checksum of its ETag {listed.etag}")
