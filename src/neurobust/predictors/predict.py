"""Responses of a predictor to the images of a subject."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from neurobust.files.pixels import to_pixels
from neurobust.files.splits import VALIDATION
from neurobust.predictors.data import SubjectData, image_batches
from neurobust.predictors.evaluate import pearson
from neurobust.predictors.model import ResponseModel


def predict(
    model: ResponseModel, images: np.ndarray, rows: np.ndarray, image_batch: int, device: torch.device
) -> np.ndarray:
    """Responses (len(rows), all voxels) of a model in eval mode to some rows of a uint8 image array."""
    model.eval()
    with torch.inference_mode():
        out = [
            model(to_pixels(images[batch], device)).float().cpu().numpy() for batch in image_batches(rows, image_batch)
        ]
    return np.concatenate(out) if out else np.zeros((0, sum(model.voxels.values())), np.float32)


def predict_subject(
    model: ResponseModel, data: SubjectData, split: int, image_batch: int, device: torch.device
) -> np.ndarray:
    """The columns of one subject's voxels, for the images of one split: (images, V)."""
    predicted = predict(model, data.images, data.row[data.rows_of(split)], image_batch, device)
    return predicted[:, model.columns(data.subject)]


def validation_r(
    model: ResponseModel, subjects: Sequence[SubjectData], image_batch: int, device: torch.device
) -> float:
    """Median over the voxels of all subjects of the correlation on validation images."""
    r = [
        pearson(predict_subject(model, data, VALIDATION, image_batch, device), data.responses[data.rows_of(VALIDATION)])
        for data in subjects
    ]
    return float(np.median(np.concatenate(r)))
