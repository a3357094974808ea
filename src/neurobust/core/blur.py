"""A Gaussian blur of images."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import conv2d, pad


def gaussian_blur(images: Tensor, sd: float, border: Literal["reflect", "replicate"] = "reflect") -> Tensor:
    """Images (n, C, H, W) under a Gaussian of `sd` pixels (above 0), its kernel cut at 3 SD; what lies outside of an
    image is it again, in a mirror, or its border."""
    reach = min(math.ceil(3 * sd), min(images.shape[-2:]) - 1)
    axis = torch.arange(-reach, reach + 1, dtype=images.dtype, device=images.device)
    kernel = (-axis.square() / (2 * sd**2)).exp()
    kernel = (kernel / kernel.sum()).expand(images.shape[1], 1, -1)
    padded = pad(images, (reach,) * 4, mode=border)
    rows = conv2d(padded, kernel[:, :, None, :], groups=images.shape[1])
    return conv2d(rows, kernel[:, :, :, None], groups=images.shape[1])
