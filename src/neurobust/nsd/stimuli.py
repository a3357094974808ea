"""The images that a subject saw, resized once."""

from __future__ import annotations

import hashlib
from pathlib import Path

import h5py
import numpy as np

from neurobust.errors import InputError
from neurobust.io import canonical_json, provenance, replacing
from neurobust.nsd import layout
from neurobust.nsd.design import load_design
from neurobust.progress import Progress


def build_stimuli(root: Path, subject: str, n_sessions: int, size: int, output: Path, image_batch: int = 256) -> None:
    """Write `images` uint8 (images, size, size, 3), contiguous, and `nsd_id` (ascending) of what a subject saw.

    `root` is the bucket's mirror; `image_batch` source images are in memory at a time. Raises InputError for an
    `imgBrick` of the wrong shape, dtype or length.
    """
    design = load_design(root)
    images = np.unique(design.nsd_ids(subject, n_sessions))
    path = layout.stimuli(root)
    progress = Progress(len(images), f"{subject} stimuli {size} px")
    with open_brick(path, design.pool) as source, replacing(output) as temporary, h5py.File(temporary, "w") as file:
        brick, digest = source["imgBrick"], hashlib.sha256()
        target = file.create_dataset("images", (len(images), size, size, 3), np.uint8)
        for start in range(0, len(images), image_batch):
            rows = images[start : start + image_batch]
            batch = np.stack([brick[row] for row in rows])
            digest.update(batch)
            target[start : start + len(rows)] = resize(batch, size)
            progress.step(len(rows))
        file["nsd_id"] = images.astype(np.int64)
        # Hashing what was read, not the 40 GB file.
        record = provenance(
            {"design": layout.expdesign(root)}, {"subject": subject, "n_sessions": n_sessions, "size": size}
        )
        record["inputs"]["images"] = {"file": path.name, "sha256_of_rows": digest.hexdigest()}
        file.attrs["provenance"] = canonical_json(record)


def open_brick(path: Path, pool: int) -> h5py.File:
    """Open nsd_stimuli.hdf5, checked to hold square uint8 RGB images for a pool of `pool`."""
    try:
        file = h5py.File(path, "r")
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file; copy it from the bucket") from error
    except OSError as error:
        raise InputError(f"{path}: not a readable HDF5 file ({error}); copy it from the bucket again") from error
    brick = file.get("imgBrick")
    if brick is None:
        problem = f"no dataset 'imgBrick' (has {sorted(file)})"
    elif brick.dtype != np.uint8 or brick.ndim != 4 or brick.shape[3] != 3 or brick.shape[1] != brick.shape[2]:
        problem = f"imgBrick is {brick.dtype} {brick.shape}, not uint8 (images, S, S, 3)"
    elif brick.shape[0] != pool:
        problem = f"imgBrick has {brick.shape[0]} images, but the design has {pool}"
    else:
        return file
    file.close()
    raise InputError(f"{path}: {problem}; copy it from the bucket again")


def resize(images: np.ndarray, size: int) -> np.ndarray:
    """Resize uint8 (N, S, S, 3) to (N, size, size, 3): bilinear, antialiased; the same size returns the images."""
    if images.shape[1] == size:
        return images
    import torch
    from torch.nn.functional import interpolate

    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float()
    small = interpolate(pixels, (size, size), mode="bilinear", antialias=True, align_corners=False)
    return small.round_().clamp_(0, 255).to(torch.uint8).permute(0, 2, 3, 1).numpy()
