"""From betas.h5 to one file per ROI: responses, splits and noise ceilings.

Apart from `extract`, so that a change here does not make the workflow read the sessions again.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from neurobust.core.errors import InputError
from neurobust.core.io import provenance
from neurobust.core.settings import written
from neurobust.files.betas import BetasFile, open_betas
from neurobust.files.lookup import find_rows
from neurobust.files.roi import RoiFile, write_roi
from neurobust.nsd import layout
from neurobust.nsd.design import load_design, repeats_table
from neurobust.nsd.held_out import TEST, TRAIN, image_splits
from neurobust.nsd.layout import Root
from neurobust.nsd.noise import ncsnr, noise_ceiling
from neurobust.nsd.regions import roi_files
from neurobust.nsd.rois import roi_voxels
from neurobust.nsd.settings import ROI, StudySplits
from neurobust.nsd.volumes import Grid, read_grid, read_ncsnr
from neurobust.nsd.zscore import average_repeats, zscore_sessions

logger = logging.getLogger("neurobust")


@contextmanager
def open_trials(path: Path, subject: str, grid: Grid) -> Iterator[BetasFile]:
    """Open betas.h5 of a subject; InputError if it is unreadable, of another subject or of another grid."""
    with open_betas(path) as trials:
        found = trials.subject, trials.shape
        if found != (subject, grid.shape):
            raise InputError(f"{path}: holds betas of {found}, not of {subject} {grid.shape}; delete it and run again")
        if not np.allclose(trials.affine, grid.affine, atol=1e-3):
            raise InputError(f"{path}: its voxels lie elsewhere than the brain mask's; delete it and run again")
        yield trials


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
    recomputed from all trials by the published algorithm whatever `splits.zscore` says; voxels without one get 0. An
    ROI that the subject lacks has 0 voxels.
    """
    design, grid = load_design(root), read_grid(root, subject)
    ncsnr_path = layout.ncsnr(root, subject)
    published = read_ncsnr(ncsnr_path, grid).ravel()
    voxel_index = roi_voxels(root, subject, spec, grid, published)
    if not len(voxel_index):
        logger.warning("%s: %s has no voxels of %s %s", subject, roi, spec.atlas, list(spec.labels))
    with open_trials(betas, subject, grid) as trials:
        columns = find_columns(betas, roi, voxel_index, trials.voxel_index)
        images, counts, table = repeats_table(trials.nsd_id)
        split = image_splits(design, images, splits)
        trial_split = split[np.searchsorted(images, trials.nsd_id)]
        if not (split == TEST).any():
            raise InputError(
                f"splits.test: {subject} saw no '{splits.test}' image in its sessions; give it more sessions"
            )
        kept = {"single_trial": np.flatnonzero(trial_split == TEST)}
        if splits.trials == "all":
            kept["trial"] = np.flatnonzero(trial_split != TEST)
        fit = trial_split == TRAIN if splits.zscore == "train" else None
        arrays = compute_responses(trials, columns, table, fit, kept, voxel_batch)
        arrays |= {f"{name}_nsd_id": trials.nsd_id[rows] for name, rows in kept.items()}
        digest = trials.sha256
    ceiling = noise_ceiling(arrays["ncsnr"], np.bincount(counts[split == TEST])[1:])
    sources = roi_files(root, subject, spec) | {"design": layout.expdesign(root), "ncsnr": ncsnr_path}
    params = {"subject": subject, "roi": roi, "spec": written(spec), "splits": written(splits)}
    record = provenance(sources, params)
    record["inputs"]["betas"] = {"file": Path(betas).name, "sha256_of_arrays": digest}
    write_roi(output, RoiFile(
        subject=subject, roi=roi, atlas=spec.atlas, labels=spec.labels, affine=grid.affine, shape=grid.shape,
        n_repeats=counts, nsd_id=images, split=split, voxel_index=voxel_index,
        ncsnr_file=np.nan_to_num(published[voxel_index]).astype(np.float32),
        noise_ceiling=ceiling.astype(np.float32), provenance=record, **arrays,
    ))  # fmt: skip


def compute_responses(
    trials: BetasFile, columns: np.ndarray, table: np.ndarray, fit: np.ndarray | None,
    kept: Mapping[str, np.ndarray], voxel_batch: int,
) -> dict[str, np.ndarray]:  # fmt: skip
    """`responses` (images, voxels), `ncsnr` (voxels,) and, for each name in `kept`, the trials of its rows as
    `{name}s` (rows, voxels), all float32.

    `fit` (trials,) bool chooses the trials that the z-scores are fitted on; None: all.
    """
    responses = np.empty((len(table), len(columns)), np.float32)
    single = {f"{name}s": np.empty((len(rows), len(columns)), np.float32) for name, rows in kept.items()}
    ratio = np.empty(len(columns), np.float32)
    for start in range(0, len(columns), voxel_batch):
        batch = slice(start, start + voxel_batch)
        raw = trials.columns(columns[batch])
        scores = zscore_sessions(raw, trials.session)
        ratio[batch] = np.nan_to_num(ncsnr(scores, table))
        if fit is not None:
            scores = zscore_sessions(raw, trials.session, fit)
        responses[:, batch] = average_repeats(scores, table)
        for array, rows in zip(single.values(), kept.values(), strict=True):
            array[:, batch] = np.nan_to_num(scores[rows])
    return {"responses": responses, "ncsnr": ratio, **single}
