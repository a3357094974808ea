"""One attack, as a study plans it, on one batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

from torch import Tensor, nn

from neurobust.attacks.description import Attack
from neurobust.attacks.plan import AttackPlan
from neurobust.attacks.search import AttackResult, Batch, frozen, seeded
from neurobust.core.errors import InputError
from neurobust.core.places import load


def batch_of(
    plan: AttackPlan,
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    seed: int,
    ids: Sequence[int],
    pool: Tensor | None = None,
    twins: Tensor | None = None,
) -> Batch:
    """The batch that a plan's budgets are tried on: images (N, 3, H, W) in [0,1], labels (N,), their dataset rows.

    pool: other images of the task (M, 3, H, W), for attacks that start from one. twins: the same images with the cue of
    another class (N, 3, H, W), for attacks that mix them in.
    """
    return Batch(model, images, labels.long(), plan.radii, seed, tuple(ids), pool, twins)


def run_attack(plan: AttackPlan, batch: Batch) -> AttackResult:
    """Run one attack on one batch (`batch_of`).

    The model is attacked in eval mode with frozen parameters and given back as it was; if it draws random numbers
    itself, they follow the seed and the plan's name. The result's budgets and distances are in the attack's own unit.
    Raises InputError where images, labels and ids do not match or pixels leave [0,1].
    """
    images, where = batch.images, f"attack '{plan.name}'"
    if images.ndim != 4 or len(images) != len(batch.labels) or len(images) != len(batch.ids) or not len(images):
        raise InputError(
            f"{where}: images {tuple(images.shape)}, {len(batch.labels)} labels and {len(batch.ids)} ids do not match"
        )
    if not (images.min() >= 0 and images.max() <= 1):  # also refuses NaN
        raise InputError(f"{where}: pixels outside [0,1]; normalisation belongs inside the model")
    attack = cast(Callable[[Batch, Attack], AttackResult], load(plan.attack.run))
    with frozen(batch.model), seeded(images.device, batch.seed, "model", plan.name, batch.ids[0]):
        return attack(batch, plan.attack)


def distance_of(plan: AttackPlan, batch: Batch) -> Callable[[Tensor, Tensor], Tensor] | None:
    """The distance that a plan's budgets bound where no norm does; None where the attack names none."""
    if not plan.attack.measure:
        return None
    return cast(Callable[[Batch], Callable[[Tensor, Tensor], Tensor]], load(plan.attack.measure))(batch)
