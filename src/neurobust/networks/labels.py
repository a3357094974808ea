"""The control `labels`: is it the brain, or are these just more labels?

Its target is what the images' categories evoke in random tunings, plus noise: as many columns as the ROI has voxels,
the ROI target's mean and covariance, and its share of variance that categories leave unexplained, all exactly so over
the training images. Every pattern of the target over the images that can carry categories carries them equally purely.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from neurobust.core.errors import InputError
from neurobust.core.seeding import numpy_rng
from neurobust.files.splits import TRAIN
from neurobust.networks.controls import Respond, Setting
from neurobust.networks.moments import ROWS, principal


def labelled(setting: Setting) -> Respond:
    """Responses to each image's categories, fixed per image."""
    assert setting.wanted is not None, "a control with moments is given the target that it stands in for"
    pictures = setting.dataset
    table = label_responses(pictures.categories, pictures.rows(TRAIN), setting.wanted, *setting.stream("labels"))
    drawn = torch.from_numpy(table)
    return lambda pixels, rows: drawn[torch.from_numpy(rows)].to(pixels.device)


def category_axes(categories: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean (C,) of categories (N, C) over n of their `rows`, weights (C, r) and SD (r,) of their principal patterns.

    (categories - mean) @ weights has orthonormal columns over these rows.
    """
    mean, spread, axes = principal(categories[rows].astype(np.float64))
    return mean, axes / (spread * np.sqrt(len(rows))), spread


def explained(responses: np.ndarray, categories: np.ndarray) -> float:
    """Share of the variance of responses (n, D), over all columns, that a linear regression on categories (n, C) gets.

    With one category for each image it is the share between categories; 1 minus it is the share within them.
    """
    mean, weights, _ = category_axes(categories, np.arange(len(categories)))
    patterns = (categories - mean) @ weights
    centre = responses.mean(0, dtype=np.float64)
    total, slope = 0.0, np.zeros((patterns.shape[1], responses.shape[1]))
    for part in _blocks(len(responses)):
        centred = responses[part] - centre
        total += float(np.square(centred).sum())
        slope += patterns[part].T @ centred
    return float(np.square(slope).sum()) / total if total > 0 else 0.0


def label_responses(categories: np.ndarray, rows: np.ndarray, wanted: np.ndarray, *stream: object) -> np.ndarray:
    """Float32 (N, K): what the categories (N, C) of images evoke, as principal components of the target `wanted`.

    `wanted` (n, D) are the target's responses to the n training images, which are `rows`. Column k varies as the
    target's k-th component does, and columns are uncorrelated over these rows. With c^2 the share of category in each
    of the first r columns (r: as many patterns as categories and columns allow), the target's explained variance is
    c^2 times the variance of these columns; r leading components hold at least as much as any regression of rank r
    gets, so c <= 1. Raises InputError where there are too few training images for so many categories.
    """
    rng = numpy_rng(*stream)
    mean, weights, spread = category_axes(categories, rows)
    tunings = rng.standard_normal((len(spread), wanted.shape[1]))
    mixed, _, _ = np.linalg.svd(spread[:, None] * tunings, full_matrices=False)  # patterns of the tuned categories
    _, sizes, _ = principal(wanted)
    room = len(rows) - 1 - len(spread)  # dimensions that are left for noise
    sizes = sizes[: max(room, 0)]
    if len(sizes) == 0:
        raise InputError(
            f"recipe.condition.control: 'labels' needs more training images than categories: {len(rows)} images show "
            f"{categories.shape[1]}"
        )
    carried = min(mixed.shape[1], len(sizes))
    most = np.square(sizes[:carried]).sum() / np.square(sizes).sum()
    purity = min(1.0, explained(wanted, categories[rows]) / most) if carried else 0.0
    table = _noise(rng, categories, mean, weights, rows, len(sizes))
    table[:, :carried] *= np.sqrt(1 - purity)
    for block in _blocks(len(categories)):
        patterns = (categories[block] - mean) @ weights @ mixed[:, :carried]
        table[block, :carried] += np.sqrt(purity) * patterns
    table *= sizes * np.sqrt(len(rows))
    return table


def _noise(
    rng: np.random.Generator,
    categories: np.ndarray,
    mean: np.ndarray,
    weights: np.ndarray,
    rows: np.ndarray,
    count: int,
) -> np.ndarray:
    """Normal numbers (N, count), float32, made orthonormal to each other and to the categories over `rows`."""
    drawn = rng.standard_normal((len(categories), count), np.float32)
    patterns = (categories - mean) @ weights
    parts = [rows[part] for part in _blocks(len(rows))]
    centre = sum(drawn[part].sum(0, dtype=np.float64) for part in parts) / len(rows)
    slope = sum(patterns[part].T @ (drawn[part] - centre) for part in parts)
    for part in _blocks(len(drawn)):
        drawn[part] -= centre + patterns[part] @ slope
    gram = sum(drawn[part].astype(np.float64).T @ drawn[part] for part in parts)
    whiten = np.linalg.inv(np.linalg.cholesky(gram)).T
    for part in _blocks(len(drawn)):
        drawn[part] = drawn[part] @ whiten
    return drawn


def _blocks(count: int) -> Iterator[slice]:
    """Slices that cover `count` rows: bounds the float64 copies."""
    return (slice(start, start + ROWS) for start in range(0, count, ROWS))
