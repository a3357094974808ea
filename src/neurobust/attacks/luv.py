"""CIE L*u*v* (1976) of sRGB colours, scaled as ReColorAdv bounds changes in it: most of sRGB lies within [0, 1]."""

from __future__ import annotations

import torch
from torch import Tensor

from neurobust.attacks.perceptual import RGB_TO_XYZ

EDGE = (6 / 29) ** 3  # of Y, below which lightness is a straight line
SMALL = 1e-6


def rgb_to_luv(images: Tensor) -> Tensor:
    """sRGB (N, 3, H, W) in [0,1] -> L / 100, (u + 100) / 200 and (v + 100) / 200, of the same shape; D65."""
    high = ((images.clamp_min(0.04045) + 0.055) / 1.055) ** 2.4
    linear = torch.where(images > 0.04045, high, images / 12.92)
    x, y, z = torch.einsum("ij,nj...->ni...", _matrix(images), linear).unbind(1)
    total = (x + 15 * y + 3 * z).clamp_min(SMALL)
    lightness = torch.where(y > EDGE, 116 * y.clamp_min(EDGE) ** (1 / 3) - 16, (29 / 3) ** 3 * y)
    white_u, white_v = _white()
    u, v = 13 * lightness * (4 * x / total - white_u), 13 * lightness * (9 * y / total - white_v)
    return torch.stack([lightness / 100, (u + 100) / 200, (v + 100) / 200], dim=1)


def luv_to_rgb(luv: Tensor) -> Tensor:
    """The inverse of `rgb_to_luv`, clipped to [0,1] where sRGB lacks the colour. Finite gradients everywhere."""
    lightness = (100 * luv[:, 0]).clamp_min(0)
    white_u, white_v = _white()
    thirteen = 13 * lightness.clamp_min(SMALL)
    u = (200 * luv[:, 1] - 100) / thirteen + white_u
    v = ((200 * luv[:, 2] - 100) / thirteen + white_v).clamp_min(0.01)  # no colour has less
    y = torch.where(lightness > 8, ((lightness + 16) / 116) ** 3, lightness * (3 / 29) ** 3)
    xyz = torch.stack([y * 9 * u / (4 * v), y, y * (12 - 3 * u - 20 * v) / (4 * v)], dim=1)
    linear = torch.einsum("ij,nj...->ni...", torch.linalg.inv(_matrix(luv).double()).to(luv), xyz)
    high = 1.055 * linear.clamp_min(0.0031308) ** (1 / 2.4) - 0.055
    return torch.where(linear > 0.0031308, high, 12.92 * linear).clamp(0, 1)


def _matrix(like: Tensor) -> Tensor:
    return torch.tensor(RGB_TO_XYZ, dtype=torch.float64).to(like)


def _white() -> tuple[float, float]:
    """u' and v' of white, which is (1, 1, 1) in sRGB, so that grey has u = v = 0."""
    x, y, z = (sum(row) for row in RGB_TO_XYZ)
    return 4 * x / (x + 15 * y + 3 * z), 9 * y / (x + 15 * y + 3 * z)
