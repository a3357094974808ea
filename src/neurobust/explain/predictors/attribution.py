"""Which part of an image a predictor's responses rest on: occlusion and integrated gradients.

Neither needs modules to hook into, so both are right for networks that apply functions where others have modules.
Sources: Zeiler & Fergus 2014 (occlusion); Sundararajan, Taly & Yan 2017 (integrated gradients).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor

Respond = Callable[[Tensor], Tensor]  # images (n, 3, H, W) -> responses (n, voxels)


def occlusion(respond: Respond, images: Tensor, grid: int, patch: float = 2.0) -> Tensor:
    """How far each voxel's response moves when a patch is covered: (voxels, grid, grid), mean over images of |change|.

    The centres of grid x grid patches divide the image evenly; a patch is `patch` cells wide and takes the image's own
    mean colour. Responses are asked for one position at a time, of all images.
    """
    colour = images.mean((2, 3), keepdim=True)
    height, width = images.shape[-2:]
    with torch.inference_mode():
        before = respond(images)
        found = torch.empty(before.shape[1], grid, grid, device=images.device)
        for i in range(grid):
            for j in range(grid):
                covered = images.clone()
                rows, columns = patch_slice(i, grid, height, patch), patch_slice(j, grid, width, patch)
                covered[:, :, rows, columns] = colour
                found[:, i, j] = (respond(covered) - before).abs().mean(0)
    return found


def patch_slice(k: int, grid: int, side: int, patch: float) -> slice:
    """The pixels of the k-th of `grid` patches along an axis of `side` pixels, cut at the image's edges."""
    centre, half = (k + 0.5) * side / grid, patch * side / grid / 2
    return slice(max(0, round(centre - half)), max(1, round(centre + half)))


def integrated_gradients(
    score: Callable[[Tensor], Tensor], images: Tensor, baseline: Tensor, steps: int = 16, batch: int = 64
) -> Tensor:
    """(image - baseline) times the mean gradient of a score along the way: (n, 3, H, W).

    score: images -> (n,), the score of each image by itself; baseline: one image (1, 3, H, W), or one for each. Its
    sum over an image is score(image) - score(baseline), but for the rule of `steps` midpoints. `batch` bounds how many
    images are held at once.
    """
    baseline = baseline.expand_as(images)
    parts = []
    for start in range(0, len(images), batch):
        x, zero = images[start : start + batch], baseline[start : start + batch]
        total = torch.zeros_like(x)
        for k in range(steps):
            point = (zero + (k + 0.5) / steps * (x - zero)).detach().requires_grad_()
            total += torch.autograd.grad(score(point).sum(), point)[0] / steps
        parts.append(total * (x - zero))
    return torch.cat(parts)


def own_pattern(respond: Respond, images: Tensor, mean: Tensor, scale: Tensor) -> Callable[..., Tensor]:
    """A score of images by how much of their responses is what the intact image evokes.

    Responses z = (r - mean) / scale; the score of variant x of image k is <z(x), z_k> / |z_k|, which is |z_k| for the
    image itself. Called with variants of some images, and with which: (m, 3, H, W), rows=slice -> (m,).
    """
    with torch.no_grad():
        pattern = (respond(images) - mean) / scale
    pattern = pattern / pattern.norm(dim=1, keepdim=True).clamp_min(1e-12)

    def score(variants: Tensor, rows: slice) -> Tensor:
        found: Tensor = ((respond(variants) - mean) / scale * pattern[rows]).sum(1)
        return found

    return score


def roi_attribution(
    respond: Respond, images: Tensor, mean: Tensor, scale: Tensor, steps: int = 16, batch: int = 64
) -> Tensor:
    """Integrated gradients (n, 3, H, W) of `own_pattern`, from the mean colour of all images: what in each image makes
    the ROI answer to it as it does."""
    score, baseline = own_pattern(respond, images, mean, scale), images.mean((0, 2, 3), keepdim=True)
    parts = []
    for start in range(0, len(images), batch):
        rows = slice(start, start + batch)
        of_rows = partial(score, rows=rows)
        parts.append(integrated_gradients(of_rows, images[rows], baseline, steps, batch))
    return torch.cat(parts)


def grid_degrees(grid: int, degrees: float) -> tuple[np.ndarray, np.ndarray]:
    """x (right) and y (up) in degrees of the cells of a grid over an image `degrees` wide: two (grid, grid)."""
    axis = ((np.arange(grid) + 0.5) / grid * 2 - 1) * degrees / 2
    x, down = np.meshgrid(axis, axis)
    return x, -down


def mass_inside(maps: np.ndarray, fields: np.ndarray, degrees: float, reach: float = 2.0) -> np.ndarray:
    """Share of each map's mass within `reach` sizes of a field's centre: (voxels,).

    maps (voxels, grid, grid), not negative; fields (voxels, 3) of x, y, size in degrees. NaN where a field is, where
    no cell's centre lies inside, or the map is empty.
    """
    x, y = grid_degrees(maps.shape[1], degrees)
    far = np.hypot(x - fields[:, 0, None, None], y - fields[:, 1, None, None])
    inside = far <= reach * fields[:, 2, None, None]
    total = maps.sum((1, 2))
    share = np.divide((maps * inside).sum((1, 2)), total, out=np.full(len(maps), np.nan), where=total > 0)
    known = np.isfinite(fields).all(1) & inside.any((1, 2))
    return np.where(known, share, np.nan)


def mass_ratio(
    maps: np.ndarray, fields: np.ndarray, degrees: float, rng: np.random.Generator, reach: float = 2.0, deals: int = 200
) -> tuple[float, float, float]:
    """How much more of a voxel's map lies inside its own pRF than inside other voxels': (ratio, low, high).

    The ratio is of the median share to the median share where the fields are dealt out at random; the interval is the
    central 95 % of single deals over that median: what chance gives, around 1. NaN where no voxel has a field.
    """
    known = np.flatnonzero(np.isfinite(mass_inside(maps, fields, degrees, reach)))
    if len(known) < 3:
        return float("nan"), float("nan"), float("nan")
    own = np.median(mass_inside(maps[known], fields[known], degrees, reach))
    dealt = [
        np.nanmedian(mass_inside(maps[known], fields[rng.permutation(known)], degrees, reach)) for _ in range(deals)
    ]
    middle = float(np.median(dealt))
    low, high = np.quantile(dealt, [0.025, 0.975])
    return float(own) / middle, float(low) / middle, float(high) / middle


def map_fields(maps: np.ndarray, degrees: float, floor: float = 0.2) -> np.ndarray:
    """Where maps look: (voxels, 3) of x, y and size (standard deviation) in degrees.

    Moments of what lies above `floor` of each map's largest value: a map of |changes| is nowhere 0, and its broad foot
    would draw every centre to the middle and every size to that of the image. NaN where a map is empty.
    """
    x, y = grid_degrees(maps.shape[1], degrees)
    raised = np.clip(maps - floor * maps.max((1, 2), keepdims=True), 0, None)
    total = raised.sum((1, 2))
    moments = np.stack([(raised * part).sum((1, 2)) for part in (x, y, x * x + y * y)], 1)
    mean = np.divide(moments, total[:, None], out=np.full(moments.shape, np.nan), where=total[:, None] > 0)
    spread = np.sqrt(np.maximum(mean[:, 2] - mean[:, 0] ** 2 - mean[:, 1] ** 2, 0) / 2)
    return np.column_stack([mean[:, :2], spread])
