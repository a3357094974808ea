"""How far apart two images look: CIEDE2000, SSIM, L2 and a network's own features. One float64 per pair of images."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from neurobust.core.errors import InputError

# Linear sRGB -> CIE XYZ (IEC 61966-2-1). White is (1, 1, 1) in sRGB, so that grey has a = b = 0 to the last bit or two.
RGB_TO_XYZ = ((0.4124564, 0.3575761, 0.1804375), (0.2126729, 0.7151522, 0.0721750), (0.0193339, 0.1191920, 0.9503041))
LAB_EDGE = 6 / 29  # where the cube root of CIE Lab gives way to a straight line
SSIM_WINDOW, SSIM_SIGMA, SSIM_K1, SSIM_K2 = 11, 1.5, 0.01, 0.03

# distance(images (N, 3, H, W) in [0,1], others of the same shape) -> float64 (N,)
Distance = Callable[[Tensor, Tensor], Tensor]
# embedding(images (N, 3, H, W) in [0,1]) -> parts (N, ...), several; their Euclidean distance is a distance of images
Embedding = Callable[[Tensor], Sequence[Tensor]]


def rgb_to_lab(images: Tensor) -> Tensor:
    """sRGB (N, 3, H, W) in [0,1] -> CIE Lab (D65) of the same shape: L in 0..100, a and b about -110..110.

    Differentiable with finite gradients everywhere, black included.
    """
    high = ((images.clamp_min(0.04045) + 0.055) / 1.055) ** 2.4  # clamped: `where` must not meet a NaN gradient
    linear = torch.where(images > 0.04045, high, images / 12.92)
    xyz = _mix(linear, _matrix(images))
    root = xyz.clamp_min(LAB_EDGE**3) ** (1 / 3)
    x, y, z = torch.where(xyz > LAB_EDGE**3, root, xyz / (3 * LAB_EDGE**2) + 4 / 29).unbind(1)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], dim=1)


def lab_to_rgb(lab: Tensor, clip: bool = True) -> Tensor:
    """CIE Lab (N, 3, H, W) -> sRGB, the inverse of `rgb_to_lab`.

    Colours that sRGB lacks are clipped to [0,1], which changes their L too and stops their gradient; without `clip`
    they come back outside it (below black on the straight line of the transfer curve). Finite gradients everywhere.
    """
    linear = lab_to_linear(lab)
    high = 1.055 * linear.clamp_min(0.0031308) ** (1 / 2.4) - 0.055
    images = torch.where(linear > 0.0031308, high, 12.92 * linear)
    return images.clamp(0, 1) if clip else images


def lab_to_linear(lab: Tensor) -> Tensor:
    """CIE Lab (N, 3, ...) -> linear RGB, outside [0,1] where sRGB lacks the colour."""
    lightness, a, b = lab.unbind(1)
    y = (lightness + 16) / 116
    place = torch.stack([y + a / 500, y, y - b / 200], dim=1)
    xyz = torch.where(place > LAB_EDGE, place**3, 3 * LAB_EDGE**2 * (place - 4 / 29))
    return _mix(xyz, torch.linalg.inv(_matrix(lab).double()).to(lab.dtype))


def ciede2000(lab: Tensor, other: Tensor) -> Tensor:
    """CIEDE2000 between Lab colours (N, 3, ...): (N, ...), with kL = kC = kH = 1.

    Sharma, Wu and Dalal (2005), "The CIEDE2000 color-difference formula", equations 2 to 22. Angles in radians.
    """
    (l1, a1, b1), (l2, a2, b2) = lab.unbind(1), other.unbind(1)
    mean7 = ((torch.hypot(a1, b1) + torch.hypot(a2, b2)) / 2) ** 7
    stretch = 1.5 - 0.5 * torch.sqrt(mean7 / (mean7 + 25.0**7))
    a1, a2 = a1 * stretch, a2 * stretch
    c1, c2 = torch.hypot(a1, b1), torch.hypot(a2, b2)
    h1, h2 = torch.atan2(b1, a1) % math.tau, torch.atan2(b2, a2) % math.tau
    grey = c1 * c2 == 0
    gap = h2 - h1
    turn = torch.where(gap > math.pi, gap - math.tau, torch.where(gap < -math.pi, gap + math.tau, gap))
    turn = torch.where(grey, 0, turn)
    total, apart = h1 + h2, gap.abs() > math.pi
    mean_h = torch.where(apart, torch.where(total < math.tau, total + math.tau, total - math.tau), total) / 2
    mean_h = torch.where(grey, total, mean_h)
    mean_l, mean_c = (l1 + l2) / 2, (c1 + c2) / 2
    weight = (
        1 - 0.17 * torch.cos(mean_h - math.radians(30)) + 0.24 * torch.cos(2 * mean_h)
        + 0.32 * torch.cos(3 * mean_h + math.radians(6)) - 0.20 * torch.cos(4 * mean_h - math.radians(63))
    )  # fmt: skip
    blue = math.radians(30) * torch.exp(-(((torch.rad2deg(mean_h) - 275) / 25) ** 2))
    rotation = -torch.sin(2 * blue) * 2 * torch.sqrt(mean_c**7 / (mean_c**7 + 25.0**7))
    s_l = 1 + 0.015 * (mean_l - 50) ** 2 / torch.sqrt(20 + (mean_l - 50) ** 2)
    lightness = (l2 - l1) / s_l
    chroma = (c2 - c1) / (1 + 0.045 * mean_c)
    hue = 2 * torch.sqrt(c1 * c2) * torch.sin(turn / 2) / (1 + 0.015 * mean_c * weight)
    return torch.sqrt((lightness**2 + chroma**2 + hue**2 + rotation * chroma * hue).clamp_min(0))


def colour_distance(images: Tensor, others: Tensor) -> Tensor:
    """Mean CIEDE2000 over the pixels of each pair: float64 (N,), 0 for equal images; about 1 can just be seen."""
    _check(images, others)
    return ciede2000(rgb_to_lab(images.double()), rgb_to_lab(others.double())).flatten(1).mean(1)


def l2_distance(images: Tensor, others: Tensor) -> Tensor:
    """Euclidean norm of each pair's difference over all pixels and channels, float64 (N,)."""
    _check(images, others)
    return (images.double() - others.double()).flatten(1).norm(dim=1)


