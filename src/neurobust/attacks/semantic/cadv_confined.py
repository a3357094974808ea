"""Confined recolouring: hints to a colouriser change some clusters of an image's colours and leave the others alone.

After cAdv (Bhattad et al., ICLR 2020), and another attack than theirs (`cadv`): hints and mask are free in the clusters
that are not pinned and nowhere else, so that fewer pinned clusters mean strictly more freedom, and with all of them
pinned nothing is free; pinned hints stay what they are, and each cluster has its own; it is untargeted; colours that
sRGB lacks are shrunk towards grey instead of clipped, so lightness is exactly the image's own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from neurobust.attacks.semantic.cadv_confined_settings import CAdvConfined
from neurobust.attacks.semantic.colouriser import Colouriser, recolour
from neurobust.attacks.semantic.descent import Attempt, Book, descend, misclassify
from neurobust.attacks.semantic.optimise import Adam
from neurobust.attacks.semantic.scene import Scene, free
from neurobust.files.dataset import Dataset


class ConfinedAttack:
    """Strength: how many of an image's colour clusters are not pinned."""

    def __init__(self, networks: Mapping[str, nn.Module], data: Dataset, settings: CAdvConfined):
        self.colouriser, self.settings = cast(Colouriser, networks["colouriser"]), settings

    def __call__(self, model: nn.Module, images: Tensor, labels: Tensor, ids: Sequence[int]) -> Attempt:
        """Attack images (N, 3, H, W) in [0,1] with labels (N,); `ids`: their rows in the dataset."""
        setup = self.settings
        book = Book(model, images, labels, setup.strengths, setup.confidence)
        scene = PinnedScene(self.colouriser, images, ids, setup)
        baselines: dict[str, list[Tensor]] = {"reconstruction": [], "colouriser-only": [], "random-hints": []}
        whole = scene.whole()
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

    def _climb(
        self, book: Book, scene: PinnedScene, index: int, rows: Tensor, fixed: Tensor, hints: Tensor, mask: Tensor
    ):
        """Optimise hints and mask of the standing images `rows` where they are not `fixed`, bool (N, 1, H, W)."""
        if not len(rows):
            return hints[rows], mask[rows]
        fixed, kept = fixed[rows], [hints[rows], mask[rows]]
        places = torch.full((len(hints),), -1, device=rows.device)
        places[rows] = torch.arange(len(rows), device=rows.device)

        def render(here: Tensor, points: list[Tensor]) -> Tensor:
            held = fixed[places[here]]
            before = [part[places[here]] for part in kept]
            return scene.render(here, [torch.where(held, b, p) for p, b in zip(points, before, strict=True)])

        optimiser = Adam(kept, self.settings.learning_rate, free)
        objective = misclassify(self.settings.loss, book.labels)
        steps = 0 if fixed.all() else self.settings.steps  # nothing is free: one look
        final = descend(book.at(index), rows, optimiser, render, objective, steps)
        return [torch.where(fixed, before, after) for before, after in zip(kept, final, strict=True)]


class PinnedScene(Scene):
    """A scene of which each cluster has pins of its own: the hints of k pinned clusters are among those of k + 1."""

    def __init__(self, colouriser: Colouriser, images: Tensor, ids: Sequence[int], settings: CAdvConfined):
        super().__init__(colouriser, images, ids, settings, recolour)
        self.pin_rank = self._sample(settings.hints, settings.clusters)

    def _sample(self, hints: int, clusters: int) -> Tensor:
        """Rank of the cluster that a pixel pins, or `clusters` where it pins none: int64 (N, 1, H, W)."""
        flat, ranks = self.scores().flatten(1), self.rank.flatten(1)
        pins = torch.full_like(ranks, clusters)
        for cluster in range(clusters):
            inside = torch.where(ranks == cluster, flat, -1.0)
            best = inside.topk(min(hints, inside.shape[1]), dim=1)
            chosen = torch.where(best.values >= 0, cluster, pins.gather(1, best.indices))
            pins.scatter_(1, best.indices, chosen)
        return pins.view(len(pins), 1, *self.rank.shape[1:])

    def pins(self, clusters: float) -> Tensor:
        """Pixels whose true colour is given away and stays, when this many clusters are pinned: bool (N, 1, H, W)."""
        return self.pin_rank < clusters

    def fixed(self, clusters: float) -> Tensor:
        """Pixels of the pinned clusters, where hints and mask are not free: bool (N, 1, H, W)."""
        return (self.rank < clusters)[:, None]
