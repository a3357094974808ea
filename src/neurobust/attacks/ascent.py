"""Gradient ascent over nested budgets: what PGD and APGD share, and how each of them climbs.

Budgets ascend, or are bisected per image. An image that is broken leaves; it enters its next budget with the best point
of the last, scaled to the new radius. Every iterate is tested, not the last alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from neurobust.attacks.losses import check_loss, loss_values
from neurobust.attacks.norms import check_norm, per_image, project, steepest
from neurobust.attacks.search import AttackResult, Search
from neurobust.core.errors import InputError
from neurobust.core.seeding import torch_generator


def clean_directions(search: Search, losses: Sequence[str], norm: str) -> list[Tensor]:
    """Steepest directions (N, 3, H, W) at the clean images for each loss; zero for clean errors.

    Their passes are booked on the first positive budget; where there is none, nothing is spent.
    """
    rows, directions, ahead = search.standing(0), [], search.positive()
    for loss in losses:
        direction = torch.zeros_like(search.images)
        if len(rows) and ahead:
            _, _, gradient = search.gradient(rows, search.images[rows], loss, ahead[0][0])
            direction[rows] = steepest(gradient, norm)
        directions.append(direction)
    return directions


@dataclass
class Ascent:
    """One climb at one budget: where it starts, and the best point it has met for each image of the batch.

    targets: wrong classes (N,) to climb towards, or None; warm: whether it goes on from another budget's climb.
    """

    search: Search
    rows: Tensor
    start: Tensor
    budget: int
    radius: float
    norm: str
    loss: str
    best: Tensor
    best_loss: Tensor
    targets: Tensor | None = None
    warm: bool = False

    def measure(self, rows: Tensor, points: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Loss, gradient and standing mask of the iterates; the broken ones are recorded, the best are kept."""
        targets = None if self.targets is None else self.targets[rows]
        values, logits, gradient = self.search.gradient(rows, points, self.loss, self.budget, targets)
        broken = self.search.offer(rows, points, logits, self.budget)
        self.remember(rows, points, values)
        return values, gradient, ~broken

    def test(self, rows: Tensor, points: Tensor) -> Tensor:
        """Standing mask of points that need no gradient."""
        broken, logits = self.search.test(rows, points, self.budget)
        targets = None if self.targets is None else self.targets[rows]
        self.remember(rows, points, loss_values(logits, self.search.labels[rows], self.loss, targets))
        return ~broken

    def remember(self, rows: Tensor, points: Tensor, values: Tensor) -> None:
        """Keep the points whose loss is the highest so far."""
        better = values > self.best_loss[rows]
        self.best[rows[better]], self.best_loss[rows[better]] = points[better], values[better]

    def project(self, rows: Tensor, points: Tensor) -> Tensor:
        """Project onto the ball of this climb and the box."""
        return project(points, self.search.images[rows], self.radius, self.norm)


def nested_ascent(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    budgets: Sequence[float],
    seed: int,
    ids: Sequence[int],
    norm: str,
    loss: str,
    steps: int,
    restarts: int,
    climb: Callable[[Ascent], None],
    draws: int = 1,
    order: str = "ascending",
) -> AttackResult:
    """Climb at each budget from the best start: single steps and the last budget's best point; then cold restarts."""
    check_ascent(norm, loss, steps, restarts)
    search = Search(model, images, labels, budgets, draws)
    ascend(search, seed, ids, norm, loss, restarts, climb, order)
    return search.result(norm)


def check_ascent(norm: str, loss: str, steps: int, restarts: int) -> None:
    """Refuse settings that no ascent can use."""
    check_norm(norm)
    check_loss(loss)
    if steps < 1 or restarts < 0:
        raise InputError(f"attack steps {steps} and restarts {restarts}: give steps >= 1 and restarts >= 0")


def ascend(
    search: Search,
    seed: int,
    ids: Sequence[int],
    norm: str,
    loss: str,
    restarts: int,
    climb: Callable[[Ascent], None],
    order: str = "ascending",
) -> None:
    """The untargeted ascent on the images of a search that still stand, over the budgets in this `order`."""
    images = search.images
    directions = clean_directions(search, list(dict.fromkeys([loss, "ce"])), norm)
    best, reached = images.clone(), torch.zeros(len(images), dtype=images.dtype, device=images.device)

    def attack(budget: int, radius: float, rows: Tensor) -> None:
        ascent = Ascent(search, rows, images, budget, radius, norm, loss, best.clone(), no_loss(images))
        ascent.warm = bool((reached[rows] > 0).all())
        starts = [images + radius * direction for direction in directions]
        if ascent.warm:
            starts.append(images + per_image(radius / reached, images) * (best - images))
        met = rows
        for start in starts:
            if len(rows):
                rows = rows[ascent.test(rows, ascent.project(rows, start[rows]))]
        ascent.rows, ascent.start = rows, ascent.best[rows]
        climb(ascent)
        ascent.warm = False
        for restart in range(restarts):
            ascent.rows = rows = rows[search.first[rows] > budget]
            if len(rows):
                ascent.start = random_points(images, radius, norm, seed, ids, rows, budget, restart)
                climb(ascent)
        best[met], reached[met] = ascent.best[met], radius

    visit(search, order, attack)


