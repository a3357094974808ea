"""cAdv: an image loses its colours and gets others, by hints to a colouriser, until the network misreads it.

Source: Bhattad et al., ICLR 2020, section 3.1. Batched, seeded, and with three differences: hints are sampled in each
cluster alone, and hints and mask are free in the clusters that are not pinned and nowhere else, so that fewer pinned
clusters mean strictly more freedom; pinned hints stay what they are; colours that sRGB lacks are shrunk towards grey
instead of clipped, so lightness is exactly the image's own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from neurobust.attacks.norms import per_image
from neurobust.attacks.perceptual import colour_distance
from neurobust.attacks.semantic.cadv_settings import CAdv
from neurobust.attacks.semantic.colouriser import OFF, ON, Colouriser, entropy, hint_input, recolour, split_lab
from neurobust.attacks.semantic.descent import Attempt, Book, descend, match_scale, misclassify
from neurobust.attacks.semantic.optimise import Adam
from neurobust.core.seeding import torch_generator
from neurobust.files.dataset import Dataset

SMOOTHING_SIDE = 224  # pixels: the published sigma belongs to images of this side
ROUNDS = 20  # of k-means


class CAdvAttack:
    """Strength: how many of an image's colour clusters are not pinned; the paper's cAdv-4 is 4 of 8."""

    def __init__(self, networks: Mapping[str, nn.Module], data: Dataset, settings: CAdv):
        self.colouriser, self.settings = cast(Colouriser, networks["colouriser"]), settings

    def __call__(self, model: nn.Module, images: Tensor, labels: Tensor, ids: Sequence[int]) -> Attempt:
        """Attack images (N, 3, H, W) in [0,1] with labels (N,); `ids`: their rows in the dataset."""
        setup = self.settings
        book = Book(model, images, labels, setup.strengths, setup.confidence)
        scene = Scene(self.colouriser, images, ids, setup)
        baselines: dict[str, list[Tensor]] = {"reconstruction": [], "colouriser-only": [], "random-hints": []}
        everything = torch.ones_like(images[:, :1], dtype=torch.bool)
        whole = scene.render(slice(None), hint_input(scene.ab, everything))
        hints, mask = scene.start(scene.pins(setup.clusters - book.strengths[0]))
        for index, strength in enumerate(book.strengths):
            pinned, fixed = scene.pins(setup.clusters - strength), scene.fixed(setup.clusters - strength)
            rows = book.standing()
            # what is no longer pinned starts from its hint, which it may keep: nothing is lost by more freedom
            hints[rows], mask[rows] = self._climb(book, scene, index, rows, fixed, hints, mask)
            book.close(index)
            plain = scene.start(pinned)
            baselines["reconstruction"].append(whole)
            baselines["colouriser-only"].append(scene.render(slice(None), plain))
            baselines["random-hints"].append(scene.random_hints(plain, fixed, book.tried[-1].to(images.device)))
        return book.attempt(baselines)

    def _climb(self, book: Book, scene: Scene, index: int, rows: Tensor, fixed: Tensor, hints: Tensor, mask: Tensor):
        """Optimise hints and mask of the standing images `rows` where they are not `fixed`, bool (N, 1, H, W)."""
        if not len(rows):
            return hints[rows], mask[rows]
        fixed, kept = fixed[rows], [hints[rows], mask[rows]]
        places = torch.full((len(hints),), -1, device=rows.device)
        places[rows] = torch.arange(len(rows), device=rows.device)

        def render(here: Tensor, points: list[Tensor]) -> Tensor:
            free = ~fixed[places[here]]
            before = [part[places[here]] for part in kept]
            return scene.render(here, [torch.where(free, p, b) for p, b in zip(points, before, strict=True)])

        def bounds(points: list[Tensor]) -> list[Tensor]:
            return [points[0].clamp(-1, 1), points[1].clamp(OFF, ON)]

        optimiser = Adam(kept, self.settings.learning_rate, bounds)
        objective = misclassify(self.settings.loss, book.labels)
        steps = 0 if fixed.all() else self.settings.steps  # nothing is free: one look
        final = descend(book, index, rows, optimiser, render, objective, steps)
        return [torch.where(fixed, before, after) for before, after in zip(kept, final, strict=True)]


class Scene:
    """A batch of images taken apart: lightness, colour, and the hints that pin each cluster of colours.

    Clusters are ordered by how sure the colouriser is of them without hints, the surest first: k pinned clusters are
    the k surest, and the hints of k are among those of k + 1.
    """

    def __init__(self, colouriser: Colouriser, images: Tensor, ids: Sequence[int], settings: CAdv):
        self.colouriser, self.images, self.ids = colouriser, images, list(ids)
        self.lightness, self.ab = split_lab(images)
        with torch.no_grad():
            blind = hint_input(self.ab, torch.zeros_like(self.lightness, dtype=torch.bool))
            doubt = entropy(colouriser(self.lightness, *blind)[1])
        doubt = doubt.repeat_interleave(4, 1).repeat_interleave(4, 2)
        member = colour_clusters(smooth(self.ab, settings.sigma * images.shape[2] / SMOOTHING_SIDE), settings.clusters)
        self.rank = rank_clusters(member, doubt, settings.clusters)
        self.pin_rank = self._sample(settings.hints, settings.clusters)

    def _sample(self, hints: int, clusters: int) -> Tensor:
        """Rank of the cluster that a pixel pins, or `clusters` where it pins none: int64 (N, 1, H, W)."""
        size = self.rank.shape[1:]
        scores = torch.stack([torch.rand(size, generator=torch_generator("cadv", "hints", i)) for i in self.ids])
        flat, ranks = scores.flatten(1).to(self.images.device), self.rank.flatten(1)
        pins = torch.full_like(ranks, clusters)
        for cluster in range(clusters):
            inside = torch.where(ranks == cluster, flat, -1.0)
            best = inside.topk(min(hints, inside.shape[1]), dim=1)
            chosen = torch.where(best.values >= 0, cluster, pins.gather(1, best.indices))
            pins.scatter_(1, best.indices, chosen)
        return pins.view(len(pins), 1, *size)

    def pins(self, clusters: float) -> Tensor:
        """Pixels whose true colour is given away and stays, when this many clusters are pinned: bool (N, 1, H, W)."""
        return self.pin_rank < clusters

    def fixed(self, clusters: float) -> Tensor:
        """Pixels of the pinned clusters, where hints and mask are not free: bool (N, 1, H, W)."""
        return (self.rank < clusters)[:, None]

    def start(self, pinned: Tensor) -> list[Tensor]:
        """Hints and mask with nothing but the pins."""
        return [part.clone() for part in hint_input(self.ab, pinned)]

    def render(self, rows: Tensor | slice, hints: Sequence[Tensor]) -> Tensor:
        """Images of `rows` as the colouriser paints them, with their own lightness."""
        colour, _ = self.colouriser(self.lightness[rows], *hints)
        return recolour(self.lightness[rows], colour)

    @torch.no_grad()
    def random_hints(self, plain: list[Tensor], fixed: Tensor, tried: Tensor) -> Tensor:
        """Random patches of colour as hints, as far from the clean image (CIEDE2000) as the attack's own images."""
        side = self.images.shape[2]
        noise = torch.stack([torch.rand(2, 4, 4, generator=torch_generator("cadv", "random", i)) for i in self.ids])
        patches = nn.functional.interpolate(2 * noise.to(self.images.device) - 1, size=(side, side), mode="nearest")
        hints, mask = plain

        def make(scale: Tensor) -> Tensor:
            scale = per_image(scale, hints).to(hints)
            painted = torch.where(fixed, hints, (hints + scale * patches).clamp(-1, 1))
            return self.render(slice(None), [painted, torch.where(fixed, mask, OFF + scale * (ON - OFF))])

        wanted = colour_distance(self.images, tried)
        return match_scale(make, lambda made: colour_distance(self.images, made), wanted)


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
