"""Square attack: random search with squares, which needs no gradient; under linf and l2, over nested budgets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from neurobust.attacks.losses import margin
from neurobust.attacks.norms import SHRINK, per_image, stretch
from neurobust.attacks.search import AttackResult, Batch, Search
from neurobust.attacks.square_settings import Square
from neurobust.core.seeding import torch_generator

# Queries, of 10000, after which the squares' area is halved; and how many queries' random numbers are drawn at once.
HALVED_AT = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)
BLOCK = 64


def square(batch: Batch, settings: Square) -> AttackResult:
    """Up to `queries` tries per budget, each a square of new colour that stays where the margin rises.

    The first squares cover the share `area` of the image. A standing image enters the next budget with the best point
    of the last. Every image draws from its own stream.
    """
    search = Search(batch)
    search_squares(search, settings)
    return search.result(settings.norm)


def search_squares(search: Search, settings: Square) -> None:
    """The attack on the images of a search that still stand, budget by budget."""
    norm, queries, seed, ids = settings.norm, settings.queries, search.batch.seed, search.batch.ids
    best, before = search.images.clone(), 0.0
    for budget, radius in search.positive():
        rows = search.standing(budget)
        if not len(rows):
            return
        low = torch.full_like(search.clean_logits[rows, 0], -torch.inf)
        walk = Walk(search, budget, rows, search.images[rows], low)
        walk.offer(striped(walk.clean, walk.rows, radius, seed, ids, norm))
        if before and len(walk.rows):
            walk.offer(fill(walk.clean, best[walk.rows] - walk.clean, radius, norm))
        propose = {"linf": propose_linf, "l2": propose_l2}[norm]
        numbers = torch.zeros(len(best), BLOCK, 5 + best.shape[1])
        held = numbers
        for query in range(queries):
            if not len(walk.rows):
                break
            if query % BLOCK == 0:
                for row in walk.rows.tolist():
                    generator = torch_generator(seed, "square", norm, ids[row], budget, query)
                    numbers[row] = torch.rand(numbers.shape[1:], generator=generator)
                held = numbers.to(best.device)
            drawn = held[walk.rows, query % BLOCK]
            walk.offer(propose(walk.points, walk.clean, radius, settings.area * shrunk(query, queries), drawn))
        best[walk.rows], before = walk.points, radius


@dataclass
class Walk:
    """The images that still stand at one budget: rows (n,) of the batch, best points and their margins."""

    search: Search
    budget: int
    rows: Tensor
    points: Tensor
    values: Tensor

    @property
    def clean(self) -> Tensor:
        """The clean images of the rows."""
        return self.search.images[self.rows]

    def offer(self, candidates: Tensor) -> None:
        """Test candidates (n, 3, H, W): the better ones stay, the images that break leave."""
        broken, logits = self.search.test(self.rows, candidates, self.budget)
        values = margin(logits, self.search.labels[self.rows])
        better = values > self.values
        self.points = torch.where(per_image(better, candidates), candidates, self.points)
        self.values = torch.where(better, values, self.values)
        if broken.any():
            self.rows, self.points, self.values = self.rows[~broken], self.points[~broken], self.values[~broken]


def shrunk(query: int, queries: int) -> float:
    """By how much the squares' area has shrunk at this query."""
    return 0.5 ** sum(query / queries * 10000 > place for place in HALVED_AT)


def fill(clean: Tensor, direction: Tensor, radius: float, norm: str) -> Tensor:
    """The point of the ball and the box farthest along `direction`; linf: its sign at every value."""
    if norm == "l2":
        return stretch(clean, direction, radius)
    return (clean + radius * SHRINK * direction.sign()).clamp(0, 1)


