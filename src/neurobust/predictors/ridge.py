"""Ridge regression with a regularisation per voxel, from Gram matrices and one eigendecomposition per fold.

w_v = argmin |y_v - X w - b|^2 + alpha_v |w|^2, alpha_v chosen by the mean squared error over the folds. In the
eigenbasis a solution of any alpha is a rescaling. With as many rows as features or more, the matrix is X'X, and that
of a fold is the whole one less the fold's own, so the data are multiplied once. With fewer rows it is K = XX' (the dual
form: w = X'a, a = (K + alpha)^-1 y), of which a fold's is a part: the same solutions, without a matrix of features x
features.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

import torch
from torch import Tensor

from neurobust.core.errors import InputError

logger = logging.getLogger("neurobust")

EDGE_SHARE = 0.1  # of the voxels with a penalty at the grid's edge: more are worth a warning


def standardisation(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation (F,) of the columns of x (N, F).

    The deviation of a constant column (but for rounding, beside its size) is infinite: standardised it is 0, whatever
    its unit, and it gets no weight.
    """
    mean, std = x.mean(0), x.std(0)
    return mean, torch.where(std > 1e-6 * x.abs().amax(0), std, torch.inf)


def edge_shares(alpha: Tensor, alphas: Sequence[float]) -> dict[str, float]:
    """Shares of voxels whose penalty (V,) is the smallest or the largest of several: a wider grid may suit them better.

    Both are 0 where there is one penalty only.
    """
    edges = (min(alphas), max(alphas))
    shares = [float((alpha == edge).double().mean()) if len(set(alphas)) > 1 and len(alpha) else 0.0
              for edge in alpha.new_tensor(edges)]  # fmt: skip
    return {"share_smallest_penalty": shares[0], "share_largest_penalty": shares[1]}


def report_edges(alpha: Tensor, alphas: Sequence[float], label: str) -> dict[str, float]:
    """`edge_shares`, with a warning, beginning with `label`, where an edge has more than EDGE_SHARE of the voxels."""
    shares = edge_shares(alpha, alphas)
    for (name, share), edge in zip(shares.items(), (min(alphas), max(alphas)), strict=True):
        if share > EDGE_SHARE:
            side = name.split("_")[1]
            logger.warning("%s: %.0f %% of the voxels have the %s of `alphas`, %g; add %s ones if they are predicted",
                           label, 100 * share, side, edge, side.replace("est", "er"))  # fmt: skip
    return shares


@dataclass
class RidgePath:
    """Solutions of every alpha: `vectors` (F, F) and `values` (F,) of X'X, `rotated` = vectors' X'Y (F, V).

    In the dual form F is the number of rows, K in the place of X'X and Y in that of X'Y; solutions are then `a`.
    """

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

    def scores(self, x: Tensor, y: Tensor, alphas: Tensor) -> tuple[Tensor, Tensor]:
        """`losses`, and the correlations (A, V) of prediction and y (0 where one of them is constant)."""
        x = x @ self.vectors
        losses, r = (torch.empty(len(alphas), y.shape[1], dtype=y.dtype, device=y.device) for _ in range(2))
        centred = y - y.mean(0)
        spread = centred.square().sum(0)
        for i, alpha in enumerate(alphas):
            predicted = x @ (self.rotated / (self.values[:, None] + alpha))
            losses[i] = (predicted - y).square_().mean(0)
            predicted -= predicted.mean(0)
            norm = (predicted.square().sum(0) * spread).sqrt_()
            r[i] = torch.where(norm > 0, (predicted * centred).sum(0) / norm, 0)
        return losses, r


@dataclass
class RidgeFit:
    """weights (F, V), intercept (V,), alpha (V,) chosen, losses (A, V): mean squared error averaged over the folds.

    r (V,): correlation of prediction and response at the chosen alpha, in each fold's rows by a fit to the others,
    averaged over the folds.
    """

    weights: Tensor
    intercept: Tensor
    alpha: Tensor
    losses: Tensor
    r: Tensor


