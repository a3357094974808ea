"""`cortex/{subject}/{roi}.h5`: the responses of one ROI of one subject, their splits and their noise ceilings."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from neurobust.core.errors import InputError
from neurobust.core.io import Provenance, canonical_json, replacing
from neurobust.core.unreadable import unreadable
from neurobust.files.roi_voxels import UNREADABLE

# In the order in which they are written, so that the same arrays give the same bytes.
DATASETS = (
    "responses", "ncsnr", "single_trials", "trials", "single_trial_nsd_id", "trial_nsd_id", "n_repeats", "nsd_id",
    "split", "voxel_index", "ncsnr_file", "noise_ceiling",
)  # fmt: skip
OPTIONAL = ("trials", "trial_nsd_id")
ATTRIBUTES = ("roi", "subject", "atlas", "labels", "affine", "shape", "provenance")


@dataclass(frozen=True)
class RoiFile:
    """One ROI of one subject: N images, V voxels, T single trials of the test images, U of the others.

    responses are z-scored per session and averaged over repeats; nsd_id and voxel_index ascend; voxel_index is the
    C-order flat index into `shape` (X, Y, Z), which `affine` (4, 4) places in mm; ncsnr is recomputed and ncsnr_file
    the published one, 0 where undefined; noise_ceiling is for the test images' own repeats. `trials` are there with
    `splits.trials: all` alone.
    """

    subject: str
    roi: str
    atlas: str
    labels: tuple[str, ...]
    affine: np.ndarray
    shape: tuple[int, int, int]
    responses: np.ndarray  # float32 (N, V)
    n_repeats: np.ndarray  # int16 (N,)
    nsd_id: np.ndarray  # int64 (N,)
    split: np.ndarray  # uint8 (N,): 0 train, 1 validation, 2 test
    single_trials: np.ndarray  # float32 (T, V)
    single_trial_nsd_id: np.ndarray  # int64 (T,)
    ncsnr: np.ndarray  # float32 (V,)
    ncsnr_file: np.ndarray  # float32 (V,)
    noise_ceiling: np.ndarray  # float32 (V,) percent
    voxel_index: np.ndarray  # int64 (V,)
    provenance: Provenance
    trials: np.ndarray | None = None  # float32 (U, V), in order of time
    trial_nsd_id: np.ndarray | None = None  # int64 (U,)


def roi_path(results: Path | str, subject: str, roi: str) -> Path:
    """Where an ROI of a subject lies."""
    return Path(results) / "cortex" / subject / f"{roi}.h5"


def write_roi(path: Path, found: RoiFile) -> None:
    """Write an ROI, atomically; the same content gives the same bytes."""
    import h5py

    with replacing(path) as temporary, h5py.File(temporary, "w") as file:
        for name in DATASETS:
            values = getattr(found, name)
            if values is not None:
                file[name] = values
        file.attrs.update(
            roi=found.roi, subject=found.subject, atlas=found.atlas, labels=json.dumps(list(found.labels)),
            affine=found.affine, shape=np.array(found.shape), provenance=canonical_json(found.provenance),
        )  # fmt: skip


def read_roi(path: Path, trials: bool = True) -> RoiFile:
    """Read an ROI; `trials=False` leaves the single trials of the other images on the disk.

    Raises InputError for a file that is unreadable or lacks a part.
    """
    import h5py

    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise unreadable(path, error, UNREADABLE) from error
    with file:
        for kind, names, there in (("dataset", DATASETS, file), ("attribute", ATTRIBUTES, file.attrs)):
            missing = [name for name in names if name not in there and name not in OPTIONAL]
            if missing:
                raise InputError(
                    f"{path}: no {kind} '{missing[0]}' (has {sorted(there)}); delete the file and run again"
                )
        wanted = [name for name in DATASETS if name in file and (trials or name not in OPTIONAL)]
        arrays = {name: file[name][()] for name in wanted}
        x, y, z = (int(n) for n in file.attrs["shape"])
        return RoiFile(
            subject=str(file.attrs["subject"]), roi=str(file.attrs["roi"]), atlas=str(file.attrs["atlas"]),
            labels=tuple(json.loads(file.attrs["labels"])), affine=file.attrs["affine"], shape=(x, y, z),
            provenance=json.loads(file.attrs["provenance"]), **arrays,
        )  # fmt: skip


def read_roi_images(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """nsd_id (images,) and split (images,) of an ROI alone; InputError where the file is not that."""
    import h5py

    try:
        with h5py.File(path, "r") as file:
            return file["nsd_id"][()], file["split"][()]
    except (OSError, KeyError) as error:
        raise unreadable(path, error, UNREADABLE) from error


@dataclass(frozen=True)
class RoiSummary:
    """A subject's ROI: its atlas and labels, the split (images,) of its images, and per voxel the signal to noise,
    recomputed and as published, and the noise ceiling in percent, each (voxels,)."""

    atlas: str
    labels: str
    split: np.ndarray
    ncsnr: np.ndarray
    ncsnr_file: np.ndarray
    noise_ceiling: np.ndarray


def read_roi_summary(path: Path) -> RoiSummary:
    """What a page says of an ROI file; InputError where the file is not that."""
    import h5py

    try:
        with h5py.File(path, "r") as file:
            arrays = {name: file[name][:] for name in ("split", "ncsnr", "ncsnr_file", "noise_ceiling")}
            atlas, labels = str(file.attrs.get("atlas", "")), json.loads(file.attrs.get("labels", "[]"))
    except (OSError, KeyError) as error:
        raise unreadable(path, error, UNREADABLE) from error
    text = ", ".join(str(label) for label in labels) if isinstance(labels, list) else canonical_json(labels)
    return RoiSummary(atlas, text, **arrays)
