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
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from neurobust.attacks.decision import decide, find_starts, standing_rows
from neurobust.attacks.norms import check_norm, lengths
from neurobust.attacks.search import AttackResult, Search, seeded
from neurobust.core.errors import InputError


class Counted(nn.Module):
    """A frozen copy of a model that counts how many times a batch goes forward and comes back."""

    def __init__(self, model: nn.Module):
        super().__init__()
        # foolbox differentiates with loss.backward(): live parameters would cost weight gradients and keep them
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        self.eval()
        self.forwards = self.backwards = 0

    def forward(self, points: Tensor) -> Tensor:
        """Logits of `points`."""
        self.forwards += 1
        logits = self.model(points)
        if logits.requires_grad:
            logits.register_hook(self._count)
        return logits

    def _count(self, _: Tensor) -> None:
        self.backwards += 1


def deepfool(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    budgets: Sequence[float],
    *,
    seed: int,
    ids: Sequence[int],
    norm: str = "l2",
    steps: int = 50,
    candidates: int = 10,
    overshoot: float = 0.02,
) -> AttackResult:
    """DeepFool, l2 or linf: walks to the nearest linearised boundary. Source: Moosavi-Dezfooli et al., CVPR 2016."""
    check_norm(norm)
    name = {"l2": "L2DeepFoolAttack", "linf": "LinfDeepFoolAttack"}[norm]
    options = {"steps": steps, "candidates": candidates, "overshoot": overshoot}
    return minimum_norm(model, images, labels, budgets, seed, ids, norm, name, options)


def ddn(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    budgets: Sequence[float],
    *,
    seed: int,
    ids: Sequence[int],
    norm: str = "l2",
    steps: int = 100,
    init_epsilon: float = 1.0,
    gamma: float = 0.05,
) -> AttackResult:
    """Decoupled direction and norm, l2. Source: Rony et al., CVPR 2019."""
    check_norm(norm, ("l2",))
    options = {"steps": steps, "init_epsilon": init_epsilon, "gamma": gamma}
    return minimum_norm(model, images, labels, budgets, seed, ids, norm, "DDNAttack", options)


def carlini_wagner(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    budgets: Sequence[float],
    *,
    seed: int,
    ids: Sequence[int],
    norm: str = "l2",
    steps: int = 100,
    binary_search_steps: int = 6,
    stepsize: float = 0.01,
    initial_const: float = 0.1,
) -> AttackResult:
    """Carlini and Wagner, l2: Adam on distance plus c times the margin, c by bisection. Source: IEEE S&P 2017."""
    check_norm(norm, ("l2",))
    options = {"steps": steps, "binary_search_steps": binary_search_steps, "stepsize": stepsize}
    options |= {"initial_const": initial_const, "abort_early": False}  # it looks at the whole batch's loss
    return minimum_norm(model, images, labels, budgets, seed, ids, norm, "L2CarliniWagnerAttack", options)


def ead(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    budgets: Sequence[float],
    *,
    seed: int,
    ids: Sequence[int],
    norm: str = "l1",
    steps: int = 100,
    binary_search_steps: int = 6,
    stepsize: float = 0.01,
    initial_const: float = 0.1,
    regularization: float = 0.01,
) -> AttackResult:
    """Elastic net attack, l1: Carlini and Wagner's with an l1 term. Source: Chen et al., AAAI 2018."""
    check_norm(norm, ("l1",))
    options = {"steps": steps, "binary_search_steps": binary_search_steps, "initial_stepsize": stepsize}
    options |= {"initial_const": initial_const, "regularization": regularization, "decision_rule": "L1"}
    options |= {"abort_early": False}
    return minimum_norm(model, images, labels, budgets, seed, ids, norm, "EADAttack", options)


def brendel_bethge(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    budgets: Sequence[float],
    *,
    seed: int,
    ids: Sequence[int],
    pool: Tensor | None = None,
    norm: str = "l2",
    steps: int = 400,
) -> AttackResult:
    """Walks along the decision boundary by solving a small trust-region problem per step, l2. Needs numba.

    Source: Brendel et al., NeurIPS 2019. foolbox does not declare numba, and its linf version may never end. It must be
    left to walk: after 100 steps it is twice as far as after 400, and where there are many classes it may end at one
    that is not the nearest. The first batch of a job waits half a minute for the solver to be compiled.
    """
    check_norm(norm, ("l2",))
    if importlib.util.find_spec("numba") is None:
        raise InputError("attack method 'brendel-bethge' needs the package numba; install it or remove the attack")
    options = {"steps": steps}
    return minimum_norm(
        model,
        images,
        labels,
        budgets,
        seed,
        ids,
        norm,
        "L2BrendelBethgeAttack",
        options,
        starts=partial(find_starts, pool=pool),
    )


def boundary(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    budgets: Sequence[float],
    *,
    seed: int,
    ids: Sequence[int],
    pool: Tensor | None = None,
    norm: str = "l2",
    steps: int = 5000,
    spherical_step: float = 0.1,
    source_step: float = 0.1,
) -> AttackResult:
    """A random walk along the decision boundary towards the image, l2. Source: Brendel et al., ICLR 2018."""
    check_norm(norm, ("l2",))
    options = {"steps": steps, "spherical_step": spherical_step, "source_step": source_step}
    return minimum_norm(
        model,
        images,
        labels,
        budgets,
        seed,
        ids,
        norm,
        "BoundaryAttack",
        options,
        starts=partial(find_starts, pool=pool),
    )


def load_foolbox() -> Any:
    """Import foolbox; without the variable its GitPython refuses to load where there is no git."""
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
    import foolbox

    return foolbox


def minimum_norm(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    budgets: Sequence[float],
    seed: int,
    ids: Sequence[int],
    norm: str,
    name: str,
    options: dict[str, Any],
    starts: Callable[..., tuple[Tensor, Tensor]] | None = None,
) -> AttackResult:
    """Run one foolbox minimum-norm attack on the clean-correct images and place its distances among the budgets.

    `starts` (`decision.find_starts`) is for attacks that walk from an adversarial: foolbox would give up a whole batch
    for one image without a start, and draws for all images at once; they run image by image, on a seed of the image's
    own. The others draw only where a gradient is exactly zero, and that draw follows the batch's first image.
    """
    search = Search(model, images, labels, budgets)
    if starts is None:
        rows = standing_rows(search)
        parts = [(rows, None)] if len(rows) else []
    else:
        rows, points = starts(search, seed, ids, norm=norm)
        parts = [(rows[place : place + 1], points[place : place + 1]) for place in range(len(rows))]
    if not parts:
        return search.result(norm)
    foolbox = load_foolbox()
    counted = Counted(model)
    target = foolbox.PyTorchModel(counted, bounds=(0, 1), device=images.device)
    for rows, points in parts:
        if points is not None:
            points = firm_start(search, rows, points)
            if not decide(search, rows, points):
                continue
        counted.forwards = counted.backwards = 0
        given = {} if points is None else {"starting_points": points}
        with seeded(images.device, seed, "foolbox", name, ids[rows[0].item()]), torch.enable_grad():
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
