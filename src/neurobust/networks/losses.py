"""Alignment losses: the functions behind `losses_settings`, all of one signature.

Each takes x (n, d) and a target y (n, v) of the same n images and gives a scalar to minimise; those by class are in
`manifolds`. Losses that need a head compare a prediction with the target column by column (d = v); the relational ones
compare the geometry of the features themselves (any d). Call them in float32 or float64, outside autocast: half
precision is raised to float32, but a matrix product under autocast would fall back to half.
"""

from __future__ import annotations

import torch
from torch import Tensor

from neurobust.core.similarity import EPSILON, centre, debiased_cka, linear_cka, raise_precision

LOG_FLOOR = 1e-6  # 1 - CKA in float32 carries about this error
SMALL = 1e-3  # size of responses beside whose squares EPSILON is not small
LARGEST_COSINE = 1 - 1e-4  # the slope of arctanh is 1 / (1 - s^2): 5000 here, infinite at 1


def mse(x: Tensor, y: Tensor) -> Tensor:
    """Mean over images and columns of (x - y)^2, x being the neural head's output (Shao et al. 2024)."""
    x, y = raise_precision(x), raise_precision(y)
    return (x - y).square().mean()


def correlation(x: Tensor, y: Tensor) -> Tensor:
    """1 - mean over columns of Pearson's r over the images of the batch. A constant column counts as r = 0."""
    x, y = centre(x), centre(lifted(y))
    scale = ((x.square().mean(0) + EPSILON) * (y.square().mean(0) + EPSILON)).sqrt()
    return 1 - ((x * y).mean(0) / scale).mean()


def cka(x: Tensor, y: Tensor) -> Tensor:
    """log(1 - linear CKA), the loss of Dapello et al. 2022."""
    return (1 - linear_cka(x, lifted(y))).clamp_min(LOG_FLOOR).log()


def cka_debiased(x: Tensor, y: Tensor) -> Tensor:
    """log(1 - debiased linear CKA): as `cka`, without its upward bias in small batches."""
    return (1 - debiased_cka(x, lifted(y))).clamp_min(LOG_FLOOR).log()


def rsa(x: Tensor, y: Tensor) -> Tensor:
    """1 - Pearson's r between the image-by-image correlation matrices of x and y (above their diagonals)."""
    x, y = _row_correlations(x), _row_correlations(lifted(y))
    x, y = x - x.mean(), y - y.mean()
    return 1 - (x * y).sum() / (x.square().sum() * y.square().sum() + EPSILON**2).sqrt()


def similarity(x: Tensor, y: Tensor) -> Tensor:
    """Mean over pairs of images of (arctanh s - arctanh t)^2, s and t being cosines of rows of x and of y (Li 2019).

    The rows must be mean-subtracted: standardised targets are, and `layers.LayerMixture` centres the features of the
    batch. Cosines are clamped to +-(1 - 1e-4); a pair beyond that has no gradient.
    """
    s, t = (_row_cosines(part).clamp(-LARGEST_COSINE, LARGEST_COSINE).atanh() for part in (x, y))
    return (s - t).square().mean()


def lifted(y: Tensor) -> Tensor:
    """A target (n, v) whose numbers are all below SMALL, times the power of two that brings the largest to about 1: a
    loss that asks for no unit is then the same in every one. Any other target as it is."""
    y = raise_precision(y)
    size = y.detach().abs().max()
    exponent = torch.where((size > 0) & (size < SMALL), torch.frexp(size).exponent, 0)
    return torch.ldexp(y, -exponent)


def _row_cosines(x: Tensor) -> Tensor:
    x = raise_precision(x)
    x = x / (x.square().sum(1, keepdim=True) + EPSILON**2).sqrt()
    rows, columns = torch.triu_indices(len(x), len(x), offset=1, device=x.device)
    return (x @ x.T)[rows, columns]


def _row_correlations(x: Tensor) -> Tensor:
    x = raise_precision(x)
    x = x - x.mean(1, keepdim=True)
    x = x / (x.square().sum(1, keepdim=True) + EPSILON).sqrt()
    rows, columns = torch.triu_indices(len(x), len(x), offset=1, device=x.device)
    return (x @ x.T)[rows, columns]
