"""AutoAttack's four attacks as one: each meets only the images that the ones before could not break at a budget."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor, nn

from neurobust.attacks.ascent import Ascent, ascend, ascend_towards, check_ascent, climb_adaptive
from neurobust.attacks.fmn import find_nearest
from neurobust.attacks.search import AttackResult, Search
from neurobust.attacks.square import search_squares

MEMBERS = ("apgd-ce", "apgd-t", "fmn", "square")


def autoattack(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    budgets: Sequence[float],
    *,
    seed: int,
    ids: Sequence[int],
    norm: str = "linf",
    steps: int = 100,
    targets: int = 9,
    queries: int = 5000,
    eot: int = 1,
) -> AttackResult:
    """APGD on cross-entropy, APGD towards `targets` classes, FMN (in FAB's place) and Square, in this order.

    The defaults are the standard protocol's. Parameter-free but for its costs; `eot` as in `pgd`. The result's `member`
    says which of MEMBERS reached each image's smallest broken budget. Source: Croce and Hein, ICML 2020.
    """
    check_ascent(norm, "ce", steps, 0)
    search = Search(model, images, labels, budgets, eot)

    def climb(ascent: Ascent) -> None:
        climb_adaptive(ascent, steps)

    members: dict[str, Callable[[], None]] = {
        "apgd-ce": partial(ascend, search, seed, ids, norm, "ce", 0, climb),
        "apgd-t": partial(ascend_towards, search, norm, "dlr", targets, climb),
        "fmn": partial(find_nearest, search, norm, steps),
        "square": partial(search_squares, search, seed, ids, norm, queries),
    }
    member = torch.full_like(search.first, -1)
    for index, name in enumerate(MEMBERS):
        before = search.first.clone()
        members[name]()
        member[search.first < before] = index
    return replace(search.result(norm), member=member.cpu())
