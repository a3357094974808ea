"""Attacks on a model of your own, with the checks that say whether an attack was fooled."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from numbers import Integral
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from neurobust.attacks.bounded import COUNTS, arrays_of
from neurobust.attacks.checks import CHECKED, flags, model_checks
from neurobust.attacks.engine.run import joined
from neurobust.attacks.helpers import own_networks
from neurobust.attacks.images import exact_kernels
from neurobust.attacks.outcomes import Outcome, half_way, outcome_of, table_checks
from neurobust.attacks.plan import AttackPlan, read_plan
from neurobust.attacks.probes import probe_checks
from neurobust.attacks.run import batch_of, distance_of, run_attack
from neurobust.attacks.search import AttackResult, frozen, seeded
from neurobust.attacks.verify import verify
from neurobust.core.errors import InputError, flat
from neurobust.files.checks import Check

QUERIES = 300  # of Square, which may not break what a climb leaves standing
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

    Arrays of numpy will do. method, settings: those of an attack of a study (docs/configuration.md), such as
    `norm="l2"`; budgets ascend from 0,
    in units of 1/255 for L-infinity, of 1 otherwise, unless `unit` says another. `batch` images are attacked at a time,
    and no attack shows the model more in one call; the checks show it up to 64.
    The model is given back as it was; normalisation belongs inside it. Raises InputError for what cannot be attacked.
    """
    with torch.inference_mode(False), torch.enable_grad():  # without gradients nothing would be found
        return attacked(model, images, labels, method, budgets, seed=seed, batch=batch, settings=settings)


def attacked(
    model: nn.Module, images: Tensor, labels: Tensor, method: str, budgets: Sequence[float], *, seed: int, batch: int,
    settings: Mapping[str, Any],
) -> Attacked:  # fmt: skip
    """As `attack`, with gradients on."""
    listed = [plain(budget) for budget in budgets] if isinstance(budgets, Iterable) else budgets
    plan = read_plan(method, {"method": method, "budgets": listed, **USUAL.get(method, {}), **settings}, "attack")
    if plan.attack.neural_head or plan.attack.twins or plan.attack.reads:
        raise InputError(f"attack: '{method}' needs a network or a task of a study; choose another method")
    if not isinstance(batch, Integral) or batch < 1:
        raise InputError(f"attack: batch {batch!r}; give how many images are attacked at a time, 1 or more")
    if isinstance(model, nn.Module) and any(v.is_inference() for v in chain(model.parameters(), model.buffers())):
        raise InputError("attack: the model was made under torch.inference_mode, without gradients; load it outside")
    images, labels = as_tensors(images, labels)
    with seeded(images.device, seed, "own model", "looked at"):
        check_answers(model, images[:batch], labels)
    own = own_networks(plan.attack, images.device)
    training = {name: part.training for name, part in model.named_modules()}
    results = []
    try:
        with exact_kernels(), seeded(images.device, seed, "own model"):
            for start in range(0, len(images), batch):
                part, truth = images[start : start + batch], labels[start : start + batch]
                ids = range(start, start + len(part))
                pool = images[:CHECKED] if plan.attack.pool else None
                shown = batch_of(plan, model, part, truth, seed=seed, ids=ids, pool=pool)
                shown = replace(shown, helpers=own, attack_batch=int(batch))
                found, draws = run_attack(plan, shown), getattr(plan.attack, "eot", 1)
                results.append(verify(model, part, truth, found, plan.norm, draws, distance_of(plan, shown)))
            few = images[:CHECKED], labels[:CHECKED]
            checks = model_checks(model, *few, seed)
            if plan.attack.probed:
                checks += climb_checks(model, *few, outcome_of_all(plan, results), seed)
    finally:
        for name, part_of in model.named_modules():
            part_of.training = training[name]
    found_of_all = [result for result, _ in results]
    success = torch.cat([result.success for result in found_of_all])
    standing = (~success).double().mean(0).tolist()
    return Attacked(
        accuracy=dict(zip(plan.budgets, standing, strict=True)), unit=plan.unit, success=success,
        distance=torch.cat([result.distance for result in found_of_all]),
        adversarial=torch.cat([result.adversarial for result in found_of_all]), checks=checks,
    )  # fmt: skip


def outcome_of_all(plan: AttackPlan, results: Sequence[tuple[AttackResult, Mapping[str, int]]]) -> Outcome:
    """What the verified results of all batches say together of the images that the checks look at."""
    found = joined([arrays_of(result) for result, _ in results])
    counts = {name: sum(own[name] for _, own in results) for name in COUNTS}
    return outcome_of(plan, {name: values[:CHECKED] for name, values in found.items()}, counts)


def climb_checks(model: nn.Module, images: Tensor, labels: Tensor, outcome: Outcome, seed: int) -> list[Check]:
    """Checks of what a climb found on these images (N, 3, H, W): it is climbed again, as in a study, and set beside a
    short search without gradients at the budget that breaks nearest to half of them."""
    plan, outcomes = outcome.plan, {outcome.plan.name: outcome}
    place = half_way(outcome, np.flatnonzero(outcome.clean_correct))
    if place is not None and not plan.attack.members:  # an ensemble has a search of its own
        budgets = [0, plan.budgets[place]]
        square = read_plan("square", {"method": "square", "norm": plan.norm, "unit": plan.unit, "budgets": budgets,
                                      "queries": QUERIES}, "attack")  # fmt: skip
        result = run_attack(square, batch_of(square, model, images, labels, seed=seed, ids=range(len(images))))
        result, counts = verify(model, images, labels, result, square.norm)
        outcomes[square.name] = outcome_of(square, arrays_of(result), counts)
    return table_checks(outcomes) + probe_checks(model, images, labels, {plan.name: outcome}, seed)