def consecutive_folds(count: int, folds: int) -> list[slice]:
    """`folds` blocks of rows whose lengths differ by at most one, the longer ones first."""
    ends = [0]
    for k in range(folds):
        ends.append(ends[-1] + count // folds + (k < count % folds))
    return [slice(a, b) for a, b in pairwise(ends)]


class Primal:
    """The problem by its features: X'X (F, F), and X'Y of each block of voxels."""

    def __init__(self, x: Tensor, blocks: Sequence[Tensor], feature_batch: int):
        """x (N, F); blocks: centred (N, some voxels)."""
        self.mean = x.mean(0)
        self.x = x - self.mean
        self.matrix = self.x.T @ self.x
        self.products = [self.x.T @ block for block in blocks]

    def without(self, rows: slice) -> tuple[Tensor, Tensor]:
        """The matrix of the rows that are not of a fold, and the fold's rows, both centred on the former."""
        held = self.x[rows]
        rest = len(self.x) - len(held)
        centre = -held.sum(0) / rest  # mean of the other rows, as all rows together have mean 0
        return self.matrix - held.T @ held - rest * torch.outer(centre, centre), held - centre

    def product_without(self, rows: slice, k: int, y: Tensor, mean: Tensor) -> Tensor:
        """X'Y of the other rows for block k of voxels, y (N, ...), whose mean in those rows is `mean`."""
        held = self.x[rows]
        return self.products[k] - held.T @ y[rows] + torch.outer(held.sum(0), mean)

    def weights(self, solution: Tensor) -> Tensor:
        """(F, V) from the path's own."""
        return solution


class Dual:
    """The problem by its rows: K = XX' (N, N), made of `feature_batch` features at a time."""

    def __init__(self, x: Tensor, blocks: Sequence[Tensor], feature_batch: int):
        """As of Primal; x is not copied."""
        self.x, self.mean, self.feature_batch = x, x.mean(0), feature_batch
        self.matrix = x.new_zeros(len(x), len(x))
        for columns in self._columns():
            part = x[:, columns] - self.mean[columns]
            self.matrix.addmm_(part, part.T)
        self.products = blocks

    def _columns(self) -> list[slice]:
        count = self.x.shape[1]
        return [slice(start, start + self.feature_batch) for start in range(0, count, self.feature_batch)]

    def without(self, rows: slice) -> tuple[Tensor, Tensor]:
        """As of Primal: K of the other rows, and K between the fold's rows and the others."""
        others = self._others(rows)
        inner, held = self.matrix[others][:, others], self.matrix[rows][:, others]
        mean = inner.mean(0)
        held = held - held.mean(1, keepdim=True) - mean + mean.mean()
        return inner.sub_(mean).sub_(mean[:, None] - mean.mean()), held

    def product_without(self, rows: slice, k: int, y: Tensor, mean: Tensor) -> Tensor:
        """As of Primal, of the dual form: the centred responses themselves."""
        return y[self._others(rows)] - mean

    def weights(self, solution: Tensor) -> Tensor:
        """X'a (F, V), some features at a time."""
        out = solution.new_empty(self.x.shape[1], solution.shape[1])
        for columns in self._columns():
            out[columns] = (self.x[:, columns] - self.mean[columns]).T @ solution
        return out

    def _others(self, rows: slice) -> Tensor:
        kept = torch.ones(len(self.x), dtype=torch.bool, device=self.x.device)
        kept[rows] = False
        return kept


def check_folds(folds: int, images: int) -> None:
    """Raise InputError where a fold would have fewer than two images."""
    if images < 2 * folds:
        raise InputError(f"folds: {folds}: too many for {images} images, each has at least 2; take fewer folds")


def ridge_cv(
    x: Tensor, y: Tensor, alphas: Sequence[float], folds: int = 5, voxel_batch: int = 4096, feature_batch: int = 8192
) -> RidgeFit:
    """Fit y (N, V) on x (N, F) with an intercept; folds of consecutive rows; `voxel_batch` voxels at a time.

    Give rows in random order. Where two alphas do equally well the first is taken. Beside x and y it holds a few
    matrices of min(N, F) squared, the weights (F, V) and a copy of x, or with fewer rows than features of
    `feature_batch` columns of it.
    Raises InputError where a fold would have fewer than two rows.
    """
    check_folds(folds, len(x))
    strengths = torch.as_tensor(alphas, dtype=x.dtype, device=x.device)
    mean_y = y.mean(0)
    centred = (y - mean_y).split(voxel_batch, 1)
    problem = posed(x, centred, feature_batch)
    losses, r = cross_validated(problem, centred, strengths, folds)
    best = losses.argmin(0)
    alpha = strengths[best]
    weights = solved(problem, alpha)
    return RidgeFit(weights, mean_y - problem.mean @ weights, alpha, losses, r.gather(0, best[None])[0])


def posed(x: Tensor, blocks: Sequence[Tensor], feature_batch: int) -> Primal | Dual:
    """The problem of x (N, F) and centred blocks of voxels (N, some), in the form that has the smaller matrix."""
    return (Dual if len(x) < x.shape[1] else Primal)(x, blocks, feature_batch)


def cross_validated(
    problem: Primal | Dual, blocks: Sequence[Tensor], strengths: Tensor, folds: int
) -> tuple[Tensor, Tensor]:
    """Mean squared errors and correlations (A, V) of held-out folds, averaged over the folds, of every penalty (A,)."""
    count = len(problem.x)
    columns = [len(strengths), sum(block.shape[1] for block in blocks)]
    losses, r = (torch.zeros(columns, dtype=problem.x.dtype, device=problem.x.device) for _ in range(2))
    ends = [0, *accumulate(block.shape[1] for block in blocks)]
    for rows in consecutive_folds(count, folds):
        matrix, held = problem.without(rows)
        values, vectors = torch.linalg.eigh(matrix)
        for k, target in enumerate(blocks):
            middle = -target[rows].sum(0) / (count - len(held))  # mean of the other rows
            inner = problem.product_without(rows, k, target, middle)
            path = RidgePath(vectors, values.clamp_min(0), vectors.T @ inner)
            for total, part in zip((losses, r), path.scores(held, target[rows] - middle, strengths), strict=True):
                total[:, ends[k] : ends[k + 1]] += part / folds
    return losses, r


def solved(problem: Primal | Dual, alpha: Tensor) -> Tensor:
    """Weights (F, V) of a problem for one penalty per voxel (V,)."""
    values, vectors = torch.linalg.eigh(problem.matrix)
    weights = alpha.new_empty(problem.x.shape[1], len(alpha))
    start = 0
    for product in problem.products:
        part = slice(start, start + product.shape[1])
        path = RidgePath(vectors, values.clamp_min(0), vectors.T @ product)
        weights[:, part] = problem.weights(path.weights(alpha[part]))
        start = part.stop
    return weights
