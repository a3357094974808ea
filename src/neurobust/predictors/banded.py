"""Banded ridge: each group of features (here: each layer of a core) has a penalty of its own, per voxel.

Source: Nunez-Elizalde, Huth & Gallant 2019, NeuroImage 197; the search over shares is that of Dupré la Tour,
Eickenberg, Nunez-Elizalde & Gallant 2022, NeuroImage 264:119728. Ridge on features scaled by the root of their band's
share g is ridge with the penalty alpha / g on that band, so each candidate is a ridge of `ridge`, in its primal or its
dual form.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from neurobust.predictors.ridge import RidgeFit, check_folds, cross_validated, posed, solved

CONCENTRATIONS = (1.0, 0.1)  # of the Dirichlet draws, in turn: anything goes, and a few bands alone


@dataclass
class BandedFit(RidgeFit):
    """As RidgeFit, with the losses (A, V) of the chosen shares; shares (V, G): of each voxel's bands."""

    shares: Tensor


def draw_shares(bands: int, searches: int, rng: np.random.Generator) -> np.ndarray:
    """Candidate shares (K, G) of G bands, rows summing to 1: equal ones, which make it a plain ridge, each band alone,
    and `searches` random ones."""
    if bands == 1:
        return np.ones((1, 1))
    drawn = [rng.dirichlet(np.full(bands, CONCENTRATIONS[k % len(CONCENTRATIONS)])) for k in range(searches)]
    return np.concatenate([np.full((1, bands), 1 / bands), np.eye(bands), np.reshape(drawn, (-1, bands))])


def banded_cv(
    x: Tensor, widths: Sequence[int], y: Tensor, shares: np.ndarray, alphas: Sequence[float], folds: int = 5,
    voxel_batch: int = 4096, feature_batch: int = 8192,
) -> BandedFit:  # fmt: skip
    """Fit y (N, V) on x (N, F), whose columns are bands of these widths, with an intercept; folds of consecutive rows.

    shares: candidates (K, G). A voxel gets the pair of shares and alpha with the least mean squared error over the
    folds; of equal ones the first. Give rows in random order. Beside what `ridge.ridge_cv` holds, a copy of x.
    Raises InputError where a fold would have fewer than two rows.
    """
    check_folds(folds, len(x))
    strengths = torch.as_tensor(alphas, dtype=x.dtype, device=x.device)
    candidates = torch.as_tensor(shares, dtype=x.dtype, device=x.device)
    scales = candidates.sqrt().repeat_interleave(torch.as_tensor(widths, device=x.device), 1)
    mean_y = y.mean(0)
    centred = (y - mean_y).split(voxel_batch, 1)
    least, chosen = y.new_full((y.shape[1],), torch.inf), torch.zeros(y.shape[1], dtype=torch.long, device=y.device)
    losses, r, alpha = y.new_zeros(len(strengths), y.shape[1]), torch.zeros_like(least), torch.zeros_like(least)
    for k, scale in enumerate(scales):
        kept = scale > 0  # a band without a share is left out: its columns would only lengthen the sums
        problem = posed(x[:, kept] * scale[kept], centred, feature_batch)
        found, correlation = cross_validated(problem, centred, strengths, folds)
        loss, best = found.min(0)
        better = loss < least
        least[better], chosen[better], alpha[better] = loss[better], k, strengths[best[better]]
        losses[:, better], r[better] = found[:, better], correlation.gather(0, best[None])[0][better]
    weights = y.new_zeros(x.shape[1], y.shape[1])
    for k in chosen.unique().tolist():
        voxels, kept = torch.nonzero(chosen == k).flatten(), torch.nonzero(scales[k] > 0).flatten()
        blocks = (y[:, voxels] - mean_y[voxels]).split(voxel_batch, 1)
        part = solved(posed(x[:, kept] * scales[k, kept], blocks, feature_batch), alpha[voxels])
        weights[kept[:, None], voxels] = part * scales[k, kept, None]
    return BandedFit(weights, mean_y - x.mean(0) @ weights, alpha, losses, r, candidates[chosen])
