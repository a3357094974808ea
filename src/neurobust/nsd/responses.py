"""From betas.h5 to one file per ROI: responses, splits and noise ceilings.

Apart from `extract`, so that a change here does not make the workflow read the sessions again.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from neurobust.core.errors import InputError
from neurobust.core.io import provenance
from neurobust.core.settings import written
from neurobust.files.betas import BetasFile, open_betas
from neurobust.files.lookup import find_rows
from neurobust.files.roi import RoiFile, write_roi
from neurobust.files.splits import TEST, TRAIN, VALIDATION
from neurobust.nsd import layout
from neurobust.nsd.design import Design, load_design, repeats_table
from neurobust.nsd.header import same_place
from neurobust.nsd.held_out import image_splits, used_trials
from neurobust.nsd.layout import Root
from neurobust.nsd.noise import ncsnr, noise_ceiling
from neurobust.nsd.regions import roi_files
from neurobust.nsd.rois import roi_voxels
from neurobust.nsd.settings import ROI, StudySplits
from neurobust.nsd.volumes import Grid, read_grid, read_ncsnr
from neurobust.nsd.zscore import average_repeats, zscore_sessions

logger = logging.getLogger("neurobust")

UNUSED = 255  # beside TRAIN, VALIDATION and TEST: the split of a trial that is left out


@contextmanager
def open_trials(root: Root, path: Path, subject: str) -> Iterator[tuple[BetasFile, Grid]]:
    """Open betas.h5 of a subject, and the grid of the space that they are in; InputError if the file is unreadable, of
    another subject or of another grid."""
    with open_betas(path) as trials:
        prepared = trials.space, trials.version
        if trials.space not in layout.SPACES or trials.version not in layout.VERSIONS:
            raise InputError(f"{path}: holds betas of {prepared}, no preparation of NSD's; delete it and run again")
        grid = read_grid(root, subject, trials.space)
        found = trials.subject, trials.shape
        if found != (subject, grid.shape):
            raise InputError(f"{path}: holds betas of {found}, not of {subject} {grid.shape}; delete it and run again")
        if not same_place(trials.affine, grid.affine):
            raise InputError(f"{path}: its voxels lie elsewhere than the brain mask's; delete it and run again")
        yield trials, grid


def find_columns(path: Path, roi: str, wanted: np.ndarray, present: np.ndarray) -> np.ndarray:
    """Columns of betas.h5 that hold the voxels `wanted`; InputError if one is not there."""
    columns, found = find_rows(wanted, present)
    if not found.all():
        raise InputError(
            f"{path}: lacks {(~found).sum()} of {len(wanted)} voxels of {roi}; the label volumes changed after it was "
            "written, delete it and run again"
        )
    return columns


def extract_roi(
    root: Root,
    betas: Path,
    subject: str,
    roi: str,
    spec: ROI,
    splits: StudySplits,
    output: Path,
    voxel_batch: int = 2048,
) -> None:
    """Write {roi}.h5: responses (images, voxels) z-scored per session and averaged over repeats, splits and ceilings.

    Reads betas.h5 and small files only; `voxel_batch` voxels of all trials are in memory at a time. `ncsnr` is
    recomputed from all trials by the published algorithm whatever `splits` says; voxels without one get 0. An ROI that
    the subject lacks has 0 voxels.
    """
    design = load_design(root)
    with open_trials(root, betas, subject) as (trials, grid):
        prepared = layout.Preparation(trials.space, trials.version)
        ncsnr_path = layout.ncsnr(root, subject, prepared)
        published = read_ncsnr(ncsnr_path, grid).ravel()
        voxel_index = roi_voxels(root, subject, spec, grid, published)
        if not len(voxel_index):
            logger.warning("%s: %s has no voxels of %s %s", subject, roi, spec.atlas, list(spec.labels))
        columns = find_columns(betas, roi, voxel_index, trials.voxel_index)
        shown = shown_images(design, trials, subject, splits)
        arrays = compute_responses(trials, columns, shown, splits, voxel_batch)
        digest = trials.sha256
    ceiling = noise_ceiling(arrays["ncsnr"], np.bincount(shown.counts[shown.split == TEST])[1:])
    sources = roi_files(root, subject, spec, grid.space) | {"design": layout.expdesign(root), "ncsnr": ncsnr_path}
    params = {"subject": subject, "roi": roi, "spec": written(spec), "splits": written(splits), **asdict(prepared)}
    record = provenance(sources, params)
    record["inputs"]["betas"] = {"file": Path(betas).name, "sha256_of_arrays": digest}
    write_roi(output, RoiFile(
        subject=subject, roi=roi, atlas=spec.atlas, labels=spec.labels, affine=grid.affine, shape=grid.shape,
        n_repeats=shown.counts, nsd_id=shown.images, split=shown.split, voxel_index=voxel_index,
        ncsnr_file=np.nan_to_num(published[voxel_index]).astype(np.float32),
        noise_ceiling=ceiling.astype(np.float32), provenance=record, **arrays,
    ))  # fmt: skip


@dataclass(frozen=True)
class Shown:
    """The images of the trials that a split uses: images, counts, split (images,), table (images, most) of their
    trials (rows of betas.h5), and trial_split (all trials,), UNUSED where a trial is left out."""

    images: np.ndarray
    counts: np.ndarray
    split: np.ndarray
    table: np.ndarray
    trial_split: np.ndarray


def shown_images(design: Design, trials: BetasFile, subject: str, splits: StudySplits) -> Shown:
    """What a subject was shown, as its splits take it; InputError where none of it is for testing."""
    used = np.flatnonzero(used_trials(design, trials.nsd_id, trials.session, splits))
    images, counts, table = repeats_table(trials.nsd_id[used])
    split = image_splits(design, images, splits)
    if not (split == TEST).any():
        raise InputError(f"splits.test: {subject} saw no '{splits.test}' image in its sessions; give it more sessions")
    trial_split = np.full(len(trials.nsd_id), UNUSED, np.uint8)
    trial_split[used] = split[np.searchsorted(images, trials.nsd_id[used])]
    return Shown(images, counts, split, np.where(table >= 0, used[table], -1), trial_split)


def compute_responses(
    trials: BetasFile, columns: np.ndarray, shown: Shown, splits: StudySplits, voxel_batch: int
) -> dict[str, np.ndarray]:
    """`responses` (images, voxels), `ncsnr` (voxels,), and the z-scored trials of test images, `single_trials` (rows,
    voxels), all float32, with `single_trial_nsd_id`; of the other used ones `trials` where splits ask for them.
    """
    kept = {"single_trial": np.flatnonzero(shown.trial_split == TEST)}
    if splits.trials == "all":
        kept["trial"] = np.flatnonzero(np.isin(shown.trial_split, (TRAIN, VALIDATION)))
    # Trials of training images, also those that are left out: the last sessions of `algonauts` have no others.
    training = np.isin(trials.nsd_id, shown.images[shown.split == TRAIN])
    fit = training if splits.zscore == "train" else None
    every = repeats_table(trials.nsd_id)[2]
    responses = np.empty((len(shown.table), len(columns)), np.float32)
    single = {f"{name}s": np.empty((len(rows), len(columns)), np.float32) for name, rows in kept.items()}
    ratio = np.empty(len(columns), np.float32)
    for start in range(0, len(columns), voxel_batch):
        batch = slice(start, start + voxel_batch)
        raw = trials.columns(columns[batch])
        scores = zscore_sessions(raw, trials.session)
        ratio[batch] = np.nan_to_num(ncsnr(scores, every))
        if fit is not None:
            scores = zscore_sessions(raw, trials.session, fit)
        responses[:, batch] = average_repeats(scores, shown.table)
        for array, rows in zip(single.values(), kept.values(), strict=True):
            array[:, batch] = np.nan_to_num(scores[rows])
    ids = {f"{name}_nsd_id": trials.nsd_id[rows] for name, rows in kept.items()}
    return {"responses": responses, "ncsnr": ratio, **single, **ids}
