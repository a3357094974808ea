"""The images that a subject saw, resized once."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np

from neurobust.core.errors import InputError
from neurobust.core.io import Provenance, provenance
from neurobust.core.progress import Progress
from neurobust.core.unreadable import unreadable
from neurobust.files.lookup import find_rows
from neurobust.files.stimuli import write_stimuli
from neurobust.nsd import layout
from neurobust.nsd.design import load_design
from neurobust.nsd.header import ABSENT
from neurobust.nsd.layout import Root


def build_stimuli(
    root: Root,
    subject: str,
    n_sessions: int,
    size: int,
    output: Path,
    source: Path | None = None,
    image_batch: int = 256,
) -> None:
    """Write `images` uint8 (images, size, size, 3), contiguous, and `nsd_id` (ascending) of what a subject saw.

    `root` is the bucket's mirror; `source` is its file of all images (default) or one of the subject's only;
    `image_batch` source images are in memory at a time. Raises InputError for an `imgBrick` of the wrong shape, dtype
    or length.
    """
    design = load_design(root)
    images = np.unique(design.nsd_ids(subject, n_sessions))
    path = layout.stimuli(root) if source is None else Path(source)
    progress, digest = Progress(len(images), f"{subject} stimuli {size} px"), hashlib.sha256()

    def blocks(file: h5py.File) -> Iterator[np.ndarray]:
        rows_of = brick_rows(path, file, images)
        for start in range(0, len(images), image_batch):
            rows = rows_of[start : start + image_batch]
            batch = np.stack([file["imgBrick"][row] for row in rows])
            digest.update(batch.data)  # of what was read, not of the 40 GB file
            yield resize(batch, size)
            progress.step(len(rows))

    def origin() -> Provenance:
        params = {"subject": subject, "n_sessions": n_sessions, "size": size}
        record = provenance({"design": layout.expdesign(root)}, params)
        record["inputs"]["images"] = {"file": layout.stimuli(root).name, "sha256_of_rows": digest.hexdigest()}
        return record

    with open_brick(path, design.pool) as file:
        write_stimuli(output, images, size, blocks(file), origin)


def open_brick(path: Path, pool: int) -> h5py.File:
    """Open a file of stimuli, checked to hold square uint8 RGB images for a pool of `pool`, or some of them by id."""
    try:
        file = h5py.File(path, "r")
    except FileNotFoundError as error:
        raise InputError(f"{path}: {ABSENT}") from error
    except OSError as error:
        raise unreadable(path, error, "not a readable HDF5 file; fetch it from the bucket again") from error
    try:
        check_brick_shape(path, file, pool)
    except InputError:
        file.close()
        raise
    return file


def check_brick_shape(path: Path, file: h5py.File, pool: int) -> None:
    """Raise InputError unless `imgBrick` is uint8 (images, S, S, 3), and `nsd_id`, if there, names its rows."""
    brick, ids = file.get("imgBrick"), file.get("nsd_id")
    if not isinstance(brick, h5py.Dataset):
        problem = f"no dataset 'imgBrick' (has {sorted(file)})"
    elif brick.dtype != np.uint8 or brick.ndim != 4 or brick.shape[3] != 3 or brick.shape[1] != brick.shape[2]:
        problem = f"imgBrick is {brick.dtype} {brick.shape}, not uint8 (images, S, S, 3)"
    elif ids is None and brick.shape[0] != pool:
        problem = f"imgBrick has {brick.shape[0]} images, but the design has {pool}"
    elif ids is not None and (ids.shape != brick.shape[:1] or (np.diff(ids[()]) <= 0).any()):
        problem = f"nsd_id {ids.shape} does not name the rows of imgBrick {brick.shape} in ascending order"
    else:
        return
    raise InputError(f"{path}: {problem}; fetch it from the bucket again")


def brick_rows(path: Path, file: h5py.File, images: np.ndarray) -> np.ndarray:
    """Rows of `imgBrick` that hold `images` (ascending ids): the ids themselves in the bucket's own file."""
    if "nsd_id" not in file:
        return images
    rows, found = find_rows(images, file["nsd_id"][()])
    if not found.all():
        raise InputError(f"{path}: lacks {(~found).sum()} of {len(images)} images; delete it and fetch it again")
    return rows


def resize(images: np.ndarray, size: int) -> np.ndarray:
    """Resize uint8 (N, S, S, 3) to (N, size, size, 3): bilinear, antialiased; the same size returns the images."""
    if images.shape[1] == size:
        return images
    import torch
    from torch.nn.functional import interpolate

    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float()
    small = interpolate(pixels, (size, size), mode="bilinear", antialias=True, align_corners=False)
    return small.round_().clamp_(0, 255).to(torch.uint8).permute(0, 2, 3, 1).numpy()
