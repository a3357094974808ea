"""Alignment losses: one registry, one signature.

Each takes x (n, d) and y (n, v), the rows of both belonging to the same n images, and gives a scalar to minimise.
Losses that need a head compare a prediction with the target column by column (d = v); the relational ones compare the
geometry of the features themselves (any d). Call them in float32 or float64, outside autocast: half precision is
raised to float32, but a matrix product under autocast would fall back to half.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from neurobust.similarity import EPSILON, centre, debiased_cka, linear_cka, raise_precision

LOG_FLOOR = 1e-6  # 1 - CKA in float32 carries about this error


def mse(x: Tensor, y: Tensor) -> Tensor:
    """Mean over images and columns of (x - y)^2, x being the neural head's output (Shao et al. 2024)."""
    x, y = raise_precision(x), raise_precision(y)
    return (x - y).square().mean()


def correlation(x: Tensor, y: Tensor) -> Tensor:
    """1 - mean over columns of Pearson's r over the images of the batch. A constant column counts as r = 0."""
    x, y = centre(x), centre(y)
    scale = ((x.square().mean(0) + EPSILON) * (y.square().mean(0) + EPSILON)).sqrt()
    return 1 - ((x * y).mean(0) / scale).mean()


def cka(x: Tensor, y: Tensor) -> Tensor:
    """log(1 - linear CKA), the loss of Dapello et al. 2022."""
    return (1 - linear_cka(x, y)).clamp_min(LOG_FLOOR).log()


def cka_debiased(x: Tensor, y: Tensor) -> Tensor:
    """log(1 - debiased linear CKA): as `cka`, without its upward bias in small batches."""
    return (1 - debiased_cka(x, y)).clamp_min(LOG_FLOOR).log()


def rsa(x: Tensor, y: Tensor) -> Tensor:
    """1 - Pearson's r between the image-by-image correlation matrices of x and y (above their diagonals)."""
    x, y = (_row_correlations(part) for part in (x, y))
    x, y = x - x.mean(), y - y.mean()
    return 1 - (x * y).sum() / (x.square().sum() * y.square().sum() + EPSILON**2).sqrt()


def _row_correlations(x: Tensor) -> Tensor:
    x = raise_precision(x)
    x = x - x.mean(1, keepdim=True)
    x = x / (x.square().sum(1, keepdim=True) + EPSILON).sqrt()
    rows, columns = torch.triu_indices(len(x), len(x), offset=1, device=x.device)
    return (x @ x.T)[rows, columns]


@dataclass(frozen=True)
class Loss:
    """A loss; whether it acts on the neural head's output or on the features; the smallest batch it is defined on."""

    function: Callable[[Tensor, Tensor], Tensor]
    needs_head: bool
    min_batch: int


LOSSES: dict[str, Loss] = {
    "mse": Loss(mse, needs_head=True, min_batch=1),
    "correlation": Loss(correlation, needs_head=True, min_batch=3),
    "cka": Loss(cka, needs_head=False, min_batch=3),
    "cka-debiased": Loss(cka_debiased, needs_head=False, min_batch=4),
    "rsa": Loss(rsa, needs_head=False, min_batch=3),
}
