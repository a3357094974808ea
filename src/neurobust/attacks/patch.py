"""A square patch: its content is climbed, its place moved where that helps; and patches at random, their baseline."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from neurobust.attacks.losses import loss_values
from neurobust.attacks.patch_settings import Patch, RandomPatch
from neurobust.attacks.search import AttackResult, Batch, Search
from neurobust.core.seeding import torch_generator

WAYS = ((0, 1), (0, -1), (1, 0), (-1, 0))  # rows and columns that a patch may move by, in units of its stride


def patch(batch: Batch, settings: Patch) -> AttackResult:
    """The square, of up to the budget's share of the area, that a network stands least.

    From the best of `draws` random patches, `starts` times over: sign steps of `step_size` on the content, which may
    take any colour; after every `move_every` of them the patch tries a place a quarter of its side away, in a random
    direction, and stays there if the loss is higher. A budget below one pixel breaks nothing. A broken image's distance
    is the share that its patch covers.
    """
    search = Search(batch, settings.eot)
    for budget, side in sides(search):
        for start in range(settings.starts):
            if not len(search.standing(budget)):
                break
            rows, contents, places = best_drawn(search, settings, (budget, side, start))
            streams = [
                torch_generator(batch.seed, "patch", batch.ids[row], side, start, "moves") for row in rows.tolist()
            ]
            if len(rows):
                ways = torch.stack([torch.randint(4, (settings.steps,), generator=stream) for stream in streams])
                ascend(search, settings, budget, rows, (contents, places, ways.to(batch.images.device)))
    return search.result(covered(search))


def best_drawn(search: Search, settings: Patch, which: tuple[int, int, int]) -> tuple[Tensor, Tensor, Tensor]:
    """The rows (n,) that random patches leave standing, and the contents and places of each one's best.

    which: the budget's index, the side of its patches, and the number of the start.
    """
    budget, side, start = which
    rows = search.standing(budget)
    value = torch.full((len(rows),), -math.inf, dtype=search.images.dtype, device=rows.device)
    contents, places = drawn(search.batch, rows, side, f"start {start}", 0)
    for number in range(settings.draws):
        content, place = drawn(search.batch, rows, side, f"start {start}", number)
        broken, logits = search.test(rows, pasted(search.images[rows], content, place), budget)
        values = loss_values(logits, search.labels[rows], settings.loss)
        better, keep = values > value, ~broken
        contents = torch.where(better[:, None, None, None], content, contents)[keep]
        places = torch.where(better[:, None], place, places)[keep]
        rows, value = rows[keep], torch.maximum(value, values)[keep]
        if not len(rows):
            break
    return rows, contents, places


def random_patch(batch: Batch, settings: RandomPatch) -> AttackResult:
    """Best of `repeats` random squares: from one colour to one per pixel, by turns, each at a random place."""
    search = Search(batch)
    for repeat in range(settings.repeats):
        for budget, side in sides(search):
            rows = search.standing(budget)
            if len(rows):
                contents, places = drawn(batch, rows, side, "draw", repeat)
                search.test(rows, pasted(batch.images[rows], contents, places), budget)
    return search.result(covered(search))


def sides(search: Search) -> list[tuple[int, int]]:
    """(index, side in pixels) of the budgets that hold a pixel or more."""
    found = [(budget, patch_side(radius, search.images)) for budget, radius in search.positive()]
    return [(budget, side) for budget, side in found if side]


def patch_side(share: float, images: Tensor) -> int:
    """Side of the largest square within a share of the area of images (N, 3, H, W)."""
    height, width = images.shape[2:]
    return min(math.isqrt(math.floor(share * height * width + 1e-6)), height, width)


def covered(search: Search) -> Tensor:
    """The share of the area that each image's patch covers, float64 (N,)."""
    height, width = search.images.shape[2:]
    areas = [patch_side(budget, search.images) ** 2 / (height * width) for budget in search.budgets]
    return torch.tensor([*areas, math.nan], dtype=torch.float64, device=search.images.device)[search.first]


