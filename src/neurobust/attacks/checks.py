"""Checks that catch a defence that only hides its gradients. They mark a network; they never hide its results.

Source of the list: Athalye et al., ICML 2018; Carlini et al., arXiv 1902.06705; the flags of AutoAttack (Croce and
Hein, ICML 2020). Each check is a `files.checks.Check`. A check that does not apply (no budget in common, no
clean-correct image) is left out. Here: the network itself, and the attacks' results; `probes` climbs again on a few
images.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, cast

import numpy as np
import torch
from torch import Tensor, nn

from neurobust.attacks.check_plans import UNBOUNDED
from neurobust.attacks.losses import loss_gradient
from neurobust.attacks.noise import draw, noisy
from neurobust.attacks.plan import AttackPlan
from neurobust.attacks.run import batch_of, run_attack
from neurobust.attacks.search import frozen
from neurobust.files.checks import Check

# How much of the clean-correct images a check may lose before it speaks: room for a rounding accident, not for a trend.
TOLERANCE = 0.01

PASSES = 5  # of the same batch, whose logits must agree
ALONE = 4  # images that also go through the network one by one
START = 8 / 255  # how far from the image the gradient is looked at again, L-infinity
REACH = 2.0  # budgets that the steps of an ascent must be able to walk: from one side of its ball to the other


@dataclass(frozen=True)
class Outcome:
    """What an attack did to N images under B budgets: clean_correct bool (N,), success bool (N, B), what its
    verification counted."""

    plan: AttackPlan
    clean_correct: np.ndarray
    success: np.ndarray
    verification: Mapping[str, int]


class Climb(Protocol):
    """What a probed attack's settings have."""

    loss: str
    steps: int


def climb_of(plan: AttackPlan) -> Climb:
    """The settings of a probed attack (`Attack.probed`)."""
    return cast(Climb, plan.attack)


def check(name: str, passed: bool, value: float | None, note: str, attack: str = "") -> Check:
    """One check's record, with plain Python values."""
    return Check(name, bool(passed), attack, None if value is None else float(value), note)


def flags(checks: Sequence[Check]) -> list[str]:
    """Labels of the checks that failed."""
    return [entry.label for entry in checks if not entry.passed]


# --- the network ---


def model_checks(model: nn.Module, images: Tensor, labels: Tensor, seed: int = 0) -> list[Check]:
    """Checks of the network itself on a batch of images (N, 3, H, W) in [0,1] with its labels (N,)."""
    with frozen(model), torch.no_grad():
        logits = model(images)
        again = [model(images) for _ in range(PASSES - 1)]
        alone = torch.cat([model(image) for image in images[:ALONE].split(1)])
    found = [
        agreement(
            "deterministic", logits, again, f"largest relative difference of the logits of {PASSES} passes", 1e-4
        ),
        agreement("batch_size", logits[:ALONE], [alone], "the same, of an image in a batch and alone", 1e-3),
        *output_checks(logits),
    ]
    correct = logits.argmax(1) == labels
    if correct.any():
        found += gradient_checks(model, images[correct], labels[correct], seed)
    found.append(unbounded(model, images, labels, seed))
    return found


def agreement(name: str, logits: Tensor, others: list[Tensor], note: str, limit: float) -> Check:
    """Logits (N, K) that must not change between passes, relative to the largest of each image."""
    scale = logits.abs().amax(1, keepdim=True).clamp_min(1e-12)
    spread = max(((logits - other) / scale).abs().max().item() for other in others)
    return check(name, spread <= limit, spread, note)


def output_checks(logits: Tensor) -> list[Check]:
    """What the output (N, K) is: a probability distribution, or logits so large that cross-entropy underflows."""
    sums_to_one = bool(((logits.sum(1) - 1).abs() < 1e-4).all() and logits.min() > -1e-5 and logits.max() < 1 + 1e-5)
    saturated = ((logits.float().softmax(1) > 0).sum(1) == 1).double().mean().item()
    note = "share of images for which the softmax of every other class underflows to zero"
    return [
        check("logits", not sums_to_one, sums_to_one, "1 where the output is a probability distribution"),
        check("logit_scale", saturated <= TOLERANCE, saturated, note),
    ]


def gradient_checks(model: nn.Module, images: Tensor, labels: Tensor, seed: int) -> list[Check]:
    """Share of clean-correct images without a gradient to follow, at the image and at a random point beside it."""
    noise = torch.stack([draw("uniform", images.shape[1:], seed, row, 0) for row in range(len(images))]).to(images)
    found, beside = [], noisy(images, noise, START, "linf")
    for points, place, name in ((images, "at the image", "gradient"), (beside, "8/255 beside it", "gradient_start")):
        for loss in ("ce", "margin"):
            with frozen(model):
                size = loss_gradient(model, points, labels, loss)[2].flatten(1).abs().amax(1)
            share = ((size == 0) | ~size.isfinite()).double().mean().item()
            note = f"share of clean-correct images whose {loss} gradient {place} is exactly zero or not finite"
            found.append(check(f"{name}_{loss}", share <= TOLERANCE, share, note))
    return found


