"""Other versions of a predictor's own test images, and how well its responses to them still match the brain's.

The measured responses are those to the intact images. So a version asks what a response rests on: an ROI that knows
shape alone answers to a line drawing as to the image. Where responses to other images were measured themselves (as for
NSD-synthetic), the same comparison takes them in place of these.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from neurobust.core.blur import gaussian_blur
from neurobust.explain.predictors.tuning import seen_r
from neurobust.files.pixels import LUMA

INTACT, OTHER = "intact", "another image"
COARSEST = 1 / 8  # of the image's side: what is finer than a period of this is detail, which a swap exchanges


def luma(images: Tensor) -> Tensor:
    """Brightness (n, 1, H, W) of images (n, 3, H, W)."""
    return (images * torch.tensor(LUMA).to(images)[:, None, None]).sum(1, keepdim=True)


def grey(images: Tensor, generator: torch.Generator) -> Tensor:
    """Without colour."""
    return luma(images).expand_as(images).contiguous()


def noisy(images: Tensor, generator: torch.Generator) -> Tensor:
    """With Gaussian noise of a tenth of the range."""
    return (images + 0.1 * torch.randn(images.shape, generator=generator).to(images)).clamp(0, 1)


def soft(images: Tensor, generator: torch.Generator) -> Tensor:
    """Blurred by a Gaussian of 1/32 of the side."""
    return gaussian_blur(images, images.shape[-1] / 32)


def line_drawn(images: Tensor, generator: torch.Generator) -> Tensor:
    """A line drawing: dark where the brightness changes, white elsewhere; black at the 5 % steepest places."""
    smooth = gaussian_blur(luma(images), max(images.shape[-1] / 128, 0.6))
    wide = pad(smooth, (1, 1, 1, 1), mode="reflect")
    dx, dy = wide[:, :, 1:-1, 2:] - wide[:, :, 1:-1, :-2], wide[:, :, 2:, 1:-1] - wide[:, :, :-2, 1:-1]
    steep = torch.hypot(dx, dy)
    most = steep.flatten(1).quantile(0.95, dim=1).clamp_min(1e-6)[:, None, None, None]
    return (1 - steep / most).clamp(0, 1).expand_as(images).contiguous()


def detail_swapped(images: Tensor, generator: torch.Generator) -> Tensor:
    """Coarse parts as they are, detail of another image: what a fine cue says is exchanged, the shape stays."""
    coarse = gaussian_blur(images, COARSEST * images.shape[-1] / 4)
    return (coarse + derangement(images - coarse, generator)).clamp(0, 1)


def other(images: Tensor, generator: torch.Generator) -> Tensor:
    """Another image altogether: the control, at which accuracy is 0."""
    return derangement(images, generator)


def derangement(images: Tensor, generator: torch.Generator) -> Tensor:
    """Each image's place taken by another one: a random cycle through all."""
    order = torch.randperm(len(images), generator=generator)
    found = torch.empty_like(images)
    found[order] = images[order.roll(1)]
    return found


VERSIONS: Mapping[str, Callable[[Tensor, torch.Generator], Tensor]] = MappingProxyType({
    "grey": grey, "noise": noisy, "blur": soft, "line drawing": line_drawn, "detail swapped": detail_swapped,
    OTHER: other,
})  # fmt: skip


def version_r(
    responses: Mapping[str, np.ndarray], measured: np.ndarray, keep: np.ndarray, rng: np.random.Generator,
    resamples: int = 200, level: float = 0.95,
) -> dict[str, tuple[float, float, float]]:  # fmt: skip
    """Median over voxels of r with the measured responses, and its interval over images: version -> (r, low, high).

    responses: of each version to the same images, (n, voxels); measured (n, voxels), NaN where unknown; keep: columns
    that count. All versions share the draws.
    """
    seen = measured[:, keep]
    draws = [rng.integers(len(seen), size=len(seen)) for _ in range(resamples)]
    found = {}
    for name, part in responses.items():
        part = part[:, keep]
        if not part.shape[1]:
            found[name] = (float("nan"),) * 3
            continue
        again = [float(np.median(seen_r(part[rows], seen[rows]))) for rows in draws]
        low, high = np.quantile(again, [(1 - level) / 2, (1 + level) / 2])
        found[name] = (float(np.median(seen_r(part, seen))), float(low), float(high))
    return found


def kept_share(found: Mapping[str, tuple[float, float, float]]) -> dict[str, float]:
    """Each version's r as a share of that of the intact images; NaN where that is not above 0."""
    whole = found[INTACT][0]
    return {name: value[0] / whole if whole > 0 else float("nan") for name, value in found.items() if name != INTACT}
