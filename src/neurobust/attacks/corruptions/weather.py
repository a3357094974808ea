"""Weather corruptions of one image (S, S, 3) in [0,1]. Lengths are in pixels of the native side, times `scale`."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.ndimage import correlate, distance_transform_edt, uniform_filter

from neurobust.attacks.corruptions.blur import magnify, smooth, trail
from neurobust.attacks.corruptions.noise import Generator, Image

LUMA = np.array([0.299, 0.587, 0.114])  # of grey in RGB (ITU-R BT.601)
ICE = np.array([0.86, 0.94, 1.0])
WATER = np.array([175, 238, 238]) / 255
MUD = np.array([63, 42, 20]) / 255
RELIEF = np.array([[-2.0, -1.0, 0.0], [-1.0, 1.0, 1.0], [0.0, 1.0, 2.0]])  # light from the upper left
CRYSTALS, TWIGS = 5, 9  # ice stars per image; twigs on either side of an arm


def fog(image: Image, rng: Generator, scale: float, thickness: float, decay: float) -> Image:
    """A cloud of `thickness` times white over the image, then dimmed so that its brightest pixel keeps its value."""
    brightest = image.max()
    cloud = plasma(len(image), decay, rng)[..., None]
    return (image + thickness * cloud) * brightest / (brightest + thickness)


def frost(image: Image, rng: Generator, scale: float, keep: float, amount: float) -> Image:
    """`keep` times the image plus `amount` times a frosted pane. The pane is made, not photographed: `crystals`."""
    return keep * image + amount * crystals(len(image), rng)


class Flakes(NamedTuple):
    """The strengths of snow: normal noise (mean, sd), magnified by `zoom`, dark below `floor`, drawn out into trails
    (`radius` and SD `blur` px); the scene keeps `keep` of its colours."""

    mean: float
    sd: float
    zoom: float
    floor: float
    radius: float
    blur: float
    keep: float


def snow(image: Image, rng: Generator, scale: float, *strengths: float) -> Image:
    """Flakes fall on a bleached scene, within 45 degrees of the vertical; the same turned by 180 degrees fall too."""
    of = Flakes(*strengths)
    flakes = magnify(rng.normal(of.mean, of.sd, image.shape[:2]), max(1.0, of.zoom * scale))
    flakes = np.where(flakes < of.floor, 0, flakes).clip(0, 1)
    flakes = trail(flakes, of.radius * scale, of.blur * scale, rng.uniform(-135, -45))[..., None]
    grey = (image * LUMA).sum(2, keepdims=True)
    return of.keep * image + (1 - of.keep) * np.maximum(image, 1.5 * grey + 0.5) + flakes + flakes[::-1, ::-1]


class Drops(NamedTuple):
    """The strengths of spatter: drops are where normal noise (mean, sd), blurred by an SD of `blur` px, exceeds
    `floor`; `amount` is the most that water adds, or the px that the mask of `mud` (1) is blurred by."""

    mean: float
    sd: float
    blur: float
    floor: float
    amount: float
    mud: float


def spatter(image: Image, rng: Generator, scale: float, *strengths: float) -> Image:
    """Drops on the lens: water, or mud.

    Water adds pale turquoise, lit in relief; mud covers, its mask cut at 0.8. The relief is of the distance to the
    drops' edges (SciPy's transform, ours to the last detail).
    """
    of = Drops(*strengths)
    # Blurring by k times the width divides the noise's SD by k, which would leave larger images without drops.
    liquid = smooth(rng.normal(of.mean, of.sd * scale, image.shape[:2]), of.blur * scale)
    drops = liquid > of.floor
    if of.mud:
        mask = smooth(drops.astype(float), of.amount * scale)[..., None]
        mask = np.where(mask < 0.8, 0, mask)
        return image * (1 - mask) + MUD * mask
    if not drops.any():
        return image
    reach = 20 * scale
    depth = uniform_filter(np.minimum(distance_transform_edt(drops) + distance_transform_edt(~drops), reach) / reach, 3)
    lit = uniform_filter(correlate(depth / depth.max(), RELIEF, mode="mirror").clip(0, 1), 3)
    sheen = np.where(drops, liquid, 0) * lit
    return image + (of.amount * sheen / max(sheen.max(), 1e-12))[..., None] * WATER


def plasma(side: int, decay: float, rng: Generator) -> np.ndarray:
    """A cloud (side, side) from 0 to 1 by midpoint displacement on a torus (diamond-square, Fournier et al. 1982).

    Each halving of the grid divides the noise by `decay` squared. Made at the next power of two and cut.
    """
    heights, amplitude = np.zeros((1, 1)), 1.0
    while len(heights) < side:
        size = len(heights)
        noise = amplitude * rng.uniform(-1, 1, (3, size, size))
        below, right = np.roll(heights, -1, 0), np.roll(heights, -1, 1)
        centre = (heights + below + right + np.roll(below, -1, 1)) / 4 + noise[0]
        top = (heights + right + centre + np.roll(centre, 1, 0)) / 4 + noise[1]
        left = (heights + below + centre + np.roll(centre, 1, 1)) / 4 + noise[2]
        finer = np.empty((2 * size, 2 * size))
        finer[0::2, 0::2], finer[0::2, 1::2], finer[1::2, 0::2], finer[1::2, 1::2] = heights, top, left, centre
        heights, amplitude = finer, amplitude / decay**2
    heights = heights - heights.min()
    return (heights / max(heights.max(), 1e-12))[:side, :side]


def crystals(side: int, rng: Generator) -> np.ndarray:
    """A frosted pane (side, side, 3) in [0,1]: six-armed ice stars with twigs at 60 degrees, over a bluish haze.

    The published files blend in photographs of frost. Ours is drawn for each image and has about their grain and
    brightness; so this type compares conditions with each other and not with numbers from the literature.
    """
    finer = max(1, 128 // side)  # drawn finer and averaged, so that needles are as slender on small images
    size = side * finer
    roots = rng.uniform(0, size, (CRYSTALS, 1, 1, 1, 2))
    turns = rng.uniform(0, np.pi / 3, (CRYSTALS, 1)) + np.arange(6) * np.pi / 3
    lengths = rng.uniform(0.2, 0.7, (CRYSTALS, 6)) * size
    along, forks = np.linspace(0, 1, size), np.sort(rng.uniform(0.1, 1, (CRYSTALS, 6, TWIGS)), axis=2)
    arms = roots[:, :, 0] + (lengths[..., None] * along)[..., None] * unit(turns)[:, :, None]
    starts = roots + (lengths[..., None] * forks)[..., None, None] * unit(turns)[:, :, None, None]
    reach = 0.45 * lengths[..., None] * (1 - forks) * rng.uniform(0.3, 1, forks.shape)
    twigs = [
        starts + (reach[..., None] * along)[..., None] * unit(turns + side_of * np.pi / 3)[:, :, None, None]
        for side_of in (-1, 1)
    ]
    points = np.concatenate([part.reshape(-1, 2) for part in (arms, *twigs)]).astype(int)
    points = points[((points >= 0) & (points < size)).all(1)]
    ice = np.zeros((size, size))
    ice[points[:, 0], points[:, 1]] = 1
    pane = 0.5 * plasma(size, 1.5, rng) + 0.6 * smooth(ice, size / 320) + 0.6 * smooth(ice, size / 40)
    pane = pane.clip(0, 1).reshape(side, finer, side, finer).mean((1, 3))
    return pane[..., None] * ICE


def unit(turns: np.ndarray) -> np.ndarray:
    """Unit vectors (..., 2) of angles in radians."""
    return np.stack([np.sin(turns), np.cos(turns)], axis=-1)
