"""Digital corruptions of one image (S, S, 3) in [0,1]. Lengths are in pixels of the native side, times `scale`."""

from __future__ import annotations

from io import BytesIO

import numpy as np
from PIL import Image as Picture
from scipy.ndimage import gaussian_filter, map_coordinates

from neurobust.attacks.corruptions.noise import Generator, Image


def brightness(image: Image, rng: Generator, scale: float, amount: float) -> Image:
    """HSV value raised by `amount`, up to 1; hue and saturation stay, and black turns grey."""
    value = image.max(2, keepdims=True)
    return np.where(value > 0, image / np.where(value > 0, value, 1), 1) * np.minimum(value + amount, 1)


def contrast(image: Image, rng: Generator, scale: float, factor: float) -> Image:
    """Distances to each channel's mean, times `factor`."""
    mean = image.mean((0, 1), keepdims=True)
    return (image - mean) * factor + mean


def saturate(image: Image, rng: Generator, scale: float, factor: float, amount: float) -> Image:
    """HSV saturation times `factor` plus `amount`, within [0,1]; hue and value stay. Grey has the hue of red."""
    value = image.max(2, keepdims=True)
    depth = value - image  # of a channel below the value: saturation times value at the lowest channel
    saturation = depth.max(2, keepdims=True) / np.where(value > 0, value, 1)
    wanted = (saturation * factor + amount).clip(0, 1)
    red = np.array([0.0, 1.0, 1.0]) * value
    return value - np.where(saturation > 0, depth / np.where(saturation > 0, saturation, 1), red) * wanted


def jpeg_compression(image: Image, rng: Generator, scale: float, quality: float) -> Image:
    """Through a JPEG file of this quality. Its blocks are 8 px at any size."""
    return through_jpeg(image, int(quality))


def through_jpeg(image: Image, quality: int) -> Image:
    """An image as a JPEG file of this quality gives it back."""
    buffer = BytesIO()
    to_picture(image).save(buffer, "JPEG", quality=quality)
    return from_picture(Picture.open(buffer))


def pixelate(image: Image, rng: Generator, scale: float, share: float) -> Image:
    """Down to `share` of the side and back up, by the mean of boxes."""
    side = len(image)
    small = to_picture(image).resize((int(side * share),) * 2, Picture.Resampling.BOX)
    return from_picture(small.resize((side, side), Picture.Resampling.BOX))


def elastic_transform(image: Image, rng: Generator, scale: float, amount: float, sd: float, jitter: float) -> Image:
    """Stretched: a random affine map of three points moved by up to `jitter` px, then each pixel by a smooth field.

    The field is `amount` times uniform noise blurred by `sd` px. Both are one resampling, linear, the image mirrored
    at its edges. Blurring by k times the width divides a field by k, so `amount` is times the square of `scale`.
    """
    side = len(image)
    middle, third = side // 2, side // 3
    corners = np.array([[third, third], [third, -third], [-third, -third]], dtype=float) + middle
    moved = corners + rng.uniform(-jitter, jitter, corners.shape) * scale
    matrix = np.linalg.solve(np.column_stack([moved, np.ones(3)]), corners)  # where a pixel of the result comes from
    noise = rng.uniform(-1, 1, (2, side, side))
    field = gaussian_filter(noise, (0, sd * scale, sd * scale), mode="reflect", truncate=3) * amount * scale**2
    places = np.moveaxis(np.mgrid[:side, :side] + field, 0, -1)
    source = np.moveaxis(places @ matrix[:2] + matrix[2], -1, 0)
    return np.stack([map_coordinates(plane, source, order=1, mode="mirror") for plane in np.moveaxis(image, 2, 0)], 2)


def to_picture(image: Image) -> Picture.Image:
    """An image in [0,1] as Pillow has it, rounded to 8 bits."""
    return Picture.fromarray(np.rint(image * 255).astype(np.uint8))


def from_picture(picture: Picture.Image) -> Image:
    """The other way."""
    return np.asarray(picture, dtype=np.float64) / 255
