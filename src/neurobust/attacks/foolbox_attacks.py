"""Minimum-norm attacks of foolbox, called once per image for all budgets.

What foolbox says of success and distance is not used: it clips to the budget and tests again, which is another
question, and some of its attacks return an image that is not adversarial. Here the returned image is clamped, its label
is tested and its distance is measured, and a budget is met when the distance is within it.
"""

from __future__ import annotations

import copy
import importlib.util
import math
import os
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from neurobust.attacks.decision import decide, find_starts
from neurobust.attacks.foolbox_settings import DDN, EAD, Boundary, BrendelBethge, CarliniWagner, DeepFool, Weighted
from neurobust.attacks.losses import logits_of
from neurobust.attacks.norms import finite, lengths
from neurobust.attacks.search import AttackResult, Batch, Search, abstains, misread, seeded
from neurobust.core.errors import InputError

ORDINARY = (1e-3, 1e4)  # between which the largest logit may lie above the mean


class Counted(nn.Module):
    """A frozen copy of a model that counts how many times a batch goes forward and comes back."""

    def __init__(self, model: nn.Module):
        super().__init__()
        # foolbox differentiates with loss.backward(): live parameters would cost weight gradients and keep them
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        self.eval()
        self.restart()

    def restart(self) -> None:
        """Begin with other images: count anew, and read the scale of their logits at the next pass."""
        self.forwards = self.backwards = 0
        self.scale: Tensor | None = None

    def forward(self, points: Tensor) -> Tensor:
        """Logits of `points`, of ordinary size: `evening`; what of their gradient is not finite is zero."""
        self.forwards += 1
        if points.requires_grad:
            points = points.view_as(points)
            points.register_hook(finite)
        logits = logits_of(self.model, points)
        if self.scale is None:
            self.scale = evening(logits.detach())
        if len(self.scale) == len(logits) and (self.scale != 1).any():
            logits = self.scale * logits
        if points.requires_grad and not logits.requires_grad:
            logits = logits + points.flatten(1)[:, :0].sum(1, keepdim=True)  # no graph: a gradient of zero
        if logits.requires_grad:
            logits.register_hook(self._count)
        return logits

    def _count(self, _: Tensor) -> None:
        self.backwards += 1


def evening(logits: Tensor) -> Tensor:
    """Powers of two (N, 1) that bring logits (N, K) of odd scale to an ordinary one; 1 where they have it.

    foolbox guards its divisions by constants such as 1e-8, and its cross-entropy underflows where logits are large:
    what hides in the scale would count as robust. The class stays the same.
    """
    spread = (logits.amax(1, keepdim=True) - logits.mean(1, keepdim=True)).double()
    odd = spread.isfinite() & (spread > 0) & ((spread < ORDINARY[0]) | (spread > ORDINARY[1]))
    power = torch.where(odd, 3 - spread.log2(), 0).round().clamp(-126, 126)
    return torch.exp2(power).to(logits)


def deepfool(batch: Batch, settings: DeepFool) -> AttackResult:
    """DeepFool, l2 or linf: walks to the nearest linearised boundary."""
    name = {"l2": "L2DeepFoolAttack", "linf": "LinfDeepFoolAttack"}[settings.norm]
    options = {"steps": settings.steps, "candidates": settings.candidates, "overshoot": settings.overshoot}
    return minimum_norm(batch, settings.norm, name, options)


def ddn(batch: Batch, settings: DDN) -> AttackResult:
    """Decoupled direction and norm, l2."""
    options = {"steps": settings.steps, "init_epsilon": settings.init_epsilon, "gamma": settings.gamma}
    return minimum_norm(batch, settings.norm, "DDNAttack", options)


def carlini_wagner(batch: Batch, settings: CarliniWagner) -> AttackResult:
    """Carlini and Wagner, l2: Adam on distance plus c times the margin, c by bisection."""
    options = searched(settings) | {"stepsize": settings.stepsize}
    return minimum_norm(batch, settings.norm, "L2CarliniWagnerAttack", options)


def ead(batch: Batch, settings: EAD) -> AttackResult:
    """Elastic net attack, l1: Carlini and Wagner's with an l1 term."""
    options = searched(settings) | {"initial_stepsize": settings.stepsize}
    options |= {"regularization": settings.regularization, "decision_rule": "L1"}
    return minimum_norm(batch, settings.norm, "EADAttack", options)


