"""Norms of perturbations and exact projections onto (ball around an image) ∩ [0,1] box."""

from __future__ import annotations

from typing import overload

import torch
from torch import Tensor

from neurobust.core.errors import InputError

# What gradient ascent can climb under, and what a distance can be measured in. l0 counts values, not pixels.
NORMS = ("linf", "l2")
MEASURED = ("linf", "l2", "l1", "l0")

ORDERS = {"linf": float("inf"), "l2": 2, "l1": 1, "l0": 0}

# Radii are shrunk by this factor, so that float32 rounding never carries a point out of its ball.
SHRINK = 1 - 1e-5

# The active set of `box_scale` settles in 3 to 6 rounds; every round is feasible, so the limit costs no validity.
ROUNDS = 12


def check_norm(kind: str, allowed: tuple[str, ...] = NORMS) -> None:
    """Refuse a norm that is not in `allowed`."""
    if kind not in allowed:
        raise InputError(f"attack norm '{kind}' is not available here; use one of {list(allowed)}")


@overload
def per_image(values: Tensor, like: Tensor) -> Tensor: ...
@overload
def per_image(values: float, like: Tensor) -> float: ...
@overload
def per_image(values: Tensor | float, like: Tensor) -> Tensor | float: ...
def per_image(values: Tensor | float, like: Tensor) -> Tensor | float:
    """Reshape (N,) `values` so that they broadcast over the images `like` (N, ...); a float stays a float."""
    return values.view(-1, *[1] * (like.ndim - 1)) if isinstance(values, Tensor) else values


def lengths(delta: Tensor, kind: str) -> Tensor:
    """Norm of each image's perturbation in float64: (N, ...) -> (N,), in pixel units (l0: how many values differ)."""
    check_norm(kind, MEASURED)
    return torch.linalg.vector_norm(delta.flatten(1).double(), ORDERS[kind], dim=1)


def steepest(gradient: Tensor, kind: str) -> Tensor:
    """Direction of steepest ascent of unit norm: sign (linf) or g / |g| (l2); a zero gradient gives zero.

    An entry that is not a number counts as zero; for l2 an infinite one too, which would leave nothing of the others.
    """
    if kind == "linf":
        return gradient.nan_to_num(nan=0.0).sign()
    gradient = finite(gradient)
    # float32 squares underflow below 1e-19: scale by the largest entry first
    largest = gradient.flatten(1).abs().amax(1).clamp_min(torch.finfo(gradient.dtype).tiny)
    scaled = gradient / per_image(largest, gradient)
    length = torch.linalg.vector_norm(scaled.flatten(1), dim=1).clamp_min(torch.finfo(gradient.dtype).tiny)
    return scaled / per_image(length, gradient)


def finite(gradient: Tensor) -> Tensor:
    """The gradient with zero in the place of what is not finite, so that the other entries keep their say."""
    return gradient.nan_to_num(0.0, 0.0, 0.0)


def box_scale(centre: Tensor, delta: Tensor, radius: float | Tensor) -> Tensor:
    """Largest t (N,) for which |clip(centre + t delta, 0, 1) - centre|_2 <= radius.

    Pixels that meet the box are fixed there and the others share what is left of the radius. t rises from the
    unclipped value and is feasible in every round, since a pixel can only be overestimated before it is fixed.
    Where every moving pixel has met the box, t stops growing: a larger one changes nothing.
    """
    size, flat = delta.flatten(1).abs(), delta.flatten(1)
    room = torch.where(flat > 0, 1 - centre.flatten(1), centre.flatten(1))
    tiny = torch.finfo(delta.dtype).tiny
    square = torch.as_tensor(radius, dtype=delta.dtype, device=delta.device) ** 2
    t = (square / size.square().sum(1).clamp_min(tiny)).sqrt()
    for _ in range(ROUNDS):
        fixed = size * t[:, None] >= room
        spent = torch.where(fixed, room, 0).square().sum(1)
        free = torch.where(fixed, 0, size).square().sum(1)
        larger = ((square - spent).clamp_min(0) / free.clamp_min(tiny)).sqrt()
        larger = torch.where(free > tiny, torch.maximum(larger, t), t)
        if torch.equal(larger, t):
            break
        t = larger
    return t


def project(points: Tensor, centre: Tensor, radius: float | Tensor, kind: str) -> Tensor:
    """Nearest point of (ball of `radius` around `centre`) ∩ [0,1], per image; exact for both norms.

    linf: the intersection is a box, so two clamps. l2: by the optimality conditions the projection is
    clip(centre + t (points - centre)) with the largest t <= 1 that meets the ball (`box_scale`).
    """
    radius = radius * SHRINK
    if kind == "linf":
        reach = per_image(radius, points)
        return torch.minimum(torch.maximum(points, centre - reach), centre + reach).clamp(0, 1)
    delta = points - centre
    t = box_scale(centre, delta, radius).clamp_max(1)
    return (centre + per_image(t, delta) * delta).clamp(0, 1)


def stretch(centre: Tensor, direction: Tensor, radius: float | Tensor) -> Tensor:
    """Point along `direction` whose l2 distance from `centre` is `radius` after clipping to [0,1], where one exists."""
    t = box_scale(centre, direction, radius * SHRINK)
    return (centre + per_image(t, direction) * direction).clamp(0, 1)


def shrink_into_ball(delta: Tensor, radius: Tensor, kind: str) -> Tensor:
    """Nearest point of each ball of `radius` (N,) around 0 to `delta` (N, ...), without the box.

    l0 keeps the `radius` largest values; l1 lowers every value by one threshold (Duchi et al., ICML 2008).
    """
    reach = per_image(radius.to(delta), delta)
    if kind == "linf":
        return torch.minimum(torch.maximum(delta, -reach), reach)
    if kind == "l2":
        size = per_image(torch.linalg.vector_norm(delta.flatten(1), dim=1), delta)
        return delta * (reach / size.clamp_min(torch.finfo(delta.dtype).tiny)).clamp_max(1)
    size = delta.flatten(1).abs()
    ranked = size.sort(dim=1, descending=True).values
    if kind == "l0":
        kept = radius.long().clamp(0, size.shape[1])
        last = ranked.gather(1, (kept - 1).clamp_min(0)[:, None])
        return torch.where((size >= last) & (kept > 0)[:, None], delta.flatten(1), 0).view_as(delta)
    places = torch.arange(1, size.shape[1] + 1, device=delta.device)
    surplus = (ranked.cumsum(1) - reach.flatten(1)) / places
    held = (ranked > surplus).sum(1, keepdim=True).clamp_min(1)
    threshold = surplus.gather(1, held - 1).clamp_min(0)
    return (delta.flatten(1).sign() * (size - threshold).clamp_min(0)).view_as(delta)
