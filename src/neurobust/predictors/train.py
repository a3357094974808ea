"""Entry point of the stage: fit a predictor, look how good it is, and write it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd
import torch

from neurobust.core.correlation import pearson
from neurobust.core.errors import InputError
from neurobust.core.false_discovery import false_discovery
from neurobust.core.io import canonical_json, provenance, save_weights
from neurobust.core.places import load
from neurobust.core.seeding import numpy_rng
from neurobust.core.settings import written
from neurobust.core.training import clear_checkpoint
from neurobust.files.predictor_tables import (
    PredictorMetrics,
    Summary,
    are_predicted,
    write_predictor_metrics,
    write_voxels,
)
from neurobust.files.splits import TEST
from neurobust.predictors.checks import check_test_images, checked_subjects
from neurobust.predictors.data import SubjectData, load_subject
from neurobust.predictors.description import Predictor
from neurobust.predictors.evaluate import (
    bootstrap_interval,
    explained_fraction,
    normalise_r,
    permutation_p,
    summarise,
)
from neurobust.predictors.fitting import FitContext, Fitted
from neurobust.predictors.model import ResponseModel
from neurobust.predictors.predict import predict_subject

Fields = Callable[[ResponseModel, str], np.ndarray | None]


@dataclass(frozen=True)
class Outputs:
    """The files that a training writes, and its checkpoint (None: it keeps none)."""

    model: Path
    metrics: Path
    voxels: Path
    checkpoint: Path | None = None


def voxel_table(predicted: np.ndarray, looks: np.ndarray | None, data: SubjectData) -> pd.DataFrame:
    """One row per voxel of a subject: accuracy on test images, ceilings, and where its field lies (degrees).

    r_low, r_high: 95 % bootstrap interval of r over images; p: of r under permuted images; p_fdr: adjusted for the
    voxels of this ROI and subject. The draws are the same for every predictor and ROI of a subject. predicted:
    responses (n, V) to the test images; looks: where each voxel looks, (V, 3) of x, y and size in degrees, None where
    a kind cannot say.
    """
    rows = data.rows_of(TEST)
    trial_row = np.searchsorted(data.nsd_id[rows], data.single_trial_nsd_id)
    measured = data.responses[rows]
    r = pearson(predicted, measured)
    r_low, r_high = bootstrap_interval(predicted, measured, numpy_rng("bootstrap", data.subject))
    p = permutation_p(predicted, measured, numpy_rng("permutation", data.subject))
    looks = np.full((data.voxels, 3), np.nan) if looks is None else looks
    return pd.DataFrame(
        {
            "subject": data.subject,
            "voxel_index": data.voxel_index,
            "r": r,
            "r_single": pearson(predicted[trial_row], data.single_trials),
            "noise_ceiling": data.noise_ceiling,
            "r_normalised": normalise_r(r, data.noise_ceiling),
            "ncsnr": data.ncsnr,
            "field_x": looks[:, 0],
            "field_y": looks[:, 1],
            "field_size": looks[:, 2],
            "fev": explained_fraction(predicted, measured, data.noise_ceiling),
            "r_low": r_low,
            "r_high": r_high,
            "p": p,
            "p_fdr": false_discovery(p),
        }
    )


def accuracy_table(settings: Predictor, model: ResponseModel, context: FitContext) -> pd.DataFrame:
    """The voxel tables of all subjects, one below the other; the predictions are made on the context's device."""
    model.to(context.device)
    predicted = [
        predict_subject(model, data, TEST, context.image_batch, context.device) for data in context.subjects
    ]  # fmt: skip
    model.cpu()
    fields = cast(Fields, load(settings.fields)) if settings.fields else None
    parts = [
        voxel_table(values, fields(model, data.subject) if fields else None, data)
        for values, data in zip(predicted, context.subjects, strict=True)
    ]
    return pd.concat(parts, ignore_index=True)


def summarise_table(table: pd.DataFrame) -> Summary:
    """The medians of a voxel table, and the share of its voxels above the permutation null (FDR 5 %)."""
    fev = table["fev"].dropna()
    return {
        **summarise(table["r"].to_numpy(), table["noise_ceiling"].to_numpy()),
        "median_fev": float(fev.median()) if len(fev) else None,
        "share_above_null": float(are_predicted(table).mean()) if len(table) else None,
    }


def fit_kind(settings: Predictor, context: FitContext) -> Fitted:
    """Fit a predictor of any kind; with `settings.shuffle_pairing` to permuted pairs of image and response.

    Raises InputError for data that cannot be fitted (`checks.checked_subjects`) and for weights that are not finite.
    """
    fit = cast(Callable[[Predictor, FitContext], Fitted], load(settings.fit))
    context = replace(context, subjects=checked_subjects(context.subjects, settings.input_size))
    if settings.shuffle_pairing:
        context = replace(context, subjects=[data.shuffled(context.seed) for data in context.subjects])
    fitted = fit(settings, context)
    for name, value in fitted.model.state_dict().items():
        if value.is_floating_point() and not torch.isfinite(value).all():
            raise InputError(f"{settings.kind}: fitted {name} is not finite; look at the scale of responses and images")
    return fitted


def train_predictor(
    rois: Sequence[Path], stimuli: Sequence[Path], settings: Predictor, seed: int, outputs: Outputs,
    voxel_batch: int = 256, image_batch: int = 100,
) -> None:  # fmt: skip
    """Fit one predictor to one ROI of all subjects and write model, metrics and voxel table.

    rois and stimuli: one file per subject, in the same order. The batches bound the memory of readout and validation
    and do not change the result. A predictor of shuffled pairs is tested on the true ones: it should know nothing.
    Raises InputError where no subject has a voxel of the ROI.
    """
    subjects = [load_subject(roi, images) for roi, images in zip(rois, stimuli, strict=True)]
    subjects = [data for data in subjects if data.voxels]
    for data in subjects:
        check_test_images(data)
    if not subjects:
        raise InputError(f"{rois[0]}: the ROI has no voxels in any subject; widen its labels or remove it from `rois`")
    record = provenance({f"roi {path.parent.name}": path for path in rois}, written(settings), seed)
    context = FitContext(subjects, seed, outputs.checkpoint, canonical_json(record), voxel_batch, image_batch)
    fitted = fit_kind(settings, context)
    table = accuracy_table(settings, fitted.model, context)
    metrics = PredictorMetrics(
        over_all=summarise_table(table),
        subjects={str(subject): summarise_table(part) for subject, part in table.groupby("subject", sort=True)},
        history=fitted.history,
        parameters=sum(p.numel() for p in fitted.model.parameters()),
        provenance=record,
    )
    save_weights(outputs.model, fitted.model.state_dict(), {"kind": settings.kind, **fitted.config})
    write_voxels(outputs.voxels, table, record)
    write_predictor_metrics(outputs.metrics, metrics)
    clear_checkpoint(outputs.checkpoint)