def searched(settings: Weighted) -> dict[str, float | str]:
    """Options of foolbox's attacks that bisect a weight. Their early end looks at the whole batch's loss: none."""
    rounds = settings.binary_search_steps
    return {
        "steps": settings.steps, "binary_search_steps": rounds, "initial_const": settings.initial_const,
        "abort_early": False,
    }  # fmt: skip


def brendel_bethge(batch: Batch, settings: BrendelBethge) -> AttackResult:
    """Walks along the decision boundary by solving a small trust-region problem per step, l2. Needs numba.

    foolbox does not declare numba, and its linf version may never end. It must be left to walk: after 100 steps it is
    twice as far as after 400, and where there are many classes it may end at one that is not the nearest. The first
    batch of a job waits half a minute for the solver to be compiled.
    """
    if importlib.util.find_spec("numba") is None:
        raise InputError("attack method 'brendel-bethge' needs the package numba; install it or remove the attack")
    return minimum_norm(batch, settings.norm, "L2BrendelBethgeAttack", {"steps": settings.steps}, walks=True)


def boundary(batch: Batch, settings: Boundary) -> AttackResult:
    """A random walk along the decision boundary towards the image, l2."""
    options = {
        "steps": settings.steps, "spherical_step": settings.spherical_step, "source_step": settings.source_step,
    }  # fmt: skip
    return minimum_norm(batch, settings.norm, "BoundaryAttack", options, walks=True)


def load_foolbox() -> Any:
    """Import foolbox; without the variable its GitPython refuses to load where there is no git."""
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
    import foolbox

    return foolbox


def minimum_norm(batch: Batch, norm: str, name: str, options: Mapping[str, Any], walks: bool = False) -> AttackResult:
    """Run one foolbox minimum-norm attack on the clean-correct images and place its distances among the budgets.

    `walks`: it walks from an adversarial (`decision.find_starts`). foolbox would give up a whole batch for one image
    without a start, and draws for all images at once; these run image by image, on a seed of the image's own. The
    others draw only where a gradient is exactly zero, and that draw follows the batch's first image.
    """
    search, images, labels = Search(batch), batch.images, batch.labels
    parts: list[tuple[Tensor, Tensor | None]] = []
    if walks:
        rows, starts = find_starts(search, norm)
        parts = [(rows[place : place + 1], starts[place : place + 1]) for place in range(len(rows))]
    elif len(rows := search.in_question()):
        parts = [(rows, None)]
    if not parts:
        return search.result(norm)
    foolbox = load_foolbox()
    counted = Counted(batch.model)
    target = foolbox.PyTorchModel(counted, bounds=(0, 1), device=images.device)
    for rows, points in parts:
        if points is not None:
            points = firm_start(search, rows, points)
            logits = search.forward(rows, points, search.positive()[0][0])
            if abstains(logits) or not misread(logits, labels[rows]):  # foolbox takes no answer for some class
                continue
        counted.restart()
        given = {} if points is None else {"starting_points": points}
        with seeded(images.device, batch.seed, "foolbox", name, batch.ids[int(rows[0])]), torch.enable_grad():
            attack = getattr(foolbox.attacks, name)(**options)
            found, _, _ = attack(target, images[rows].detach(), labels[rows], epsilons=None, **given)
        found = torch.nan_to_num(found.detach(), nan=0.0).clamp(0, 1)
        budget = search.positive()[0][0]
        search.n_forward[rows, budget] += counted.forwards
        search.n_backward[rows, budget] += counted.backwards
        broken = decide(search, rows, found)
        distance = lengths(found.double() - images[rows].double(), norm)
        search.place(rows, found, torch.where(broken, distance, math.inf), norm)
    return search.result(norm)


def firm_start(search: Search, row: Tensor, point: Tensor) -> Tensor:
    """One image's start (1, 3, H, W) a little farther out: on the boundary a rounding error decides the class."""
    farther = (search.images[row] + 1.01 * (point - search.images[row])).clamp(0, 1)
    return farther if decide(search, row, farther) else point
