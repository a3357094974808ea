"""SemanticAdv against face verification: mixtures of a face and its edit that pass, or no longer pass, for a person.

One ascent serves every threshold: the objective does not depend on it, so an attack that ends at a threshold, as the
published one, is the same ascent cut short. Beside it: the plain edit, the face as the editor gives it back, and the
best of some random mixtures.

Source: Qiu et al., ECCV 2020, and their code. One thing differs: the weights that leave their range are put back at its
end, where theirs wander on outside and are cut off when used.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from neurobust.attacks.semantic.descent import descend
from neurobust.attacks.semantic.optimise import Adam
from neurobust.attacks.semantic.semanticadv import Mixture, random_edit, total_variation
from neurobust.attacks.semantic.verification import Aim, Embed
from neurobust.attacks.semantic.verification_settings import Verification
from neurobust.files.verification_table import ATTACK

WIDTH = 256  # of the published embeddings: their loss is the mean over it, which the smoothness is weighed against
VARIANTS = (ATTACK, "random-edit", "edit-only", "reconstruction")


@dataclass
class Found:
    """What was tried on n pairs: points (R, n, 3, H, W), the image that met a threshold first, else the nearest one;
    done bool (n, R); looks int64 (n, R): images shown to the verifier up to that, the clean one not among them."""

    points: Tensor
    done: Tensor
    looks: Tensor


class Pairs:
    """Which pairs stand at which thresholds, and what broke the others. Those that are wrong when clean are done."""

    def __init__(self, embed: Embed, aim: Aim, images: Tensor):
        self.embed, self.aim = embed, aim
        with torch.no_grad():
            done = aim.met(aim.distance(slice(None), embed(images)))
        self.found = Found(images.repeat(done.shape[1], 1, 1, 1, 1), done, torch.zeros_like(done, dtype=torch.int64))
        self.best = torch.full((len(images),), torch.inf, dtype=torch.float64, device=images.device)

    def standing(self) -> Tensor:
        """Pairs (k,) that stand at some threshold."""
        return (~self.found.done.all(1)).nonzero().squeeze(1)

    def ask(self, rows: Tensor, images: Tensor) -> Tensor:
        """The distances (k,) of images to the references of the pairs `rows`."""
        return self.aim.distance(rows, self.embed(images))

    def offer(self, rows: Tensor, images: Tensor, answers: Tensor) -> Tensor:
        """Look at candidates of the pairs `rows` (k,), at these distances (k,); bool (k,), which stand nowhere now."""
        distance = answers
        real = images.flatten(1).isfinite().all(1)  # what is no image breaks nothing
        cost = torch.where(distance.isfinite(), self.aim.cost(distance), -torch.inf)
        better, met = real & (cost < self.best[rows]), real[:, None] & self.aim.met(distance)
        self.best[rows[better]] = cost[better]
        done = self.found.done[rows]
        self.found.looks[rows] += ~done
        for place in range(done.shape[1]):
            taken = ~done[:, place] & (better | met[:, place])
            self.found.points[place, rows[taken]] = images[taken]
        self.found.done[rows] = done | met
        return self.found.done[rows].all(1)

    @torch.no_grad()
    def show(self, images: Tensor) -> None:
        """Offer an image for every pair."""
        rows = torch.arange(len(images), device=images.device)
        self.offer(rows, images, self.ask(rows, images))


def impersonate(
    embed: Embed, aim: Aim, mix: Mixture, images: Tensor, ids: Sequence[int], settings: Verification
) -> dict[str, Found]:
    """Every variant of VARIANTS on the pairs of `images` (n, 3, H, W), rows `ids`, whose edits are `mix`."""
    pairs = {variant: Pairs(embed, aim, images) for variant in VARIANTS}
    climb(pairs[ATTACK], mix, settings)
    for draw in range(settings.draws):
        pairs["random-edit"].show(random_edit(mix, settings.range, ids, draw))
    ones = torch.ones_like(mix.here)
    for variant, share in (("edit-only", ones), ("reconstruction", torch.zeros_like(ones))):
        with torch.no_grad():
            pairs[variant].show(mix.render(slice(None), [share]))
    return {variant: own.found for variant, own in pairs.items()}


def climb(pairs: Pairs, mix: Mixture, settings: Verification) -> None:
    """Adam on the mixing weights of the pairs that stand, until they meet the last threshold or the steps are over."""

    def bounds(points: list[Tensor]) -> list[Tensor]:
        return [points[0].clamp(1 - settings.range, 1)]

    def objective(rows: Tensor, images: Tensor, distance: Tensor, points: list[Tensor]) -> Tensor:
        return pairs.aim.cost(distance) / WIDTH + settings.smoothness * total_variation(points[0])

    rows = pairs.standing()
    start = (1 - settings.range / 2) * torch.ones_like(mix.here[rows])
    optimiser = Adam([start], settings.learning_rate, bounds)
    descend(pairs, rows, optimiser, mix.render, objective, settings.steps)
