"""From betas.h5 to one file per ROI: responses, splits and noise ceilings.

Apart from `extract`, so that a change here does not make the workflow read the sessions again.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from neurobust.core.errors import InputError
from neurobust.core.io import canonical_json, provenance, replacing
from neurobust.nsd import layout
from neurobust.nsd.design import TEST, TRAIN, image_splits, load_design, repeats_table
from neurobust.nsd.noise import ncsnr, noise_ceiling
from neurobust.nsd.rois import roi_voxels
from neurobust.nsd.spec import check_spec, roi_files
from neurobust.nsd.volumes import Grid, read_grid, read_ncsnr
from neurobust.nsd.zscore import average_repeats, zscore_sessions

logger = logging.getLogger("neurobust")

# How responses are made and kept, not who is in a split; the first is the default.
CHOICES = {"zscore": ("all", "train"), "trials": ("test", "all")}
SPLIT_KEYS = ("test", "validation", "seed", "min_sessions", *CHOICES)


@dataclass(frozen=True)
class Trials:
    """What betas.h5 says about its trials and voxels, and the open dataset of betas."""

    betas: h5py.Dataset
    voxel_index: np.ndarray
    nsd_id: np.ndarray
    session: np.ndarray
    sha256: str


@contextmanager
def open_trials(path: Path, subject: str, grid: Grid) -> Iterator[Trials]:
    """Open betas.h5 of a subject; InputError if it is unreadable, of another subject or of another grid."""
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise InputError(f"{path}: not a readable betas file ({error}); delete it and run again") from error
    with file:
        found = file.attrs.get("subject"), tuple(file.attrs.get("shape", ()))
        if found != (subject, grid.shape):
            raise InputError(f"{path}: holds betas of {found}, not of {subject} {grid.shape}; delete it and run again")
        arrays = (file[name][()] for name in ("voxel_index", "nsd_id", "session"))
        yield Trials(file["betas"], *arrays, file.attrs["sha256"])


def find_columns(path: Path, roi: str, wanted: np.ndarray, present: np.ndarray) -> np.ndarray:
    """Columns of betas.h5 that hold the voxels `wanted`; InputError if one is not there."""
    columns = np.searchsorted(present, wanted)
    found = columns < len(present)
    found[found] = present[columns[found]] == wanted[found]
    if not found.all():
        raise InputError(
            f"{path}: lacks {(~found).sum()} of {len(wanted)} voxels of {roi}; the label volumes changed after it was "
            "written, delete it and run again"
        )
    return columns


def read_columns(dataset: h5py.Dataset, columns: np.ndarray) -> np.ndarray:
    """int16 (trials, columns) for ascending `columns`, reading only the chunks that hold them."""
    width = dataset.chunks[1]
    result = np.empty((dataset.shape[0], len(columns)), np.int16)
    for block in np.unique(columns // width):
        here = np.flatnonzero(columns // width == block)
        result[:, here] = dataset[:, block * width : (block + 1) * width][:, columns[here] - block * width]
    return result


def check_splits(splits: Mapping[str, Any]) -> None:
    """Raise InputError for an unknown key or choice of the splits."""
    for key in splits:
        if key not in SPLIT_KEYS:
            raise InputError(f"splits.{key}: unknown key; known are {', '.join(SPLIT_KEYS)}")
    for key, allowed in CHOICES.items():
        if splits.get(key, allowed[0]) not in allowed:
            raise InputError(f"splits.{key}: '{splits[key]}' is not one of {', '.join(allowed)}")


def extract_roi(
    root: Path,
    betas: Path,
    subject: str,
    roi: str,
    spec: Mapping[str, Any],
    splits: Mapping[str, Any],
    output: Path,
    voxel_batch: int = 2048,
) -> None:
    """Write {roi}.h5: responses (images, voxels) z-scored per session and averaged over repeats, splits and ceilings.

    `spec` is {atlas, labels, hemisphere?, within?, ncsnr_min?}; `splits` is {test: shared | special, validation: share
    of the other images, seed, min_sessions (for special), zscore: all | train (trials that it is fitted on), trials:
    test | all (single trials that are kept beside the averages)}. Reads betas.h5 and small files only; `voxel_batch`
    voxels of all trials are in memory at a time. `ncsnr` is recomputed from all trials by the published algorithm
    whatever `zscore` says; voxels without one get 0. An ROI that the subject lacks has 0 voxels.
    """
    check_spec(roi, spec)
    check_splits(splits)
    design, grid = load_design(root), read_grid(root, subject)
    ncsnr_path = layout.ncsnr(root, subject)
    published = read_ncsnr(ncsnr_path, grid).ravel()
    voxel_index = roi_voxels(root, subject, roi, spec, grid, published)
    if not len(voxel_index):
        logger.warning("%s: %s has no voxels of %s %s", subject, roi, spec["atlas"], list(spec["labels"]))
    with open_trials(betas, subject, grid) as trials:
        columns = find_columns(betas, roi, voxel_index, trials.voxel_index)
        images, counts, table = repeats_table(trials.nsd_id)
        fit_on = splits.get("zscore", "all")
        split = image_splits(design, images, **{k: v for k, v in splits.items() if k not in CHOICES})
        trial_split = split[np.searchsorted(images, trials.nsd_id)]
        if not (split == TEST).any():
            raise InputError(f"splits.test: {subject} saw no '{splits.get('test', 'shared')}' image in its sessions")
        kept = {"single_trial": np.flatnonzero(trial_split == TEST)}
        if splits.get("trials") == "all":
            kept["trial"] = np.flatnonzero(trial_split != TEST)
        arrays = compute_responses(trials, columns, table, trial_split, fit_on == "train", kept, voxel_batch)
        digest = trials.sha256
    arrays |= {f"{name}_nsd_id": trials.nsd_id[rows] for name, rows in kept.items()} | {
        "n_repeats": counts, "nsd_id": images, "split": split, "voxel_index": voxel_index,
        "ncsnr_file": np.nan_to_num(published[voxel_index]).astype(np.float32),
        "noise_ceiling": noise_ceiling(arrays["ncsnr"], np.bincount(counts[split == TEST])[1:]).astype(np.float32),
    }  # fmt: skip
    sources = roi_files(root, subject, spec) | {"design": layout.expdesign(root), "ncsnr": ncsnr_path}
    record = provenance(sources, {"subject": subject, "roi": roi, "spec": dict(spec), "splits": dict(splits)})
    record["inputs"]["betas"] = {"file": Path(betas).name, "sha256_of_arrays": digest}
    with replacing(output) as temporary, h5py.File(temporary, "w") as file:
        for name, values in arrays.items():
            file[name] = values
        file.attrs.update(
            roi=roi, subject=subject, atlas=spec["atlas"], labels=json.dumps([str(name) for name in spec["labels"]]),
            affine=grid.affine, shape=np.array(grid.shape), provenance=canonical_json(record),
        )  # fmt: skip


def compute_responses(
    trials: Trials, columns: np.ndarray, table: np.ndarray, trial_split: np.ndarray, train_only: bool,
    kept: Mapping[str, np.ndarray], voxel_batch: int,
) -> dict[str, np.ndarray]:  # fmt: skip
    """`responses` (images, voxels), `ncsnr` (voxels,) and, for each name in `kept`, the trials of its rows as
    `{name}s` (rows, voxels), all float32."""
    fit = trial_split == TRAIN if train_only else None
    responses = np.empty((len(table), len(columns)), np.float32)
    single = {f"{name}s": np.empty((len(rows), len(columns)), np.float32) for name, rows in kept.items()}
    ratio = np.empty(len(columns), np.float32)
    for start in range(0, len(columns), voxel_batch):
        batch = slice(start, start + voxel_batch)
        raw = read_columns(trials.betas, columns[batch])
        scores = zscore_sessions(raw, trials.session)
        ratio[batch] = np.nan_to_num(ncsnr(scores, table))
        if fit is not None:
            scores = zscore_sessions(raw, trials.session, fit)
        responses[:, batch] = average_repeats(scores, table)
        for array, rows in zip(single.values(), kept.values(), strict=True):
            array[:, batch] = np.nan_to_num(scores[rows])
    return {"responses": responses, "ncsnr": ratio, **single}
