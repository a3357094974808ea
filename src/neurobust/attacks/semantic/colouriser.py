"""A small user-guided colouriser: lightness and a few hints of colour in, colour out.

Source: Zhang et al., SIGGRAPH 2017 (inputs, hints, two heads, two phases of training), much smaller and trained on the
task's own images.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from neurobust.attacks.images import chunks, to_batch
from neurobust.attacks.perceptual import lab_to_linear, lab_to_rgb, rgb_to_lab
from neurobust.attacks.semantic.blocks import convolution
from neurobust.attacks.semantic.colouriser_settings import ColouriserHelper
from neurobust.attacks.semantic.gates import gate
from neurobust.attacks.semantic.trainer import Trainer
from neurobust.core.seeding import torch_generator
from neurobust.files.auxiliary import Gate
from neurobust.files.dataset import Dataset
from neurobust.files.splits import TRAIN

AB = 110.0  # largest |a|, |b|: the network's unit of colour
BIN = 10.0  # side of a colour class in the ab plane
ON, OFF = 0.5, -0.5  # mask where there is a hint and where there is none
HINT_RATE = 0.125  # of the geometric distribution of the number of hints
PATCH = 9 / 176  # largest side of a hint, of the image's
GATE_HINTS = (0, 8, 64)
CLASS_WEIGHT, COLOUR_WEIGHT = 0.15, 30.0
GAMUT_ROUNDS = 12
SPREADS = (8, 4, 1)  # cells on a side that hints are averaged over
SURE = 1e-3  # weight in a cell at which its mean counts for half
INPUTS = 4 + 3 * len(SPREADS)

# (lightness (N, 1, H, W), colour ab (N, 2, H, W)) -> images (N, 3, H, W) in [0,1]
Paint = Callable[[Tensor, Tensor], Tensor]


class Colouriser(nn.Module):
    """(L, hints, mask) -> colour ab (N, 2, H, W) in Lab units and logits of its classes (N, Q, H/4, W/4).

    lightness (N, 1, H, W) in 0..100; hints (N, 2, H, W), ab / 110; mask (N, 1, H, W), -0.5 without and 0.5 with a hint.
    `bins` (Q, 2): centres of the colour classes that the training images have. H and W are multiples of 8.
    """

    def __init__(self, bins: list[list[float]], width: int = 24):
        super().__init__()
        self.arguments = {"bins": bins, "width": width}
        w = width
        self.first = nn.Sequential(convolution(INPUTS, w), convolution(w, w))
        self.second = nn.Sequential(convolution(w, 2 * w, 2), convolution(2 * w, 2 * w))
        self.third = nn.Sequential(convolution(2 * w, 4 * w, 2), convolution(4 * w, 4 * w))
        self.fourth = nn.Sequential(
            convolution(4 * w, 4 * w, 2), convolution(4 * w, 4 * w, dilation=2), convolution(4 * w, 4 * w)
        )
        self.up_quarter, self.up_half, self.up_full = (
            convolution(8 * w, 4 * w), convolution(6 * w, 2 * w), convolution(3 * w, w),
        )  # fmt: skip
        self.classes = nn.Sequential(convolution(4 * w + INPUTS, 4 * w, kernel=1), nn.Conv2d(4 * w, len(bins), 1))
        self.colour = nn.Conv2d(w + INPUTS, 2, 1)

    def forward(self, lightness: Tensor, hints: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Colour ab and class logits."""
        given = torch.cat([(lightness - 50) / 100, hints, mask, *spread(hints, mask - OFF)], 1)
        full = self.first(given)
        half = self.second(full)
        quarter = self.third(half)
        deep = self.up_quarter(torch.cat([enlarge(self.fourth(quarter)), quarter], 1))
        shallow = self.up_half(torch.cat([enlarge(deep), half], 1))
        colour = self.colour(torch.cat([self.up_full(torch.cat([enlarge(shallow), full], 1)), given], 1))
        return AB * torch.tanh(colour), self.classes(torch.cat([deep, functional.avg_pool2d(given, 4)], 1))


def spread(hints: Tensor, weight: Tensor) -> list[Tensor]:
    """Mean colour of the hints in ever larger cells, the whole image at last, and how sure it is: 3 maps per scale.

    A large network learns to carry hints over an image; a small one is handed them. `weight` (N, 1, H, W) in 0..1.
    """
    size, maps = hints.shape[2:], []
    for cells in SPREADS:
        total = functional.adaptive_avg_pool2d(weight, cells)
        colour = functional.adaptive_avg_pool2d(weight * hints, cells) / (total + SURE)
        for part in (colour, total / (total + SURE)):
            maps.append(functional.interpolate(part, size=size, mode="bilinear", align_corners=False))
    return maps


def enlarge(maps: Tensor) -> Tensor:
    """Twice as many rows and columns, nearest."""
    return functional.interpolate(maps, scale_factor=2.0, mode="nearest")


