"""Ridge regression with a regularisation per voxel, from Gram matrices and one eigendecomposition per fold.

w_v = argmin |y_v - X w - b|^2 + alpha_v |w|^2, alpha_v chosen by the mean squared error over the folds. The training
Gram matrix of a fold is the whole one less the fold's own, so the data are multiplied once; in the eigenbasis a
solution of any alpha is a rescaling.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor


def standardisation(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation (F,) of the columns of x (N, F).

    The deviation of a constant column (but for rounding, beside its size) is infinite: standardised it is 0, whatever
    its unit, and it gets no weight.
    """
    mean, std = x.mean(0), x.std(0)
    return mean, torch.where(std > 1e-6 * x.abs().amax(0), std, torch.inf)


@dataclass
class RidgePath:
    """Solutions of every alpha: `vectors` (F, F) and `values` (F,) of X'X, `rotated` = vectors' X'Y (F, V)."""

    vectors: Tensor
    values: Tensor
    rotated: Tensor

    @classmethod
    def of(cls, gram: Tensor, product: Tensor) -> RidgePath:
        """From centred X'X (F, F) and X'Y (F, V)."""
        values, vectors = torch.linalg.eigh(gram)
        return cls(vectors, values.clamp_min(0), vectors.T @ product)

    def weights(self, alpha: Tensor) -> Tensor:
        """(F, V) for one alpha per voxel (V,)."""
        return self.vectors @ (self.rotated / (self.values[:, None] + alpha))

    def losses(self, x: Tensor, y: Tensor, alphas: Tensor) -> Tensor:
        """Mean squared errors (A, V) on centred x (n, F), y (n, V)."""
        x = x @ self.vectors
        out = torch.empty(len(alphas), y.shape[1], dtype=y.dtype, device=y.device)
        for i, alpha in enumerate(alphas):
            out[i] = torch.addmm(y, x, self.rotated / (self.values[:, None] + alpha), beta=-1).square_().mean(0)
        return out


@dataclass
class RidgeFit:
    """weights (F, V), intercept (V,), alpha (V,) chosen, losses (A, V): mean squared error averaged over the folds."""

    weights: Tensor
    intercept: Tensor
    alpha: Tensor
    losses: Tensor


def consecutive_folds(count: int, folds: int) -> list[slice]:
    """`folds` blocks of rows whose lengths differ by at most one, the longer ones first."""
    ends = [0]
    for k in range(folds):
        ends.append(ends[-1] + count // folds + (k < count % folds))
    return [slice(a, b) for a, b in pairwise(ends)]


def ridge_cv(x: Tensor, y: Tensor, alphas: Sequence[float], folds: int = 5, voxel_batch: int = 4096) -> RidgeFit:
    """Fit y (N, V) on x (N, F) with an intercept; folds of consecutive rows; `voxel_batch` voxels at a time.

    Give rows in random order. Where two alphas do equally well the first is taken.
    """
    strengths = torch.as_tensor(alphas, dtype=x.dtype, device=x.device)
    mean_x, mean_y = x.mean(0), y.mean(0)
    x = x - mean_x
    gram = x.T @ x
    blocks = [slice(start, start + voxel_batch) for start in range(0, y.shape[1], voxel_batch)]
    losses = torch.zeros(len(strengths), y.shape[1], dtype=y.dtype, device=y.device)
    products = [x.T @ (y[:, block] - mean_y[block]) for block in blocks]
    for rows in consecutive_folds(len(x), folds):
        held = x[rows]
        rest = len(x) - len(held)
        centre = -held.sum(0) / rest  # mean of the other rows, as all rows together have mean 0
        values, vectors = torch.linalg.eigh(gram - held.T @ held - rest * torch.outer(centre, centre))
        for block, product in zip(blocks, products, strict=True):
            target = y[rows, block] - mean_y[block]
            middle = -target.sum(0) / rest
            inner = product - held.T @ target - rest * torch.outer(centre, middle)
            path = RidgePath(vectors, values.clamp_min(0), vectors.T @ inner)
            losses[:, block] += path.losses(held - centre, target - middle, strengths) / folds
    alpha = strengths[losses.argmin(0)]
    values, vectors = torch.linalg.eigh(gram)
    parts = [
        RidgePath(vectors, values.clamp_min(0), vectors.T @ product).weights(alpha[block])
        for block, product in zip(blocks, products, strict=True)
    ]
    weights = torch.cat(parts, 1)
    return RidgeFit(weights, mean_y - mean_x @ weights, alpha, losses)
