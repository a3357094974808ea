"""Cores that are no networks of torchvision: those of timm, and G-net's own."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from functools import partial
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import grid_sample

from neurobust.core.errors import InputError
from neurobust.core.names import one_of
from neurobust.core.timm_names import check_timm
from neurobust.predictors.feature_base import CoreMaps
from neurobust.predictors.gnet import Prefilter, Trunk, field_centres

WHERE = "core: timm/{}"


class TimmMaps(CoreMaps):
    """Some channels of some blocks or stages of a network of timm, as its `forward_intermediates` gives them.

    network: timm's name; layers: numbers of its blocks (of a ViT) or stages (of a ResNet, ConvNeXt, Swin), from 0;
    tokens of no place (of a class, registers) are left out. What lies behind the last of them is cut off.
    """

    def __init__(
        self, input_size: int, map_size: int, network: str, layers: Sequence[int], channels: Sequence[int],
        mean: Sequence[float], std: Sequence[float], body: nn.Module | None = None,
    ):  # fmt: skip
        super().__init__(map_size, channels, mean, std)
        self.layers = list(layers)
        self.body = pruned(timm_network(network, input_size), network, self.layers) if body is None else body
        super(CoreMaps, self).train(False)

    def layers_of(self, images: Tensor) -> list[Tensor]:
        """Its intermediate maps, channels first."""
        order = sorted(self.layers)
        found = self.body.forward_intermediates(  # type: ignore[operator]  # every model of timm that is let in has it
            images, indices=order, stop_early=True, intermediates_only=True, output_fmt="NCHW"
        )
        return [found[order.index(layer)] for layer in self.layers]


def timm_network(network: str, side: int) -> nn.Module:
    """An untrained network of timm without a classifier, for images of `side` pixels.

    Raises InputError where timm is not there, has no such network, or cannot give its intermediate maps.
    """
    where = WHERE.format(network)
    try:
        import timm
    except ImportError as error:
        raise InputError(f"{where}: timm is not installed ({error}); install neurobust[zoo]") from None
    check_timm(network, where)
    model, dot, tag = network.partition(".")
    if dot and network not in (tagged := timm.list_pretrained(f"{model}.*")):
        raise InputError(f"{where}: timm publishes no weights '{tag}' of {model}; it has {one_of(network, tagged)}")
    build = partial(timm.create_model, network, pretrained=False, num_classes=0)
    try:
        try:
            body: nn.Module = build(img_size=side)
        except TypeError:  # of a network that takes images of any size
            body = build()
    except (ValueError, AssertionError, RuntimeError) as error:
        raise InputError(f"input_size: {side}: {where} cannot be built for images of this side ({error})") from error
    if not hasattr(body, "forward_intermediates"):
        raise InputError(f"{where}: timm does not give its intermediate maps (`forward_intermediates`); take another")
    return body


def pruned(body: nn.Module, network: str, layers: Sequence[int]) -> nn.Module:
    """A network without what lies behind its last layer that is read; InputError for layers that it has not."""
    count = len(feature_info(body))
    wrong = [layer for layer in layers if not 0 <= layer < count]
    if wrong:
        raise InputError(f"layers: {wrong[0]}: {WHERE.format(network)} has {count} layers, 0 to {count - 1}")
    cut: Any = getattr(body, "prune_intermediate_layers", None)
    if cut is not None:
        cut(sorted(layers), prune_norm=True, prune_head=True)
    return body


def feature_info(body: nn.Module) -> list[Any]:
    """What timm says of each layer of a network."""
    info: Any = body.feature_info
    return list(info if isinstance(info, (list, tuple)) else info.info)


def timm_statistics(body: nn.Module) -> tuple[list[float], list[float]]:
    """Mean and standard deviation that a network's published weights want images normalised by."""
    known: Mapping[str, Any] = getattr(body, "pretrained_cfg", {})
    return list(known.get("mean", (0.5, 0.5, 0.5))), list(known.get("std", (0.5, 0.5, 0.5)))


def timm_filter(body: nn.Module, state: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """A published state dict as this network takes it: names of other repositories, grids of other sizes."""
    function = getattr(import_module(type(body).__module__), "checkpoint_filter_fn", None)
    if function is None or len(inspect.signature(function).parameters) < 2:
        return state
    try:
        found: Mapping[str, Tensor] = function(dict(state), body)
    except Exception:  # of weights of another network: those that lack are named then
        return state
    return found


def framed(maps: Tensor, centres: Tensor) -> Tensor:
    """Maps (N, C, side, side) whose cells look at `centres` (half frames, evenly spaced), drawn anew so that their
    cells tile the whole frame, as those of other networks do; beyond the outermost cells the map goes on as there."""
    step = (centres[-1] - centres[0]) / (len(centres) - 1)
    side = max(1, round(2 / step.item()))
    axis = (torch.arange(side, device=maps.device) + 0.5) / side * 2 - 1
    places = ((axis - centres[0].to(maps.device)) / step.to(maps.device)) / (len(centres) - 1) * 2 - 1
    y, x = torch.meshgrid(places, places, indexing="ij")
    grid = torch.stack([x, y], -1).expand(len(maps), -1, -1, -1)
    return grid_sample(maps, grid, padding_mode="border", align_corners=True)


class GNetMaps(CoreMaps):
    """One or both maps of a G-net's core (`gnet.Trunk`), in eval mode, in the frame of the image (`framed`): its cells
    begin 15 pixels inside."""

    def __init__(
        self, input_size: int, map_size: int, layers: Sequence[int], channels: Sequence[int], mean: Sequence[float],
        std: Sequence[float], prefilter_channels: Sequence[int] = (64, 192), trunk_width: int = 64,
    ):  # fmt: skip
        super().__init__(map_size, channels, mean, std)
        self.layers = list(layers)
        first, second = prefilter_channels
        self.prefilter = Prefilter((first, second))
        self.trunk = Trunk(second, trunk_width)
        super(CoreMaps, self).train(False)

    def layers_of(self, images: Tensor) -> list[Tensor]:
        """Its maps, 4 * trunk_width channels each."""
        maps = self.trunk(self.prefilter(images))
        centres = field_centres(images.shape[-1])
        return [framed(maps[layer], centres[layer]) for layer in self.layers]
