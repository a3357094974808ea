"""Attacks that see the decision alone: blending towards another class's image, and HopSkipJump.

What is drawn and estimated is drawn and estimated per image, so that an image's result and failure are its own.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from neurobust.attacks.decision_settings import START_TOLERANCE, Blended, HopSkipJump
from neurobust.attacks.losses import logits_of
from neurobust.attacks.norms import lengths, per_image
from neurobust.attacks.search import AttackResult, Batch, Search, misread
from neurobust.core.errors import InputError
from neurobust.core.seeding import torch_generator

START_DRAWS = 100  # random images that are tried where no other start is known


def blended(batch: Batch, settings: Blended) -> AttackResult:
    """Each of the `candidates` nearest images of another class in the batch's pool, pulled back to the boundary.

    The class is the network's own opinion. The pool's one pass is not counted. The attack has no random part.
    """
    search, norm = Search(batch), settings.norm
    rows = search.in_question()
    if len(rows):
        points, distance = nearest_in_pool(search, rows, norm, settings.candidates)
        search.place(rows, points, distance, norm)
    return search.result(norm)


def hopskipjump(batch: Batch, settings: HopSkipJump) -> AttackResult:
    """Walks along the decision boundary by directions estimated from decisions, `queries` of them at the first step.

    Starts from the nearest image of another class in the batch's pool, else from random images; an image without a
    start is not broken and costs the others nothing. Directions are normalised per image. Leaves once within the
    smallest budget.
    """
    images, norm, search = batch.images, settings.norm, Search(batch)
    rows, points = find_starts(search, norm)
    size = images[0].numel()
    tolerance = settings.gamma / size**1.5 if norm == "l2" else settings.gamma / size**2
    for step in range(settings.steps):
        far = torch.isin(rows, search.in_question())
        rows, points = rows[far], points[far]
        if not len(rows):
            break
        evals = settings.estimates(step)
        distance = lengths(points.double() - images[rows].double(), norm)
        width = distance * tolerance * (size**0.5 if norm == "l2" else size) if step else torch.full_like(distance, 0.1)
        directions = []
        for row, point, radius in zip(rows.tolist(), points, width.tolist(), strict=True):
            generator = torch_generator(batch.seed, "hsj", norm, batch.ids[row], step)
            directions.append(estimate(search, row, point, radius, evals, norm, generator))
        points = leap(search, rows, points, torch.stack(directions), distance / math.sqrt(step + 1))
        points = to_boundary(search, rows, points, norm, tolerance)
        record(search, rows, points, norm)
    return search.result(norm)


def decide(search: Search, rows: Tensor, points: Tensor) -> Tensor:
    """Which points are misclassified, bool (n,); the passes are booked on the smallest budget."""
    return misread(search.forward(rows, points, search.positive()[0][0]), search.labels[rows])


def decide_many(search: Search, row: int, points: Tensor) -> Tensor:
    """The same for many points of one image, as many at once as the batch allows."""
    search.n_forward[row, search.positive()[0][0]] += len(points)
    with torch.no_grad():
        logits = torch.cat([logits_of(search.model, part) for part in points.split(search.batch.at_once)])
    return misread(logits, search.labels[row])


def record(search: Search, rows: Tensor, points: Tensor, norm: str) -> None:
    """Place tested adversarials among the budgets."""
    search.place(rows, points, lengths(points.double() - search.images[rows].double(), norm), norm)


def towards(clean: Tensor, points: Tensor, share: Tensor, norm: str) -> Tensor:
    """Points at `share` (n,) of the way: on the line (l2), or clipped to that share of the largest change (linf)."""
    part = per_image(share, points)
    if norm == "l2":
        return clean + part * (points - clean)
    reach = part * per_image((points - clean).flatten(1).abs().amax(1), points)
    return torch.minimum(torch.maximum(points, clean - reach), clean + reach)


def to_boundary(search: Search, rows: Tensor, points: Tensor, norm: str, tolerance: float) -> Tensor:
    """Bisect from adversarials `points` (n, 3, H, W) towards their clean images; every answer was tested."""
    clean, best = search.images[rows], points.clone()
    near, good = (torch.full((len(rows),), value, dtype=points.dtype, device=points.device) for value in (0.0, 1.0))
    for _ in range(min(max(math.ceil(-math.log2(tolerance)), 1), 25)):
        middle = (near + good) / 2
        tried = towards(clean, points, middle, norm).clamp(0, 1)
        broken = decide(search, rows, tried)
        near, good = torch.where(broken, near, middle), torch.where(broken, middle, good)
        best[broken] = tried[broken]
    return best


def estimate(
    search: Search, row: int, point: Tensor, radius: float, evals: int, norm: str, generator: torch.Generator
) -> Tensor:
    """Direction (3, H, W) into the adversarial side at a point of the boundary, from `evals` decisions around it."""
    shape = (evals, *point.shape)
    noise = torch.randn(shape, generator=generator) if norm == "l2" else torch.rand(shape, generator=generator) * 2 - 1
    noise = noise.to(point)
    noise = noise / per_image(noise.flatten(1).norm(dim=1), noise)
    points = (point + radius * noise).clamp(0, 1)
    moved = (points - point) / radius
    votes = decide_many(search, row, points).to(point) * 2 - 1
    if votes.abs().sum() != votes.sum().abs():  # both sides were seen: their mean says nothing new
        votes = votes - votes.mean()
    direction = (per_image(votes, moved) * moved).mean(0)
    return direction.sign() if norm == "linf" else direction / direction.norm().clamp_min(1e-12)


def leap(search: Search, rows: Tensor, points: Tensor, directions: Tensor, length: Tensor) -> Tensor:
    """Go along the directions, half as far each time the point there is not adversarial; at last stay."""
    result, length = points.clone(), length.to(points)
    waiting = torch.arange(len(rows), device=points.device)
    for _ in range(25):
        tried = (points[waiting] + per_image(length[waiting], points[waiting]) * directions[waiting]).clamp(0, 1)
        broken = decide(search, rows[waiting], tried)
        result[waiting[broken]] = tried[broken]
        waiting = waiting[~broken]
        if not len(waiting):
            break
        length = length / 2
    return result


def find_starts(search: Search, norm: str) -> tuple[Tensor, Tensor]:
    """Adversarials on the boundary to start from: the rows (n,) that have one, and their points, already recorded.

    From the pool, or where it has none the first of START_DRAWS random images that is misclassified.
    """
    rows, batch = search.in_question(), search.batch
    if not len(rows):
        return rows, search.images[rows]
    points, found = search.images[rows], torch.zeros(len(rows), dtype=torch.bool, device=rows.device)
    if batch.pool is not None:
        points, distance = nearest_in_pool(search, rows, norm, 1)
        found = distance.isfinite()
    for place in (~found).nonzero().squeeze(1).tolist():
        row = int(rows[place])
        drawn = torch.rand(
            START_DRAWS, *points.shape[1:], generator=torch_generator(batch.seed, "start", batch.ids[row])
        )
        broken = decide_many(search, row, drawn.to(points)).nonzero()
        if len(broken):
            points[place], found[place] = drawn[broken[0, 0]].to(points), True
    rows, points = rows[found], to_boundary(search, rows[found], points[found], norm, START_TOLERANCE)
    record(search, rows, points, norm)
    return rows, points


def nearest_in_pool(search: Search, rows: Tensor, norm: str, candidates: int) -> tuple[Tensor, Tensor]:
    """Points (n, 3, H, W) on the boundary towards images of the pool, and their distances; inf where there is none.

    Of the `candidates` nearest images that the network calls another class, the one with the nearest boundary.
    """
    pool = search.batch.pool
    if pool is None or not len(pool) or pool.shape[1:] != search.images.shape[1:]:
        raise InputError(f"attack needs a pool of other images of shape {tuple(search.images.shape[1:])} to blend with")
    pool = pool.to(search.images)
    with torch.no_grad():
        opinions = torch.cat([search.model(part).argmax(1) for part in pool.split(search.batch.at_once)])
    best, nearest = search.images[rows], torch.full((len(rows),), math.inf, dtype=torch.float64, device=pool.device)
    far = torch.stack([lengths(pool - search.images[row], norm) for row in rows.tolist()])
    far = far.masked_fill(opinions[None] == search.labels[rows][:, None], math.inf)
    for distance, place in zip(*(part.T for part in far.sort(dim=1)), strict=True):
        there = distance.isfinite().nonzero().squeeze(1)
        if not len(there) or not candidates:
            break
        candidates -= 1
        points = pool[place[there]]
        broken = decide(search, rows[there], points)  # a class may hang on the batch by a rounding error
        there, points = there[broken], points[broken]
        points = to_boundary(search, rows[there], points, norm, START_TOLERANCE)
        size = lengths(points.double() - search.images[rows[there]].double(), norm)
        nearer = size < nearest[there]
        best[there[nearer]], nearest[there[nearer]] = points[nearer], size[nearer]
    return best, nearest
