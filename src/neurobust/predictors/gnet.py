"""G-net: a convolutional core whose maps are read out by one pooling field and one feature weighting per voxel.

Source: St-Yves, Allen, Wu, Kay & Naselaris, "Brain-optimized deep neural network models of human visual areas
learn non-hierarchical representations", Nat. Commun. 14:3329 (2023). Re-implemented from the description: at 227
pixels and its default widths it has 330,688 (prefilter) + 1,034,944 (trunk) parameters and 1,307 a voxel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d

from neurobust.core.errors import InputError
from neurobust.predictors.gnet_settings import SMALLEST
from neurobust.predictors.model import ResponseModel

# Numbers that voxels read at a time where no gradient is asked, by device: few for a cache, more to keep a GPU busy.
AT_ONCE = {"cpu": 2**21, "cuda": 2**26}
FEWEST = 64  # voxels at a time: a matrix product of fewer reads its other side too often

# What a voxel reads of each layer, in the order of its feature weights: channels in trunk widths.
LAYERS = {"conv3": 2, "conv4a": 1, "conv4b": 1, "conv5a": 1, "conv5b": 1, "conv6a": 1, "conv6b": 1}


class LogTanh(torch.autograd.Function):
    """phi(x) = log(1 + |x|) * tanh(x), keeping only x for the backward pass (the plain form keeps five tensors)."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        """phi(x)."""
        ctx.save_for_backward(x)
        return torch.log1p(x.abs()).mul_(torch.tanh(x))

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        """The gradient times phi'(x)."""
        (x,) = ctx.saved_tensors
        tanh = torch.tanh(x)
        size = x.abs()
        if torch.is_grad_enabled():  # somebody takes the gradient's gradient, and so nothing may work in place
            return (torch.log1p(size) * (1 - tanh * tanh) + tanh.abs() / (1 + size)) * gradient
        slope = torch.log1p(size).mul_(1 - tanh * tanh)
        return slope.addcdiv_(tanh.abs_(), size.add_(1)).mul_(gradient)


log_tanh = LogTanh.apply


class Prefilter(nn.Sequential):
    """The first two stages of AlexNet, (N, 3, H, W) -> (N, channels[1], h, w); 192 x 27 x 27 at 227 pixels."""

    def __init__(self, channels: tuple[int, int] = (64, 192)):
        super().__init__(
            nn.Conv2d(3, channels[0], 11, stride=4, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2),
            nn.Conv2d(channels[0], channels[1], 5, padding=2),
            nn.ReLU(),
        )

    @property
    def convolutions(self) -> tuple[nn.Conv2d, nn.Conv2d]:
        """Its two convolutions."""
        return cast(nn.Conv2d, self[0]), cast(nn.Conv2d, self[3])


@dataclass(frozen=True)
class Filtered:
    """Images as the prefilter has made them: maps (N, C, h, w)."""

    maps: Tensor


class TrunkBlock(nn.Sequential):
    """BatchNorm -> Dropout2d -> 3x3 convolution -> ReLU, in this (pre-activation) order."""

    def __init__(self, inputs: int, outputs: int, padding: int = 1, dropout: float = 0.5):
        convolution = nn.Conv2d(inputs, outputs, 3, padding=padding)
        nn.init.xavier_normal_(convolution.weight, gain=nn.init.calculate_gain("relu"))
        nn.init.zeros_(cast(Tensor, convolution.bias))
        super().__init__(nn.BatchNorm2d(inputs, momentum=0.25), nn.Dropout2d(dropout), convolution, nn.ReLU())


