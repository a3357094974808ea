"""Is the data good enough? Rows of the tables `sessions` and `coverage`, from what the gate and extraction wrote."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from neurobust.files.predictor_tables import LEAST_CEILING, ReadVoxels, read_voxels, voxels_path
from neurobust.files.quality import quality_path, read_quality
from neurobust.files.roi import roi_path
from neurobust.files.roi_voxels import RoiVoxels, read_roi_voxels
from neurobust.report.blocks import Row, number
from neurobust.report.predicted import count_predicted
from neurobust.study.model import Study

FEWEST = 3  # voxels for a correlation over them


def session_rows(results: Path, subject: str) -> list[Row]:
    """What the gate found of each session; nothing where it did not look, or an earlier version wrote its file.

    relative_scale: the session's scale in that of the median one.
    """
    path = quality_path(results, subject)
    found = read_quality(path).by_session if path.exists() else ()
    scales = np.array([number(each.scale) for each in found])
    typical = np.nanmedian(scales) if np.isfinite(scales).any() else np.nan
    return [
        {"subject": subject, "session": each.session, "mean": number(each.mean), "scale": scale}
        | {"relative_scale": scale / typical, "mean_r": number(each.mean_r), "repeats_r": number(each.repeats_r)}
        for each, scale in zip(found, scales, strict=True)
    ]


def coverage_rows(study: Study, roi: str, subject: str, read: ReadVoxels = read_voxels) -> list[Row]:
    """How many voxels a subject's ROI has, how many are kept, why the others are not, and how many are predicted by the
    first predictor seed; nothing where the subject lacks the ROI."""
    path = roi_path(study.root, subject, roi)
    if not path.exists():
        return []
    voxels = read(voxels_path(study.root, study.predictor, roi, study.predictor_seeds[0]))
    found = read_roi_voxels(path)
    return [
        {"roi": roi, "subject": subject, **counts(found), "ncsnr_r": ncsnr_agreement(found)}
        | predicted(voxels[voxels["subject"] == subject])
    ]


def counts(found: RoiVoxels) -> Row:
    """Where an ROI's voxels lie and what keeps them out: `n_voxels` is `n_undefined` (nothing repeats) + `n_low` (a
    ceiling below LEAST_CEILING percent) + `n_kept`; `n_edge` of them lie in the outermost layer of the volume."""
    kept = found.noise_ceiling >= LEAST_CEILING
    undefined = ~kept & ~(found.ncsnr > 0)
    return {
        "grid": " x ".join(map(str, found.shape)), "n_slices": len(np.unique(found.places[2])),
        "n_voxels": len(found.voxel_index), "n_edge": int(at_edge(found).sum()), "n_undefined": int(undefined.sum()),
        "n_low": int((~kept & ~undefined).sum()), "n_kept": int(kept.sum()),
    }  # fmt: skip


def at_edge(found: RoiVoxels) -> np.ndarray:
    """(voxels,) bool: whether a voxel lies in the outermost layer of the volume, where the brain may go on."""
    last = np.array(found.shape)[:, None] - 1
    return ((found.places == 0) | (found.places == last)).any(0)


def ncsnr_agreement(found: RoiVoxels) -> float:
    """Correlation over voxels of the recomputed and the published ncsnr; NaN for a few voxels or a constant one."""
    pair = np.stack([found.ncsnr, found.ncsnr_file]).astype(float)
    pair = pair[:, np.isfinite(pair).all(0)]
    if pair.shape[1] < FEWEST or not (np.ptp(pair, axis=1) > 0).all():
        return float("nan")
    return float(np.corrcoef(pair)[0, 1])


def predicted(voxels: pd.DataFrame) -> Row:
    """Of a predictor's voxels: those that it predicts (permutation test, corrected for their number; NaN where that was
    not asked), those above their ceiling, and those with a negative correlation."""
    return {
        "n_predicted": count_predicted(voxels),
        "n_above": int((voxels["r_normalised"] > 1).sum()), "n_negative": int((voxels["r"] < 0).sum()),
    }  # fmt: skip
