"""Entry point of the stage: fit a predictor, look how good it is, and write it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from torch import nn

from neurobust.core.errors import InputError
from neurobust.core.io import canonical_json, provenance, save_weights, write_json, write_parquet
from neurobust.core.seeding import numpy_rng
from neurobust.core.training import clear_checkpoint
from neurobust.predictors.data import TEST, SubjectData, load_subject
from neurobust.predictors.evaluate import (
    bootstrap_interval,
    explained_fraction,
    fdr_adjust,
    normalise_r,
    pearson,
    permutation_p,
    summarise,
)
from neurobust.predictors.fields import pooling_fields
from neurobust.predictors.fit_features import fit_fwrf, fit_ridge
from neurobust.predictors.fit_gnet import fit_gnet
from neurobust.predictors.fwrf import chosen_fields
from neurobust.predictors.predict import predict_subject
from neurobust.predictors.resnet_pcs import fit_resnet_pcs

FDR = 0.05  # share of false discoveries among the voxels that count as predicted


@dataclass(frozen=True)
class Kind:
    """A kind of predictor: how it is fitted, and how its voxels' fields are read. `target.MODULES` rebuilds it."""

    fit: Callable[..., tuple[nn.Module, dict[str, Any], list[dict]]]
    fields: Callable[[nn.Module, str], np.ndarray] | None = None


PREDICTORS: dict[str, Kind] = {
    "gnet": Kind(fit_gnet, pooling_fields),
    "resnet-pcs": Kind(fit_resnet_pcs),
    "gabor-fwrf": Kind(fit_fwrf, chosen_fields),
    "cnn-fwrf": Kind(fit_fwrf, chosen_fields),
    "ridge": Kind(fit_ridge),
}


def voxel_table(model: nn.Module, kind: Kind, data: SubjectData, image_batch: int = 100) -> pd.DataFrame:
    """One row per voxel of a subject: accuracy on test images, ceilings, and where its field lies (degrees).

    r_low, r_high: 95 % bootstrap interval of r over images; p: of r under permuted images; p_fdr: adjusted for the
    voxels of this ROI and subject. The draws are the same for every predictor and ROI of a subject.
    """
    predicted = predict_subject(model, data, TEST, image_batch, "cpu")
    rows = data.rows_of(TEST)
    trial_row = np.searchsorted(data.nsd_id[rows], data.single_trial_nsd_id)
    measured = data.responses[rows]
    r = pearson(predicted, measured)
    r_low, r_high = bootstrap_interval(predicted, measured, numpy_rng("bootstrap", data.subject))
    p = permutation_p(predicted, measured, numpy_rng("permutation", data.subject))
    fields = kind.fields(model, data.subject) if kind.fields else np.full((data.voxels, 3), np.nan)
    return pd.DataFrame(
        {
            "subject": data.subject,
            "voxel_index": data.voxel_index,
            "r": r,
            "r_single": pearson(predicted[trial_row], data.single_trials),
            "noise_ceiling": data.noise_ceiling,
            "r_normalised": normalise_r(r, data.noise_ceiling),
            "ncsnr": data.ncsnr,
            "field_x": fields[:, 0],
            "field_y": fields[:, 1],
            "field_size": fields[:, 2],
            "fev": explained_fraction(predicted, measured, data.noise_ceiling),
            "r_low": r_low,
            "r_high": r_high,
            "p": p,
            "p_fdr": fdr_adjust(p),
        }
    )


def summarise_table(table: pd.DataFrame) -> dict[str, float | int | None]:
    """The medians of a voxel table, and the share of its voxels above the permutation null (FDR 5 %)."""
    fev = table["fev"].dropna()
    return {
        **summarise(table["r"].to_numpy(), table["noise_ceiling"].to_numpy()),
        "median_fev": float(fev.median()) if len(fev) else None,
        "share_above_null": float((table["p_fdr"] <= FDR).mean()) if len(table) else None,
    }


def train_predictor(
    rois: list[Path], stimuli: list[Path], settings: dict[str, Any], seed: int,
    model: Path, metrics: Path, voxels: Path, checkpoint: Path | None = None,
    voxel_batch: int = 256, image_batch: int = 100,
) -> None:  # fmt: skip
    """Fit one predictor to one ROI of all subjects and write model, metrics and voxel table.

    rois and stimuli: one file per subject, in the same order. `settings["kind"]` is a key of PREDICTORS. The batches
    bound the memory of readout and validation and do not change the result. `settings["shuffle_pairing"]` trains on
    permuted pairs of image and response and tests on the true ones: a predictor that should know nothing.
    """
    if settings["kind"] not in PREDICTORS:
        raise InputError(f"predictor kind {settings['kind']!r} is not one of {sorted(PREDICTORS)}")
    kind = PREDICTORS[settings["kind"]]
    subjects = [load_subject(roi, images) for roi, images in zip(rois, stimuli, strict=True)]
    subjects = [data for data in subjects if data.voxels]
    if not subjects:
        raise InputError(f"{rois[0]}: the ROI has no voxels in any subject; widen its labels or remove it from `rois`")
    sources = {f"roi {path.parent.name}": path for path in rois}
    record = provenance(sources, settings, seed)
    pairs = [data.shuffled(seed) for data in subjects] if settings.get("shuffle_pairing") else subjects
    fitted, config, history = kind.fit(
        settings, pairs, seed, checkpoint, canonical_json(record), voxel_batch=voxel_batch, image_batch=image_batch
    )
    table = pd.concat([voxel_table(fitted, kind, data, image_batch) for data in subjects], ignore_index=True)
    result = {
        "all": summarise_table(table),
        "subjects": {subject: summarise_table(part) for subject, part in table.groupby("subject", sort=True)},
        "history": history,
        "parameters": sum(p.numel() for p in fitted.parameters()),
        "provenance": record,
    }
    save_weights(model, fitted.state_dict(), {"kind": settings["kind"], **config})
    write_parquet(voxels, table, {"provenance": record})
    write_json(metrics, result)
    clear_checkpoint(checkpoint)
