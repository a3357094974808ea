"""Fitting of one ridge per subject on pooled features."""

from __future__ import annotations

import logging

import numpy as np
import torch

from neurobust.core.seeding import numpy_rng
from neurobust.files.splits import TEST
from neurobust.predictors.fitting import FitContext, Fitted
from neurobust.predictors.fixed_features import cached_maps, make_features
from neurobust.predictors.linear import PooledLinear
from neurobust.predictors.model import Arguments
from neurobust.predictors.predict import validation_r
from neurobust.predictors.ridge import ridge_cv, standardisation
from neurobust.predictors.ridge_settings import Ridge

logger = logging.getLogger("neurobust")


@torch.no_grad()
def fit_ridge(settings: Ridge, context: FitContext) -> Fitted:
    """One ridge per subject on pooled features, with a regularisation per voxel by cross-validation (`ridge_cv`).

    Training and validation images together, in random order; features are standardised by their training statistics.
    """
    device, size = context.device, context.input_size
    features, features_config = make_features(settings.read_features, context)
    sample = features(torch.zeros(1, 3, size, size))
    config: Arguments = {
        "voxels": context.voxels,
        "input_size": size,
        "features": features_config,
        "inputs": sum(m[0].numel() for m in sample),
    }
    model = PooledLinear(**config)
    model.features.load_state_dict(features.state_dict())
    model.to(device)
    for data in context.subjects:
        rows = numpy_rng(context.seed, "folds", data.subject).permutation(np.flatnonzero(data.split != TEST))
        maps = cached_maps(model.features, data, rows, context)
        x = torch.cat([m.flatten(1) for m in maps], 1).to(device)
        mean, std = standardisation(x)
        y = torch.from_numpy(data.responses[rows]).to(device)
        fit = ridge_cv((x - mean) / std, y, settings.alphas, settings.folds, max(context.voxel_batch, 2048))
        weights = fit.weights / std[:, None]
        columns = model.columns(data.subject)
        model.readout.weight[columns] = weights.T
        model.readout.bias[columns] = fit.intercept - mean @ weights
        logger.info("ridge: %s, median alpha %.3g", data.subject, fit.alpha.median().item())
    history = [{"epoch": 0, "validation_r": validation_r(model, context.subjects, context.image_batch, device)}]
    return Fitted(model.cpu().eval(), config, history)
