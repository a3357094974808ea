"""Minimum-norm attacks of foolbox, called once per image for all budgets.

What foolbox says of success and distance is not used: it clips to the budget and tests again, which is another
question, and some of its attacks return an image that is not adversarial. Here the returned image is clamped, its label
is tested and its distance is measured, and a budget is met when the distance is within it.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from neurobust.attacks.norms import check_norm, lengths
from neurobust.attacks.search import AttackResult, Search
from neurobust.seeding import derive_seed


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


def fmn(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    budgets: Sequence[float],
    *,
    seed: int,
    ids: Sequence[int],
    norm: str = "linf",
    steps: int = 100,
    gamma: float = 0.05,
) -> AttackResult:
    """Fast minimum norm, linf only: foolbox 3.3.4's l2 version never projects onto its ball.

    Source: Pintor et al., NeurIPS 2021.
    """
    check_norm(norm, ("linf",))
    options = {"steps": steps, "gamma": gamma}
    return minimum_norm(model, images, labels, budgets, seed, ids, norm, "LInfFMNAttack", options)


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
) -> AttackResult:
    """Run one foolbox minimum-norm attack on the clean-correct images and place its distances among the budgets.

    foolbox draws only where a gradient is exactly zero; that draw follows the seed and the batch's first image.
    """
    foolbox = load_foolbox()
    search = Search(model, images, labels, budgets)
    rows, last = search.standing(0), len(search.budgets) - 1
    ahead = search.positive()
    if not len(rows) or not ahead:
        return search.result(norm)
    counted = Counted(model)
    target = foolbox.PyTorchModel(counted, bounds=(0, 1), device=images.device)
    counted.forwards = counted.backwards = 0
    with torch.random.fork_rng(devices=[images.device] if images.device.type == "cuda" else []), torch.enable_grad():
        torch.manual_seed(derive_seed(seed, "foolbox", name, ids[rows[0].item()]))
        attack = getattr(foolbox.attacks, name)(**options)
        points, _, _ = attack(target, images[rows].detach().clamp(0, 1), labels[rows].long(), epsilons=None)
    points = torch.nan_to_num(points.detach(), nan=0.0).clamp(0, 1)
    search.n_forward[rows, ahead[0][0]] += counted.forwards
    search.n_backward[rows, ahead[0][0]] += counted.backwards
    broken, _ = search.test(rows, points, last)
    distance = lengths(search.adversarial.double() - images.double(), norm)
    limits = torch.tensor(search.budgets, dtype=torch.float64, device=images.device)
    hit = rows[broken]
    search.first[hit] = torch.searchsorted(limits, distance[hit])
    beyond = hit[search.first[hit] > last]
    search.first[beyond], search.adversarial[beyond] = last + 1, images[beyond]
    return search.result(norm)
