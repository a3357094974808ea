"""One bounded function of an image's places (stAdv) or colours (ReColorAdv): its parameters are climbed, or drawn.

A budget bounds every parameter: how far a pixel is taken from, or how far a colour is moved. Images are changed
smoothly, and by far more than an additive budget would allow.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from neurobust.attacks.functional_settings import (
    Functional,
    RandomColour,
    RandomFlow,
    RandomFunction,
    ReColorAdv,
    StAdv,
)
from neurobust.attacks.luv import luv_to_rgb, rgb_to_luv
from neurobust.attacks.norms import SHRINK
from neurobust.attacks.search import AttackResult, Batch, Search
from neurobust.core.errors import InputError
from neurobust.core.seeding import torch_generator

# change(images (n, 3, H, W), parameters (n, *shape)) -> images in [0,1], differentiable in the parameters
Change = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Family:
    """Functions of one kind: `shape` of one image's parameters (channels, then the axes along which they are smooth),
    and the change that parameters make."""

    name: str
    shape: tuple[int, ...]
    change: Change


def stadv(batch: Batch, settings: StAdv) -> AttackResult:
    """The flow that a network stands least: each pixel is taken from up to the budget, a share of the side, away.

    Bilinear; what comes from outside the image is its edge. Each climb has `steps` sign steps of `rel_stepsize` budgets
    along the gradient of the loss and, `smoothness` times as large, that of the flow's smoothness (Xiao et al. 2018,
    equation 4). The published attack has no bound; its bounded form elsewhere is a budget of 0.025.
    """
    return climb(batch, flows(batch.images), settings, settings.smoothness)


def recoloradv(batch: Batch, settings: ReColorAdv) -> AttackResult:
    """The change of colours that a network stands least: a grid over LUV whose points move by up to the budget.

    Between the points the change is trilinear, so that equal colours stay equal (Laidlaw and Feizi 2019, section 3;
    their budget is 0.06, of lightness / 100 and of u and v / 200). Climbed as `stadv` is.
    """
    return climb(batch, recolourings(batch.images, settings.grid), settings, settings.smoothness)


def random_flow(batch: Batch, settings: RandomFlow) -> AttackResult:
    """Best of `repeats` random flows: from one shift of the whole image to one place per pixel, by turns."""
    return draw(batch, flows(batch.images), settings)


def random_colour(batch: Batch, settings: RandomColour) -> AttackResult:
    """Best of `repeats` random colour grids: from one change of all colours to one per point, by turns."""
    return draw(batch, recolourings(batch.images, settings.grid), settings)


# --- the two families ---


def flows(images: Tensor) -> Family:
    """Flows of a batch: parameters (2, H, W), rightwards and downwards, in shares of the side."""
    return Family("flow", (2, *images.shape[2:]), flow)


def flow(images: Tensor, shares: Tensor) -> Tensor:
    """Images (n, 3, H, W) whose every pixel is taken from `shares` (n, 2, H, W) of width and height away; bilinear."""
    height, width = images.shape[2:]
    rows = torch.arange(height, dtype=images.dtype, device=images.device)[:, None]
    columns = torch.arange(width, dtype=images.dtype, device=images.device)[None]
    x, y = columns + shares[:, 0] * width, rows + shares[:, 1] * height
    places = torch.stack([2 * x / max(width - 1, 1) - 1, 2 * y / max(height - 1, 1) - 1], dim=-1)
    return functional.grid_sample(images, places, padding_mode="border", align_corners=True).clamp(0, 1)


def recolourings(images: Tensor, grid: tuple[int, int, int]) -> Family:
    """Colour grids: parameters (3, *grid), the change of each point's L, u and v. InputError for what is not RGB."""
    if images.shape[1] != 3:
        raise InputError(
            f"attack: images of {images.shape[1]} channels have no colours to move; give RGB, or choose another method"
        )
    return Family("colour", (3, *grid), recolour)


def recolour(images: Tensor, changes: Tensor) -> Tensor:
    """Images (n, 3, H, W) whose colours are moved by a grid (n, 3, L, U, V) over LUV in [0,1], trilinear.

    Colours beyond the grid (pure reds and blues) take the change of its edge. The grid's gradient is summed in float64:
    in float32 the order of the sum, which a GPU chooses, would show in its sign.
    """
    luv = rgb_to_luv(images)
    places = luv.flip(1).movedim(1, -1)[:, None].double() * 2 - 1  # (n, 1, H, W, 3): the last axis of the grid first
    moved = functional.grid_sample(changes.double(), places, padding_mode="border", align_corners=True)[:, :, 0]
    return luv_to_rgb(luv + moved.to(images.dtype))


# --- the climb ---


def climb(batch: Batch, family: Family, settings: Functional, smoothness: float) -> AttackResult:
    """Projected sign ascent over a family's parameters, budget by budget; an image that is broken leaves."""
    search = Search(batch, settings.eot)
    best = torch.zeros(len(batch.images), *family.shape, dtype=batch.images.dtype, device=batch.images.device)
    sizes = torch.zeros(len(batch.images), dtype=torch.float64, device=batch.images.device)
    before = 0.0
    for budget, radius in search.positive():
        for start in range(settings.restarts + 1):
            rows = search.standing(budget)
            if not len(rows):
                break
            if start:
                first = radius * fields(batch, family, rows, f"start {budget}", start)
            else:
                first = best[rows] * (radius / before if before else 0.0)
            top = ascend(Climb(search, family, settings, smoothness, budget, radius), rows, first, sizes)
            if not start:
                best[rows] = top
        before = radius
    return search.result(sizes)


