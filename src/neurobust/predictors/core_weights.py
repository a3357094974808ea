"""Weights of cores: read from a file, or as the seed makes them. Nothing is downloaded.

`python -m neurobust.predictors.core_weights timm/vit_small_patch14_dinov2 weights.safetensors` fetches those that timm
or torchvision publish, on a machine that reaches the network.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from neurobust.core.errors import InputError, flat
from neurobust.core.io import load_weights, replacing
from neurobust.core.seeding import seed_everything
from neurobust.core.state_dicts import fill_part
from neurobust.predictors.core_settings import GNetLayers, TimmLayers
from neurobust.predictors.cores import WHERE, GNetMaps, TimmMaps, pruned, timm_filter, timm_network, timm_statistics
from neurobust.predictors.feature_base import CoreMaps
from neurobust.predictors.features_settings import RANDOM, FixedFeatures
from neurobust.predictors.gabor import fill_prefilter
from neurobust.predictors.model import Arguments

PARTS = ("prefilter.", "trunk.")  # of a G-net's state, its core
Statistics = tuple[Sequence[float], Sequence[float]]


def load_core(wanted: FixedFeatures, side: int, seed: int, statistics: Statistics) -> tuple[CoreMaps, Arguments]:
    """A core with its weights, no channels chosen yet, and the name and arguments that rebuild it without them.

    statistics: RGB mean and deviation of the training images, which a network of random weights is normalised by.
    """
    if isinstance(wanted, TimmLayers):
        return timm_core(wanted, side, seed, statistics)
    assert isinstance(wanted, GNetLayers)
    return gnet_core(wanted, side, seed, statistics)


def timm_core(wanted: TimmLayers, side: int, seed: int, statistics: Statistics) -> tuple[TimmMaps, Arguments]:
    """Of timm. Images are normalised as the settings say, else as the weights' file or package does."""
    seed_everything(seed, "features", wanted.network)
    body = timm_network(wanted.network, side)
    mean, std = statistics
    if wanted.weights != RANDOM:
        what = f"timm's {wanted.network} for images of {side} px"
        found = fill_part(body, Path(wanted.weights), what, lambda state: timm_filter(body, state), body)
        mean, std = found or timm_statistics(body)
    arguments: Arguments = {
        "map_size": wanted.map_size, "network": wanted.network, "layers": list(wanted.layers),
        "mean": list(wanted.mean or mean), "std": list(wanted.std or std),
    }  # fmt: skip
    body = pruned(body, wanted.network, wanted.layers)
    core = TimmMaps(side, channels=[], body=body, **arguments)
    check_side(core, wanted.network, side)
    return core, {"name": wanted.name, **arguments}


def check_side(core: TimmMaps, network: str, side: int) -> None:
    """Raise InputError where a core takes no images of this side, such as one that is no whole number of patches."""
    try:
        with torch.inference_mode():
            core.all_maps(torch.zeros(1, 3, side, side))
    except (AssertionError, RuntimeError) as error:
        where = WHERE.format(network)
        raise InputError(f"input_size: {side}: {where} takes no images of this side ({flat(error)})") from error


def gnet_core(wanted: GNetLayers, side: int, seed: int, statistics: Statistics) -> tuple[GNetMaps, Arguments]:
    """Of a fitted G-net, or a fresh one behind the Gabor bank, at the published widths."""
    seed_everything(seed, "gnet")
    arguments: Arguments = {
        "map_size": wanted.map_size, "layers": list(wanted.layers), "mean": list(statistics[0]), "std": [1.0] * 3,
    }  # fmt: skip
    if wanted.weights == RANDOM:
        module = GNetMaps(side, channels=[], **arguments)
        fill_prefilter(module.prefilter, seed)
        return module, {"name": wanted.name, **arguments}
    try:
        state, config = load_weights(Path(wanted.weights))
    except (OSError, KeyError, ValueError) as error:
        raise InputError(f"weights: '{wanted.weights}': no predictor's file ({error})") from error
    if config.get("kind") != "gnet":
        raise InputError(f"weights: '{wanted.weights}': a predictor of kind {config.get('kind')!r}; give one of gnet")
    own = {name: value for name, value in state.items() if name.startswith(PARTS)}
    try:
        arguments |= {name: config[name] for name in ("mean", "prefilter_channels", "trunk_width")}
        module = GNetMaps(side, channels=[], **arguments)
        lacks = [name for name in module.load_state_dict(own, strict=False).missing_keys if name.startswith(PARTS)]
    except (KeyError, RuntimeError, TypeError, ValueError) as error:
        raise InputError(f"weights: '{wanted.weights}': no whole G-net ({flat(error)}); fit it again") from error
    if lacks:
        raise InputError(f"weights: '{wanted.weights}': no whole G-net, it lacks {lacks[0]}; fit it again")
    return module, {"name": wanted.name, **arguments}


def fetch(core: str, path: Path) -> None:
    """Write the weights that timm or torchvision publish for a core to `path`, as safetensors."""
    from safetensors.torch import save_file

    package, _, network = core.partition("/")
    if package == "timm":
        import timm

        body: nn.Module = timm.create_model(network, pretrained=True)
    elif package == "torchvision":
        from neurobust.core.vision import models

        body = models.get_model(network, weights="DEFAULT")
    else:
        raise InputError(f"{core}: give timm/NAME or torchvision/NAME")
    with replacing(path) as temporary:
        save_file({name: value.contiguous() for name, value in body.state_dict().items()}, temporary)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line; whatever cannot be fetched ends it in one line."""
    parser = argparse.ArgumentParser(prog="python -m neurobust.predictors.core_weights", description=fetch.__doc__)
    parser.add_argument("core", help="timm/NAME or torchvision/NAME")
    parser.add_argument("path", type=Path, help="file to write")
    given = parser.parse_args(arguments)
    try:
        fetch(given.core, given.path)
    except (InputError, OSError, RuntimeError, ValueError) as error:
        sys.exit(f"neurobust: error: {flat(error)}")


if __name__ == "__main__":
    main()
