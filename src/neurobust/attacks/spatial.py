"""Rotation and translation as one attack: the exact worst case on a grid of angles and shifts, for every range."""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor

from neurobust.attacks.colour import walk
from neurobust.attacks.search import AttackResult, Batch, Search
from neurobust.attacks.spatial_settings import Padding, RotationTranslation


def rotation_translation(batch: Batch, settings: RotationTranslation) -> AttackResult:
    """Worst rotation and shift within a share of the largest range.

    The grid has `angles` angles over ± `angle` degrees and `shifts` shifts each way over ± `translation` of the side.
    A grid point's size is the largest share that its angle or either shift takes of its own range, and a budget (0 to
    1) is a limit on it; each image's distance is the smallest size that breaks it, so the worst case over any smaller
    range can be read off afterwards. What comes from outside the image is black (`zero`) or mirrored (`reflect`). The
    attack has no random part.
    """
    side = min(batch.images.shape[2:])
    points = grid_points(settings.angle, settings.translation * side, settings.angles, settings.shifts)
    return walk(Search(batch), points, lambda part, point: move(part, *point, settings.padding))


def grid_points(angle: float, shift: float, angles: int, shifts: int) -> list[tuple[float, tuple[float, float, float]]]:
    """The grid's (size, (degrees, pixels right, pixels down)) without its centre, ascending in size."""
    turns, ways = shares(angles), shares(shifts)
    found = [
        (max(abs(turn), abs(right), abs(down)), (turn * angle, right * shift, down * shift))
        for turn, right, down in itertools.product(turns, ways, ways)
    ]
    return sorted(point for point in found if point[0] > 0)


def shares(count: int) -> list[float]:
    """`count` evenly spaced shares from -1 to 1; one alone is 0."""
    return [round(2 * i / (count - 1) - 1, 12) for i in range(count)] if count > 1 else [0.0]


def move(images: Tensor, degrees: float, right: float, down: float, padding: Padding = "zero") -> Tensor:
    """Images (N, 3, H, W) turned anticlockwise about their middle, then moved by pixels; bilinear interpolation.

    Quarter turns of square images and whole-pixel shifts are exact. `reflect` mirrors at the edge pixels' centres.
    """
    height, width = images.shape[2:]
    rows = torch.arange(height, dtype=torch.float64)[:, None] - (height - 1) / 2 - down
    columns = torch.arange(width, dtype=torch.float64)[None] - (width - 1) / 2 - right
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    # Rounded to a millionth of a pixel, so that cos(90 degrees), which is not quite 0, blurs nothing.
    y = (sine * columns + cosine * rows + (height - 1) / 2).mul(1e6).round().div(1e6)
    x = (cosine * columns - sine * rows + (width - 1) / 2).mul(1e6).round().div(1e6)
    moved = torch.zeros_like(images)
    for row, weight_y in neighbours(y):
        for column, weight_x in neighbours(x):
            weight = weight_y * weight_x
            if padding == "zero":
                weight = weight * ((row >= 0) & (row < height) & (column >= 0) & (column < width))
            place = mirror(row, height) * width + mirror(column, width)
            corner = images.flatten(2)[:, :, place.flatten().to(images.device)].view_as(images)
            moved += corner * weight.to(images)
    return moved.clamp(0, 1)


def neighbours(places: Tensor) -> list[tuple[Tensor, Tensor]]:
    """The pixels on either side of float64 places, int64, and their weights in linear interpolation."""
    low = places.floor()
    return [(low.long(), 1 - (places - low)), (low.long() + 1, places - low)]


def mirror(places: Tensor, size: int) -> Tensor:
    """Any whole places folded into 0 ... size - 1, the edge pixels not repeated."""
    period = max(2 * (size - 1), 1)
    places = places % period
    return torch.minimum(places, period - places) if size > 1 else torch.zeros_like(places)
