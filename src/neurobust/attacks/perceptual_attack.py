"""Within a perceptual distance: what a network stands least among images that another network's features hardly tell
apart, and random changes of the same distance."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor
from torch.nn import functional

from neurobust.attacks.functional import Family, fields
from neurobust.attacks.losses import loss_values
from neurobust.attacks.lpips import LPIPS, Lpips
from neurobust.attacks.norms import per_image
from neurobust.attacks.perceptual import Embedding, distance_in, embed, gap
from neurobust.attacks.perceptual_settings import Perceptual, RandomPerceptual
from neurobust.attacks.search import AttackResult, Batch, Search, misread
from neurobust.attacks.semantic.oracle import Oracle
from neurobust.core.seeding import torch_generator

INSIDE = 1 - 1e-3  # of a budget: features in another batch differ by rounding, and an adversarial must still be inside
NOISE = 0.01  # standard deviation of the start, in pixels of [0,1]
PROBE = 0.1  # length of the step that says how fast the distance grows, L2
ROUNDS = 10  # of a bisection
FACTOR = 10.0  # by which the penalty grows


def perceptual(batch: Batch, settings: Perceptual) -> AttackResult:
    """Ascent on loss - penalty * max(0, distance - budget), in steps of a share of the budget in that distance.

    At each budget from the last one's best, at the first from a little noise. Steps shrink tenfold in a round; the
    penalty grows where a round ended outside the budget. Every point on the way counts that lies inside, and at the end
    of a round the nearest towards the image that does (Laidlaw et al. 2021, algorithm 1 and appendix).
    """
    search = Search(batch, settings.eot)
    space = Space(batch)
    best = noisy_start(batch)
    value = torch.full((len(best),), -math.inf, dtype=best.dtype, device=best.device)
    sizes = torch.zeros(len(best), dtype=torch.float64, device=best.device)
    for budget, radius in search.positive():
        rows = search.standing(budget)
        points = best[rows].clone()
        penalty = torch.full((len(rows),), settings.penalty, dtype=torch.float64, device=rows.device)
        climb = Climb(search, space, settings, budget, radius, sizes, best, value)
        for _ in range(settings.rounds):
            if not len(rows):
                break
            rows, points, penalty = climb.round(rows, points, penalty)
    return search.result(sizes)


def random_perceptual(batch: Batch, settings: RandomPerceptual) -> AttackResult:
    """Best of `repeats` random directions, each walked until the distance is the budget, or to its end."""
    search, space = Search(batch), Space(batch)
    family = Family("perceptual", tuple(batch.images.shape[1:]), lambda images, change: (images + change).clamp(0, 1))
    sizes = torch.zeros(len(batch.images), dtype=torch.float64, device=batch.images.device)
    for repeat in range(settings.repeats):
        for budget, radius in search.positive():
            rows = search.standing(budget)
            if len(rows):
                directions = fields(batch, family, rows, "draw", repeat)
                points, apart = space.towards(rows, directions, INSIDE * radius)
                broken, _ = search.test(rows, points, budget)
                sizes[rows[broken]] = apart[broken]
    return search.result(sizes)


def noisy_start(batch: Batch) -> Tensor:
    """The images with a little noise, each from its own stream."""
    drawn = [
        torch.randn(batch.images.shape[1:], generator=torch_generator(batch.seed, "perceptual", "start", identity))
        for identity in batch.ids
    ]
    return (batch.images + NOISE * torch.stack(drawn).to(batch.images)).clamp(0, 1)


class Space:
    """The distance of points to the images of a batch, in features of another network."""

    def __init__(self, batch: Batch):
        self.images, self.embedding, self.measure = batch.images, embedding_of(batch), distance_of(batch)

    def apart(self, rows: Tensor, points: Tensor) -> Tensor:
        """Distance of `points` (n, 3, H, W) to the images `rows`: float64 (n,)."""
        return self.measure(self.images[rows], points)

    @torch.no_grad()
    def towards(self, rows: Tensor, changes: Tensor, limit: float) -> tuple[Tensor, Tensor]:
        """The farthest points found along `changes` (n, 3, H, W) that are within `limit`, and how far they are (n,).

        By bisection of the share of the change: a distance that falls on the way gives some crossing of the limit.
        """

        def make(share: Tensor) -> Tensor:
            return (self.images[rows] + per_image(share.to(changes), changes) * changes).clamp(0, 1)

        low = torch.zeros(len(rows), dtype=torch.float64, device=rows.device)
        high, apart = torch.ones_like(low), torch.zeros_like(low)
        share, here = high, self.embedding(self.images[rows])
        for _ in range(ROUNDS + 1):  # the whole change first
            far = gap(here, self.embedding(make(share)))
            inside = far <= limit
            low, apart = torch.where(inside, share, low), torch.where(inside, far, apart)
            high = torch.where(inside, high, share)
            share = (low + high) / 2
        return make(low), apart


def distance_of(batch: Batch) -> Callable[[Tensor, Tensor], Tensor]:
    """The distance that budgets of the norm `lpips` bound: the root of Zhang's."""
    return distance_in(embedding_of(batch))


