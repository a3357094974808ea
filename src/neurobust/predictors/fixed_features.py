"""The fixed features that a predictor's settings ask for, made once and computed once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from neurobust.core.errors import InputError
from neurobust.core.imagenet import statistics_of
from neurobust.core.seeding import seed_everything
from neurobust.core.settings import written
from neurobust.core.state_dicts import fill_part
from neurobust.files.pixels import to_pixels
from neurobust.predictors.data import SubjectData, channel_statistics, image_batches, training_images
from neurobust.predictors.feature_base import CoreMaps, FeatureMaps
from neurobust.predictors.features import build_features, network_maps
from neurobust.predictors.features_settings import RANDOM, FixedFeatures, LayerMaps
from neurobust.predictors.fitting import FitContext
from neurobust.predictors.model import Arguments


def seeded_network(network: str, seed: int, side: int) -> nn.Module:
    """A torchvision network for images of `side` pixels with the weights that a seed gives it."""
    from neurobust.core.vision import models, size_arguments

    seed_everything(seed, "features", network)
    full: nn.Module = models.get_model(network, weights=None, **size_arguments(network, side))
    return full


def without_classifier(network: str, side: int) -> nn.Module:
    """A torchvision network for images of `side` pixels up to its classifier, of which a file may have another one: its
    parts and their names, without numbers."""
    from neurobust.core.vision import models, size_arguments, without_numbers

    full = without_numbers(lambda: models.get_model(network, weights=None, **size_arguments(network, side)))
    delattr(full, list(full.state_dict())[-1].partition(".")[0])
    return full


def make_features(wanted: FixedFeatures, context: FitContext) -> tuple[FeatureMaps, Arguments]:
    """The feature module with its weights, and the name and arguments that rebuild it (`build_features`)."""
    if isinstance(wanted, LayerMaps):
        return layer_maps(wanted, context)
    config = {"name": wanted.name, **written(wanted)}
    return build_features(input_size=context.input_size, **config), config


def layer_maps(wanted: LayerMaps, context: FitContext) -> tuple[FeatureMaps, Arguments]:
    """The layers of a network. The channels that vary most over the training images are kept, `wanted.channels` in all
    (every one where it is None). Images are normalised as the settings say, else as the weights' file does, else as
    torchvision's published weights want; of random weights by the images' own statistics."""
    mean, std = channel_statistics(context.subjects)
    arguments: Arguments = {
        "map_size": wanted.map_size, "network": wanted.network, "layers": list(wanted.layers), "mean": mean, "std": std,
        "as_made": True,
    }  # fmt: skip
    side = context.input_size
    module = network_maps(input_size=side, **arguments, channels=[])
    arguments["layouts"] = [[layout.axes, layout.extra] for layout in module.layouts]
    if wanted.weights == RANDOM:
        module.extractor.load_state_dict(seeded_network(wanted.network, context.seed, side).state_dict(), strict=False)
    else:
        what = f"torchvision's {wanted.network} for images of {side} px"
        whole = without_classifier(wanted.network, side)
        found = fill_part(module.extractor, Path(wanted.weights), what, whole=whole)
        wants = found or statistics_of(wanted.network)
        mean, std = (tuple(part) for part in wants)
    arguments |= {"mean": wanted.mean or mean, "std": wanted.std or std}
    module.normalise_by(arguments["mean"], arguments["std"])
    return keep_channels(module, {"name": wanted.name, **arguments}, wanted.channels, context)


def keep_channels(
    module: CoreMaps, config: Arguments, channels: int | None, context: FitContext
) -> tuple[CoreMaps, Arguments]:
    """The module with the channels that vary most over the training images, so many in all (every one for None); and
    its name and arguments with their numbers."""
    if channels is None:
        with torch.inference_mode():
            one = module.all_maps(torch.zeros(1, 3, context.input_size, context.input_size))
        kept = [torch.arange(m.shape[1]) for m in one]
    else:
        kept = most_variable(channel_variances(module, context.subjects, context.image_batch), channels)
    module.keep(kept)
    return module, {**config, "channels": module.channels}


@torch.inference_mode()
def channel_variances(module: CoreMaps, subjects: Sequence[SubjectData], image_batch: int) -> list[Tensor]:
    """Variance of each layer's channels, averaged over the map, over the training images of all subjects."""
    pooled = [
        [m.mean((2, 3)) for m in module.all_maps(to_pixels(images, torch.device("cpu")))]
        for images in training_images(subjects, image_batch)
    ]
    return [torch.cat(layer).var(0) for layer in zip(*pooled, strict=True)]


def most_variable(variances: list[Tensor], channels: int | None) -> list[Tensor]:
    """Indices, ascending, of the channels to keep of each layer: an equal share of `channels` of each, the most
    variable first; a layer that has fewer keeps them all."""
    share = max(1, channels // len(variances)) if channels else None
    return [v.argsort(descending=True, stable=True)[: share or len(v)].sort().values for v in variances]


@torch.inference_mode()
def cached_maps(features: FeatureMaps, data: SubjectData, rows: np.ndarray, context: FitContext) -> list[Tensor]:
    """Feature maps (n, C, side, side) of some rows of the responses, once, in single precision on the CPU.

    Not in half: what is far from 0 beside its spread would be rounded away before it is centred, and what is above
    65,504 would be infinite. Raises InputError where a feature is not finite.
    """
    parts = [
        [m.float().cpu() for m in features(to_pixels(data.pictures(batch), context.device))]
        for batch in image_batches(rows, context.image_batch)
    ]
    maps = [torch.cat(layer) for layer in zip(*parts, strict=True)]
    for k, m in enumerate(maps):
        if not torch.isfinite(m).all():
            raise InputError(
                f"features of {data.subject}'s images: map {k} of {len(maps)} is not finite; give the network other "
                "weights, or read another layer"
            )
    return maps
