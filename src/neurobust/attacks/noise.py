"""Noise of the same norm as the white-box budgets: the baseline that any gradient attack must beat by far."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from neurobust.attacks.noise_settings import Gaussian, SaltPepper, Sign, Uniform
from neurobust.attacks.norms import project, stretch
from neurobust.attacks.search import AttackResult, Batch, Search
from neurobust.core.seeding import torch_generator


def uniform(batch: Batch, settings: Uniform) -> AttackResult:
    """Best of `repeats` draws uniform in [-budget, budget] per pixel and channel, clipped to [0,1]."""
    return best_of_draws(batch, "uniform", settings.norm, settings.repeats)


def sign(batch: Batch, settings: Sign) -> AttackResult:
    """Best of `repeats` random corners of the linf cube (each pixel moves by exactly the budget, either way)."""
    return best_of_draws(batch, "sign", settings.norm, settings.repeats)


def gaussian(batch: Batch, settings: Gaussian) -> AttackResult:
    """Best of `repeats` Gaussian draws, stretched so that the l2 norm is the budget after clipping to [0,1]."""
    return best_of_draws(batch, "gaussian", settings.norm, settings.repeats)


def salt_pepper(batch: Batch, settings: SaltPepper) -> AttackResult:
    """Best of `repeats` draws that turn the share `budget` of the pixels black or white, half of them each.

    A larger budget turns the smaller one's pixels and more. The distance is the budget.
    """
    return best_of_draws(batch, "salt-pepper", settings.norm, settings.repeats)


def draw(kind: str, shape: Sequence[int], seed: int, identifier: int, repeat: int) -> Tensor:
    """One image's direction from its own stream: it depends on neither batch, order nor budget."""
    generator = torch_generator(seed, "noise", kind, identifier, repeat)
    if kind == "gaussian":
        return torch.randn(shape, generator=generator)
    if kind == "salt-pepper":  # one number per pixel, for all its channels
        return torch.rand(shape[1:], generator=generator).expand(*shape)
    values = torch.rand(shape, generator=generator) * 2 - 1
    return values.sign() if kind == "sign" else values


def best_of_draws(batch: Batch, kind: str, norm: str, repeats: int) -> AttackResult:
    """Try each draw at every budget below the image's smallest broken one: exact best of all draws, nested."""
    images, search = batch.images, Search(batch)
    for repeat in range(repeats):
        steps = search.positive()
        rows = search.in_question()
        if not len(rows):
            break
        noise = torch.zeros_like(images)
        draws = [draw(kind, images.shape[1:], batch.seed, batch.ids[row], repeat) for row in rows.tolist()]
        noise[rows] = torch.stack(draws).to(images)
        for budget, radius in steps:
            rows = search.standing(budget)
            if len(rows):
                points = noisy(images[rows], noise[rows], radius, norm)
                search.test(rows, points, budget)
    if norm == "salt-pepper":
        reached = torch.tensor([*search.budgets, math.nan], dtype=torch.float64, device=images.device)
        return search.result(reached[search.first])
    return search.result(norm)


def noisy(images: Tensor, noise: Tensor, radius: float, norm: str) -> Tensor:
    """The images with noise of this radius, inside [0,1]."""
    if norm == "salt-pepper":
        return torch.where(noise < radius / 2, 0, torch.where(noise >= 1 - radius / 2, 1, images))
    return stretch(images, noise, radius) if norm == "l2" else project(images + radius * noise, images, radius, norm)