def ssim(images: Tensor, others: Tensor) -> Tensor:
    """Structural similarity of each pair, float64 (N,), 1 for equal images: the mean of the three channels' own.

    Wang, Bovik, Sheikh and Simoncelli (2004), equations 13 to 17: Gaussian window 11 x 11 of SD 1.5, K1 = 0.01,
    K2 = 0.03, population moments, windows that lie wholly inside the image alone. Raises InputError below 11 px.
    """
    _check(images, others)
    if min(images.shape[2:]) < SSIM_WINDOW:
        raise InputError(
            f"SSIM of images {tuple(images.shape[2:])}: its window is {SSIM_WINDOW} px; give larger images"
        )
    x, y = images.double(), others.double()
    mean_x, mean_y = _blur(x), _blur(y)
    variance_x, variance_y = _blur(x * x) - mean_x**2, _blur(y * y) - mean_y**2
    covariance = _blur(x * y) - mean_x * mean_y
    c1, c2 = SSIM_K1**2, SSIM_K2**2
    top = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    bottom = (mean_x**2 + mean_y**2 + c1) * (variance_x + variance_y + c2)
    return (top / bottom).flatten(1).mean(1)


def feature_distance(features: Callable[[Tensor], Tensor | Sequence[Tensor]]) -> Distance:
    """A distance in a network's own features, after Zhang et al. (2018) without their learned weights.

    features: images (N, 3, H, W) -> maps (N, C, ...) or vectors (N, C), one or several, such as `Classifier.features`.
    At each place of each map the channels are scaled to unit length; squared differences are summed over channels,
    averaged over places and summed over maps: 0 for equal images, at most 4 per map.
    """

    def distance(images: Tensor, others: Tensor) -> Tensor:
        _check(images, others)
        with torch.no_grad():
            pairs = zip(_maps(features(images)), _maps(features(others)), strict=True)
            return torch.stack([_unit_gap(one, other) for one, other in pairs]).sum(0)

    return distance