class Trunk(nn.Module):
    """The trained part of the core: two maps of 4 * width channels each, 25 x 25 and 13 x 13 at 227 pixels."""

    def __init__(self, inputs: int = 192, width: int = 64, dropout: float = 0.5):
        super().__init__()
        self.width = width
        wide = 2 * width
        self.conv3 = TrunkBlock(inputs, wide, padding=0, dropout=dropout)
        self.conv4a = TrunkBlock(wide, wide, dropout=dropout)
        self.conv4b = TrunkBlock(wide, wide, dropout=dropout)
        self.pool = nn.MaxPool2d(3, stride=2, padding=1)
        self.conv5a = TrunkBlock(wide, wide, dropout=dropout)
        self.conv5b = TrunkBlock(wide, wide, dropout=dropout)
        self.conv6a = TrunkBlock(wide, wide, dropout=dropout)
        self.conv6b = TrunkBlock(wide, width, dropout=dropout)

    def forward(self, x: Tensor) -> list[Tensor]:
        """The two maps (N, 4 * width, side, side) that voxels read."""
        w = self.width
        c3 = self.conv3(x)
        c4a = self.conv4a(c3)
        c4b = self.conv4b(c4a)
        c5a = self.conv5a(self.pool(c4b))
        c5b = self.conv5b(c5a)
        c6a = self.conv6a(c5b)
        c6b = self.conv6b(c6a)
        return [torch.cat([c3, c4a[:, :w], c4b[:, :w]], 1), torch.cat([c5a[:, :w], c5b[:, :w], c6a[:, :w], c6b], 1)]


class Readout(nn.Module):
    """r_v = b_v + sum_c w_vc phi( sum_s softmax(field_v)_s phi(F_cs) ), one field per voxel and map.

    sizes: side of each (square) map; channels: of each map. Takes `GNet.flat_maps`, gives responses (N, voxels).
    """

    def __init__(self, voxels: int, sizes: list[int], channels: list[int]):
        super().__init__()
        self.fields = nn.ParameterList(nn.Parameter(torch.ones(voxels, size * size)) for size in sizes)
        self.weight = nn.Parameter(torch.randn(voxels, sum(channels)) * 0.01)
        self.bias = nn.Parameter(torch.randn(voxels) * 0.01)

    def forward(self, flat: list[Tensor]) -> Tensor:
        """Responses (N, voxels)."""
        read = read_voxels if torch.is_grad_enabled() else read_few_at_a_time
        return read(flat, list(self.fields), self.weight, self.bias)


def read_voxels(flat: list[Tensor], fields: list[Tensor], weight: Tensor, bias: Tensor) -> Tensor:
    """Read some voxels, with their rows of fields and weight, out of `GNet.flat_maps`: responses (N, voxels)."""
    return torch.bmm(pooled_features(flat, fields), weight.unsqueeze(2)).squeeze(2).t() + bias


