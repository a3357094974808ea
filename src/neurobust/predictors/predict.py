"""Responses of a predictor to the images of a subject."""

from __future__ import annotations

import numpy as np
import torch

from neurobust.predictors.data import VALIDATION, SubjectData, to_float
from neurobust.predictors.evaluate import pearson


def predict(model: torch.nn.Module, images: np.ndarray, rows: np.ndarray, image_batch: int, device) -> np.ndarray:
    """Responses (len(rows), all voxels) of a model in eval mode to some rows of a uint8 image array."""
    model.eval()
    out = []
    with torch.inference_mode():
        for start in range(0, len(rows), image_batch):
            out.append(model(to_float(images[rows[start : start + image_batch]], device)).float().cpu().numpy())
    return np.concatenate(out) if out else np.zeros((0, sum(model.voxels.values())), np.float32)


def predict_subject(model: torch.nn.Module, data: SubjectData, split: int, image_batch: int, device) -> np.ndarray:
    """The columns of one subject's voxels, for the images of one split: (images, V)."""
    subjects = list(model.voxels)
    start = sum(model.voxels[s] for s in subjects[: subjects.index(data.subject)])
    predicted = predict(model, data.images, data.row[data.rows_of(split)], image_batch, device)
    return predicted[:, start : start + data.voxels]


def validation_r(model: torch.nn.Module, subjects: list[SubjectData], image_batch: int, device) -> float:
    """Median over the voxels of all subjects of the correlation on validation images."""
    r = [
        pearson(predict_subject(model, data, VALIDATION, image_batch, device), data.responses[data.rows_of(VALIDATION)])
        for data in subjects
    ]
    return float(np.median(np.concatenate(r)))
