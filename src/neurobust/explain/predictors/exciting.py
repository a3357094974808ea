"""Most exciting images: what a predictor answers to most, found by gradient ascent.

The image is kept in the Fourier domain, each frequency's amplitude in proportion to 1 / f as in natural images (a
smoothness prior without a penalty), and has a fixed contrast, without which the answer is whatever leaves the range.
Sources: Walker et al. 2019, Nat. Neurosci. 22 (inception loops); Olah, Mordvintsev & Schubert 2017 (the basis).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

Score = Callable[[Tensor], Tensor]  # images (n, 3, H, W) in [0, 1] -> (n,)


def frequencies(side: int) -> Tensor:
    """Radial frequency of the bins of `rfft2` in cycles per image: (side, side // 2 + 1)."""
    fy, fx = torch.fft.fftfreq(side) * side, torch.fft.rfftfreq(side) * side
    return torch.hypot(fy[:, None], fx[None, :])


def painted(spectrum: Tensor, side: int, contrast: float, mean: Tensor) -> Tensor:
    """Images (n, 3, side, side) in [0, 1] of spectra (n, 3, side, side // 2 + 1, 2): 1 / f, `contrast` as root mean
    square over pixels and channels around the colour `mean` (3,), clamped to the range."""
    amplitude = 1 / frequencies(side).clamp_min(1).to(spectrum)
    waves = torch.fft.irfft2(torch.view_as_complex(spectrum) * amplitude, s=(side, side), norm="ortho")
    waves = waves - waves.mean((2, 3), keepdim=True)
    size = waves.square().mean((1, 2, 3), keepdim=True).sqrt().clamp_min(1e-12)
    return (mean[:, None, None] + waves * (contrast / size)).clamp(0, 1)


class Ascent(NamedTuple):
    """How images are looked for: from how many starts, in how many steps, how far at first, at which contrast, and by
    how many pixels an image is moved in each step."""

    starts: int = 4
    steps: int = 24
    rate: float = 0.5
    contrast: float = 0.2
    jitter: int = 2


def most_exciting(
    score: Score, side: int, mean: Tensor, generator: torch.Generator, ascent: Ascent | None = None
) -> tuple[Tensor, Tensor]:
    """The images (starts, 3, side, side) that a score answers to most, best first, and their scores (starts,).

    From `starts` random spectra of unit length, each step adds the gradient at the length `rate`, which falls to 0, and
    brings the spectrum back to unit length: where the gradient says nothing, what is left of the random start fades
    away. (Adam would raise it with the rest.) In each step the image is moved by up to `jitter` pixels, so that what is
    found does not hang on single pixels. Scores are of the images as they are given back.
    """
    starts, steps, rate, contrast, jitter = ascent or Ascent()
    shape = (starts, 3, side, side // 2 + 1, 2)
    spectrum = torch.randn(shape, generator=generator).to(mean)
    for k in range(steps):
        spectrum = unit(spectrum).requires_grad_()
        image = painted(spectrum, side, contrast, mean)
        shift = torch.randint(-jitter, jitter + 1, (2,), generator=generator).tolist()
        gradient = torch.autograd.grad(score(torch.roll(image, shift, (2, 3))).sum(), spectrum)[0]
        spectrum = spectrum.detach() + rate * (1 - k / steps) * unit(gradient)
    with torch.no_grad():
        images = painted(spectrum, side, contrast, mean)
        values = score(images)
    order = values.argsort(descending=True)
    return images[order], values[order]


def unit(spectra: Tensor) -> Tensor:
    """Spectra (n, ...) of length 1 each; those of length 0 as they are."""
    size = spectra.flatten(1).norm(dim=1).clamp_min(1e-12)
    return spectra / size.reshape(-1, *(1 for _ in spectra.shape[1:]))


def noise_images(count: int, side: int, contrast: float, mean: Tensor, generator: torch.Generator) -> Tensor:
    """Images (count, 3, side, side) from which an ascent may start: random spectra, `painted`."""
    spectrum = torch.randn((count, 3, side, side // 2 + 1, 2), generator=generator).to(mean)
    return painted(spectrum, side, contrast, mean)


def components(responses: Tensor, count: int, noise_ceiling: Tensor | None = None) -> Tensor:
    """Directions (count + 1, voxels) of an ROI that images are made for: the mean over voxels, then `count` principal
    components of responses (n, voxels) that are standardised already, each of unit length, with its larger half
    positive.
    Voxels count in proportion to their noise ceiling (voxels,) where it is given: what cannot be predicted says
    nothing."""
    weight = torch.ones(responses.shape[1]) if noise_ceiling is None else noise_ceiling.clamp_min(0)
    weight = (weight / weight.max().clamp_min(1e-12)).to(responses)
    weighted = (responses - responses.mean(0)) * weight
    axes = torch.linalg.svd(weighted, full_matrices=False).Vh[:count]
    axes = axes * (axes.pow(3).sum(1, keepdim=True).sign() + 0.5).sign()
    found = torch.cat([weight[None], axes * weight])
    return found / found.norm(dim=1, keepdim=True).clamp_min(1e-12)


def spectrum_peak(images: Tensor) -> tuple[float, float]:
    """Frequency (cycles per image) and orientation (degrees in [0, 180), of the wave's direction, counterclockwise from
    the right) at which the brightness of images (n, 3, side, side) has most power, times f^2 against their 1 / f."""
    side = images.shape[-1]
    gray = images.double().mean(1)
    window = torch.hann_window(side, periodic=False, dtype=torch.float64)
    gray = (gray - gray.mean((1, 2), keepdim=True)) * window[:, None] * window
    power = torch.fft.rfft2(gray).abs().square().mean(0) * frequencies(side).double().square()
    row, column = divmod(int(power.argmax()), power.shape[1])
    fy, fx = float(torch.fft.fftfreq(side)[row] * side), float(torch.fft.rfftfreq(side)[column] * side)
    angle = torch.rad2deg(torch.atan2(torch.tensor(-fy), torch.tensor(fx)))
    return float(torch.hypot(torch.tensor(fy), torch.tensor(fx))), float(angle % 180)