@torch.no_grad()
def read_few_at_a_time(flat: list[Tensor], fields: list[Tensor], weight: Tensor, bias: Tensor) -> Tensor:
    """As `read_voxels`, in the same operations, but on few voxels at a time and in memory that is used again.

    All voxels together would read voxels x N x channels numbers: 2.6 GB at 5,000 voxels, 256 images and 512 channels,
    several times over.
    """
    n, channels = flat[0].shape[1], weight.shape[1]
    shares, rows = [field.softmax(1) for field in fields], [m.reshape(len(m), -1) for m in flat]
    step, found = max(FEWEST, AT_ONCE.get(weight.device.type, 2**21) // max(1, n * channels)), []
    for start in range(0, len(weight), step):
        few = slice(start, start + step)
        pooled = [(share[few] @ row).reshape(-1, n, len(row.T) // n) for share, row in zip(shares, rows, strict=True)]
        found.append(torch.bmm(log_tanh_(torch.cat(pooled, 2)), weight[few].unsqueeze(2)).squeeze(2))
    return torch.cat(found).t() + bias


def log_tanh_(x: Tensor) -> Tensor:
    """`log_tanh` without a backward pass; x is overwritten."""
    return x.abs().log1p_().mul_(x.tanh_())


def pooled_features(flat: list[Tensor], fields: list[Tensor]) -> Tensor:
    """What the feature weights of voxels with these fields read: (voxels, N, channels)."""
    pooled = []
    for m, field in zip(flat, fields, strict=True):
        space, n, channels = m.shape
        pooled.append((field.softmax(1) @ m.reshape(space, n * channels)).reshape(-1, n, channels))
    return cast(Tensor, log_tanh(torch.cat(pooled, 2)))


class GNet(ResponseModel):
    """Core and one readout per subject: images (N, 3, size, size) in [0, 1] -> responses (N, all voxels).

    voxels: voxels per subject, in the order of the output's columns; mean: RGB training mean, subtracted.
    """

    mean: Tensor

    def __init__(
        self,
        voxels: dict[str, int],
        input_size: int = 227,
        prefilter_channels: tuple[int, int] = (64, 192),
        trunk_width: int = 64,
        dropout: float = 0.5,
        mean: tuple[float, ...] = (0.47518, 0.45156, 0.41181),
    ):
        super().__init__()
        self.input_size = input_size
        self.voxels = dict(voxels)
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32).reshape(1, 3, 1, 1))
        self.prefilter = Prefilter((prefilter_channels[0], prefilter_channels[1]))
        self.trunk = Trunk(prefilter_channels[1], trunk_width, dropout)
        sizes = map_sizes(input_size)
        self.readouts = nn.ModuleDict(
            {subject: Readout(count, sizes, [4 * trunk_width] * 2) for subject, count in voxels.items()}
        )

    def readout(self, subject: str) -> Readout:
        """The readout of a subject."""
        return cast(Readout, self.readouts[subject])

    def filtered(self, images: Tensor) -> Filtered:
        """Images (N, 3, size, size) in [0, 1] behind the prefilter."""
        return Filtered(self.prefilter(images - self.mean))

    def flat_maps(self, images: Tensor | Filtered) -> list[Tensor]:
        """phi of the two maps as (S * S, N, C): space first, so that pooling is one matrix product."""
        maps = self.trunk((images if isinstance(images, Filtered) else self.filtered(images)).maps)
        return [log_tanh(m.flatten(2).permute(2, 0, 1).contiguous()) for m in maps]

    def forward(self, images: Tensor) -> Tensor:
        """Responses (N, voxels)."""
        flat = self.flat_maps(images)
        return torch.cat([readout(flat) for readout in self.readouts.values()], 1)

    def respond(self, images: Tensor, subject: str) -> Tensor:
        """Responses (N, V) of one subject's voxels."""
        return self.readout(subject)(self.flat_maps(images))

    def contributions(self, images: Tensor) -> dict[str, Tensor]:
        """What each layer of the trunk adds to the responses (N, voxels)."""
        flat, parts = self.flat_maps(images), []
        for readout in cast("list[Readout]", list(self.readouts.values())):
            features, start, layers = pooled_features(flat, list(readout.fields)), 0, []
            for widths in LAYERS.values():
                columns = slice(start, start + widths * self.trunk.width)
                layers.append(torch.bmm(features[:, :, columns], readout.weight[:, columns, None]).squeeze(2).t())
                start = columns.stop
            parts.append(torch.stack(layers))
        return dict(zip(LAYERS, torch.cat(parts, 2), strict=True))

    def core_features(self, images: Tensor, side: int = 4) -> Tensor:
        """The two maps, averaged down to `side` x `side` places: (N, features)."""
        flat = self.flat_maps(images)
        maps = [m.permute(1, 2, 0).unflatten(2, (size, size)) for m, size in zip(flat, self._sides, strict=True)]
        pooled = [adaptive_avg_pool2d(m, side) if m.shape[-1] > side else m for m in maps]
        return torch.cat([m.flatten(1) for m in pooled], 1)

    @property
    def _sides(self) -> list[int]:
        return map_sizes(self.input_size)


def map_sizes(input_size: int) -> list[int]:
    """Sides of the two maps for an input of this size: [25, 13] at 227 pixels, [3, 2] at the smallest one, 47.

    Raises InputError for a smaller one.
    """
    if input_size < SMALLEST:
        raise InputError(f"input_size: {input_size}: G-net takes images of at least {SMALLEST} px; enlarge them")
    conv1 = (input_size + 4 - 11) // 4 + 1
    first = (conv1 - 3) // 2 + 1 - 2
    return [first, (first + 2 - 3) // 2 + 1]


def field_centres(input_size: int) -> list[Tensor]:
    """Where each cell of the maps looks: its receptive field's centre in half frames (-1 ... 1), per map (side,)."""
    first, second = map_sizes(input_size)
    pixels = [8.0 * torch.arange(first) + 15, 16.0 * torch.arange(second) + 15]
    return [(p + 0.5) / input_size * 2 - 1 for p in pixels]
