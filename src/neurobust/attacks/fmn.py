"""Fast minimum norm attack under linf, l2, l1 and l0: one run finds the nearest adversarial for all budgets."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from neurobust.attacks.fmn_settings import FMN
from neurobust.attacks.norms import finite, lengths, per_image, shrink_into_ball, steepest
from neurobust.attacks.search import AttackResult, Batch, Search, abstains, pull_back

# the norm that bounds how fast the loss can change under each norm (l0: one more value moves it by the largest slope)
DUAL = {"linf": "l1", "l2": "l2", "l1": "linf", "l0": "linf"}

FARTHEST = 1e12  # of a boundary that a gradient of zero says nothing about: float32 holds it, as a radius


def fmn(batch: Batch, settings: FMN) -> AttackResult:
    """Shrinks a ball of its own per image while its point is adversarial and grows it while it is not.

    `gamma`: by which share the radius changes at first; `stepsize`: l2 length of the first step; both fall as a cosine.
    The attack has no random part. At the end each adversarial is pulled back along its line to the boundary (not under
    l0).
    """
    search = Search(batch)
    find_nearest(search, settings)
    return search.result(settings.norm)


def find_nearest(search: Search, settings: FMN) -> None:
    """The attack on the images of a search that stand at the smallest budget above 0: the others cannot gain."""
    norm, steps, gamma = settings.norm, settings.steps, settings.gamma
    rows = search.in_question()
    if not len(rows):
        return
    budget, clean = search.positive()[0][0], search.images[rows]
    delta, best = torch.zeros_like(clean), clean.clone()
    nearest = torch.full((len(rows),), math.inf, dtype=torch.float64, device=clean.device)
    radius = nearest.clone()
    for step in range(steps):
        share = (1 + math.cos(math.pi * step / steps)) / 2
        points = clean + delta
        loss, logits, gradient = search.gradient(rows, points, "margin", budget)
        broken = (loss > 0) | abstains(logits)
        size = lengths(points.double() - clean.double(), norm)
        nearer = broken & (size < nearest)
        nearest, best = torch.where(nearer, size, nearest), torch.where(per_image(nearer, points), points, best)
        length = lengths(finite(gradient), DUAL[norm]).clamp_min(torch.finfo(torch.float64).tiny)
        gap = (-loss.double() / length).clamp_max(FARTHEST)
        beyond = (size + gap) * (1 + gamma)  # on the boundary itself nothing is broken
        radius = next_radius(radius, broken, nearest, beyond, gamma * share, norm)
        moved = delta + settings.stepsize * max(share, 0.01) * steepest(gradient, "l2")
        delta = (clean + shrink_into_ball(moved, radius, norm)).clamp(0, 1) - clean
    if norm != "l0":
        best, nearest = pull_back(search, rows, best, nearest, norm, budget)
    search.place(rows, best, nearest, norm)


def next_radius(radius: Tensor, broken: Tensor, nearest: Tensor, estimate: Tensor, gamma: float, norm: str) -> Tensor:
    """The balls' next radii (n,): `estimate` is just beyond where a linear loss would have its boundary."""
    smaller = torch.minimum(radius * (1 - gamma), nearest)
    larger = torch.where(nearest.isfinite(), radius * (1 + gamma), estimate)
    if norm == "l0":  # whole values: at least one less or one more
        smaller = torch.minimum(torch.minimum(radius - 1, (radius * (1 - gamma)).floor()), nearest - 1)
        larger = torch.where(nearest.isfinite(), torch.maximum(radius + 1, larger.floor()), estimate.ceil())
        larger = torch.minimum(larger, nearest - 1)
    return torch.where(broken, smaller, larger).clamp_min(1.0 if norm == "l0" else 0.0)