def visit(search: Search, order: str, attack: Callable[[int, float, Tensor], None]) -> None:
    """Call attack(budget's index, its radius, rows that stand there) so that every image's smallest budget is found.

    ascending: every budget up to the image's smallest broken one is attacked. bisection: the middle one of those in
    question, then the half below for the images that broke there and the half above for the others.
    """
    if order == "ascending":
        for budget, radius in search.positive():
            rows = search.standing(budget)
            if not len(rows):
                return
            attack(budget, radius, rows)
        return
    if order != "bisection":
        raise InputError(f"attack order '{order}' is unknown; use 'ascending' or 'bisection'")

    def halve(part: list[tuple[int, float]], rows: Tensor) -> None:
        if not part or not len(rows):
            return
        middle = len(part) // 2
        budget, radius = part[middle]
        standing = rows[search.first[rows] > budget]
        if len(standing):
            attack(budget, radius, standing)
        broken = search.first[rows] <= budget
        halve(part[:middle], rows[broken])
        halve(part[middle + 1 :], rows[~broken])

    ahead = search.positive()
    halve(ahead, search.standing(ahead[0][0] if ahead else 0))


def ascend_towards(search: Search, norm: str, loss: str, targets: int, climb: Callable[[Ascent], None]) -> None:
    """The targeted ascent: towards each of the `targets` likeliest wrong classes in turn, each with a trail of its own.

    Targets are ranked by the clean logits and at most all the wrong classes. A trail starts at the clean image.
    """
    if targets < 1:
        raise InputError(f"attack targets {targets}: give at least 1")
    wrong = search.clean_logits.scatter(1, search.labels[:, None], -math.inf)
    classes = wrong.topk(min(targets, wrong.shape[1] - 1), dim=1).indices
    trails, before = [search.images] * classes.shape[1], 0.0
    for budget, radius in search.positive():
        for place, trail in enumerate(trails):
            rows = search.standing(budget)
            if not len(rows):
                return
            start = search.images + (radius / before if before else 0.0) * (trail - search.images)
            ascent = Ascent(
                search, rows, start[rows], budget, radius, norm, loss, trail.clone(), no_loss(trail), classes[:, place]
            )
            ascent.start, ascent.warm = ascent.project(rows, ascent.start), before > 0
            climb(ascent)
            trails[place] = ascent.best
        before = radius


def no_loss(images: Tensor) -> Tensor:
    """The best loss (N,) before any point was seen."""
    return torch.full((len(images),), -math.inf, dtype=images.dtype, device=images.device)


def random_points(
    images: Tensor, radius: float, norm: str, seed: int, ids: Sequence[int], rows: Tensor, budget: int, restart: int
) -> Tensor:
    """Random starts for `rows`: uniform in the linf cube, or on a uniform direction of the l2 sphere; then the box.

    Each image draws from its own stream, so the points depend on neither batch nor order.
    """
    draws = []
    for row in rows.tolist():
        generator = torch_generator(seed, "restart", norm, ids[row], budget, restart)
        if norm == "linf":
            draws.append(torch.rand(images.shape[1:], generator=generator) * 2 - 1)
        else:
            draws.append(torch.randn(images.shape[1:], generator=generator))
    centre = images[rows]
    noise = torch.stack(draws).to(centre)
    return project(centre + radius * (noise if norm == "linf" else steepest(noise, norm)), centre, radius, norm)


def fingerprints(points: Tensor) -> Tensor:
    """A 64-bit hash (N,) of each image's exact bits: their sum, each weighted by its own random odd number."""
    bits = points.flatten(1).contiguous().view(torch.int64 if points.dtype == torch.float64 else torch.int32).long()
    weights = torch.randint(-(2**62), 2**62, bits.shape[1:], generator=torch_generator("fingerprint")) * 2 + 1
    return (bits * weights.to(bits.device)).sum(1)