def entropy(logits: Tensor) -> Tensor:
    """Entropy of the colour classes at each of the quarter places, in nats: (N, H/4, W/4)."""
    return torch.special.entr(logits.softmax(1)).sum(1)


def in_gamut(lightness: Tensor, ab: Tensor) -> Tensor:
    """ab shrunk towards grey, pixel by pixel, until sRGB has the colour: lightness stays what it is.

    Clipping RGB instead would change L, which colourisation must not. The factor is found by bisection, without
    gradient; grey is always inside.
    """
    with torch.no_grad():
        factor = torch.ones_like(lightness)
        outside = ~_has_colour(lightness, ab)
        # most pixels are inside: only the others are searched, as a list of them
        light, colour = lightness[outside][:, None], ab.movedim(1, -1)[outside[:, 0]]
        low, high = torch.zeros_like(light), torch.ones_like(light)
        for _ in range(GAMUT_ROUNDS):
            middle = (low + high) / 2
            fits = _has_colour(light, middle * colour)
            low, high = torch.where(fits, middle, low), torch.where(fits, high, middle)
        factor[outside] = low[:, 0]
    return factor * ab


def _has_colour(lightness: Tensor, ab: Tensor) -> Tensor:
    """Whether sRGB has the colours of (N, 1, ...) and (N, 2, ...): bool (N, 1, ...)."""
    linear = lab_to_linear(torch.cat([lightness, ab], 1))
    return ((linear >= 0) & (linear <= 1)).all(1, keepdim=True)


def recolour(lightness: Tensor, ab: Tensor) -> Tensor:
    """Images (N, 3, H, W) in [0,1] of this lightness and the nearest colour towards grey that sRGB has."""
    return lab_to_rgb(torch.cat([lightness, in_gamut(lightness, ab)], 1))


def recolour_clipped(lightness: Tensor, ab: Tensor) -> Tensor:
    """Images (N, 3, H, W) of this lightness and colour, clipped to [0,1] where sRGB lacks the colour: that changes
    lightness too."""
    return lab_to_rgb(torch.cat([lightness, ab], 1))


def split_lab(images: Tensor) -> tuple[Tensor, Tensor]:
    """Lightness (N, 1, H, W) and colour ab (N, 2, H, W) of images in [0,1]."""
    lab = rgb_to_lab(images)
    return lab[:, :1], lab[:, 1:]


def occupied_bins(data: Dataset, rows: np.ndarray) -> list[list[float]]:
    """Centres (a, b) of the squares of the ab plane that at least a few pixels of the images fall into."""
    counts: dict[tuple[int, int], int] = {}
    total = 0
    for part in chunks(rows, 64):
        _, ab = split_lab(to_batch(data, part, torch.device("cpu")))
        squares = torch.floor(ab / BIN).permute(0, 2, 3, 1).reshape(-1, 2).long()
        total += len(squares)
        for square, count in zip(*(found.tolist() for found in squares.unique(dim=0, return_counts=True)), strict=True):
            counts[tuple(square)] = counts.get(tuple(square), 0) + count
    kept = sorted(square for square, count in counts.items() if count >= 1e-5 * total)
    return [[BIN * (a + 0.5), BIN * (b + 0.5)] for a, b in kept]


def nearest_bin(ab: Tensor, bins: Tensor) -> Tensor:
    """Class of the mean colour of each 4 x 4 block: int64 (N, H/4, W/4)."""
    means = functional.avg_pool2d(ab, 4)
    return torch.cdist(means.permute(0, 2, 3, 1).flatten(1, 2), bins).argmin(2).view(len(ab), *means.shape[2:])


