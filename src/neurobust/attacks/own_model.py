"""Attacks on a model of your own, with the checks that say whether an attack was fooled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from neurobust.attacks.checks import flags, model_checks
from neurobust.attacks.images import exact_kernels
from neurobust.attacks.plan import read_plan
from neurobust.attacks.run import batch_of, run_attack
from neurobust.attacks.verify import verify
from neurobust.core.errors import InputError
from neurobust.files.checks import Check

CHECKED = 64  # images that the checks of the model look at
USUAL = {"pgd": {"steps": 40, "loss": "margin"}}


@dataclass(frozen=True)
class Attacked:
    """What an attack found on N images at B budgets, each adversarial verified again.

    accuracy: share of images that stand at a budget, clean errors counted as broken, by budget in `unit`; success: bool
    (N, B); distance: float64 (N,), NaN where nothing was found; adversarial: (N, 3, H, W), of the smallest budget that
    broke an image. checks: does anything say that the model hides its gradients? `doubts` are the labels of those that
    failed; where there are any, the accuracy may be an attack's failure.
    """

    accuracy: dict[float, float]
    unit: str
    success: Tensor
    distance: Tensor
    adversarial: Tensor
    checks: list[Check]

    @property
    def doubts(self) -> list[str]:
        """Labels of the failed checks."""
        return flags(self.checks)


def attack(
    model: nn.Module, images: Tensor, labels: Tensor, method: str = "pgd", budgets: Sequence[float] = (0, 1, 2, 4, 8),
    *, seed: int = 0, batch: int = 128, **settings: Any,
) -> Attacked:  # fmt: skip
    """Attack a model that takes images (N, 3, H, W) in [0, 1] and gives logits; labels (N,).

    method, settings: those of an attack of a study (docs/configuration.md), such as `norm="l2"`; budgets ascend from 0,
    in units of 1/255 for L-infinity, of 1 otherwise, unless `unit` says another. `batch` images are attacked at a time.
    The model is given back as it was; normalisation belongs inside it. Raises InputError for what cannot be attacked.
    """
    given = {"method": method, "budgets": list(budgets), **USUAL.get(method, {}), **settings}
    plan = read_plan(method, given, "attack")
    if plan.attack.neural_head or plan.attack.twins:
        raise InputError(f"attack: '{method}' needs a network or a task of a study; choose another method")
    if len(labels) != len(images) or not len(images):
        raise InputError(f"attack: {len(images)} images and {len(labels)} labels; give one label an image")
    training = {name: part.training for name, part in model.named_modules()}
    results = []
    try:
        with exact_kernels():
            for start in range(0, len(images), batch):
                part, truth = images[start : start + batch], labels[start : start + batch].long()
                ids = range(start, start + len(part))
                pool = images[:CHECKED] if plan.attack.pool else None
                shown = batch_of(plan, model, part, truth, seed=seed, ids=ids, pool=pool)
                found = run_attack(plan, shown)
                results.append(verify(model, part, truth, found, plan.norm, getattr(plan.attack, "eot", 1))[0])
            checks = model_checks(model, images[:CHECKED], labels[:CHECKED].long(), seed)
    finally:
        for name, part_of in model.named_modules():
            part_of.training = training[name]
    success = torch.cat([result.success for result in results])
    standing = (~success).double().mean(0).tolist()
    return Attacked(
        accuracy=dict(zip(plan.budgets, standing, strict=True)), unit=plan.unit, success=success,
        distance=torch.cat([result.distance for result in results]),
        adversarial=torch.cat([result.adversarial for result in results]), checks=checks,
    )  # fmt: skip