@dataclass(frozen=True)
class Climb:
    """One climb at one budget, of `radius` in the parameters' unit."""

    search: Search
    family: Family
    settings: Functional
    smoothness: float
    budget: int
    radius: float

    def offer(self, rows: Tensor, points: Tensor, parameters: Tensor, logits: Tensor, sizes: Tensor) -> Tensor:
        """Record what broke, with the size of its parameters; which ones, bool (n,)."""
        broken = self.search.offer(rows, points, logits, self.budget)
        sizes[rows[broken]] = parameters[broken].flatten(1).abs().amax(1).double()
        return broken


def ascend(climb: Climb, rows: Tensor, first: Tensor, sizes: Tensor) -> Tensor:
    """Climb from parameters (n, *shape); returns the best met for each row (n, *shape), and writes `sizes` (N,)."""
    search, settings, limit = climb.search, climb.settings, climb.radius * SHRINK
    step = climb.radius * (settings.rel_stepsize or 2.5 / settings.steps)
    top, at = first.clone(), torch.arange(len(rows), device=first.device)
    value = torch.full((len(rows),), -math.inf, dtype=first.dtype, device=first.device)
    parameters = first.clamp(-limit, limit)
    for _ in range(settings.steps):
        parameters = parameters.detach().requires_grad_()
        with torch.enable_grad():
            points = climb.family.change(search.images[rows], parameters)
        values, logits, gradient = search.gradient(rows, points.detach(), settings.loss, climb.budget)
        (slope,) = torch.autograd.grad(points, parameters, gradient)
        parameters = parameters.detach()
        broken = climb.offer(rows, points.detach(), parameters, logits, sizes)
        better = values > value[at]
        top[at[better]], value[at[better]] = parameters[better], values[better]
        rows, at, parameters, slope = rows[~broken], at[~broken], parameters[~broken], slope[~broken]
        if not len(rows):
            return top
        if climb.smoothness:
            slope = unit(slope) - climb.smoothness * unit(roughness_slope(parameters))
        parameters = (parameters + step * slope.sign()).clamp(-limit, limit)
    points = climb.family.change(search.images[rows], parameters)
    climb.offer(rows, points, parameters, search.forward(rows, points, climb.budget), sizes)
    return top


def roughness_slope(parameters: Tensor) -> Tensor:
    """The gradient of `roughness`, summed over images, at parameters (n, channels, ...)."""
    with torch.enable_grad():
        parameters = parameters.detach().requires_grad_()
        (slope,) = torch.autograd.grad(roughness(parameters).sum(), parameters)
    return slope


def roughness(parameters: Tensor) -> Tensor:
    """Sum over neighbours, along each axis, of the lengths of their differences: (n, channels, ...) -> (n,)."""
    lengths = [
        (parameters.diff(dim=axis).square().sum(1) + 1e-12).sqrt().flatten(1).sum(1)
        for axis in range(2, parameters.ndim)
    ]
    return torch.stack(lengths).sum(0)


def unit(slope: Tensor) -> Tensor:
    """Each image's gradient over the mean size of its values that are not 0; a gradient of zeros stays."""
    sizes = slope.flatten(1).abs()
    mean = sizes.sum(1) / (sizes > 0).sum(1).clamp_min(1)
    return slope / mean.clamp_min(torch.finfo(slope.dtype).tiny).view(-1, *[1] * (slope.ndim - 1))


# --- random functions ---


def draw(batch: Batch, family: Family, settings: RandomFunction) -> AttackResult:
    """Try each random function, scaled to every budget below the image's smallest broken one."""
    search = Search(batch)
    sizes = torch.zeros(len(batch.images), dtype=torch.float64, device=batch.images.device)
    for repeat in range(settings.repeats):
        drawn = search.in_question()
        if not len(drawn):
            break
        directions = torch.zeros(len(batch.images), *family.shape, dtype=batch.images.dtype, device=batch.images.device)
        directions[drawn] = fields(batch, family, drawn, "draw", repeat)
        for budget, radius in search.positive():
            rows = search.standing(budget)
            if len(rows):
                points = family.change(batch.images[rows], SHRINK * radius * directions[rows])
                broken, _ = search.test(rows, points, budget)
                sizes[rows[broken]] = radius * SHRINK
    return search.result(sizes)


def fields(batch: Batch, family: Family, rows: Tensor, stream: str, number: int) -> Tensor:
    """A random function of each row (n, *shape), whose largest parameter is 1 or -1, from the image's own stream.

    `number` says how fine it is: drawn on 1, 2, 4, ... points along each axis and interpolated, and then again.
    """
    axes = family.shape[1:]
    levels = 1 + math.ceil(math.log2(max(2, *axes)))
    size = [min(axis, 2 ** (number % levels)) for axis in axes]
    drawn = [
        torch.rand(family.shape[0], *size, generator=torch_generator(batch.seed, family.name, stream, number, identity))
        for identity in (batch.ids[row] for row in rows.tolist())
    ]
    mode = {2: "bilinear", 3: "trilinear"}[len(axes)]
    coarse = torch.stack(drawn) * 2 - 1
    fine = functional.interpolate(coarse, axes, mode=mode, align_corners=True)
    return (fine / fine.flatten(1).abs().amax(1).view(-1, *[1] * len(family.shape))).to(batch.images)