def drawn(batch: Batch, rows: Tensor, side: int, stream: str, number: int) -> tuple[Tensor, Tensor]:
    """Random contents (n, 3, side, side) in [0,1] and places int64 (n, 2), top and left, each from the image's stream.

    `number` says how fine the content is: drawn on 1, 2, 4, ... points along each axis, and then again.
    """
    images = batch.images
    points = min(side, 2 ** (number % (1 + math.ceil(math.log2(max(2, side))))))
    room = torch.tensor([size - side + 1 for size in images.shape[2:]])
    contents, places = [], []
    for row in rows.tolist():
        generator = torch_generator(batch.seed, "patch", batch.ids[row], side, stream, number)
        contents.append(torch.rand(images.shape[1], points, points, generator=generator))
        places.append((torch.rand(2, generator=generator) * room).long().clamp_max(room - 1))
    fine = functional.interpolate(torch.stack(contents), (side, side), mode="bilinear", align_corners=True)
    return fine.clamp(0, 1).to(images), torch.stack(places).to(images.device)


def ascend(search: Search, settings: Patch, budget: int, rows: Tensor, start: tuple[Tensor, Tensor, Tensor]) -> None:
    """Climb from contents (n, 3, side, side) at places (n, 2); ways int64 (n, steps): where each move would go."""
    contents, places, ways = start
    side = contents.shape[-1]
    stride = max(1, side // 4)
    room = torch.tensor([size - side for size in search.images.shape[2:]], device=places.device)
    steps = torch.tensor(WAYS, device=places.device) * stride
    for step in range(settings.steps):
        points = pasted(search.images[rows], contents, places)
        _, logits, gradient = search.gradient(rows, points, settings.loss, budget)
        keep = ~search.offer(rows, points, logits, budget)
        rows, contents, places, ways = rows[keep], contents[keep], places[keep], ways[keep]
        if not len(rows):
            return
        slope = cut(gradient[keep], places, side)
        contents = (contents + settings.step_size * slope.sign()).clamp(0, 1)
        if (step + 1) % settings.move_every and step + 1 < settings.steps:
            continue
        moved = (places + steps[ways[:, step]]).clamp_min(0).minimum(room)
        values, standing = [], torch.ones(len(rows), dtype=torch.bool, device=rows.device)
        for tried in (places, moved):
            broken, logits = search.test(rows, pasted(search.images[rows], contents, tried), budget)
            values.append(loss_values(logits, search.labels[rows], settings.loss))
            standing &= ~broken
        places = torch.where((values[1] > values[0])[:, None], moved, places)
        rows, contents, places, ways = rows[standing], contents[standing], places[standing], ways[standing]
        if not len(rows):
            return


def pasted(images: Tensor, contents: Tensor, places: Tensor) -> Tensor:
    """Images (n, 3, H, W) with the contents (n, 3, side, side) at places (n, 2), top and left."""
    points = images.clone()
    numbers, down, right = _window(places, contents.shape[-1])
    points[numbers, :, down, right] = contents.permute(0, 2, 3, 1)
    return points


def cut(images: Tensor, places: Tensor, side: int) -> Tensor:
    """The squares (n, 3, side, side) of images (n, 3, H, W) at places (n, 2)."""
    numbers, down, right = _window(places, side)
    return images[numbers, :, down, right].permute(0, 3, 1, 2)


def _window(places: Tensor, side: int) -> tuple[Tensor, Tensor, Tensor]:
    """Indices that together select (n, side, side) pixels."""
    reach = torch.arange(side, device=places.device)
    numbers = torch.arange(len(places), device=places.device)[:, None, None]
    return numbers, (places[:, 0, None] + reach)[:, :, None], (places[:, 1, None] + reach)[:, None, :]