def hint_input(ab: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
    """Hints and mask that give away the colour `ab` (N, 2, H, W) at `places`, bool (N, 1, H, W)."""
    return torch.where(places, ab / AB, 0.0), torch.where(places, ON, OFF).to(ab)


def random_places(count: int, size: int, hints: int, *stream: object) -> Tensor:
    """`hints` random pixels of each of `count` images: bool (count, 1, size, size), from a named stream."""
    scores = torch.rand(count, size * size, generator=torch_generator(*stream))
    places = torch.zeros(count, size * size, dtype=torch.bool)
    if hints:
        places.scatter_(1, scores.topk(min(hints, size * size), dim=1).indices, True)
    return places.view(count, 1, size, size)


def training_hints(ab: Tensor) -> tuple[Tensor, Tensor]:
    """Hints and mask as a user may give them, from torch's global generator.

    As many patches as a geometric distribution says, each at a place around the centre and in its mean colour. One
    image in eight has a random share of all its pixels given away, so that dense hints are known too.
    """
    count, _, size, _ = ab.shape
    hints, mask = torch.zeros_like(ab), torch.full_like(ab[:, :1], OFF)
    number = torch.distributions.Geometric(torch.tensor(HINT_RATE)).sample((count,)).clamp_max(32).to(ab.device)
    grid = torch.arange(size, device=ab.device, dtype=ab.dtype)
    largest = max(1, math.ceil(PATCH * size))
    for k in range(int(number.max())):
        side = torch.randint(1, largest + 1, (count, 1)).to(ab.device)
        centre = (size / 2 + size / 4 * torch.randn(count, 2)).round().clamp(0, size - 1).to(ab.device)
        corner = (centre - (side - 1) // 2).clamp_min(0)
        rows, columns = ((grid >= c[:, None]) & (grid < c[:, None] + side) for c in corner.unbind(1))
        patch = ((number > k)[:, None, None] & rows[:, :, None] & columns[:, None, :])[:, None]
        area = patch.flatten(1).sum(1).clamp_min(1)[:, None, None, None]
        mean = (ab * patch).sum((2, 3), keepdim=True) / area
        hints, mask = torch.where(patch, mean / AB, hints), torch.where(patch, ON, mask)
    dense = (torch.rand(count) < 1 / 8)[:, None, None, None] & (
        torch.rand(count, 1, size, size) < torch.rand(count, 1, 1, 1)
    )
    dense = dense.to(ab.device)
    return torch.where(dense, ab / AB, hints), torch.where(dense, ON, mask)


class ColouriserTrainer(Trainer[Colouriser, ColouriserHelper]):
    """First the classes of colour without hints, then colour and classes with them."""

    def build(self) -> Colouriser:
        """As wide as the settings say, with the colour classes of the training images."""
        bins = occupied_bins(self.data, self.data.rows(TRAIN, 1000))
        self.bins = torch.tensor(bins, device=self.device)
        return Colouriser(bins, self.settings.width)

    def losses(self, images: Tensor, rows: np.ndarray, epoch: int) -> dict[str, Tensor]:
        """Cross-entropy of the classes and, after the first phase, the Huber loss of the colour."""
        lightness, ab = split_lab(images)
        guided = epoch >= self.settings.phase * self.settings.epochs
        hints, mask = training_hints(ab) if guided else hint_input(ab, torch.zeros_like(ab[:, :1], dtype=torch.bool))
        colour, logits = self.network(lightness, hints, mask)
        classes = functional.cross_entropy(logits, nearest_bin(ab, self.bins))
        huber = functional.huber_loss(colour / AB, ab / AB, delta=0.05) / 0.05
        return {
            "loss": CLASS_WEIGHT * classes + (COLOUR_WEIGHT * huber if guided else 0),
            "classes": classes,
            "colour": huber,
        }

    @torch.no_grad()
    def gates(self) -> list[Gate]:
        """What hints must do: more of them, closer colours; true colour where one is given, and certainty there."""
        rows = self.data.held_out(256)
        quality = [self.measure(rows, hints) for hints in GATE_HINTS]
        psnr = [found["psnr"] for found in quality]
        gains = [more - less for less, more in itertools.pairwise(psnr)]
        note = ", ".join(f"{value:.1f} dB with {hints}" for value, hints in zip(psnr, GATE_HINTS, strict=True))
        return [
            gate("gain of colour PSNR by more hints, dB", min(gains), 1.0, note=note),
            gate(
                "colour error at hints, of that without",
                quality[-1]["error"],
                0.75,
                at_most=True,
                note="mean over hints",
            ),
            gate("fall of entropy at hints, nats", quality[1]["fall"], 0.0, note="against the same places without"),
        ]

    def measure(self, rows: np.ndarray, hints: int) -> dict[str, float]:
        """PSNR of the colour (peak 220), error at the hints over that without them, and fall of the entropy there."""
        square, error, without, fall, pixels, blocks = 0.0, 0.0, 0.0, 0.0, 0, 0
        for number, part in enumerate(chunks(rows, 64)):
            lightness, ab = split_lab(self.pixels(part))
            places = random_places(len(part), self.data.side, hints, self.seed, "gate", hints, number).to(self.device)
            colour, logits = self.network(lightness, *hint_input(ab, places))
            square += (colour - ab).square().sum().item()
            pixels += ab.numel()
            unaided, blind = self.network(lightness, *hint_input(ab, torch.zeros_like(places)))
            error += ((colour - ab).norm(dim=1, keepdim=True) * places).sum().item()
            without += ((unaided - ab).norm(dim=1, keepdim=True) * places).sum().item()
            block = functional.max_pool2d(places.float(), 4)[:, 0]
            fall += ((entropy(blind) - entropy(logits)) * block).sum().item()
            blocks += int(block.sum())
        psnr = 20 * math.log10(2 * AB) - 10 * math.log10(square / pixels)
        return {"psnr": psnr, "error": error / max(without, 1e-9), "fall": fall / max(blocks, 1)}