def embedding_of(batch: Batch) -> Embedding:
    """LPIPS where the attack brought its weights; else the features of the oracle of the batch's task, unweighted."""
    if LPIPS in batch.helpers:
        return cast(Lpips, batch.helpers[LPIPS]).embed
    oracle = cast(Oracle, batch.helper("oracle"))
    return lambda images: embed(oracle.maps(images))


@dataclass(frozen=True)
class Climb:
    """One budget's ascent, of `radius`. sizes (N,): distances of what broke; best and value (N,): the best point inside
    and its loss, for the next budget to start from."""

    search: Search
    space: Space
    settings: Perceptual
    budget: int
    radius: float
    sizes: Tensor
    best: Tensor
    value: Tensor

    @property
    def limit(self) -> float:
        """The distance within which a point counts."""
        return INSIDE * self.radius

    def round(self, rows: Tensor, points: Tensor, penalty: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """One round of steps; rows (n,), points and penalties of the images that still stand after it."""
        steps = self.settings.steps
        for step in range(steps):
            apart, outwards = self.slope(rows, points)
            values, logits, gradient = self.search.gradient(rows, points, self.settings.loss, self.budget)
            keep = ~self.look(rows, points, apart, values, logits)
            rows, points, penalty = rows[keep], points[keep], penalty[keep]
            if not len(rows):
                return rows, points, penalty
            wrong = misread(logits[keep], self.search.labels[rows])  # outside the budget, or it would be broken
            upwards = torch.where(per_image(wrong, points), 0.0, unit(gradient[keep]))
            held = per_image(torch.where(apart[keep] > self.limit, penalty, 0.0), points).to(points)
            direction = unit(upwards - held * unit(outwards[keep]))
            points = self.moved(rows, points, direction, self.radius * 0.1 ** (step / steps))
        inside, apart = self.space.towards(rows, points - self.search.images[rows], self.limit)
        logits = self.search.forward(rows, inside, self.budget)
        values = loss_values(logits, self.search.labels[rows], self.settings.loss)
        keep = ~self.look(rows, inside, apart, values, logits)
        grown = torch.where(self.space.apart(rows, points) > self.limit, FACTOR * penalty, penalty)
        return rows[keep], points[keep], grown[keep]

    def slope(self, rows: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
        """Distance (n,) of the points and its gradient there, which is zero at the image itself."""
        with torch.enable_grad():
            points = points.detach().requires_grad_()
            apart = self.space.apart(rows, points)
            (outwards,) = torch.autograd.grad(apart.sum(), points)
        return apart.detach(), outwards.nan_to_num(0, 0, 0)

    @torch.no_grad()
    def moved(self, rows: Tensor, points: Tensor, direction: Tensor, length: float) -> Tensor:
        """Points a step of `length` in feature distance along directions of unit L2, as far as pixels allow."""
        growth = self.space.measure(points, points + PROBE * direction) / PROBE
        size = length / growth.clamp_min(1e-8)
        return (points + per_image(size.to(points), points) * direction).clamp(0, 1)

    def look(self, rows: Tensor, points: Tensor, apart: Tensor, values: Tensor, logits: Tensor) -> Tensor:
        """Record what breaks inside the budget and the best points there; which rows are broken, bool (n,)."""
        inside = (apart <= self.limit).nonzero().squeeze(1)
        broken = torch.zeros(len(rows), dtype=torch.bool, device=rows.device)
        if len(inside):
            broken[inside] = self.search.offer(rows[inside], points[inside], logits[inside], self.budget)
            self.sizes[rows[broken]] = apart[broken]
            better = inside[values[inside] > self.value[rows[inside]]]
            self.best[rows[better]], self.value[rows[better]] = points[better], values[better]
        return broken


def unit(directions: Tensor) -> Tensor:
    """Directions (n, ...) of unit L2 length; those that are zero, or no numbers, stay zero."""
    flat = directions.nan_to_num(0, 0, 0).flatten(1)
    scaled = flat / flat.abs().amax(1, keepdim=True).clamp_min(torch.finfo(flat.dtype).tiny)  # squares must not vanish
    return functional.normalize(scaled, dim=1).view_as(directions)
