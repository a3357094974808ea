"""Hue, saturation, brightness and contrast as attacks: a grid over the range gives the exact worst case on it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from torch import Tensor

from neurobust.attacks.colour_settings import Brightness, Contrast, Hue, Saturation
from neurobust.attacks.search import AttackResult, Batch, Search
from neurobust.core.errors import InputError

Point = TypeVar("Point")


def hue(batch: Batch, settings: Hue) -> AttackResult:
    """Worst hue shift within ± budget, in turns of the colour circle (0.5: the opposite hue).

    Saturation and value stay. `grid` points span ± the largest budget; each budget's own ends are added. Like the other
    attacks of this module it has no random part.
    """
    return worst_on_grid(batch, shift_hue, settings.grid)


def saturation(batch: Batch, settings: Saturation) -> AttackResult:
    """Worst HSV saturation factor within 1 ± budget (a factor below 0 is 0: grey). Hue and value stay."""
    return worst_on_grid(batch, scale_saturation, settings.grid)


def brightness(batch: Batch, settings: Brightness) -> AttackResult:
    """Worst amount within ± budget added to every pixel and channel, clipped to [0,1] (1: all black to all white)."""
    return worst_on_grid(batch, add_brightness, settings.grid)


def contrast(batch: Batch, settings: Contrast) -> AttackResult:
    """Worst contrast factor within 1 ± budget (a factor below 0 is 0: flat), clipped to [0,1]."""
    return worst_on_grid(batch, scale_contrast, settings.grid)


def rgb_to_hsv(images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """RGB (N, 3, H, W) in [0,1] -> hue in turns [0,1), saturation, value in [0,1], each (N, H, W); grey has hue 0.

    Raises InputError for images that are not RGB.
    """
    if images.shape[1] != 3:
        raise InputError(
            f"attack: images of {images.shape[1]} channels have no hue; give RGB, or choose another method"
        )
    value, top = images.max(dim=1)
    chroma = value - images.amin(dim=1)
    red, green, blue = images.unbind(1)
    safe = torch.where(chroma > 0, chroma, 1)
    sixths = torch.stack(
        [(green - blue) / safe % 6, (blue - red) / safe + 2, (red - green) / safe + 4], dim=0
    ).gather(0, top[None])[0]  # fmt: skip
    turns = torch.where(chroma > 0, sixths / 6 % 1, 0)
    return turns, chroma / torch.where(value > 0, value, 1), value


def hsv_to_rgb(turns: Tensor, saturation: Tensor, value: Tensor) -> Tensor:
    """Inverse of `rgb_to_hsv`: (N, H, W) each -> (N, 3, H, W) in [0,1]; the hue is taken modulo one turn."""
    offsets = torch.tensor([5.0, 3.0, 1.0], dtype=value.dtype, device=value.device).view(1, 3, 1, 1)
    place = (offsets + 6 * turns[:, None]) % 6
    drop = torch.minimum(place, 4 - place).clamp(0, 1)
    return (value[:, None] * (1 - saturation[:, None] * drop)).clamp(0, 1)


def shift_hue(images: Tensor, amount: float) -> Tensor:
    """Images with their hue moved by `amount` turns; a single channel is grey and has none."""
    if images.shape[1] == 1:
        return images
    turns, saturation, value = rgb_to_hsv(images)
    return hsv_to_rgb(turns + amount, saturation, value)


def scale_saturation(images: Tensor, amount: float) -> Tensor:
    """Images with their HSV saturation multiplied by max(0, 1 + amount), up to full saturation."""
    value = images.amax(1, keepdim=True)
    chroma = value - images.amin(1, keepdim=True)
    limit = value / torch.where(chroma > 0, chroma, 1)
    factor = torch.where(chroma > 0, limit.clamp_max(max(0.0, 1 + amount)), 1)
    return (value - (value - images) * factor).clamp(0, 1)


def add_brightness(images: Tensor, amount: float) -> Tensor:
    """Images with `amount` added to every pixel and channel, within [0,1]."""
    return (images + amount).clamp(0, 1)


def scale_contrast(images: Tensor, amount: float) -> Tensor:
    """Images whose distances to each channel's mean are multiplied by max(0, 1 + amount), within [0,1]."""
    mean = images.mean((2, 3), keepdim=True)
    return (mean + (images - mean) * max(0.0, 1 + amount)).clamp(0, 1)


def grid_amounts(budgets: Sequence[float], grid: int) -> list[float]:
    """Amounts other than 0, by size: `grid` evenly spaced ones over ± the largest budget, and each ± budget."""
    largest = max(budgets)
    points = {round(largest * (2 * i / (grid - 1) - 1), 12) for i in range(grid)}
    points |= {round(side * budget, 12) for budget in budgets for side in (-1, 1)}
    return sorted((point for point in points if point != 0), key=lambda point: (abs(point), point))


def worst_on_grid(batch: Batch, change: Callable[[Tensor, float], Tensor], grid: int) -> AttackResult:
    """The smallest amount of a 1-D grid that breaks each image, for every budget at once."""
    search = Search(batch)
    return walk(search, [(abs(amount), amount) for amount in grid_amounts(search.budgets, grid)], change)


def walk(
    search: Search, points: Sequence[tuple[float, Point]], change: Callable[[Tensor, Point], Tensor]
) -> AttackResult:
    """Try the points (size, point) of a grid, ascending in size; an image leaves at the first that breaks it.

    One walk serves every budget: the worst case over a smaller range is a prefix of the walk.
    """
    reached = torch.zeros(len(search.images), dtype=torch.float64, device=search.images.device)
    for size, point in points:
        budget = next((i for i, limit in enumerate(search.budgets) if size <= limit + 1e-9), None)
        rows = search.standing(len(search.budgets) - 1)
        if budget is None or not len(rows):
            break
        search.test(rows, change(search.images[rows], point), budget)
        reached[rows] = size
    return search.result(reached)
