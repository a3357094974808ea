"""A Gabor bank in place of AlexNet's first two layers, where there are no trained weights.

conv1: oriented Gabors (3/4 of the channels: orientations x wavelengths x 4 phases) and colour-opponent blobs (1/4).
conv2: a third of the channels pass one conv1 channel through, a third blur it, a third mix all channels at random.
"""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor

from neurobust.core.seeding import torch_generator
from neurobust.predictors.gnet import Prefilter

WAVELENGTHS = (7.0, 13.0)  # pixels
OPPONENTS = ((1.0, -1.0, 0.0), (-0.5, -0.5, 1.0), (1.0, 1.0, 1.0), (0.0, 1.0, -1.0))


def gabor(angle: float, wavelength: float, phase: float, size: int = 11) -> Tensor:
    """A Gabor patch (size, size), zero mean and unit norm."""
    axis = torch.arange(size, dtype=torch.float32) - (size - 1) / 2
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    along = x * math.cos(angle) + y * math.sin(angle)
    sigma = min(0.45 * wavelength, size / 3.5)
    patch = torch.exp(-(x**2 + y**2) / (2 * sigma**2)) * torch.cos(2 * math.pi * along / wavelength + phase)
    patch = patch - patch.mean()
    return patch / patch.norm()


def blob(sigma: float, size: int) -> Tensor:
    """A Gaussian blob (size, size) that sums to 1."""
    axis = torch.arange(size, dtype=torch.float32) - (size - 1) / 2
    line = torch.exp(-(axis**2) / (2 * sigma**2))
    patch = torch.outer(line, line)
    return patch / patch.sum()


def fill_prefilter(prefilter: Prefilter, seed: int = 0) -> None:
    """Set the weights of a prefilter to the bank, in place. Deterministic for a seed and the channel counts."""
    conv1, conv2 = prefilter.convolutions
    oriented = conv1.out_channels * 3 // 4
    orientations = max(1, math.ceil(oriented / (4 * len(WAVELENGTHS))))
    with torch.no_grad():
        for i in range(conv1.out_channels):
            if i < oriented:
                phase, rest = i % 4, i // 4
                angle = math.pi * (rest % orientations) / orientations
                patch = gabor(angle, WAVELENGTHS[(rest // orientations) % len(WAVELENGTHS)], phase * math.pi / 2)
                conv1.weight[i] = patch / 3**0.5
            else:
                sign, kind = 1 - 2 * (i % 2), (i // 2) % len(OPPONENTS)
                colour = torch.tensor(OPPONENTS[kind]) / torch.tensor(OPPONENTS[kind]).norm()
                conv1.weight[i] = sign * 3 * colour[:, None, None] * blob(1.5 + (i // 8) % 2 * 1.5, 11)
        cast(Tensor, conv1.bias).zero_()
        generator = torch_generator(seed, "prefilter")
        conv2.weight.normal_(0, math.sqrt(2 / (conv1.out_channels * 25)), generator=generator)
        third = min(conv1.out_channels, conv2.out_channels // 3)
        for i in range(third):
            conv2.weight[i] = conv2.weight[third + i] = 0
            conv2.weight[i, i, 2, 2] = 1
            conv2.weight[third + i, i] = blob(1.2, 5)
        cast(Tensor, conv2.bias).zero_()