def distance_in(embedding: Embedding) -> Distance:
    """The Euclidean distance of what an embedding makes of images, with a gradient that is zero where they are equal.

    Of `embed`ded maps of a network it is the root of `feature_distance` (Laidlaw et al., ICLR 2021, section 3).

    Float64 (N,) of features as they come: two batches of the same image may differ by the rounding of their network.
    """

    def distance(images: Tensor, others: Tensor) -> Tensor:
        _check(images, others)
        return gap(embedding(images), embedding(others))

    return distance


def embed(maps: Sequence[Tensor]) -> list[Tensor]:
    """Maps (N, C, ...) with unit channel vectors over the root of the number of places, (N, C, places) each."""
    return [functional.normalize(part.flatten(2), dim=1) / math.sqrt(part[0, 0].numel()) for part in _maps(maps)]


def gap(one: Sequence[Tensor], other: Sequence[Tensor]) -> Tensor:
    """Euclidean distance of what `embed` gives for two batches, over all maps together: float64 (N,)."""
    gaps = [(mine - yours).double().square().flatten(1).sum(1) for mine, yours in zip(one, other, strict=True)]
    total = torch.stack(gaps).sum(0)
    return torch.where(total > 0, total.clamp_min(torch.finfo(torch.float64).tiny).sqrt(), 0.0)


def _unit_gap(one: Tensor, other: Tensor) -> Tensor:
    """Squared distance of unit channel vectors, mean over places: (N,)."""
    one, other = (functional.normalize(maps.double().flatten(2), dim=1) for maps in (one, other))
    return (one - other).square().sum(1).flatten(1).mean(1)


def _maps(found: Tensor | Sequence[Tensor]) -> list[Tensor]:
    """Maps as (N, C, places); a vector has one place."""
    maps = [found] if isinstance(found, Tensor) else list(found)
    return [part if part.ndim > 2 else part[..., None] for part in maps]


def _matrix(like: Tensor) -> Tensor:
    """Linear sRGB -> XYZ relative to white, (3, 3)."""
    matrix = torch.tensor(RGB_TO_XYZ, dtype=torch.float64)
    return (matrix / matrix.sum(1, keepdim=True)).to(like)


def _mix(images: Tensor, matrix: Tensor) -> Tensor:
    return torch.einsum("ij,nj...->ni...", matrix, images)


def _blur(images: Tensor) -> Tensor:
    """Gaussian-weighted means over every window that lies inside the image (N, 3, H, W): 10 px fewer each way."""
    down, across = (_windows(size).to(images) for size in images.shape[2:])
    return down.T @ images @ across


def _windows(size: int) -> Tensor:
    """The window at each place inside `size` pixels as a column: (size, size - 10), a band of weights."""
    weights = torch.exp(-((torch.arange(SSIM_WINDOW).double() - SSIM_WINDOW // 2) ** 2) / (2 * SSIM_SIGMA**2))
    places = torch.arange(size - SSIM_WINDOW + 1)
    matrix = torch.zeros(size, len(places), dtype=torch.float64)
    for step, weight in enumerate(weights / weights.sum()):
        matrix[places + step, places] = weight
    return matrix


def _check(images: Tensor, others: Tensor) -> None:
    if images.shape != others.shape or images.ndim != 4 or images.shape[1] != 3:
        raise InputError(
            f"perceptual distance of {tuple(images.shape)} and {tuple(others.shape)}: give two batches (N, 3, H, W)"
        )
