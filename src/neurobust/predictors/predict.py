"""Responses of a predictor to the images of a subject."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from neurobust.core.correlation import pearson
from neurobust.files.pixels import to_pixels
from neurobust.files.splits import VALIDATION
from neurobust.predictors.data import SubjectData, image_batches
from neurobust.predictors.model import ResponseModel


def predict(
    model: ResponseModel, images: np.ndarray, rows: np.ndarray, subject: str, image_batch: int, device: torch.device
) -> np.ndarray:
    """Responses (len(rows), V) of one subject's voxels, by a model on `device`, to some rows of a uint8 image array.

    The model is in eval mode afterwards.
    """
    model.eval()
    with torch.inference_mode():
        out = [
            model.respond(to_pixels(images[batch], device), subject).float().cpu().numpy()
            for batch in image_batches(rows, image_batch)
        ]
    return np.concatenate(out) if out else np.zeros((0, model.voxels[subject]), np.float32)


def predict_subject(
    model: ResponseModel, data: SubjectData, split: int, image_batch: int, device: torch.device
) -> np.ndarray:
    """Responses (images, V) of one subject's voxels to the images of one split that the subject saw."""
    return predict(model, data.images, data.row[data.rows_of(split)], data.subject, image_batch, device)


def validation_r(
    model: ResponseModel, subjects: Sequence[SubjectData], image_batch: int, device: torch.device
) -> float:
    """Median over the voxels of all subjects of the correlation on validation images."""
    r = [
        pearson(predict_subject(model, data, VALIDATION, image_batch, device), data.responses[data.rows_of(VALIDATION)])
        for data in subjects
    ]
    return float(np.median(np.concatenate(r)))
