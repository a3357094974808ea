"""Which voxels of a predictor's bench count, and in what units their responses are."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from neurobust.explain.predictor_bench import PredictorBench
from neurobust.files.predictor_tables import LEAST_CEILING

FEWEST = 3  # voxels; where fewer have such a ceiling, all count
LEAST_SPREAD = 1e-6  # standard deviation of predicted responses below which a voxel is constant


def reliable(bench: PredictorBench, least: float = LEAST_CEILING) -> np.ndarray:
    """Columns of the voxels with at least this noise ceiling (percent); all where fewer than three have it."""
    found = np.flatnonzero(np.nan_to_num(bench.noise_ceiling) >= least)
    return found if len(found) >= FEWEST else np.arange(len(bench.noise_ceiling))


def moving(bench: PredictorBench) -> tuple[Tensor, Tensor, Tensor]:
    """Reliable columns whose predicted responses vary (int64), with the mean and the standard deviation of each over
    the held-out images."""
    columns = torch.from_numpy(reliable(bench)).to(bench.device)
    predicted = bench.predicted[:, columns].clone()
    spread = predicted.std(0)
    kept = spread > LEAST_SPREAD
    return columns[kept], predicted.mean(0)[kept], spread[kept]


def some(bench: PredictorBench, count: int) -> Tensor:
    """At most `count` of the held-out images (n, 3, side, side), spread evenly over them, for autograd."""
    rows = np.unique(np.linspace(0, len(bench.images) - 1, min(count, len(bench.images))).round().astype(int))
    return bench.images[torch.from_numpy(rows).to(bench.device)].clone()


def pictures(images: Tensor) -> np.ndarray:
    """Images (n, 3, H, W) as float32 (n, H, W, 3) in [0, 1], for pages."""
    return images.detach().clamp(0, 1).permute(0, 2, 3, 1).float().cpu().numpy()
