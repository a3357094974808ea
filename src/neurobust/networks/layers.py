"""Layers: the activations that are compared with a target, from any part of a network by its name."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn

from neurobust.core.architecture_names import PENULTIMATE
from neurobust.core.errors import InputError
from neurobust.core.layouts import MAPS_LAST, layout_of
from neurobust.networks.architectures import Classifier


class Layers:
    """The chosen layers of a network as one matrix (n, sum of widths), in the order of `names`.

    `penultimate` is what the classifying head reads, in every architecture; any other name is that of a submodule of
    the trunk (`layer3`, `features.4`, `encoder.layers.encoder_layer_5`). Maps are averaged over a grid of `pool` x
    `pool` cells, tokens (N, T, C) over all of them. Widths, and which axes of a map are space, are found by showing the
    network an image and one of twice the side (`core.layouts`): Swin and inner layers of ConvNeXt are (N, H, W, C).
    """

    def __init__(self, network: Classifier, names: Sequence[str], pool: int, architecture: str, image_size: int):
        self.names, self.pool = list(names), pool
        self.last: set[str] = set()  # the layers whose maps are (N, H, W, C)
        self.seen: dict[str, Tensor] = {}
        for name in self.names:
            if name == PENULTIMATE:
                continue
            try:
                module = network.trunk.get_submodule(name)
            except AttributeError as error:
                known = ", ".join([PENULTIMATE, *(part for part, _ in network.trunk.named_children())])
                raise InputError(
                    f"recipe.condition.layers: '{name}' is not a layer of {architecture}; try {known}"
                ) from error
            module.register_forward_hook(partial(self._see, name))
        plain = self.names == [PENULTIMATE]
        self.widths = [network.feature_dim] if plain else self._measure(network, image_size)
        self.depth = sum(layer_depth(network, name) for name in self.names) / len(self.names)

    def _see(self, name: str, module: nn.Module, given: tuple, output: Tensor) -> None:
        # a copy: an activation in place behind it would change it
        self.seen[name] = output.clone() if isinstance(output, Tensor) else output

    def collect(self, features: Tensor) -> Tensor:
        """The layers of the pass that gave these penultimate `features` (n, d): (n, sum of widths)."""
        if self.names == [PENULTIMATE]:
            return features
        parts = [features if name == PENULTIMATE else self._flat(name, self.seen.pop(name)) for name in self.names]
        return torch.cat(parts, 1)

    def _flat(self, name: str, output: Tensor) -> Tensor:
        if output.ndim == 4:
            maps = output.permute(0, 3, 1, 2) if name in self.last else output
            return nn.functional.adaptive_avg_pool2d(maps, self.pool).flatten(1)
        return output.mean(1) if output.ndim == 3 else output.flatten(1)

    @torch.no_grad()
    def _measure(self, network: Classifier, image_size: int) -> list[int]:
        """Note the layers whose channels are last; give all widths. The network is given back as it was."""
        training = network.training
        network.eval()
        with torch.random.fork_rng(devices=[]):
            features = network.features(torch.zeros(1, 3, image_size, image_size))
            outputs = {name: self.seen.pop(name, None) for name in self.names if name != PENULTIMATE}
            with contextlib.suppress(RuntimeError, ValueError, AssertionError):  # a fixed grid takes no other side
                network.trunk(torch.zeros(1, 3, 2 * image_size, 2 * image_size))
        network.train(training)
        widths = []
        for name in self.names:
            if name == PENULTIMATE:
                widths.append(features.shape[1])
                continue
            output, where = outputs[name], f"recipe.condition.layers: '{name}'"
            if not isinstance(output, Tensor):
                raise InputError(f"{where} gives no single tensor; name a layer inside it")
            grown = self.seen.pop(name, output)
            if output.ndim == 4 and layout_of(output.shape, grown.shape, where).axes == MAPS_LAST:
                self.last.add(name)
            widths.append(self._flat(name, output).shape[1])
        return widths


def layer_depth(network: Classifier, name: str) -> float:
    """The share of a trunk's convolutions and linear layers that lie before a layer or in it, 0 to 1 (the penultimate
    layer), in the order in which the architecture lists them."""
    if name == PENULTIMATE:
        return 1.0
    weighted = reached = 0
    for path, module in network.trunk.named_modules():
        weighted += isinstance(module, (nn.Conv2d, nn.Linear))
        if path == name or path.startswith(f"{name}."):
            reached = weighted
    return reached / max(weighted, 1)


class LayerMixture(nn.Module):
    """Layers whose image-by-image cosine similarities are mixed with learned weights softmax(logits) (Li et al. 2019).

    (n, sum of widths) -> rows of unit length whose inner products are the mixed similarities. Each layer is centred
    over the images of the batch and its rows are scaled to unit length.
    """

    def __init__(self, widths: Sequence[int]):
        super().__init__()
        self.widths = list(widths)
        self.logits = nn.Parameter(torch.zeros(len(self.widths)))

    def forward(self, features: Tensor) -> Tensor:
        """Layers side by side (n, sum of widths) -> their mixed rows, of the same shape."""
        parts = []
        for part, weight in zip(features.float().split(self.widths, 1), self.logits.softmax(0), strict=True):
            part = part - part.mean(0)
            parts.append(part / (part.square().sum(1, keepdim=True) + 1e-8).sqrt() * weight.sqrt())
        return torch.cat(parts, 1)
