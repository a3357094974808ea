"""Minimisers of many images at once, each with a state of its own: an image may leave, the others take no notice.

Both take (values, gradients) at the point that they proposed and propose the next: `points`, then `tell`, and so on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from neurobust.attacks.norms import per_image

Project = Callable[[list[Tensor]], list[Tensor]]


class Adam:
    """Adam on variables (n, ...) with the images on the first axis. Source: Kingma and Ba, ICLR 2015, algorithm 1."""

    def __init__(
        self, points: Sequence[Tensor], rate: float, project: Project, betas: tuple[float, float] = (0.9, 0.999)
    ):
        self.points, self.rate, self.project, self.betas = list(points), rate, project, betas
        self.first = [torch.zeros_like(point) for point in self.points]
        self.second = [torch.zeros_like(point) for point in self.points]
        self.count = 0

    def tell(self, values: Tensor, gradients: Sequence[Tensor]) -> None:
        """One step from the proposed points."""
        self.count += 1
        fast, slow = self.betas
        moved = []
        for k, (point, gradient) in enumerate(zip(self.points, gradients, strict=True)):
            self.first[k] = fast * self.first[k] + (1 - fast) * gradient
            self.second[k] = slow * self.second[k] + (1 - slow) * gradient.square()
            mean, spread = self.first[k] / (1 - fast**self.count), self.second[k] / (1 - slow**self.count)
            moved.append(point - self.rate * mean / (spread.sqrt() + 1e-8))
        self.points = self.project(moved)

    def keep(self, mask: Tensor) -> None:
        """Go on with the images of `mask` (n,) alone."""
        for name in ("points", "first", "second"):
            setattr(self, name, [tensor[mask] for tensor in getattr(self, name)])


class LBFGS:
    """L-BFGS on one variable (n, ...), without a line search: only a quartered step where a value did not fall.

    The first step moves no entry by more than `reach`. Source: Nocedal, Math. Comp. 1980 (two-loop recursion); per
    image as many pairs as its own accepted steps.
    """

    def __init__(self, points: Sequence[Tensor], reach: float, project: Project, memory: int = 10):
        (point,) = points
        self.points, self.reach, self.project = [point], reach, project
        n, size = len(point), point.shape[1:].numel()
        self.moves, self.turns = (torch.zeros(n, memory, size, device=point.device) for _ in range(2))
        self.rho = torch.zeros(n, memory, device=point.device)
        self.base, self.gradient, self.direction = point, torch.zeros_like(point), torch.zeros_like(point)
        self.value = torch.full((n,), torch.inf, device=point.device)
        self.step = torch.ones(n, device=point.device)

    def tell(self, values: Tensor, gradients: Sequence[Tensor]) -> None:
        """Accept the proposed points whose value fell, and propose the next."""
        (gradient,), (point,) = gradients, self.points
        accepted = values < self.value
        wide = per_image(accepted, point)
        self._remember(accepted & self.value.isfinite(), (point - self.base).flatten(1),
                       (gradient - self.gradient).flatten(1))  # fmt: skip
        self.base, self.gradient = torch.where(wide, point, self.base), torch.where(wide, gradient, self.gradient)
        self.value = torch.where(accepted, values, self.value)
        direction = -self._recursion(self.gradient.flatten(1))
        fresh = (self.rho != 0).sum(1) == 0  # no curvature known: a step of a known size
        largest = direction.abs().amax(1).clamp_min(torch.finfo(direction.dtype).tiny)
        direction = torch.where(fresh[:, None], direction * (self.reach / largest)[:, None], direction)
        self.direction = torch.where(wide, direction.view_as(point), self.direction)
        self.step = torch.where(accepted, 1.0, self.step / 4)
        self.points = self.project([self.base + per_image(self.step, point) * self.direction])

    def keep(self, mask: Tensor) -> None:
        """Go on with the images of `mask` (n,) alone."""
        self.points = [point[mask] for point in self.points]
        for name in ("moves", "turns", "rho", "base", "gradient", "direction", "value", "step"):
            setattr(self, name, getattr(self, name)[mask])

    def _remember(self, accepted: Tensor, move: Tensor, turn: Tensor) -> None:
        """Keep the pairs of positive curvature, the newest last."""
        curvature = (move * turn).sum(1)
        good = accepted & (curvature > 1e-10 * turn.square().sum(1))
        shifted = [torch.cat([old[:, 1:], new[:, None]], 1) for old, new in ((self.moves, move), (self.turns, turn))]
        self.moves, self.turns = (
            torch.where(good[:, None, None], new, old)
            for new, old in zip(shifted, (self.moves, self.turns), strict=True)
        )
        inverse = torch.where(good, 1 / torch.where(good, curvature, 1), 0)
        self.rho = torch.where(good[:, None], torch.cat([self.rho[:, 1:], inverse[:, None]], 1), self.rho)

    def _recursion(self, gradient: Tensor) -> Tensor:
        """Inverse Hessian times gradient, (n, size); empty pairs have rho 0 and do nothing."""
        result, weights = gradient, []
        for k in reversed(range(self.rho.shape[1])):
            weight = self.rho[:, k] * (self.moves[:, k] * result).sum(1)
            result = result - weight[:, None] * self.turns[:, k]
            weights.append(weight)
        newest = self.turns[:, -1].square().sum(1)
        scale = torch.where(self.rho[:, -1] > 0, 1 / (self.rho[:, -1] * newest).clamp_min(1e-30), 1.0)
        result = scale[:, None] * result
        for k, weight in enumerate(reversed(weights)):
            back = self.rho[:, k] * (self.turns[:, k] * result).sum(1)
            result = result + (weight - back)[:, None] * self.moves[:, k]
        return result
