"""A check by transfer: what an undefended twin's adversarials break, the network's own attacks must break too.

A network whose gradients lead astray still falls to adversarials that were made elsewhere (Athalye et al., ICML 2018;
Carlini et al., arXiv 1902.06705, section 4.5). The twin is a network of the same task and architecture.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import Tensor, nn

from neurobust.attacks.checks import check, few
from neurobust.attacks.norms import NORMS
from neurobust.attacks.outcomes import Outcome, half_way, of_norm
from neurobust.attacks.plan import UNITS
from neurobust.attacks.transfer import answers, ascend
from neurobust.attacks.transfer_settings import Transfer
from neurobust.core.settings import read
from neurobust.files.checks import Check

IMAGES = 32  # that are looked at
STEPS = 5  # of the twin's ascent
BEYOND = 0.02  # share of images that a twin may break and no attack of the norm does


def twin_checks(
    model: nn.Module, twin: nn.Module, images: Tensor, labels: Tensor, outcomes: Mapping[str, Outcome]
) -> Iterator[Check]:
    """Show a network the adversarials (N, 3, H, W) of its twin, per norm that an ascent was run under.

    outcomes: as in `outcomes.table_checks`; their first N rows are these images, of which the first 32 are looked at.
    The budget is the one at which the first ascent of the norm breaks nearest to half of them. Images that the network
    reads rightly count.
    """
    images, labels, seen = images[:IMAGES], labels[:IMAGES], set()
    count = len(images)
    for name, outcome in outcomes.items():
        plan, correct = outcome.plan, outcome.clean_correct[:count]
        place = half_way(outcome, np.flatnonzero(correct))
        if not plan.attack.climbs or plan.norm in seen or plan.norm not in NORMS or place is None:
            continue
        seen.add(plan.norm)
        unit = UNITS["1/255" if plan.norm == "linf" else "1"]
        settings = read(Transfer, {"norm": plan.norm, "budget": plan.radii[place] / unit, "steps": STEPS}, "twin")
        points = ascend(twin, images, labels, settings)
        with torch.no_grad():
            broken = correct & (answers(model, points) != labels).cpu().numpy()
        own = np.logical_or.reduce([other.within(plan.radii[place]) for other in of_norm(plan, outcomes).values()])
        missed = int((broken & ~own[:count]).sum())
        note = f"share of images that fall to an undefended twin's adversarials at budget {plan.budgets[place]:g} alone"
        yield check("twin", few(missed, correct.sum(), BEYOND), missed / correct.sum(), note, name)
