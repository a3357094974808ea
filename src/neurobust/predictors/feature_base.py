"""What every module of fixed features is: images (N, 3, size, size) in [0, 1] -> maps (N, channels, side, side)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d


def shrink(maps: Tensor, side: int) -> Tensor:
    """Average maps down to at most `side` x `side`."""
    return adaptive_avg_pool2d(maps, side) if maps.shape[-1] > side else maps


class FeatureMaps(nn.Module):
    """Images (N, 3, size, size) in [0, 1] -> maps; channels: of each map; map_size: their largest side."""

    channels: list[int]
    map_size: int


class CoreMaps(FeatureMaps):
    """Some channels of some layers of a network, which gets images less `mean` and divided by `std`, per colour.

    Always in eval mode: batch statistics are part of its weights, in fine-tuning too. channels: how many of each
    layer's maps are kept; empty until `keep` says it.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, map_size: int, channels: Sequence[int], mean: Sequence[float], std: Sequence[float]):
        super().__init__()
        self.map_size = map_size
        self.normalise_by(mean, std)
        self.keep([torch.arange(count) for count in channels])

    def normalise_by(self, mean: Sequence[float], std: Sequence[float]) -> None:
        """What images are normalised by, per colour."""
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32).reshape(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32).reshape(1, 3, 1, 1))

    def keep(self, kept: Sequence[Tensor]) -> None:
        """Which channels of each layer are kept: ascending indices."""
        self.channels = [len(part) for part in kept]
        for k, part in enumerate(kept):
            self.register_buffer(f"kept{k}", part.clone())

    def train(self, mode: bool = True) -> CoreMaps:
        """Nothing changes: it stays in eval mode."""
        return self

    def layers_of(self, images: Tensor) -> list[Tensor]:
        """The layers as maps (N, C, side, side), for normalised images."""
        raise NotImplementedError

    def all_maps(self, images: Tensor) -> list[Tensor]:
        """Every channel of the layers; a layer without space is a map of one place."""
        return [shrink(m, self.map_size) for m in self.layers_of((images - self.mean) / self.std)]

    def forward(self, images: Tensor) -> list[Tensor]:
        """A map of each layer, of the kept channels."""
        return [m.index_select(1, getattr(self, f"kept{k}")) for k, m in enumerate(self.all_maps(images))]
