"""Gradient attacks: FGSM, PGD and APGD under linf and l2, over nested budgets (`ascent`).

The starting points of PGD and APGD at each budget include the full-budget single steps of cross-entropy and of their
own loss, so they break whatever FGSM with one of those losses breaks; the ascent starts from the best of all starts.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from neurobust.attacks.ascent import (
    Ascent,
    ascend_towards,
    check_ascent,
    clean_directions,
    climb_adaptive,
    climb_fixed,
    nested_ascent,
)
from neurobust.attacks.losses import check_loss
from neurobust.attacks.norms import check_norm, project
from neurobust.attacks.search import AttackResult, Search
from neurobust.core.errors import InputError


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
    warm_steps: int | None = None,
    rel_stepsize: float | None = None,
    restarts: int = 0,
    eot: int = 1,
    order: str = "ascending",
) -> AttackResult:
    """Projected gradient ascent with a fixed step of `rel_stepsize` times the budget (default 2.5 / steps).

    The default reaches 2.5 budgets far, whatever the number of steps. `warm_steps` (default: steps) are spent at every
    budget but an image's first. `restarts` adds that many cold starts from a random point of the ball for the images
    that still stand. `eot` averages logits and gradients of a network that draws random numbers over that many passes.
    `order` "bisection" attacks an image at about log2 of the budgets, in place of all up to the smallest that breaks
    it, and takes an image that stands at one to stand at the smaller ones. Source: Madry et al., ICLR 2018.
    """
    rel_stepsize = 2.5 / max(steps, 1) if rel_stepsize is None else rel_stepsize
    if rel_stepsize <= 0:
        raise InputError(f"attack rel_stepsize {rel_stepsize} must be positive; leave it out for 2.5 / steps")
    warm_steps = checked_warm_steps(steps, warm_steps)

    def climb(ascent: Ascent) -> None:
        climb_fixed(ascent, warm_steps if ascent.warm else steps, rel_stepsize)

    return nested_ascent(model, images, labels, budgets, seed, ids, norm, loss, steps, restarts, climb, eot, order)


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
    warm_steps: int | None = None,
    restarts: int = 0,
    eot: int = 1,
    order: str = "ascending",
) -> AttackResult:
    """Projected ascent with momentum that halves its step where progress stalls and resumes from its best point.

    `warm_steps`, `order` and `eot` as in `pgd`. Source: Croce and Hein, ICML 2020, algorithm 1 (momentum 0.75, rho
    0.75, first step twice the budget).
    """
    warm_steps = checked_warm_steps(steps, warm_steps)

    def climb(ascent: Ascent) -> None:
        climb_adaptive(ascent, warm_steps if ascent.warm else steps)

    return nested_ascent(model, images, labels, budgets, seed, ids, norm, loss, steps, restarts, climb, eot, order)


def apgd_targeted(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    budgets: Sequence[float],
    *,
    seed: int,
    ids: Sequence[int],
    norm: str = "linf",
    loss: str = "dlr",
    targets: int = 9,
    steps: int = 50,
    warm_steps: int | None = None,
    eot: int = 1,
) -> AttackResult:
    """APGD towards each of the `targets` likeliest wrong classes in turn (all of them, where there are fewer).

    `seed` and `ids` are not used: every climb starts at the clean image or at the last budget's best point.
    `warm_steps` and `eot` as in `pgd`. Source: Croce and Hein, ICML 2020, section 4.
    """
    check_ascent(norm, loss, steps, 0)
    warm_steps = checked_warm_steps(steps, warm_steps)

    def climb(ascent: Ascent) -> None:
        climb_adaptive(ascent, warm_steps if ascent.warm else steps)

    search = Search(model, images, labels, budgets, eot)
    ascend_towards(search, norm, loss, targets, climb)
    return search.result(norm)


def checked_warm_steps(steps: int, warm_steps: int | None) -> int:
    """`warm_steps`, by default as many as `steps`."""
    if warm_steps is not None and warm_steps < 1:
        raise InputError(f"attack warm_steps {warm_steps}: give at least 1, or leave it out for as many as steps")
    return steps if warm_steps is None else warm_steps
