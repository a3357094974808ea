"""Gradient ascent over nested budgets: what PGD and APGD share, and how each of them climbs.

Budgets ascend, or are bisected per image. An image that is broken leaves; it enters its next budget with the best point
of the last, scaled to the new radius. Every iterate is tested, not the last alone.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from neurobust.attacks.gradient_settings import Climbing
from neurobust.attacks.losses import loss_values
from neurobust.attacks.norms import per_image, project, steepest
from neurobust.attacks.search import Batch, Search
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


@dataclass(frozen=True)
class Ball:
    """Where a climb may go at one budget: its index among the search's budgets, its radius and the norm."""

    budget: int
    radius: float
    norm: str


@dataclass
class Ascent:
    """One climb in one ball: where it starts, and the best point it has met for each image of the batch.

    rows: the images that climb (n,); start: their first points (n, 3, H, W); best: (N, 3, H, W) for the whole batch,
    with `best_loss` (N,); targets: wrong classes (N,) to climb towards, or None; warm: whether it goes on from another
    budget's climb.
    """

    search: Search
    ball: Ball
    loss: str
    rows: Tensor
    start: Tensor
    best: Tensor
    targets: Tensor | None = None
    warm: bool = False
    best_loss: Tensor = field(init=False)

    def __post_init__(self) -> None:
        images = self.search.images
        self.best_loss = torch.full((len(images),), -math.inf, dtype=images.dtype, device=images.device)

    def measure(self, rows: Tensor, points: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Loss, gradient and standing mask of the iterates; the broken ones are recorded, the best are kept."""
        targets = None if self.targets is None else self.targets[rows]
        values, logits, gradient = self.search.gradient(rows, points, self.loss, self.ball.budget, targets)
        broken = self.search.offer(rows, points, logits, self.ball.budget)
        self.remember(rows, points, values)
        return values, gradient, ~broken

    def test(self, rows: Tensor, points: Tensor) -> Tensor:
        """Standing mask of points that need no gradient."""
        broken, logits = self.search.test(rows, points, self.ball.budget)
        targets = None if self.targets is None else self.targets[rows]
        self.remember(rows, points, loss_values(logits, self.search.labels[rows], self.loss, targets))
        return ~broken

    def remember(self, rows: Tensor, points: Tensor, values: Tensor) -> None:
        """Keep the points whose loss is the highest so far."""
        best, highest = self.best[rows], self.best_loss[rows]
        better = values > highest
        self.best[rows] = torch.where(per_image(better, points), points, best)
        self.best_loss[rows] = torch.where(better, values, highest)

    def project(self, rows: Tensor, points: Tensor) -> Tensor:
        """Project onto the ball of this climb and the box."""
        return project(points, self.search.images[rows], self.ball.radius, self.ball.norm)


@dataclass(frozen=True)
class Climber:
    """How an attack goes up: the norm of its balls, its loss, and what it does with one start.

    restarts: cold starts from a random point, for images that still stand; order: of the budgets (`visit`).
    """

    norm: str
    loss: str
    climb: Callable[[Ascent], None]
    restarts: int = 0
    order: str = "ascending"


def ascend(search: Search, climber: Climber) -> None:
    """The untargeted ascent on the images of a search that still stand.

    Each budget's climb begins at the best start: single steps and the last budget's best point; then cold restarts.
    """
    images, norm, loss = search.images, climber.norm, climber.loss
    directions = clean_directions(search, list(dict.fromkeys([loss, "ce"])), norm)
    best, reached = images.clone(), torch.zeros(len(images), dtype=images.dtype, device=images.device)

    def attack(budget: int, radius: float, rows: Tensor) -> None:
        ball = Ball(budget, radius, norm)
        ascent = Ascent(search, ball, loss, rows, images, best.clone(), warm=bool((reached[rows] > 0).all()))
        starts = [images + radius * direction for direction in directions]
        if ascent.warm:
            starts.append(images + per_image(radius / reached, images) * (best - images))
        met = rows
        for start in starts:
            if len(rows):
                rows = rows[ascent.test(rows, ascent.project(rows, start[rows]))]
        ascent.rows, ascent.start = rows, ascent.best[rows]
        climber.climb(ascent)
        ascent.warm = False
        for restart in range(climber.restarts):
            ascent.rows = rows = rows[search.first[rows] > budget]
            if len(rows):
                ascent.start = random_points(search.batch, ball, rows, restart)
                climber.climb(ascent)
        best[met], reached[met] = ascent.best[met], radius

    visit(search, climber.order, attack)


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


def ascend_towards(search: Search, climber: Climber, targets: int) -> None:
    """The targeted ascent: towards each of the `targets` likeliest wrong classes in turn, each with a trail of its own.

    A trail starts at the clean image.
    """
    classes = likeliest_wrong(search, targets)
    trails, before = [search.images] * classes.shape[1], 0.0
    for budget, radius in search.positive():
        for place, trail in enumerate(trails):
            rows = search.standing(budget)
            if not len(rows):
                return
            start = search.images + (radius / before if before else 0.0) * (trail - search.images)
            ball, aim = Ball(budget, radius, climber.norm), classes[:, place]
            ascent = Ascent(search, ball, climber.loss, rows, start[rows], trail.clone(), aim, warm=before > 0)
            ascent.start = ascent.project(rows, ascent.start)
            climber.climb(ascent)
            trails[place] = ascent.best
        before = radius


def likeliest_wrong(search: Search, count: int) -> Tensor:
    """The `count` likeliest wrong classes of each image by its clean logits, at most all of them: int64 (N, count)."""
    wrong = search.clean_logits.scatter(1, search.labels[:, None], -math.inf)
    return wrong.topk(min(count, wrong.shape[1] - 1), dim=1).indices


def random_points(batch: Batch, ball: Ball, rows: Tensor, restart: int) -> Tensor:
    """Random starts for `rows`: uniform in the linf cube, or on a uniform direction of the l2 sphere; then the box.

    Each image draws from its own stream, so the points depend on neither batch nor order.
    """
    draws, shape, norm = [], batch.images.shape[1:], ball.norm
    for row in rows.tolist():
        generator = torch_generator(batch.seed, "restart", norm, batch.ids[row], ball.budget, restart)
        if norm == "linf":
            draws.append(torch.rand(shape, generator=generator) * 2 - 1)
        else:
            draws.append(torch.randn(shape, generator=generator))
    centre = batch.images[rows]
    noise = torch.stack(draws).to(centre)
    far = centre + ball.radius * (noise if norm == "linf" else steepest(noise, norm))
    return project(far, centre, ball.radius, norm)


def fingerprints(points: Tensor) -> Tensor:
    """A 64-bit hash (N,) of each image's exact bits: their sum, each weighted by its own random odd number."""
    bits = points.flatten(1).contiguous().view(torch.int64 if points.dtype == torch.float64 else torch.int32).long()
    return (bits * odd_numbers(bits.shape[1], bits.device)).sum(1)


@functools.lru_cache(maxsize=4)
def odd_numbers(count: int, device: torch.device) -> Tensor:
    """The weights (count,) of `fingerprints`, drawn once for images of a size."""
    drawn = torch.randint(-(2**62), 2**62, (count,), generator=torch_generator("fingerprint")) * 2 + 1
    return drawn.to(device)


def climb_fixed(ascent: Ascent, steps: int, rel_stepsize: float) -> None:
    """`steps` projected steps of the same length; images leave as they break.

    A sign step is a map from point to point, so an image that comes back to a point it has been at, to the last bit,
    walks in a circle forever: it leaves too, and nothing is lost (arXiv 2503.19347).
    """
    rows, points, radius, norm = ascent.rows, ascent.start, ascent.ball.radius, ascent.ball.norm
    circles = norm == "linf" and ascent.search.draws == 1
    seen = torch.zeros(len(rows), 0, dtype=torch.int64, device=points.device)
    for _ in range(steps):
        if circles and len(rows):
            codes = fingerprints(points)[:, None]
            new, seen = (seen != codes).all(1), torch.cat([seen, codes], dim=1)
            if not new.all():
                rows, points, seen = rows[new], points[new], seen[new]
        if not len(rows):
            return
        _, gradient, standing = ascent.measure(rows, points)
        if not standing.all():
            rows, points, gradient, seen = rows[standing], points[standing], gradient[standing], seen[standing]
        step = rel_stepsize * radius * steepest(gradient, norm)
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


def adaptive_climb(settings: Climbing) -> Callable[[Ascent], None]:
    """APGD's climb with the steps that these settings give a cold or a warm one."""

    def climb(ascent: Ascent) -> None:
        climb_adaptive(ascent, settings.steps_of(ascent.warm))

    return climb


def climb_adaptive(ascent: Ascent, steps: int) -> None:
    """APGD's climb. Per image: step, best point with its gradient, and what the last checkpoint saw."""
    rows, points, looks, last_look = ascent.rows, ascent.start, set(checkpoints(steps)), 0
    if not len(rows):
        return
    low = torch.full((len(rows),), -math.inf, dtype=points.dtype, device=points.device)
    state = {
        "rows": rows, "points": points, "previous": points, "step": torch.full_like(low, 2 * ascent.ball.radius),
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
        moved = s["points"] + per_image(s["step"], gradient) * steepest(gradient, ascent.ball.norm)
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
