"""Noise corruptions of one image (S, S, 3) in [0,1]; what leaves the range is clipped by the caller."""

from __future__ import annotations

import numpy as np

Image = np.ndarray
Generator = np.random.Generator


def gaussian_noise(image: Image, rng: Generator, scale: float, sd: float) -> Image:
    """Normal noise of one SD on every pixel and channel."""
    return image + rng.normal(0, sd, image.shape)


def shot_noise(image: Image, rng: Generator, scale: float, photons: float) -> Image:
    """Poisson counts of a sensor that catches `photons` at white: the fewer, the noisier."""
    return rng.poisson(image * photons) / photons


def impulse_noise(image: Image, rng: Generator, scale: float, share: float) -> Image:
    """A `share` of all pixels and channels turns black or white, evenly: the colour image's salt and pepper."""
    draw = rng.random(image.shape)
    return np.where(draw < share / 2, 0, np.where(draw < share, 1, image))


def speckle_noise(image: Image, rng: Generator, scale: float, sd: float) -> Image:
    """Normal noise in proportion to the brightness."""
    return image + image * rng.normal(0, sd, image.shape)
