"""How strongly and how straight a network answers to small changes: Jacobian, margin, curvature."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from neurobust.core.correlation import ranks
from neurobust.core.seeding import numpy_rng
from neurobust.explain.measures import margin_gradients


def spectral_norms(
    network: nn.Module, images: Tensor, steps: int = 8, seed: int = 0, image_batch: int = 64
) -> Tensor:  # fmt: skip
    """Largest singular value (n,) of the Jacobian of the logits by each image (n, 3, H, W): power iteration on J'J.

    It approaches from below, the faster the wider the gap to the second; the network must be in eval mode, where no
    image sees another. Logits per unit of L2.
    """
    start = numpy_rng("spectral norm", seed).standard_normal(tuple(images.shape[1:]))
    parts = []
    for first in range(0, len(images), image_batch):
        x = images[first : first + image_batch].clone().requires_grad_()
        logits = network(x)
        # J'u is linear in u, so that its derivative by u is J: forward products from backward passes, of one graph.
        # Sums and not `grad_outputs`, for which torch imports sympy: more than all of this costs.
        u = torch.zeros_like(logits, requires_grad=True)
        (back,) = torch.autograd.grad((logits * u).sum(), x, create_graph=True)
        v = torch.from_numpy(start).to(x).expand_as(x)
        size = torch.zeros(len(x), device=x.device)
        for _ in range(steps):
            v = v / per_image(v).clamp_min(torch.finfo(v.dtype).tiny)
            (along,) = torch.autograd.grad((back * v).sum(), u, retain_graph=True)
            size = along.norm(dim=1)
            (v,) = torch.autograd.grad((logits * along).sum(), x, retain_graph=True)
        parts.append(size)
    return torch.cat(parts)


def per_image(x: Tensor) -> Tensor:
    """L2 norm of each image, of a shape that divides it."""
    return x.flatten(1).norm(dim=1).reshape(-1, *[1] * (x.ndim - 1))


def curvatures(
    network: nn.Module, images: Tensor, labels: Tensor, gradient: Tensor, step: float, image_batch: int = 64
) -> Tensor:
    """How much the margin's gradient turns, relative to its length, per unit of L2 along itself (n,): 0 is straight.

    ||g(x + h g/|g|) - g(x)|| / (h ||g(x)||) with h = `step` (Moosavi-Dezfooli et al. 2019, without the scale of the
    logits). NaN where there is no gradient.
    """
    norm = per_image(gradient)
    direction = gradient / norm.clamp_min(torch.finfo(gradient.dtype).tiny)
    _, moved = margin_gradients(network, images + step * direction, labels, image_batch)
    turned = (moved - gradient).flatten(1).norm(dim=1) / (step * norm.flatten())
    return torch.where(norm.flatten() > 0, turned, torch.nan)


def agreement(linear: np.ndarray, minimal: np.ndarray) -> dict[str, float]:
    """How well linear distances (n,) tell the true minimal ones that an attack found: Spearman's correlation, and the
    median of true / linear (1 for a linear network). Only images with both; NaN for fewer than five."""
    both = np.isfinite(linear) & np.isfinite(minimal) & (linear > 0) & (minimal > 0)
    if both.sum() < 5:
        return {"correlation": math.nan, "ratio": math.nan}
    x, y = linear[both], minimal[both]
    found = np.corrcoef(ranks(x), ranks(y))[0, 1] if np.ptp(x) > 0 and np.ptp(y) > 0 else math.nan
    return {"correlation": float(found), "ratio": float(np.median(y / x))}
