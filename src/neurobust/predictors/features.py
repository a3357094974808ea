"""Fixed features that predictors read: Gabor energy, the layers of a network, pixels.

Each is a module from images (N, 3, size, size) in [0, 1] to a list of maps (N, channels, side, side).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, fx, nn

from neurobust.core.errors import InputError, flat
from neurobust.core.layouts import Layout, as_maps, layout_of
from neurobust.files.pixels import LUMA
from neurobust.predictors.feature_base import CoreMaps, FeatureMaps, shrink


class Pixels(FeatureMaps):
    """The colours of the image, averaged down to map_size x map_size."""

    def __init__(self, input_size: int, map_size: int):
        super().__init__()
        self.map_size = map_size
        self.channels = [3]

    def forward(self, images: Tensor) -> list[Tensor]:
        """One map (N, 3, side, side)."""
        return [shrink(images, self.map_size)]


class GaborEnergy(FeatureMaps):
    """Square root of the energy of quadrature pairs, for each frequency (cycles per image) and orientation.

    The filter bank is a Gaussian around (frequency, angle) in one half of the Fourier plane (standard deviation 0.4 of
    the frequency, about an octave): the modulus of what passes is the energy of an even and an odd Gabor.
    """

    bands: Tensor
    luma: Tensor

    def __init__(self, input_size: int, map_size: int, frequencies: Sequence[float], orientations: int):
        super().__init__()
        self.map_size = map_size
        self.channels = [len(frequencies) * orientations]
        f = torch.fft.fftfreq(input_size) * input_size
        fy, fx = torch.meshgrid(f, f, indexing="ij")
        bands = []
        for frequency in frequencies:
            for k in range(orientations):
                angle = math.pi * k / orientations
                along = (fx - frequency * math.cos(angle)) ** 2 + (fy - frequency * math.sin(angle)) ** 2
                bands.append(torch.exp(-along / (2 * (0.4 * frequency) ** 2)))
        self.register_buffer("bands", torch.stack(bands), persistent=False)
        self.register_buffer("luma", torch.tensor(LUMA).reshape(1, 3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> list[Tensor]:
        """One map (N, frequencies * orientations, side, side), the orientations of a frequency side by side."""
        gray = (images * self.luma).sum(1)
        spectrum = torch.fft.fft2(gray - gray.mean((1, 2), keepdim=True))
        maps = []
        for band in self.bands:  # one at a time: all bands of a batch at 227 pixels would be gigabytes
            passed = torch.fft.ifft2(spectrum * band)
            energy = passed.real.square() + passed.imag.square()
            maps.append(shrink((energy + 1e-8).sqrt().sqrt()[:, None], self.map_size))
        return [torch.cat(maps, 1)]


class NetworkMaps(CoreMaps):
    """Some channels of some layers of a torchvision network, which gets images with its own mean and deviation.

    network: torchvision's name; layers: names of its graph's nodes; channels: how many of each layer's maps are kept;
    layouts: axes and extra tokens of each layer (`layouts.Layout`), found where they are not given. Tokens of no place
    (of a class, registers) are left out.
    """

    as_made = True  # of `extractor_of`

    def __init__(
        self, input_size: int, map_size: int, network: str, layers: Sequence[str], channels: Sequence[int],
        mean: Sequence[float], std: Sequence[float], layouts: Sequence[Sequence[Any]] | None = None,
    ):  # fmt: skip
        super().__init__(map_size, channels, mean, std)
        self.extractor = extractor_of(network, layers, input_size, self.as_made)
        found = find_layouts(network, layers, input_size) if layouts is None else [Layout(*part) for part in layouts]
        self.layouts = found
        super(CoreMaps, self).train(False)

    def layers_of(self, images: Tensor) -> list[Tensor]:
        """Its layers, as maps."""
        out = self.extractor(images)
        return [as_maps(out[str(k)], layout) for k, layout in enumerate(self.layouts)]


class LeftMaps(NetworkMaps):
    """The same, of layers as an activation that works in place behind them leaves them: of older files."""

    as_made = False


def network_maps(as_made: bool = False, **arguments: Any) -> NetworkMaps:
    """The layers of a network from the arguments that a file keeps; an older one does not say `as_made`."""
    return (NetworkMaps if as_made else LeftMaps)(**arguments)


def extractor_of(network: str, layers: Sequence[str], side: int, as_made: bool = True) -> nn.Module:
    """A module that gives the layers of an untrained network as a dict of "0", "1", ..., for images of `side` pixels.

    as_made: whether a layer is as it was made, or as an activation that works in place behind it leaves it.
    Raises InputError for a size that the network cannot be built for, for layers that it has not, and for two names of
    one node.
    """
    from neurobust.core.vision import feature_extraction, models, size_arguments

    try:
        full = models.get_model(network, weights=None, **size_arguments(network, side))
    except (ValueError, AssertionError) as error:
        raise InputError(f"input_size: {side}: {network} cannot take images of this side ({error})") from error
    try:
        found = feature_extraction.create_feature_extractor(full, {layer: str(k) for k, layer in enumerate(layers)})
    except ValueError as error:
        reason = flat(error)
        raise InputError(f"layers: {list(layers)} are not nodes of {network} ({reason})") from error
    if not as_made:
        return cast(nn.Module, found)
    for graph in (found.train_graph, found.eval_graph):
        given = copy_outputs(graph)
        for k, layer in enumerate(layers):
            if str(k) not in given:
                raise InputError(f"layers: '{layer}' of {network} is what another layer that is named gives; name one")
    found.graph = found.train_graph if found.training else found.eval_graph  # compiled anew
    return cast(nn.Module, found)


def copy_outputs(graph: fx.Graph) -> dict[str, fx.Node]:
    """Let a graph give copies of its nodes, made where they are made, in place; return what it gives.

    An activation that works in place behind a layer would change what was read of it.
    """
    output = next(node for node in reversed(graph.nodes) if node.op == "output")
    for node in list(output.all_input_nodes):
        with graph.inserting_after(node):
            output.replace_input_with(node, graph.call_function(copied, (node,)))
    return cast("dict[str, fx.Node]", output.args[0])


def copied(value: Any) -> Any:
    """A copy of a tensor; what is none as it is."""
    return value.clone() if isinstance(value, Tensor) else value


def find_layouts(network: str, layers: Sequence[str], side: int) -> list[Layout]:
    """How each layer lays out its output: from what it gives for images of `side` and of 2 * `side` pixels.

    Shapes alone are computed. Raises InputError for a layer whose axes cannot be told.
    """
    from neurobust.core.vision import without_numbers

    shapes = []
    for size in (side, 2 * side):
        try:
            extractor = without_numbers(partial(extractor_of, network, layers, size)).eval()
            out = extractor(torch.empty(3, 3, size, size, device="meta"))
        except (RuntimeError, ValueError, AssertionError, ZeroDivisionError) as error:
            reason = flat(error)
            raise InputError(f"input_size: {side}: {network} cannot take images of {size} px ({reason})") from error
        shapes.append([getattr(out[str(k)], "shape", ()) for k in range(len(layers))])
    return [
        layout_of(small, large, f"layers: {layer!r} of {network}")
        for layer, small, large in zip(layers, *shapes, strict=True)
    ]


# By the `name` of their settings (`features_settings`).
FEATURES: Mapping[str, Callable[..., FeatureMaps]] = {
    "pixels": Pixels, "gabor": GaborEnergy, "network": network_maps,
}  # fmt: skip


def build_features(name: str, **arguments: Any) -> FeatureMaps:
    """A feature module by the name and arguments that a predictor's config keeps."""
    return FEATURES[name](**arguments)


def as_features(features: Mapping[str, Any] | FeatureMaps, input_size: int) -> FeatureMaps:
    """A feature module as it is, or built from the name and arguments that a predictor's config keeps."""
    return features if isinstance(features, FeatureMaps) else build_features(input_size=input_size, **features)