def plain(budget: Any) -> Any:
    """A number of numpy or torch as Python's own."""
    return budget.item() if getattr(budget, "shape", None) == () and hasattr(budget, "item") else budget


def as_tensors(images: Any, labels: Any) -> tuple[Tensor, Tensor]:
    """Images (N, C, H, W) and labels int64 (N,) as tensors; InputError for what could not be attacked."""
    try:
        images, labels = as_tensor(images), as_tensor(labels)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"attack: images and labels are no arrays ({flat(error)}); give tensors") from None
    for part, what in ((images, "images"), (labels, "labels")):
        if part.layout != torch.strided or part.is_complex() or part.device.type == "meta":
            raise InputError(
                f"attack: {what} of {part.dtype}, {part.layout}, on {part.device}; give plain real numbers"
            )
    if images.ndim != 4:
        raise InputError(f"attack: images of shape {tuple(images.shape)}; give (N, 3, H, W), one image too")
    if labels.ndim != 1:
        raise InputError(f"attack: labels of shape {tuple(labels.shape)}; give (N,), the number of a class each")
    if len(labels) != len(images) or not len(images):
        raise InputError(f"attack: {len(images)} images and {len(labels)} labels; give one label an image")
    if not images.numel():
        raise InputError(f"attack: images of shape {tuple(images.shape)} have no pixels; give (N, 3, H, W)")
    if not images.is_floating_point():
        raise InputError(f"attack: images of {images.dtype}; give float32 in [0,1]: bytes divided by 255")
    if images.dtype not in (torch.float32, torch.float64):
        raise InputError(
            f"attack: images of {images.dtype}; give float32: a model in half precision casts its input itself"
        )
    if not (labels.double() == labels.long()).all():
        raise InputError(f"attack: labels of {labels.dtype} that are no whole numbers; give the number of a class each")
    return images.detach(), labels.long().to(images.device)


def as_tensor(values: Any) -> Tensor:
    """An array of any kind, or a list of tensors, as a tensor."""
    if isinstance(values, (list, tuple)) and values and all(isinstance(value, Tensor) for value in values):
        return torch.stack(list(values))
    if isinstance(values, np.ndarray):
        values = np.array(values)  # torch takes no negative strides, and the caller's may be read-only
    return torch.as_tensor(values)


@torch.no_grad()
def check_answers(model: Any, images: Tensor, labels: Tensor) -> None:
    """Raise InputError where a model does not give logits (N, classes) of some images, or a label names no class."""
    if not isinstance(model, nn.Module):
        raise InputError(f"attack: a model of type {type(model).__name__}; give a torch module, which may wrap it")
    if not (images.min() >= 0 and images.max() <= 1):  # also refuses NaN
        raise InputError("attack: pixels outside [0,1]; give images in [0,1]: normalisation belongs inside the model")
    given = images.clone()  # a model may change what it is given
    try:
        with frozen(model):
            logits = model(given)
    except Exception as error:  # code that we do not know
        raise InputError(
            f"attack: the model takes no images {tuple(images.shape)} of {images.dtype} on {images.device} "
            f"({flat(error)}); give what it takes, or cast and scale inside it"
        ) from error
    if not isinstance(logits, Tensor) or logits.ndim != 2 or len(logits) != len(images) or logits.shape[1] < 2:
        found = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise InputError(
            f"attack: the model gives {found} for {len(images)} images; it must give logits (N, classes), 2 or more"
        )
    if not torch.equal(given, images):
        raise InputError("attack: the model changes its input in place; let it work on a copy (images.clone())")
    if not logits.is_floating_point():
        raise InputError(f"attack: the model gives {logits.dtype}; it must give logits, as real numbers")
    if logits.layout != torch.strided or logits.dtype == torch.float64 != images.dtype:
        raise InputError(
            f"attack: the model gives {logits.dtype}, {logits.layout}, for images of {images.dtype}; it must give "
            "dense logits, no wider than what it takes: cast them, or take float64"
        )
    if wrong := [label for label in labels.tolist() if not 0 <= label < logits.shape[1]]:
        raise InputError(f"attack: label {wrong[0]}; the model has {logits.shape[1]} classes: count them from 0")
    check_alone(model, images, logits)


def check_alone(model: nn.Module, images: Tensor, logits: Tensor) -> None:
    """Raise InputError where a model needs as many images as it was shown: attacks go on with those that stand."""
    try:
        with frozen(model):
            alone = model(images[:1].clone())
        fits = alone.shape == logits[:1].shape
    except Exception as error:  # code that we do not know
        raise InputError(
            f"attack: the model takes {len(images)} images and not one ({flat(error)}); it must take any number"
        ) from error
    if not fits:
        raise InputError(
            f"attack: the model gives {tuple(alone.shape)} for one image; it must give (1, {logits.shape[1]})"
        )
