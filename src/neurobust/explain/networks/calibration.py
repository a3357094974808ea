"""Does a network's confidence tell how often it is right, and what is it under attack?"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from torch import Tensor

from neurobust.core.seeding import numpy_rng


def confidence(logits: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Probability of the answer (n,) and the answer (n,) from logits (n, classes)."""
    most = logits.double().softmax(1).max(1)
    return most.values.cpu().numpy(), most.indices.cpu().numpy()


class Bins(NamedTuple):
    """Equal widths of confidence, those with images alone: mean confidence, share that is right, number of images."""

    confidence: np.ndarray
    accuracy: np.ndarray
    images: np.ndarray


def binned(confidences: np.ndarray, correct: np.ndarray, bins: int) -> Bins:
    """Confidences (n,) in [0, 1] and whether each answer is right (n,), in `bins` of equal width; 1 is in the last."""
    number = np.minimum((confidences * bins).astype(int), bins - 1)
    count = np.bincount(number, minlength=bins)
    said, right = (np.bincount(number, np.asarray(v, float), bins) for v in (confidences, correct))
    there = count > 0
    return Bins(said[there] / count[there], right[there] / count[there], count[there])


def calibration_error(confidences: np.ndarray, correct: np.ndarray, bins: int = 10) -> float:
    """Expected calibration error (Guo et al. 2017): mean over images of |confidence - accuracy| of the image's bin."""
    if not len(confidences):
        return math.nan
    found = binned(confidences, correct, bins)
    return float((found.images * np.abs(found.confidence - found.accuracy)).sum() / found.images.sum())


def chance_error(confidences: np.ndarray, bins: int = 10, draws: int = 200) -> float:
    """The calibration error that so few images give a perfectly calibrated network: mean over draws of its answers."""
    if not len(confidences):
        return math.nan
    drawn = numpy_rng("calibration").random((draws, len(confidences))) < confidences
    number = np.minimum((confidences * bins).astype(int), bins - 1)
    onto = number[:, None] == np.arange(bins)  # (n, bins)
    return float(np.abs((drawn - confidences) @ onto).sum(1).mean() / len(confidences))


class Calibration(NamedTuple):
    """error: the calibration error; beyond: less what chance gives; over: mean confidence less accuracy, above 0 where
    a network thinks too well of itself; mean: mean confidence."""

    error: float
    beyond: float
    over: float
    mean: float


def calibration(confidences: np.ndarray, correct: np.ndarray, bins: int = 10) -> Calibration:
    """Calibration of confidences (n,) and whether each answer is right (n,); an answer without a confidence (NaN) is
    left out."""
    said = np.isfinite(confidences)
    confidences, correct = confidences[said], np.asarray(correct)[said]
    error = calibration_error(confidences, correct, bins)
    mean = float(np.mean(confidences)) if len(confidences) else math.nan
    over = mean - float(np.mean(correct)) if len(confidences) else math.nan
    return Calibration(error, error - chance_error(confidences, bins), over, mean)