def unbounded(model: nn.Module, images: Tensor, labels: Tensor, seed: int) -> Check:
    """With the whole box as its ball, a sound attack leaves nothing standing."""
    result = run_attack(UNBOUNDED, batch_of(UNBOUNDED, model, images, labels, seed=seed, ids=range(len(images))))
    standing = (~result.success[:, -1]).double().mean().item()
    return check("unbounded", standing <= TOLERANCE, standing, "accuracy under PGD with an unbounded budget")


# --- the attacks' results ---


def table_checks(outcomes: Mapping[str, Outcome]) -> list[Check]:
    """Checks of the results of one network's attacks on the same images."""
    found = [monotone(name, outcome) for name, outcome in outcomes.items()]
    checked = sum(outcome.verification["checked"] for outcome in outcomes.values())
    demoted = sum(outcome.verification["demoted"] for outcome in outcomes.values())
    share = demoted / max(checked, 1)
    found.append(check("verification", share <= TOLERANCE, share, f"{demoted} of {checked} adversarials demoted"))
    losses = {climb_of(outcome.plan).loss for outcome in outcomes.values() if outcome.plan.attack.probed}
    if losses:
        note = f"losses of the iterative attacks: {', '.join(sorted(losses))}"
        found.append(check("margin_loss", bool(losses & {"margin", "dlr"}), None, note))
    for name, outcome in outcomes.items():
        if outcome.plan.attack.climbs:
            found += reach(name, outcome.plan)
            found += comparisons(name, outcome, outcomes)
    return found


def reach(name: str, plan: AttackPlan) -> list[Check]:
    """An ascent whose steps are too short for its ball looks like robustness. Left out where the steps adapt."""
    if not hasattr(plan.attack, "rel_stepsize"):
        return []
    size = plan.attack.rel_stepsize
    walked = 2.5 if size is None else size * climb_of(plan).steps  # None: 2.5 / steps
    return [check("reach", walked >= REACH, walked, "budgets that all steps walk together; at least 2", name)]


@dataclass(frozen=True)
class Pairing:
    """A strong and a weak attack of one network, and the index pairs of the budgets that both had."""

    strong: Outcome
    weak: Outcome
    pairs: list[tuple[int, int]]
    names: tuple[str, str]

    @property
    def label(self) -> str:
        """Both names."""
        return " vs ".join(self.names)


def comparisons(strong: str, outcome: Outcome, outcomes: Mapping[str, Outcome]) -> list[Check]:
    """An iterative attack against the single step, noise and the attacks without gradients, of the same norm."""
    found = []
    for weak, other in outcomes.items():
        if not other.plan.attack.weaker:
            continue
        pairs = common_budgets(outcome.plan, other.plan) if other.plan.norm == outcome.plan.norm else []
        if not pairs or not outcome.clean_correct.any():
            continue
        pairing = Pairing(outcome, other, pairs, (strong, weak))
        found.append(not_weaker(pairing))
        if other.plan.attack.noise:
            found.append(far_weaker(pairing))
    return found


def monotone(name: str, outcome: Outcome) -> Check:
    """No image may recover at a larger budget."""
    recovered = int((outcome.success[:, :-1] & ~outcome.success[:, 1:]).any(1).sum())
    return check("monotone", recovered == 0, recovered, "images that recover at a larger budget", name)


def common_budgets(one: AttackPlan, two: AttackPlan) -> list[tuple[int, int]]:
    """Index pairs of the positive budgets that two attacks of the same unit share."""
    if one.unit != two.unit:
        return []
    places = {budget: index for index, budget in enumerate(two.budgets)}
    return [(i, places[b]) for i, b in enumerate(one.budgets) if b > 0 and b in places]


def not_weaker(pairing: Pairing) -> Check:
    """What a weaker attack breaks, the stronger one breaks too, image by image."""
    strong, weak, correct = pairing.strong.success, pairing.weak.success, pairing.strong.clean_correct
    share = max((weak[correct, j] & ~strong[correct, i]).mean() for i, j in pairing.pairs)
    note = "largest share of images that {1} breaks and {0} does not".format(*pairing.names)
    return check("not_weaker", share <= TOLERANCE, share, note, pairing.label)


def far_weaker(pairing: Pairing) -> Check:
    """Noise must break at most half as many images, at the first budget where the strong attack breaks half of them.

    Where the strong attack breaks next to nothing, noise may break as little as a rounding accident would.
    """
    strong, weak, correct = pairing.strong.success, pairing.weak.success, pairing.strong.clean_correct
    rates = [(strong[correct, i].mean(), weak[correct, j].mean()) for i, j in pairing.pairs]
    white, noise = next((pair for pair in rates if pair[0] >= 0.5), rates[-1])
    ratio, passed = noise / white if white else None, noise <= max(white / 2, 2 * TOLERANCE)
    note = "{1} breaks {noise:.3f} and {0} {white:.3f} of the clean-correct images"
    return check("noise_weaker", passed, ratio, note.format(*pairing.names, noise=noise, white=white), pairing.label)