def climb_fixed(ascent: Ascent, steps: int, rel_stepsize: float) -> None:
    """`steps` projected steps of the same length; images leave as they break.

    A sign step is a map from point to point, so an image that comes back to a point it has been at, to the last bit,
    walks in a circle for ever: it leaves too, and nothing is lost (arXiv 2503.19347).
    """
    rows, points = ascent.rows, ascent.start
    circles = ascent.norm == "linf" and ascent.search.draws == 1
    seen = torch.zeros(len(rows), 0, dtype=torch.int64, device=points.device)
    for _ in range(steps):
        if circles and len(rows):
            codes = fingerprints(points)[:, None]
            new = (seen != codes).all(1)
            rows, points, seen = rows[new], points[new], torch.cat([seen, codes], dim=1)[new]
        if not len(rows):
            return
        _, gradient, standing = ascent.measure(rows, points)
        if not standing.all():
            rows, points, gradient, seen = rows[standing], points[standing], gradient[standing], seen[standing]
        step = rel_stepsize * ascent.radius * steepest(gradient, ascent.norm)
        points = ascent.project(rows, points + step)
    if len(rows):
        ascent.test(rows, points)


def checkpoints(steps: int) -> list[int]:
    """Iterations at which APGD looks at its progress: gaps of 22 % of `steps`, shrinking by 3 to at least 6 %."""
    places, gap, share = [], 0.22, 0.22
    while share <= 1:
        places.append(math.ceil(share * steps))
        gap = max(gap - 0.03, 0.06)
        share += gap
    return sorted(set(places))


def climb_adaptive(ascent: Ascent, steps: int) -> None:
    """APGD's climb. Per image: step, best point with its gradient, and what the last checkpoint saw."""
    rows, points, looks, last_look = ascent.rows, ascent.start, set(checkpoints(steps)), 0
    if not len(rows):
        return
    low = torch.full((len(rows),), -math.inf, dtype=points.dtype, device=points.device)
    state = {
        "rows": rows, "points": points, "previous": points, "step": torch.full_like(low, 2 * ascent.radius),
        "value": low, "rises": torch.zeros_like(low), "best": points, "best_value": low,
        "best_gradient": torch.zeros_like(points), "seen_value": low, "halved": torch.ones_like(low, dtype=torch.bool),
    }  # fmt: skip
    for iteration in range(steps):
        values, gradient, standing = ascent.measure(state["rows"], state["points"])
        if not standing.all():
            state = {name: tensor[standing] for name, tensor in state.items()}
            values, gradient = values[standing], gradient[standing]
            if not len(values):
                return
        s = state
        better = values > s["best_value"]
        wide = per_image(better, gradient)
        s["rises"] = s["rises"] + (values > s["value"]) * (iteration > 0)
        s["value"], s["best_value"] = values, torch.where(better, values, s["best_value"])
        s["best"] = torch.where(wide, s["points"], s["best"])
        s["best_gradient"] = torch.where(wide, gradient, s["best_gradient"])
        if iteration in looks:
            gradient = look_back(s, gradient, iteration - last_look)
            last_look = iteration
        moved = s["points"] + per_image(s["step"], gradient) * steepest(gradient, ascent.norm)
        moved = ascent.project(s["rows"], moved)
        if iteration:
            moved = s["points"] + 0.75 * (moved - s["points"]) + 0.25 * (s["points"] - s["previous"])
            moved = ascent.project(s["rows"], moved)
        s["previous"], s["points"] = s["points"], moved
    ascent.test(state["rows"], state["points"])


def look_back(state: dict[str, Tensor], gradient: Tensor, gap: int) -> Tensor:
    """At a checkpoint: halve the step and return to the best point where progress stalled; the gradient to go on with.

    Stalled: the loss rose in fewer than 75 % of the last `gap` steps, or neither the step nor the best loss has
    changed since the last checkpoint.
    """
    idle = ~state["halved"] & (state["seen_value"] >= state["best_value"])
    stalled = (state["rises"] < 0.75 * gap) | idle
    wide = per_image(stalled, gradient)
    state["step"] = torch.where(stalled, state["step"] / 2, state["step"])
    state["points"] = torch.where(wide, state["best"], state["points"])
    state["previous"] = torch.where(wide, state["best"], state["previous"])
    state["value"] = torch.where(stalled, state["best_value"], state["value"])
    state["halved"], state["seen_value"] = stalled, state["best_value"]
    state["rises"] = torch.zeros_like(state["rises"])
    return torch.where(wide, state["best_gradient"], gradient)
