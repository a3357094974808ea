"""Which spatial frequencies a network falls to: the Fourier map of Yin et al. (2019), and spectra of perturbations.

Frequencies are whole cycles per image, from -side/2 up to (side - 1)/2, as the discrete transform has them; their
radius is given as a share of Nyquist's, half the side. A real image has each frequency together with its opposite:
they are one pair here, at even sides as at odd ones.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from neurobust.core.seeding import numpy_rng


def whole_frequencies(side: int) -> np.ndarray:
    """Cycles per image (side,) along an axis, ascending."""
    return np.arange(side) - side // 2


def pairs_of(shape: tuple[int, int], grid: int) -> list[tuple[int, int]]:
    """Frequencies (down, across) of images (H, W), one of each pair, thinned to about `grid` steps along each axis.

    The thinned grid is symmetric about 0, which is always in it: so a map of it can be mirrored.
    """
    steps = [max(1, math.ceil(side / grid)) for side in shape]
    down, across = (f[f % step == 0].tolist() for f, step in zip(map(whole_frequencies, shape), steps, strict=True))
    found: dict[tuple[int, int], None] = {}
    for u in down:
        for v in across:
            if opposite((u, v), shape) not in found:
                found[(u, v)] = None
    return list(found)


def opposite(frequency: tuple[int, int], shape: tuple[int, int]) -> tuple[int, int]:
    """The frequency whose coefficient in a real image is the conjugate: the negative one, but -side/2 is its own."""
    u, v = (-f if 2 * f != -side else f for f, side in zip(frequency, shape, strict=True))
    return u, v


def basis(frequency: tuple[int, int], shape: tuple[int, int], device: torch.device | None = None) -> Tensor:
    """The real image (H, W) of unit L2 norm whose transform lies on a frequency and its opposite alone.

    It is a cosine plus a sine, so that none is empty; a frequency and its opposite give the same.
    """
    (u, v), (height, width) = min(frequency, opposite(frequency, shape)), shape
    y = torch.arange(height, dtype=torch.float64, device=device)[:, None] * u / height
    x = torch.arange(width, dtype=torch.float64, device=device)[None, :] * v / width
    wave = torch.cos(2 * math.pi * (x + y) - math.pi / 4)
    return (wave / wave.norm()).float()


class FourierMap(NamedTuple):
    """frequencies (pairs, 2); error (pairs,): share of images misread with the wave on them; clean: without it."""

    frequencies: np.ndarray
    error: np.ndarray
    clean: float


@torch.inference_mode()
def fourier_map(
    network: nn.Module, images: Tensor, labels: Tensor, norm: float, grid: int, seed: int = 0, image_batch: int = 64
) -> FourierMap:
    """Error of a network on images (n, 3, H, W) in [0, 1] with one wave of L2 `norm` per channel (Yin et al. 2019).

    The sign is drawn for each image and channel, the same for every frequency and network. Pixels stay in [0, 1].
    """
    shape = (int(images.shape[-2]), int(images.shape[-1]))
    pairs = pairs_of(shape, grid)
    signs = numpy_rng("fourier map", seed).choice([-1.0, 1.0], (len(images), images.shape[1], 1, 1))
    sign = torch.from_numpy(signs).float().to(images.device)
    batch = max(1, image_batch // len(images))  # frequencies at a time
    parts = min(len(images), image_batch)
    wrong = torch.zeros(len(pairs), device=images.device)
    for start in range(0, len(pairs), batch):
        waves = torch.stack([basis(pair, shape, images.device) for pair in pairs[start : start + batch]])
        for first in range(0, len(images), parts):
            here = slice(first, first + parts)
            shown = (images[here] + norm * sign[here] * waves[:, None, None]).clamp(0, 1)
            read = network(shown.flatten(0, 1)).argmax(1).reshape(len(waves), -1)
            wrong[start : start + batch] += (read != labels[here]).float().sum(1)
    clean = sum(
        float((network(images[k : k + parts]).argmax(1) != labels[k : k + parts]).sum())
        for k in range(0, len(images), parts)
    )
    return FourierMap(np.array(pairs), wrong.cpu().numpy().astype(float) / len(images), clean / len(images))


def radius_of(frequencies: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Radius of frequencies (..., 2) as a share of Nyquist's: 1 at side/2 along an axis, up to the root of 2 beside."""
    return np.hypot(2 * frequencies[..., 0] / shape[0], 2 * frequencies[..., 1] / shape[1])


def map_summary(found: FourierMap, shape: tuple[int, int], cutoff: float) -> dict[str, float]:
    """What a map says in three numbers: mean errors up to `cutoff` of Nyquist and above it, each beyond the clean one,
    and the mean frequency that errors come from (NaN where no wave makes any)."""
    radius, excess = radius_of(found.frequencies, shape), found.error - found.clean
    positive = excess.clip(0)
    total = float(positive.sum())
    low = radius <= cutoff
    return {
        "low": float(excess[low].mean()) if low.any() else math.nan,
        "high": float(excess[~low].mean()) if (~low).any() else math.nan,
        "centre": float((positive * radius).sum() / total) if total > 0 else math.nan,
    }


def mirrored(frequencies: np.ndarray, values: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """A map (rows, columns) of the values at pairs of frequencies, with opposites, frequencies ascending."""
    table = {}
    for (u, v), value in zip(frequencies.tolist(), values.tolist(), strict=True):
        table[u, v] = table[opposite((u, v), shape)] = value
    down, across = (sorted({key[axis] for key in table}) for axis in (0, 1))
    return np.array([[table.get((u, v), math.nan) for v in across] for u in down])


class Spectrum(NamedTuple):
    """power (H, W): share of the energy at each frequency, frequencies ascending; radii (rings,) as shares of Nyquist;
    profile (rings,): mean power of a ring's coefficients; below (rings,): share of the energy up to each ring; slope:
    of log power over log frequency, rings 1 up to Nyquist (0 for white noise); centre: the mean frequency."""

    power: np.ndarray
    radii: np.ndarray
    profile: np.ndarray
    below: np.ndarray
    slope: float
    centre: float


def spectrum(perturbations: Tensor) -> Spectrum | None:
    """Spectrum of perturbations (n, 3, H, W): the mean over images of each one's energy, over channels, as shares.

    None where all are 0.
    """
    power = torch.fft.fft2(perturbations.double()).abs().square().sum(1)
    total = power.sum((1, 2))
    used = total > 0
    if not used.any():
        return None
    shares = torch.fft.fftshift((power[used] / total[used, None, None]).mean(0)).cpu().numpy()
    shape = shares.shape
    down, across = (whole_frequencies(side) for side in shape)
    radius = radius_of(np.stack(np.meshgrid(down, across, indexing="ij"), -1), shape)
    step = 2 / min(shape)  # one cycle per image, of the shorter side
    ring = np.rint(radius / step).astype(int)
    energy, count = np.bincount(ring.ravel(), shares.ravel()), np.bincount(ring.ravel())
    there = count > 0
    radii, profile = np.flatnonzero(there) * step, energy[there] / count[there]
    fitted = (radii > 0) & (radii <= 1) & (profile > 0)
    slope = float(np.polyfit(np.log(radii[fitted]), np.log(profile[fitted]), 1)[0]) if fitted.sum() > 1 else math.nan
    return Spectrum(shares, radii, profile, np.cumsum(energy[there]), slope, float((shares * radius).sum()))


def share_below(found: Spectrum, cutoff: float) -> float:
    """Share of the energy in rings up to `cutoff` of Nyquist."""
    inside = found.radii <= cutoff + 1e-9
    return float(found.below[inside][-1]) if inside.any() else 0.0
