"""Gradient attacks: FGSM, PGD and APGD under linf and l2, over nested budgets (`ascent`).

The starting points of PGD and APGD at each budget include the full-budget single steps of cross-entropy and of their
own loss, so they break whatever FGSM with one of those losses breaks; the ascent starts from the best of all starts.
"""

from __future__ import annotations

from neurobust.attacks.ascent import (
    Ascent,
    Climber,
    adaptive_climb,
    ascend,
    ascend_towards,
    clean_directions,
    climb_fixed,
)
from neurobust.attacks.gradient_settings import APGD, FGSM, PGD, TargetedAPGD
from neurobust.attacks.norms import project
from neurobust.attacks.search import AttackResult, Batch, Search


def fgsm(batch: Batch, settings: FGSM) -> AttackResult:
    """One full-budget step along the gradient at the clean image (l2: the normalised gradient), clipped to [0,1]."""
    images, norm, search = batch.images, settings.norm, Search(batch)
    (direction,) = clean_directions(search, [settings.loss], norm)
    for budget, radius in search.positive():
        rows = search.standing(budget)
        if len(rows):
            search.test(rows, project(images[rows] + radius * direction[rows], images[rows], radius, norm), budget)
    return search.result(norm)


def pgd(batch: Batch, settings: PGD) -> AttackResult:
    """Projected gradient ascent with a fixed step of `rel_stepsize` times the budget (default 2.5 / steps).

    The default reaches 2.5 budgets far, whatever the number of steps. `warm_steps` (default: steps) are spent at every
    budget but an image's first. `restarts` adds that many cold starts from a random point of the ball for the images
    that still stand. `eot` averages logits and gradients of a network that draws random numbers over that many passes.
    `order` "bisection" attacks an image at about log2 of the budgets, in place of all up to the smallest that breaks
    it, and takes an image that stands at one to stand at the smaller ones.
    """
    rel_stepsize = 2.5 / settings.steps if settings.rel_stepsize is None else settings.rel_stepsize

    def climb(ascent: Ascent) -> None:
        climb_fixed(ascent, settings.steps_of(ascent.warm), rel_stepsize)

    search = Search(batch, settings.eot)
    ascend(search, Climber(settings.norm, settings.loss, climb, settings.restarts, settings.order))
    return search.result(settings.norm)


def apgd(batch: Batch, settings: APGD) -> AttackResult:
    """Projected ascent with momentum that halves its step where progress stalls and resumes from its best point.

    `warm_steps`, `order` and `eot` as in `pgd`; momentum 0.75, rho 0.75, first step twice the budget.
    """
    search, climb = Search(batch, settings.eot), adaptive_climb(settings)
    ascend(search, Climber(settings.norm, settings.loss, climb, settings.restarts, settings.order))
    return search.result(settings.norm)


def apgd_targeted(batch: Batch, settings: TargetedAPGD) -> AttackResult:
    """APGD towards each of the `targets` likeliest wrong classes in turn (all of them, where there are fewer).

    Every climb starts at the clean image or at the last budget's best point. `warm_steps` and `eot` as in `pgd`.
    """
    search, climb = Search(batch, settings.eot), adaptive_climb(settings)
    ascend_towards(search, Climber(settings.norm, settings.loss, climb), settings.targets)
    return search.result(settings.norm)
