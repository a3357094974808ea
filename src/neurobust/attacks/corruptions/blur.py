"""Blur corruptions of one image (S, S, 3) in [0,1]. Lengths are in pixels of the native side, times `scale`."""

from __future__ import annotations

import math

import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.signal import fftconvolve

from neurobust.attacks.corruptions.noise import Generator, Image


def gaussian_blur(image: Image, rng: Generator, scale: float, sd: float) -> Image:
    """Gaussian of `sd` px."""
    return smooth(image, sd * scale)


def defocus_blur(image: Image, rng: Generator, scale: float, radius: float, soft: float) -> Image:
    """A lens out of focus: a disc of `radius` px whose rim a Gaussian of `soft` px softens."""
    kernel = disc(radius * scale, soft * scale)
    reach = len(kernel) // 2
    padded = np.pad(image, ((reach, reach), (reach, reach), (0, 0)), mode="reflect")
    return fftconvolve(padded, kernel[..., None], mode="valid", axes=(0, 1))


def glass_blur(image: Image, rng: Generator, scale: float, sd: float, reach: float, times: float) -> Image:
    """Frosted glass: blurred by `sd` px, pixels swapped with near ones `times` over, blurred again.

    Each pixel in turn, in random order, changes places with one up to `reach` px away. At another side than the native
    one a place is drawn from the native window in its true size and rounded to a pixel, so that a window smaller than
    a pixel swaps nothing. The published files were made otherwise: their swap of two views of one array copies one
    pixel over the other, and their sweep has one direction.
    """
    window, side = (reach + 0.5) * scale, len(image)
    far = max(0, math.ceil(window - 0.5))
    inner = (np.arange(far, side - far)[:, None] * side + np.arange(far, side - far)).ravel()
    places = list(range(side * side))  # a list: Python swaps ten million of its integers in a second
    for _ in range(int(times) if far else 0):
        here = rng.permutation(inner)
        down, right = np.rint(rng.uniform(-window, window, (2, len(here)))).astype(int).clip(-far, far)
        for one, other in zip(here.tolist(), (here + down * side + right).tolist(), strict=True):
            places[one], places[other] = places[other], places[one]
    shuffled = smooth(image, sd * scale).reshape(side * side, -1)[places].reshape(image.shape)
    return smooth(shuffled, sd * scale)


def motion_blur(image: Image, rng: Generator, scale: float, radius: float, sd: float) -> Image:
    """A trail of 2 radius + 1 px with Gaussian weights of `sd` px, at an angle within 45 degrees of the horizon."""
    return trail(image, radius * scale, sd * scale, rng.uniform(-45, 45))


def zoom_blur(image: Image, rng: Generator, scale: float, steps: float, step: float) -> Image:
    """The mean of the image and of itself magnified by 1, 1 + step, ... (`steps` factors)."""
    zoomed = [magnify(image, 1 + step * k) for k in range(int(steps))]
    return (image + sum(zoomed)) / (len(zoomed) + 1)


def smooth(image: Image, sd: float) -> Image:
    """Gaussian blur of the two image axes, cut at 4 SD, the edge pixels continued."""
    return gaussian_filter(image, (sd, sd, 0)[: image.ndim], mode="nearest", truncate=4)


def disc(radius: float, soft: float) -> np.ndarray:
    """A disc (k, k), k odd, that sums to one, blurred over its neighbours at 1 px (2 px from a radius over 8)."""
    rim = 1 if radius <= 8 else 2
    reach = int(radius) + rim
    places = np.arange(-reach, reach + 1)
    flat = (places[:, None] ** 2 + places**2 <= radius**2).astype(float)
    bell = np.exp(-(np.arange(-rim, rim + 1) ** 2) / (2 * soft**2))
    bell = np.outer(bell, bell)
    return fftconvolve(flat, bell / bell.sum(), mode="same") / flat.sum()


def trail(image: Image, radius: float, sd: float, angle: float) -> Image:
    """Half a Gaussian along a line: weights exp(-i² / 2 sd²), i = 0 ... 2 radius, at the nearest pixels.

    image: (S, S) or (S, S, 3); angle in degrees, 0 to the right, 90 down; the edge pixels are continued.
    """
    steps = np.arange(2 * round(radius) + 1)
    weights = np.exp(-(steps**2) / (2 * sd**2))
    turn, places = np.deg2rad(angle), np.arange(len(image))
    down = np.ceil(steps * np.sin(turn) - 0.5).astype(int)
    right = np.ceil(steps * np.cos(turn) - 0.5).astype(int)
    blurred = np.zeros_like(image)
    for weight, row, column in zip(weights / weights.sum(), down, right, strict=True):
        rows, columns = ((places + shift).clip(0, len(image) - 1) for shift in (row, column))
        blurred += weight * image[rows[:, None], columns]
    return blurred


def magnify(image: Image, factor: float) -> Image:
    """The image's middle, `factor` >= 1 times as large, at its old size; linear interpolation."""
    middle = (len(image) - 1) / 2
    places = (np.arange(len(image)) - middle) / factor + middle
    low = np.floor(places).astype(int).clip(0, len(image) - 2)
    part = (places - low).reshape(-1, *[1] * (image.ndim - 1))
    rows = image[low] * (1 - part) + image[low + 1] * part
    part = part.reshape(1, -1, *[1] * (image.ndim - 2))
    return rows[:, low] * (1 - part) + rows[:, low + 1] * part
