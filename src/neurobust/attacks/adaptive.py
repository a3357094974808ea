"""Attacks on the regularisation itself: they read the head that the neural loss has trained.

A network that resembles a predictor could be robust only because ordinary attacks do not look where it was changed
(Tramer et al., NeurIPS 2020). `adaptive_joint` drives the logits and the neural response away from the clean ones at
once; `adaptive_collision` makes the neural response that of an image of another class (feature collision, Sabour et
al., ICLR 2016). Networks without a head are attacked in their penultimate features, or in their logits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, cast

import torch
from torch import Tensor, nn

from neurobust.attacks.adaptive_settings import Adaptive, AdaptiveCollision, AdaptiveJoint
from neurobust.attacks.losses import LOSSES, input_gradient, logits_of
from neurobust.attacks.norms import project, steepest
from neurobust.attacks.search import AttackResult, Batch, Search, frozen

Objective = Callable[[Tensor, Tensor, Tensor], Tensor]  # (rows, responses (n, D), logits (n, K)) -> (n,), to maximise


class Headed(Protocol):
    """What an adaptive attack reads of a network: a trunk, its head, the head of the neural loss, and a shown pool."""

    collision_pool: tuple[Tensor, Tensor]

    def features(self, images: Tensor) -> Tensor:
        """Penultimate features (N, F) of the images."""

    def head(self, features: Tensor) -> Tensor:
        """Logits (N, K) of the features."""

    def neural_head(self, features: Tensor) -> Tensor:
        """Responses (N, D) that the neural loss has trained."""


def target_space(model: nn.Module) -> str:
    """Where an adaptive attack acts on this network: "neural head", "features" or "logits"."""
    if getattr(model, "neural_head", None) is not None:
        return "neural head"
    return "features" if hasattr(model, "features") and hasattr(model, "head") else "logits"


def respond(model: nn.Module, points: Tensor) -> tuple[Tensor, Tensor]:
    """Responses (N, D) in the target space, and logits (N, K), of one pass."""
    space, headed = target_space(model), cast(Headed, model)
    if space == "logits":
        logits = logits_of(model, points)
        return logits, logits
    features = headed.features(points)
    return headed.neural_head(features) if space == "neural head" else features, headed.head(features)


def show_pool(model: nn.Module, images: Tensor, labels: Tensor, batch: int = 64) -> None:
    """Give a network the images (M, 3, H, W) whose responses collisions aim at: those that it reads correctly."""
    responses, logits = [], []
    with frozen(model), torch.no_grad():
        for part in images.split(batch):
            response, logit = respond(model, part)
            responses.append(response)
            logits.append(logit)
    right = torch.cat(logits).argmax(1) == labels
    cast(Headed, model).collision_pool = torch.cat(responses)[right], labels[right]


def adaptive_joint(batch: Batch, settings: AdaptiveJoint) -> AttackResult:
    """Ascent on loss(logits) + neural_weight x mean squared change of the responses, relative to their clean variance.

    It starts from the clean image and has no random part.
    """
    search, labels, loss = Search(batch), batch.labels, LOSSES[settings.loss]
    clean = clean_responses(search)
    scale = clean.var(1, keepdim=True, correction=0).clamp_min(1e-12)

    def objective(rows: Tensor, responses: Tensor, logits: Tensor) -> Tensor:
        change = ((responses - clean[rows]).square() / scale[rows]).mean(1)
        return loss(logits, labels[rows]) + settings.neural_weight * change

    return climb_objective(search, settings, objective)


def adaptive_collision(batch: Batch, settings: AdaptiveCollision) -> AttackResult:
    """Descent on the squared distance of the responses to those of the nearest image of another class in the pool.

    Without a pool (`show_pool`), or where it has no other class, plain ascent on `loss` takes its place. It has no
    random part.
    """
    search, labels, loss = Search(batch), batch.labels, LOSSES[settings.loss]
    goals, reachable = collision_goals(search)

    def objective(rows: Tensor, responses: Tensor, logits: Tensor) -> Tensor:
        distance = (responses - goals[rows]).square().mean(1)
        return torch.where(reachable[rows], -distance, loss(logits, labels[rows]))

    return climb_objective(search, settings, objective)


def clean_responses(search: Search) -> Tensor:
    """Responses (N, D) to the images that are read correctly, zeros for the others; booked on the first budget."""
    rows, ahead = search.standing(0), search.positive()
    if not len(rows) or not ahead:
        return search.images.new_zeros(len(search.images), 1)
    search.n_forward[rows, ahead[0][0]] += 1
    with torch.no_grad():
        found, _ = respond(search.model, search.images[rows])
    clean = found.new_zeros(len(search.images), found.shape[1])
    clean[rows] = found
    return clean


def collision_goals(search: Search) -> tuple[Tensor, Tensor]:
    """The goal of each image (N, D), and whether it has one: the nearest response of another class in the pool."""
    clean, labels = clean_responses(search), search.labels
    responses, classes = getattr(search.model, "collision_pool", (clean[:0], labels[:0]))
    other = labels[:, None] != classes[None]
    if not other.numel():
        return clean, torch.zeros_like(labels, dtype=torch.bool)
    nearest = torch.cdist(clean, responses.to(clean)).masked_fill(~other, torch.inf).argmin(1)
    return responses.to(clean)[nearest], other.any(1)


def climb_objective(search: Search, settings: Adaptive, objective: Objective) -> AttackResult:
    """Fixed-step ascent on an objective over nested budgets; every iterate is tested, broken images leave.

    A budget starts from the best point of the one before, scaled to the new radius, the first from the clean image.
    Steps are 2.5 / steps of the budget.
    """
    images, norm, steps = search.images, settings.norm, settings.steps
    best, before = images.clone(), 0.0
    for budget, radius in search.positive():
        rows = search.standing(budget)
        if not len(rows):
            break
        scaled = images + (radius / before) * (best - images) if before else images
        points = project(scaled[rows], images[rows], radius, norm)
        highest = torch.full((len(images),), -torch.inf, dtype=images.dtype, device=images.device)
        for _ in range(steps):
            values, logits, gradient = objective_gradient(search, rows, points, budget, objective)
            better = values > highest[rows]
            best[rows[better]], highest[rows[better]] = points[better], values[better]
            standing = ~search.offer(rows, points, logits, budget)
            rows, points, gradient = rows[standing], points[standing], gradient[standing]
            if not len(rows):
                break
            step = 2.5 / steps * radius * steepest(gradient, norm)
            points = project(points + step, images[rows], radius, norm)
        if len(rows):
            search.test(rows, points, budget)
        before = radius
    return search.result(norm)


def objective_gradient(
    search: Search, rows: Tensor, points: Tensor, budget: int, objective: Objective
) -> tuple[Tensor, Tensor, Tensor]:
    """Objective (n,), logits (n, K) and the objective's gradient with respect to the points, all detached."""
    search.n_forward[rows, budget] += 1
    search.n_backward[rows, budget] += 1
    points = points.detach().requires_grad_()
    with torch.enable_grad():
        responses, logits = respond(search.model, points)
        values = objective(rows, responses, logits)
        gradient = input_gradient(values, points)
    return values.detach(), logits.detach(), gradient


def describe(model: nn.Module) -> dict[str, str]:
    """What an adaptive attack's table says of where it acted: {"space": ...}."""
    return {"space": target_space(model)}
