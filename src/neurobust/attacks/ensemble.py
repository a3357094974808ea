"""AutoAttack's four attacks and FMN as one: each meets only the images that the ones before could not break."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch

from neurobust.attacks.ascent import Climber, adaptive_climb, ascend, ascend_towards
from neurobust.attacks.ensemble_settings import AutoAttack
from neurobust.attacks.fab import find_boundaries
from neurobust.attacks.fmn import find_nearest
from neurobust.attacks.search import AttackResult, Batch, Search
from neurobust.attacks.square import search_squares

MEMBERS = ("apgd-ce", "apgd-t", "fmn", "fab", "square")


def autoattack(batch: Batch, settings: AutoAttack) -> AttackResult:
    """APGD on cross-entropy, APGD towards `targets` classes, FMN, FAB towards as many, and Square, in this order.

    The defaults are the standard protocol's, FMN apart, which is cheap beside them. It has no parameters except its
    costs; `eot` as in `pgd`. The result's `member` says which of MEMBERS reached each image's smallest broken budget.
    """
    search = Search(batch, settings.eot)
    apgd, targeted, fmn, fab, square = settings.members
    runs: tuple[Callable[[], None], ...] = (
        partial(ascend, search, Climber(apgd.norm, apgd.loss, adaptive_climb(apgd))),
        partial(
            ascend_towards, search, Climber(targeted.norm, targeted.loss, adaptive_climb(targeted)), targeted.targets
        ),
        partial(find_nearest, search, fmn),
        partial(find_boundaries, search, fab),
        partial(search_squares, search, square),
    )
    member = torch.full_like(search.first, -1)
    for index, run in enumerate(runs):
        before = search.first.clone()
        run()
        member[search.first < before] = index
    return replace(search.result(settings.norm), member=member.cpu())