def striped(clean: Tensor, rows: Tensor, radius: float, seed: int, ids: Sequence[int], norm: str) -> Tensor:
    """First points: vertical stripes of random colour (linf), or a chessboard of bumps of random sign (l2)."""
    channels, height, width = clean.shape[1:]
    side = max(min(height, width) // 5, 1)
    counts = (1, width) if norm == "linf" else (-(-height // side), -(-width // side))
    signs = torch.stack(
        [
            torch.rand(channels, *counts, generator=torch_generator(seed, "square", "start", norm, ids[row]))
            for row in rows.tolist()
        ]
    )
    signs = ((signs < 0.5).to(clean) * 2 - 1).to(clean.device)
    if norm == "linf":
        return fill(clean, signs.expand_as(clean), radius, norm)
    bump = two_bumps(side).to(clean).repeat(counts)[:height, :width]
    board = signs.repeat_interleave(side, 2)[:, :, :height].repeat_interleave(side, 3)[..., :width]
    return fill(clean, board * bump, radius, norm)


def places(drawn: Tensor, side: int, size: int) -> Tensor:
    """First row or column (n,) of a square, from a number drawn uniformly from [0,1)."""
    return (drawn * (size - side + 1)).long().clamp_max(size - side)


def window(top: Tensor, left: Tensor, side: int, like: Tensor) -> Tensor:
    """Mask (n, 1, H, W) of each image's square."""
    down = torch.arange(like.shape[2], device=like.device)[None] - top[:, None]
    right = torch.arange(like.shape[3], device=like.device)[None] - left[:, None]
    inside = ((down >= 0) & (down < side))[:, :, None] & ((right >= 0) & (right < side))[:, None, :]
    return inside[:, None]


def propose_linf(points: Tensor, clean: Tensor, radius: float, share: float, drawn: Tensor) -> Tensor:
    """One square moves to the ball's surface, each channel up or down. drawn: uniform numbers (n, 5 + channels)."""
    _, channels, height, width = points.shape
    side = min(max(round((share * height * width) ** 0.5), 1), height, width)
    mask = window(places(drawn[:, 0], side, height), places(drawn[:, 1], side, width), side, points)
    signs = ((drawn[:, 5 : 5 + channels] < 0.5).to(points) * 2 - 1)[:, :, None, None]
    candidates = torch.where(mask, fill(clean, signs.expand_as(clean), radius, "linf"), points)
    same = (candidates == points).flatten(1).all(1)  # nothing would change: the other colour
    other = torch.where(mask, fill(clean, -signs.expand_as(clean), radius, "linf"), points)
    return torch.where(per_image(same, points), other, candidates)


def propose_l2(points: Tensor, clean: Tensor, radius: float, share: float, drawn: Tensor) -> Tensor:
    """The norm of one square moves into another, shaped as two bumps on what is there. drawn: (n, 5 + channels)."""
    _, channels, height, width = points.shape
    side = min(max(round((share * height * width) ** 0.5), 3) // 2 * 2 + 1, height, width)
    top, left = places(drawn[:, 0], side, height), places(drawn[:, 1], side, width)
    into = window(top, left, side, points)
    away = window(places(drawn[:, 2], side, height), places(drawn[:, 3], side, width), side, points)
    delta = points - clean
    spare = (radius**2 - delta.square().sum((1, 2, 3), keepdim=True)).clamp_min(0) / channels
    norm = (spare + ((into | away) * delta.square()).sum((2, 3), keepdim=True)).sqrt()
    signs = ((drawn[:, 5 : 5 + channels] < 0.5).to(points) * 2 - 1)[:, :, None, None]
    shape = into * (signs * placed_bumps(top, left, side, drawn[:, 4] < 0.5, points) + unit(into * delta))
    return fill(clean, torch.where(into, norm * unit(shape), delta * ~away), radius, "l2")


def unit(values: Tensor) -> Tensor:
    """Values (n, C, H, W) scaled to l2 norm 1 per channel; zero stays zero."""
    size = values.square().sum((2, 3), keepdim=True).sqrt()
    return values / size.clamp_min(1e-12)


def placed_bumps(top: Tensor, left: Tensor, side: int, upright: Tensor, like: Tensor) -> Tensor:
    """Two bumps (n, 1, H, W) where each image's square lies, side by side or, not `upright` (n,), one above another."""
    bumps = two_bumps(side).to(like)
    bumps = torch.where(upright[:, None, None], bumps, bumps.T)
    down = (torch.arange(like.shape[2], device=like.device)[None] - top[:, None]).clamp(0, side - 1)
    right = (torch.arange(like.shape[3], device=like.device)[None] - left[:, None]).clamp(0, side - 1)
    rows = torch.arange(len(bumps), device=like.device)[:, None, None]
    return bumps[rows, down[:, :, None], right[:, None, :]][:, None]


@cache
def two_bumps(side: int) -> Tensor:
    """Two pyramids of opposite sign beside each other (side, side), of l2 norm 1. Source: paper, equation 2."""
    half = side // 2
    parts = [pyramid(side, half), -pyramid(side, side - half)] if half else [pyramid(side, side)]
    bumps = torch.cat(parts, dim=1)
    return bumps / bumps.norm()


def pyramid(height: int, width: int) -> Tensor:
    """Sum of 1/j^2 from the distance to the middle (largest of both axes, plus 1) to the half height plus 1."""
    down = (torch.arange(height) - height // 2).abs()[:, None]
    right = (torch.arange(width) - width // 2).abs()[None]
    terms = 1 / torch.arange(1, height // 2 + 2).double().square()
    tails = torch.cat([terms.flip(0).cumsum(0).flip(0), torch.zeros(1)])
    return tails[torch.maximum(down, right).clamp_max(len(terms))].float()
