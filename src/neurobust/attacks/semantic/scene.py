"""An image taken apart for recolouring: lightness, colours in clusters, and the hints that give colours away."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from neurobust.attacks.norms import per_image
from neurobust.attacks.perceptual import colour_distance
from neurobust.attacks.semantic.colouriser import OFF, ON, Colouriser, Paint, entropy, hint_input, split_lab
from neurobust.attacks.semantic.descent import match_scale
from neurobust.core.seeding import torch_generator

SMOOTHING_SIDE = 224  # pixels: the published sigma belongs to images of this side
ROUNDS = 20  # of k-means


class Clustered(Protocol):
    """The settings of an attack on clusters of colours."""

    @property
    def clusters(self) -> int:
        """Of an image's colours."""

    @property
    def sigma(self) -> float:
        """Of the blur before clustering, in pixels of an image of 224."""


class Scene:
    """A batch of images taken apart: lightness, colour, and clusters of colours.

    Clusters are ordered by how sure the colouriser is of them without hints, the surest first. `paint` makes an image
    of lightness and colour; `sigma`, in pixels of an image of 224, blurs the colours before they are clustered.
    """

    def __init__(self, colouriser: Colouriser, images: Tensor, ids: Sequence[int], settings: Clustered, paint: Paint):
        self.colouriser, self.images, self.ids, self.paint = colouriser, images, list(ids), paint
        self.lightness, self.ab = split_lab(images)
        with torch.no_grad():
            blind = hint_input(self.ab, torch.zeros_like(self.lightness, dtype=torch.bool))
            doubt = entropy(colouriser(self.lightness, *blind)[1])
        doubt = doubt.repeat_interleave(4, 1).repeat_interleave(4, 2)
        member = colour_clusters(smooth(self.ab, settings.sigma * images.shape[2] / SMOOTHING_SIDE), settings.clusters)
        self.rank = rank_clusters(member, doubt, settings.clusters)

    def scores(self) -> Tensor:
        """A random number for each pixel (N, H, W), from the image's own stream: the largest become hints."""
        size = self.rank.shape[1:]
        drawn = [torch.rand(size, generator=torch_generator("cadv", "hints", image)) for image in self.ids]
        return torch.stack(drawn).to(self.images.device)

    def hinted(self, clusters: int, hints: int) -> Tensor:
        """`hints` random pixels of an image's `clusters` surest clusters together, bool (N, 1, H, W)."""
        inside = torch.where(self.rank < clusters, self.scores(), -1.0).flatten(1)
        best = inside.topk(min(hints, inside.shape[1]), dim=1)
        chosen = torch.zeros_like(inside, dtype=torch.bool).scatter_(1, best.indices, best.values >= 0)
        return chosen.view(len(chosen), 1, *self.rank.shape[1:])

    def start(self, hinted: Tensor) -> list[Tensor]:
        """Hints and mask where the true colour is given away at the pixels `hinted` (N, 1, H, W) and nowhere else."""
        return [part.clone() for part in hint_input(self.ab, hinted)]

    def whole(self) -> Tensor:
        """The images as the colouriser gives them back with every colour given away."""
        return self.render(slice(None), hint_input(self.ab, torch.ones_like(self.lightness, dtype=torch.bool)))

    def render(self, rows: Tensor | slice, hints: Sequence[Tensor]) -> Tensor:
        """Images of `rows` as the colouriser paints them."""
        colour, _ = self.colouriser(self.lightness[rows], *hints)
        return self.paint(self.lightness[rows], colour)

    @torch.no_grad()
    def random_hints(self, plain: list[Tensor], fixed: Tensor, tried: Tensor) -> Tensor:
        """Random patches of colour as hints, as far from the clean image (CIEDE2000) as the attack's own images.

        plain: hints and mask that they are added to; fixed: pixels where nothing is added, bool (N, 1, H, W).
        """
        side = self.images.shape[2]
        noise = torch.stack([torch.rand(2, 4, 4, generator=torch_generator("cadv", "random", i)) for i in self.ids])
        patches = nn.functional.interpolate(2 * noise.to(self.images.device) - 1, size=(side, side), mode="nearest")
        hints, mask = plain

        def make(scale: Tensor) -> Tensor:
            scale = per_image(scale, hints).to(hints)
            painted = torch.where(fixed, hints, (hints + scale * patches).clamp(-1, 1))
            return self.render(slice(None), [painted, torch.where(fixed, mask, mask + scale * (ON - mask))])

        wanted = colour_distance(self.images, tried)
        return match_scale(make, lambda made: colour_distance(self.images, made), wanted)


def free(points: list[Tensor]) -> list[Tensor]:
    """Hints and mask within the range that a colouriser is trained on."""
    return [points[0].clamp(-1, 1), points[1].clamp(OFF, ON)]


def smooth(ab: Tensor, sigma: float) -> Tensor:
    """Gaussian blur of each image's a and b in the plane alone, never across the two: (N, 2, H, W)."""
    from scipy.ndimage import gaussian_filter

    blurred = gaussian_filter(ab.cpu().numpy().astype(np.float64), (0, 0, sigma, sigma))
    return torch.from_numpy(blurred).to(ab)


def colour_clusters(ab: Tensor, clusters: int) -> Tensor:
    """k-means of each image's own colours: int64 (N, H, W). No chance in it: it starts from the farthest points.

    The first centre is the colour farthest from the image's mean, each further one that farthest from its nearest
    centre (Gonzalez 1985).
    """
    points = ab.flatten(2).transpose(1, 2).double()
    count, pixels, _ = points.shape
    rows = torch.arange(count, device=ab.device)
    nearest = (points - points.mean(1, keepdim=True)).square().sum(2)
    centres = []
    for k in range(clusters):
        centres.append(points[rows, nearest.argmax(1)])
        gap = (points - centres[-1][:, None]).square().sum(2)
        nearest = gap if k == 0 else torch.minimum(nearest, gap)
    found = torch.stack(centres, 1)
    for _ in range(ROUNDS):
        member = torch.cdist(points, found).argmin(2)
        share = nn.functional.one_hot(member, clusters).to(points)
        total = share.sum(1)
        means = share.transpose(1, 2) @ points / total.clamp_min(1)[..., None]
        found = torch.where(total[..., None] > 0, means, found)
    return torch.cdist(points, found).argmin(2).view(count, *ab.shape[2:])


def rank_clusters(member: Tensor, doubt: Tensor, clusters: int) -> Tensor:
    """Each pixel's cluster, renumbered by its mean doubt: 0 is the surest; empty ones come last. (N, H, W)."""
    share = nn.functional.one_hot(member.flatten(1), clusters).to(doubt)
    total = share.sum(1)
    means = (share * doubt.flatten(1)[..., None]).sum(1) / total.clamp_min(1)
    order = torch.where(total > 0, means, torch.inf).argsort(dim=1, stable=True)
    ranks = torch.empty_like(order).scatter_(1, order, torch.arange(clusters, device=order.device).expand_as(order))
    return ranks.gather(1, member.flatten(1)).view_as(member)
