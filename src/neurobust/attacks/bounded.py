"""A bounded attack as the engine runs it: a batch under every budget, each adversarial looked at again."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from neurobust.attacks.engine.cells import Parts, cell_hash
from neurobust.attacks.engine.run import Arrays
from neurobust.attacks.images import to_twins
from neurobust.attacks.plan import AttackPlan
from neurobust.attacks.registry import attack_modules
from neurobust.attacks.run import distance_of, run_attack
from neurobust.attacks.search import AttackResult, Batch, seeded
from neurobust.attacks.verify import verify
from neurobust.files.dataset import Dataset

logger = logging.getLogger("neurobust")

COUNTS = ("checked", "demoted", "bounds", "distance", "label")
PER_IMAGE = ("clean_correct", "first", "distance", "n_forward", "n_backward", "abstained")


@dataclass(frozen=True)
class Bounded:
    """One attack of a study on one network of a seed. `pool`: training images (M, 3, H, W) for attacks that want some;
    `data`: the task, for attacks that mix in the twins of its images; `helpers` and `digests`: the auxiliary
    networks that the attack reads, and of their files; `attack_batch`: how many images go through the network in one
    call at most, by default as many as are attacked at once.

    Arrays of a cell: those of `search.AttackResult`, `member` being -1 where the attack is not an ensemble;
    `adversarial` (keep, 3, H, W); `counts` in the order of COUNTS.
    """

    plan: AttackPlan
    network: nn.Module
    seed: int
    pool: Tensor | None = None
    data: Dataset | None = None
    helpers: Mapping[str, nn.Module] = field(default_factory=dict)
    digests: Mapping[str, str] = field(default_factory=dict)
    attack_batch: int | None = None

    @property
    def parts(self) -> Parts:
        """Settings, seed and sources, and the auxiliary networks that it reads."""
        parts = {"attack": self.plan.settings(), "seed": self.seed, "sources": sources_of(self.plan)}
        return {**parts, "helpers": dict(self.digests)} if self.digests else parts

    @property
    def arrays(self) -> frozenset[str]:
        """All that a cell has."""
        return frozenset((*PER_IMAGE, "member", "adversarial", "counts"))

    def attack(self, images: Tensor, labels: Tensor, ids: tuple[int, ...], keep: int) -> Arrays:
        """Attack and verify one batch."""
        plan, pool = self.plan, self.pool if self.plan.attack.pool else None
        twins = None
        if plan.attack.twins and self.data is not None:
            twins = to_twins(self.data, np.array(ids), images.device)
        more = (pool, twins, self.helpers, self.attack_batch)
        batch = Batch(self.network, images, labels, plan.radii, self.seed, ids, *more)
        measure = distance_of(plan, batch)
        draws = getattr(plan.attack, "eot", 1)
        result = run_attack(plan, batch)
        with seeded(images.device, self.seed, "verify", plan.name, ids[0]):
            result, counts = verify(self.network, images, labels, result, plan.norm, draws, measure)
        if counts["demoted"]:
            logger.warning("%s: verification demoted %s", plan.name, counts)
        found = arrays_of(result) | {"adversarial": result.adversarial[:keep].numpy()}
        return found | {"counts": np.array([[counts[name] for name in COUNTS]])}


def arrays_of(result: AttackResult) -> Arrays:
    """What is known of each image of a verified result (N,), by name; `member` -1 where the attack is no ensemble."""
    member = torch.full_like(result.first, -1) if result.member is None else result.member
    return {name: getattr(result, name).numpy() for name in PER_IMAGE} | {"member": member.numpy()}


def sources_of(plan: AttackPlan) -> str:
    """Digest of the sources behind one attack's cells."""
    return cell_hash("neurobust.attacks.bounded", *attack_modules({plan.name: plan}))
