"""Gradient attacks: FGSM, PGD and APGD under linf and l2, over nested budgets.

Budgets ascend. An image that is broken leaves; a standing one enters the next budget with the best point of the last,
scaled to the new radius. Every iterate is tested, not the last alone.

The starting points of PGD and APGD at each budget include the full-budget single steps of cross-entropy and of their
own loss, so they break whatever FGSM with one of those losses breaks; the ascent starts from the best of all starts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from neurobust.attacks.losses import LOSSES, check_loss, loss_gradient
from neurobust.attacks.norms import check_norm, per_image, project, steepest
from neurobust.attacks.search import AttackResult, Search
from neurobust.errors import InputError
from neurobust.seeding import torch_generator


def fgsm(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    budgets: Sequence[float],
    *,
    seed: int,
    ids: Sequence[int],
    norm: str = "linf",
    loss: str = "ce",
) -> AttackResult:
    """One full-budget step along the gradient at the clean image (l2: the normalised gradient), clipped to [0,1].

    Source: Goodfellow et al., ICLR 2015. `seed` and `ids` are not used: the attack has no random part.
    """
    check_norm(norm)
    check_loss(loss)
    search = Search(model, images, labels, budgets)
    (direction,) = clean_directions(search, [loss], norm)
    for budget, radius in search.positive():
        rows = search.standing(budget)
        if len(rows):
            search.test(rows, project(images[rows] + radius * direction[rows], images[rows], radius, norm), budget)
    return search.result(norm)


def pgd(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    budgets: Sequence[float],
    *,
    seed: int,
    ids: Sequence[int],
    norm: str = "linf",
    loss: str = "margin",
    steps: int = 20,
    rel_stepsize: float | None = None,
    restarts: int = 0,
) -> AttackResult:
    """Projected gradient ascent with a fixed step of `rel_stepsize` times the budget (default 2.5 / steps).

    The default reaches 2.5 budgets far, whatever the number of steps. `restarts` adds that many cold starts from a
    random point of the ball for the images that still stand. Source: Madry et al., ICLR 2018.
    """
    rel_stepsize = 2.5 / max(steps, 1) if rel_stepsize is None else rel_stepsize
    if rel_stepsize <= 0:
        raise InputError(f"attack rel_stepsize {rel_stepsize} must be positive; leave it out for 2.5 / steps")

    def climb(ascent: Ascent) -> None:
        climb_fixed(ascent, steps, rel_stepsize)

    return nested_ascent(model, images, labels, budgets, seed, ids, norm, loss, steps, restarts, climb)


def apgd(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    budgets: Sequence[float],
    *,
    seed: int,
    ids: Sequence[int],
    norm: str = "linf",
    loss: str = "margin",
    steps: int = 50,
    restarts: int = 0,
) -> AttackResult:
    """Projected ascent with momentum that halves its step where progress stalls and resumes from its best point.

    Source: Croce and Hein, ICML 2020, algorithm 1 (momentum 0.75, rho 0.75, first step twice the budget).
    """

    def climb(ascent: Ascent) -> None:
        climb_adaptive(ascent, steps)

    return nested_ascent(model, images, labels, budgets, seed, ids, norm, loss, steps, restarts, climb)


def clean_directions(search: Search, losses: Sequence[str], norm: str) -> list[Tensor]:
    """Steepest directions (N, 3, H, W) at the clean images for each loss; zero for clean errors.

    Their passes are booked on the first positive budget; where there is none, nothing is spent.
    """
    rows, directions, ahead = search.standing(0), [], search.positive()
    for loss in losses:
        direction = torch.zeros_like(search.images)
        if len(rows) and ahead:
            search.n_forward[rows, ahead[0][0]] += 1
            search.n_backward[rows, ahead[0][0]] += 1
            _, _, gradient = loss_gradient(search.model, search.images[rows], search.labels[rows], loss)
            direction[rows] = steepest(gradient, norm)
        directions.append(direction)
    return directions


@dataclass
class Ascent:
    """One climb at one budget: where it starts, and the best point it has met for each image of the batch."""

    search: Search
    rows: Tensor
    start: Tensor
    budget: int
    radius: float
    norm: str
    loss: str
    best: Tensor
    best_loss: Tensor

    def measure(self, rows: Tensor, points: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Loss, gradient and standing mask of the iterates; the broken ones are recorded, the best are kept."""
        labels = self.search.labels[rows]
        self.search.n_forward[rows, self.budget] += 1
        self.search.n_backward[rows, self.budget] += 1
        values, logits, gradient = loss_gradient(self.search.model, points, labels, self.loss)
        broken = self.search.offer(rows, points, logits, self.budget)
        self.remember(rows, points, values)
        return values, gradient, ~broken

    def test(self, rows: Tensor, points: Tensor) -> Tensor:
        """Standing mask of points that need no gradient."""
        broken, logits = self.search.test(rows, points, self.budget)
        self.remember(rows, points, LOSSES[self.loss](logits, self.search.labels[rows]))
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
) -> AttackResult:
    """Climb at every budget from the best start: single steps and the last budget's best point; then cold restarts."""
    check_norm(norm)
    check_loss(loss)
    if steps < 1 or restarts < 0:
        raise InputError(f"attack steps {steps} and restarts {restarts}: give steps >= 1 and restarts >= 0")
    search = Search(model, images, labels, budgets)
    directions = clean_directions(search, list(dict.fromkeys([loss, "ce"])), norm)
    best, before = images.clone(), 0.0
    for budget, radius in search.positive():
        rows = search.standing(budget)
        if not len(rows):
            break
        starts = [images + radius * direction for direction in directions]
        if before:
            starts.append(images + (radius / before) * (best - images))
        best_loss = torch.full((len(images),), -math.inf, dtype=images.dtype, device=images.device)
        ascent = Ascent(search, rows, images, budget, radius, norm, loss, best.clone(), best_loss)
        for start in starts:
            if len(rows):
                rows = rows[ascent.test(rows, ascent.project(rows, start[rows]))]
        ascent.rows, ascent.start = rows, ascent.best[rows]
        climb(ascent)
        for restart in range(restarts):
            ascent.rows = rows = search.standing(budget)
            if len(rows):
                ascent.start = random_points(images, radius, norm, seed, ids, rows, budget, restart)
                climb(ascent)
        best, before = ascent.best, radius
    return search.result(norm)


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


def climb_fixed(ascent: Ascent, steps: int, rel_stepsize: float) -> None:
    """`steps` projected steps of the same length; images leave as they break."""
    rows, points = ascent.rows, ascent.start
    for _ in range(steps):
        if not len(rows):
            return
        _, gradient, standing = ascent.measure(rows, points)
        if not standing.all():
            rows, points, gradient = rows[standing], points[standing], gradient[standing]
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
