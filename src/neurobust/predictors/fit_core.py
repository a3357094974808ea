"""Fitting of a core's readout: the layers of any network, read by ridge, banded ridge or feature-weighted fields."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import cast

import numpy as np
import torch
from torch import Tensor

from neurobust.core.seeding import numpy_rng, seed_everything
from neurobust.predictors.banded import banded_cv, draw_shares
from neurobust.predictors.core_readout import READOUTS
from neurobust.predictors.core_settings import (
    AttentionReadout,
    BandedReadout,
    CoreReadout,
    FieldReadout,
    GradientReadout,
    RidgeReadout,
)
from neurobust.predictors.core_weights import load_core
from neurobust.predictors.data import channel_statistics
from neurobust.predictors.feature_base import FeatureMaps
from neurobust.predictors.features_settings import LayerMaps
from neurobust.predictors.fit_fwrf import fit_fields
from neurobust.predictors.fit_ridge import fit_linear
from neurobust.predictors.fit_trained import train_readout
from neurobust.predictors.fitting import FitContext, Fitted
from neurobust.predictors.fixed_features import keep_channels, make_features
from neurobust.predictors.model import Arguments
from neurobust.predictors.ridge import RidgeFit, ridge_cv
from neurobust.predictors.trained_readouts import TrainedReadout

logger = logging.getLogger("neurobust")


def fit_core(settings: CoreReadout, context: FitContext) -> Fitted:
    """The readout that the settings name, on the layers of their core."""
    features, config = core_features(settings, context)
    part = settings.part
    if isinstance(part, FieldReadout):
        fitted = fit_fields(features, config, part, context, label_of(settings))
    elif isinstance(part, GradientReadout):
        fitted = fit_gradient(settings, part, features, config, context)
    else:
        ridge = cast(RidgeReadout, part)
        fitted = fit_linear(features, config, Solver(ridge, context), ridge.alphas, context, label_of(settings))
    return replace(fitted, config={"readout": settings.readout, **fitted.config})


def fit_gradient(
    settings: CoreReadout, part: GradientReadout, features: FeatureMaps, config: Arguments, context: FitContext
) -> Fitted:
    """A readout that is trained, and of the core what is fine-tuned."""
    with torch.inference_mode():
        sides = [m.shape[-1] for m in features(torch.zeros(1, 3, context.input_size, context.input_size))]
    seed_everything(context.seed, "core", settings.readout)
    arguments: Arguments = {
        "voxels": context.voxels, "input_size": context.input_size, "sides": sides, "embedding": part.embedding,
    }  # fmt: skip
    if isinstance(part, AttentionReadout):
        arguments |= {"queries": part.queries, "width": part.width, "heads": part.heads}
    model = READOUTS[settings.readout](features=features, **arguments)
    assert isinstance(model, TrainedReadout)
    history = train_readout(model, part, context, settings.blocks, label_of(settings))
    return Fitted(model.cpu().eval(), {"features": config, **arguments}, history)


def label_of(settings: CoreReadout) -> str:
    """What a log calls the predictor."""
    return f"{settings.readout} on {settings.core}"


def core_features(settings: CoreReadout, context: FitContext) -> tuple[FeatureMaps, Arguments]:
    """The core's layers with their weights, and the name and arguments that rebuild them."""
    wanted = settings.read_features
    if isinstance(wanted, LayerMaps):
        return make_features(wanted, context)
    core, config = load_core(wanted, context.input_size, context.seed, channel_statistics(context.subjects))
    return keep_channels(core, config, settings.channels, context)


class Solver:
    """Ridge of one subject, plain or banded; called as `fit_ridge.Solve`."""

    def __init__(self, part: RidgeReadout, context: FitContext):
        self.part, self.seed, self.batch = part, context.seed, max(context.voxel_batch, 2048)

    def __call__(self, x: Tensor, y: Tensor, widths: Sequence[int], subject: str) -> RidgeFit:
        """The fit of y (N, V) on standardised x (N, F), whose columns are layers of these widths."""
        if not isinstance(self.part, BandedReadout):
            return ridge_cv(x, y, self.part.alphas, self.part.folds, self.batch)
        shares = draw_shares(len(widths), self.part.searches, numpy_rng(self.seed, "bands", subject))
        fit = banded_cv(x, widths, y, shares, self.part.alphas, self.part.folds, self.batch)
        mean = np.round(fit.shares.mean(0).cpu().numpy(), 3).tolist()
        logger.info("banded ridge: %s, mean shares of the layers %s", subject, mean)
        return fit
