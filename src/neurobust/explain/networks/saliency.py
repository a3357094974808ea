"""Where a network looks: its saliency against the object's mask and against that of a predictor of the brain."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from neurobust.core.blur import gaussian_blur
from neurobust.core.seeding import numpy_rng


def saliency(gradient: Tensor) -> Tensor:
    """Saliency maps (n, H, W): the length of each pixel's gradient over the channels of (n, 3, H, W)."""
    return gradient.norm(dim=1)


def blurred(maps: Tensor, sigma: float) -> Tensor:
    """Maps (n, H, W) under a Gaussian of `sigma` pixels, the border repeated; 0 leaves them as they are."""
    return gaussian_blur(maps[:, None], sigma, "replicate")[:, 0] if sigma > 0 else maps


def response_saliency(
    target: nn.Module, images: Tensor, draws: int = 4, seed: int = 0, image_batch: int = 64
) -> Tensor:  # fmt: skip
    """How much each pixel moves a predictor's responses (n, H, W): root of the Jacobian's energy, by Hutchinson.

    target: images (n, 3, H, W) -> (n, voxels). E[(J'v)^2] over random signs v is each pixel's sum of squares over
    voxels; `draws` of them are averaged.
    """
    rng = numpy_rng("response saliency", seed)
    parts = []
    for first in range(0, len(images), image_batch):
        x = images[first : first + image_batch].clone().requires_grad_()
        responses = target(x)
        energy = torch.zeros_like(x)
        for draw in range(draws):
            signs = torch.from_numpy(rng.choice([-1.0, 1.0], responses.shape[1])).to(responses)
            (found,) = torch.autograd.grad((responses @ signs).sum(), x, retain_graph=draw + 1 < draws)
            energy += found.square()
        parts.append((energy.sum(1) / draws).sqrt().detach())
    return torch.cat(parts)


class Pointing(NamedTuple):
    """hits: share of images whose most salient pixel lies in the mask (Zhang et al. 2018); mass: mean share of the
    saliency in it (Wang et al. 2020); area: mean share of the image that it covers, what chance would give both; n:
    images whose mask is neither empty nor whole."""

    hits: float
    mass: float
    area: float
    n: int


def pointing_game(maps: Tensor, masks: Tensor) -> Pointing:
    """How much of the saliency (n, H, W) lies on the object: bool masks (n, H, W)."""
    covered = masks.flatten(1).double().mean(1)
    flat = maps.flatten(1).double()
    used = (covered > 0) & (covered < 1) & (flat.sum(1) > 0)
    if not used.any():
        return Pointing(math.nan, math.nan, math.nan, 0)
    flat, inside = flat[used], masks.flatten(1)[used]
    hits = inside.gather(1, flat.argmax(1, keepdim=True)).double().mean()
    mass = ((flat * inside).sum(1) / flat.sum(1)).mean()
    return Pointing(float(hits), float(mass), float(covered[used].mean()), int(used.sum()))


class Shared(NamedTuple):
    """own: mean correlation of two observers' maps of the same image; other: of maps of different images, which is what
    a common love of the centre gives; beyond: own - other."""

    own: float
    other: float
    beyond: float


def shared_saliency(a: Tensor, b: Tensor) -> Shared:
    """Pearson's correlation over pixels of maps (n, H, W) of two observers: of one image, and of different ones."""
    x, y = (_standard(maps) for maps in (a, b))
    table = (x @ y.T).cpu().numpy()
    n = len(table)
    own = np.diag(table)
    used = np.isfinite(own)
    if used.sum() < 2:
        return Shared(math.nan, math.nan, math.nan)
    table = table[np.ix_(used, used)]
    n, diagonal = len(table), float(np.diag(table).sum())
    same, other = diagonal / n, (float(table.sum()) - diagonal) / (n * (n - 1))
    return Shared(same, other, same - other)


def _standard(maps: Tensor) -> Tensor:
    """Rows of mean 0 and unit length; NaN for a map without any variation."""
    flat = maps.flatten(1).double()
    flat = flat - flat.mean(1, keepdim=True)
    norm = flat.norm(dim=1, keepdim=True)
    return flat / torch.where(norm > 0, norm, torch.nan)
