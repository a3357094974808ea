"""Measures of what a network does inside: pure functions of features, gradients and logits."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def margins(logits: Tensor, labels: Tensor) -> Tensor:
    """Logit of the label minus the largest other logit, per image: (n, classes), (n,) -> (n,)."""
    own = logits.gather(1, labels[:, None])
    others = logits.scatter(1, labels[:, None], -torch.inf)
    return own.squeeze(1) - others.amax(1)


def margin_gradients(
    network: nn.Module, images: Tensor, labels: Tensor, image_batch: int = 64
) -> tuple[Tensor, Tensor]:
    """Margin (n,) and its gradient with respect to each image (n, 3, H, W). The network must be in eval mode."""
    values, gradients = [], []
    for start in range(0, len(images), image_batch):
        x = images[start : start + image_batch].clone().requires_grad_()
        margin = margins(network(x), labels[start : start + image_batch])
        gradients.append(torch.autograd.grad(margin.sum(), x)[0])
        values.append(margin.detach())
    return torch.cat(values), torch.cat(gradients)


def linear_distances(margin: Tensor, gradient: Tensor) -> Tensor:
    """L2 distance (n,) to the boundary of each image's linear approximation; NaN where it is read wrongly or flat."""
    norm = gradient.flatten(1).norm(dim=1)
    return torch.where((margin > 0) & (norm > 0), margin / norm.clamp_min(torch.finfo(norm.dtype).tiny), torch.nan)


def linear_distance(margin: Tensor, gradient: Tensor) -> float | None:
    """Median of `linear_distances` over correctly classified images: unlike a gradient norm it does not change with the
    scale of the logits. None where there is none."""
    found = linear_distances(margin, gradient)
    return None if found.isnan().all() else float(found.nanmedian())


def low_frequency_share(gradient: Tensor, cutoff: float = 0.25) -> float | None:
    """Share of the input gradient's energy at spatial frequencies up to `cutoff` of Nyquist, pooled over images.

    gradient (n, 3, H, W); radial frequency, the constant included. A white gradient has about pi cutoff^2 / 4.
    """
    power = torch.fft.fft2(gradient.double()).abs().square().sum((0, 1))
    fy, fx = (torch.fft.fftfreq(n, dtype=torch.float64) * 2 for n in gradient.shape[-2:])
    low = torch.hypot(fy[:, None], fx[None, :]) <= cutoff
    total = power.sum()
    return float(power[low].sum() / total) if total > 0 else None
