"""Fitting of one ridge per subject on pooled features."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch

from neurobust.core.seeding import numpy_rng
from neurobust.files.splits import TEST
from neurobust.predictors.feature_base import FeatureMaps
from neurobust.predictors.fitting import FitContext, Fitted
from neurobust.predictors.fixed_features import cached_maps, make_features
from neurobust.predictors.linear import PooledLinear
from neurobust.predictors.model import Arguments
from neurobust.predictors.ridge import RidgeFit, edge_shares, report_edges, ridge_cv, standardisation
from neurobust.predictors.ridge_settings import Ridge

logger = logging.getLogger("neurobust")


class Solve(Protocol):
    """How y (N, V) is fitted on standardised x (N, F), whose columns are maps of these widths."""

    def __call__(self, x: torch.Tensor, y: torch.Tensor, widths: Sequence[int], subject: str) -> RidgeFit:
        """The fit of one subject."""


def fit_ridge(settings: Ridge, context: FitContext) -> Fitted:
    """One ridge per subject on pooled features, with a regularisation per voxel by cross-validation (`ridge_cv`)."""

    def solve(x: torch.Tensor, y: torch.Tensor, widths: Sequence[int], subject: str) -> RidgeFit:
        return ridge_cv(x, y, settings.alphas, settings.folds, max(context.voxel_batch, 2048))

    features, config = make_features(settings.read_features, context)
    return fit_linear(features, config, solve, settings.alphas, context, settings.kind)


@torch.no_grad()
def fit_linear(
    features: FeatureMaps, features_config: Arguments, solve: Solve, alphas: Sequence[float], context: FitContext,
    label: str,
) -> Fitted:  # fmt: skip
    """One ridge per subject on pooled features, by `solve`, which chooses among the penalties `alphas`.

    Training and validation images together, in random order; features are standardised by their statistics over these.
    `validation_r` is of images that the fit did not see: of each fold's by a fit to the others, at the penalty of the
    voxel, averaged over the folds. Raises InputError where a fold would have fewer than two images.
    """
    device, size = context.device, context.input_size
    sample = features(torch.zeros(1, 3, size, size))
    config: Arguments = {
        "voxels": context.voxels,
        "input_size": size,
        "features": features_config,
        "inputs": sum(m[0].numel() for m in sample),
    }
    model = PooledLinear(**{**config, "features": features}).to(device)
    widths = [m[0].numel() for m in sample]
    r, chosen = [], []
    for data in context.subjects:
        rows = numpy_rng(context.seed, "folds", data.subject).permutation(np.flatnonzero(data.split != TEST))
        x = torch.cat([m.flatten(1) for m in cached_maps(model.features, data, rows, context)], 1).to(device)
        mean, std = standardisation(x)
        x.sub_(mean).div_(std)  # in place: beside the Gram matrix the features are the most that there is
        y = torch.from_numpy(data.responses[rows]).to(device)
        fit = solve(x, y, widths, data.subject)
        weights = fit.weights.div_(std[:, None])
        columns = model.columns(data.subject)
        model.readout.weight[columns] = weights.T
        model.readout.bias[columns] = fit.intercept - mean @ weights
        r.append(fit.r)
        chosen.append(fit.alpha)
        report_edges(fit.alpha, alphas, f"{label}, {data.subject}")
        logger.info("%s: %s, median alpha %.3g", label, data.subject, fit.alpha.median().item())
    edges = edge_shares(torch.cat(chosen), alphas)
    return Fitted(model.cpu().eval(), config, [{"epoch": 0, "validation_r": median(torch.cat(r)), **edges}])


def median(values: torch.Tensor) -> float:
    """The median of (V,), of an even number the mean of the two in the middle."""
    return float(np.median(values.double().cpu().numpy()))
