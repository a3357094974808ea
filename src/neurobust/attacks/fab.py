"""Fast adaptive boundary attack under linf and l2: one run finds the nearest adversarial for all budgets.

Source: Croce and Hein, "Minimally distorted adversarial examples with a fast adaptive boundary attack",
arXiv:1907.02044.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from neurobust.attacks.ascent import likeliest_wrong
from neurobust.attacks.fab_settings import FAB
from neurobust.attacks.norms import finite, lengths, per_image
from neurobust.attacks.search import AttackResult, Batch, Search, misread, pull_back

PULL = 0.1  # largest share of the clean image's own step (alpha_max)
OVERSHOOT = 1.05  # of a step beyond the linearised boundary (eta)
BACK = 0.9  # share of the way from the clean image at which an adversarial goes on (beta)


def fab(batch: Batch, settings: FAB) -> AttackResult:
    """Steps from each image to where a linear network's boundary to a class would be, for some classes in turn.

    A step is shared with that from the clean image to the same boundary, which keeps the points near it. The attack
    has no random part. At the end each adversarial is pulled back along its line to the boundary.
    """
    search = Search(batch)
    find_boundaries(search, settings)
    return search.result(settings.norm)


def find_boundaries(search: Search, settings: FAB) -> None:
    """The attack on the images of a search that stand at the smallest budget above 0: the others cannot gain."""
    rows = search.in_question()
    if not len(rows):
        return
    budget = search.positive()[0][0]
    for targets in likeliest_wrong(search, settings.targets)[rows].unbind(1):
        points, distance = approach(search, rows, targets, settings, budget)
        points, distance = pull_back(search, rows, points, distance, settings.norm, budget)
        search.place(rows, points, distance, settings.norm)


def approach(search: Search, rows: Tensor, targets: Tensor, settings: FAB, budget: int) -> tuple[Tensor, Tensor]:
    """Step the images `rows` to the boundary of the classes `targets` (n,).

    Returns the nearest adversarials that were tested (n, 3, H, W) and their distances float64 (n,), inf for none.
    """
    clean, labels = search.images[rows], search.labels[rows]
    points, best = clean, clean.clone()
    nearest = torch.full((len(rows),), math.inf, dtype=torch.float64, device=clean.device)
    for _ in range(settings.steps):
        lead, _, slope = search.gradient(rows, points, "margin", budget, targets)
        slope = finite(slope)
        behind = ((clean - points) * slope).double().flatten(1).sum(1)
        here = step_to_plane(points, slope, -lead, settings.norm)
        there = step_to_plane(clean, slope, -(lead + behind), settings.norm)
        far, near = lengths(here, settings.norm), lengths(there, settings.norm)
        pull = per_image((far / (far + near).clamp_min(1e-12)).clamp_max(PULL).to(clean), clean)
        points = ((1 - pull) * (points + OVERSHOOT * here) + pull * (clean + OVERSHOOT * there)).clamp(0, 1)
        broken = misread(search.forward(rows, points, budget), labels)
        distance = lengths(points.double() - clean.double(), settings.norm)
        nearer = broken & (distance < nearest)
        nearest, best = torch.where(nearer, distance, nearest), torch.where(per_image(nearer, points), points, best)
        points = torch.where(per_image(broken, points), clean + BACK * (points - clean), points)
    return best, nearest


def step_to_plane(points: Tensor, slope: Tensor, rise: Tensor, norm: str) -> Tensor:
    """The shortest step d (n, ...) with <slope, d> = rise and points + d in [0,1]; the largest one where none reaches.

    points, slope (n, ...); rise (n,): not finite counts as zero. A value moves at the speed 1 (linf) or |slope| (l2)
    until it meets the box, so what the step rises by is piecewise linear in the time, whose corners are sorted: exact.
    """
    rise = finite(rise.double())
    uphill = slope.flatten(1).double() * rise.sign()[:, None]
    size, start = uphill.abs(), points.flatten(1).double()
    room = torch.where(uphill > 0, 1 - start, start)
    speed = size if norm == "l2" else (size > 0).double()
    meets, order = torch.where(size > 0, room / speed, math.inf).sort(dim=1)
    met, rate = (size * room).gather(1, order), (size * speed).gather(1, order)
    before = met.cumsum(1) - met  # what those that have met the box give
    after = rate.flip(1).cumsum(1).flip(1)  # what the others give in a unit of time
    reached = before + meets * after  # what all give when this value meets the box
    corner = (reached < rise.abs()[:, None]).sum(1, keepdim=True)
    given = torch.cat([before, met.sum(1, keepdim=True)], 1).gather(1, corner)
    left = torch.cat([after, torch.zeros_like(given)], 1).gather(1, corner)
    time = ((rise.abs()[:, None] - given) / left).nan_to_num(nan=0.0, posinf=torch.finfo(torch.float64).max)
    step = uphill.sign() * torch.minimum(time * speed, room)
    return step.view_as(points).to(points.dtype)
