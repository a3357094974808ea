"""A verifier of faces as the engine runs it: attacked, looked at again, and measured beside its baselines."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from neurobust.attacks.engine.cells import Parts, cell_hash
from neurobust.attacks.engine.run import Arrays
from neurobust.attacks.images import to_batch
from neurobust.attacks.perceptual import colour_distance
from neurobust.attacks.semantic.editor import Editor
from neurobust.attacks.semantic.impersonation import VARIANTS, Found, impersonate
from neurobust.attacks.semantic.registry import verification_modules
from neurobust.attacks.semantic.semanticadv import mixture, rebuild
from neurobust.attacks.semantic.verification import Aim, Embed, references_of
from neurobust.attacks.semantic.verification_settings import Verification
from neurobust.core.settings import written
from neurobust.files.dataset import Dataset
from neurobust.files.pixels import to_images
from neurobust.files.verification_table import ATTACK

logger = logging.getLogger("neurobust")

COUNTS = ("checked", "demoted", "bounds", "distance")
COLUMNS = ("success", "distance", "identity_success", "oracle_correct", "ciede2000", "n_forward")  # per variant
CLEAN = ("clean_wrong", "identity_clean_wrong")  # per pair and rate


@dataclass(frozen=True)
class Verifier:
    """Who verifies: an embedding and its thresholds, the largest rate first, only those that could be measured."""

    embed: Embed
    thresholds: Tensor

    def aim(self, goal: str, references: Tensor) -> Aim:
        """What pairs with these images (n, 3, H, W) as references are to be taken for."""
        with torch.no_grad():
            return Aim(goal, self.embed(references), self.thresholds)


@dataclass(frozen=True)
class Batch:
    """Images (n, 3, H, W) under attack with their labels, rows and attributes (n, A), the images that the editor gives
    back as these, `start`, and of how many pictures are kept."""

    images: Tensor
    labels: Tensor
    ids: tuple[int, ...]
    code: Tensor
    start: Tensor
    keep: int


@dataclass(frozen=True)
class Verified:
    """Verification of a study on one network, as the engine runs it.

    Arrays of a cell, for n pairs per goal (G), A attributes, V variants (VARIANTS) and R rates: reference (n, G); those
    of CLEAN (n, G, R); those of COLUMNS (n, G, A, V, R); edited and attacked (keep, G, A, H, W, 3), references
    (keep, G, H, W, 3); `counts` in the order of COUNTS.
    """

    settings: Verification
    names: list[str]
    data: Dataset
    editor: Editor
    oracle: nn.Module
    network: Verifier
    identity: Verifier

    @property
    def parts(self) -> Parts:
        """Settings and sources."""
        sources = cell_hash("neurobust.attacks.semantic.verified", *verification_modules())
        return {"semantic": "verification", "settings": written(self.settings), "sources": sources}

    @property
    def arrays(self) -> frozenset[str]:
        """What every cell has."""
        return frozenset((*CLEAN, *COLUMNS, "reference", "references", "edited", "attacked", "counts"))

    def attack(self, images: Tensor, labels: Tensor, ids: tuple[int, ...], keep: int) -> Arrays:
        """Attack, verify and measure the pairs of one batch."""
        code = torch.from_numpy(self.data.attributes[list(ids)]).to(images)
        batch = Batch(images, labels, ids, code, rebuild(self.editor, images, code, self.settings.rebuild), keep)
        arrays = stacked([self.attack_goal(goal, batch) for goal in self.settings.goals])
        arrays["counts"] = arrays["counts"].sum((1, 2))[:1]
        return arrays

    def attack_goal(self, goal: str, batch: Batch) -> Arrays:
        """The arrays of one goal, without the axis of goals."""
        chosen = references_of(self.data, batch.ids, goal, self.settings.untargeted_reference)
        shown = to_batch(self.data, chosen, batch.images.device)
        aims = self.network.aim(goal, shown), self.identity.aim(goal, shown)
        embeds = self.network.embed, self.identity.embed
        clean = clean_columns(aims, embeds, batch.images)
        found = stacked([self.attack_attribute(name, aims, clean["clean_wrong"], batch) for name in self.names])
        return found | clean | {"reference": chosen, "references": to_images(shown[: batch.keep])}

    def attack_attribute(self, name: str, aims: tuple[Aim, Aim], wrong: np.ndarray, batch: Batch) -> Arrays:
        """The arrays of one goal and attribute; wrong: `clean_wrong` (n, R)."""
        which = torch.full((len(batch.ids),), self.data.attribute_names.index(name), device=batch.images.device)
        mix = mixture(self.editor, batch.start, batch.code, which)
        found = impersonate(self.network.embed, aims[0], mix, batch.images, batch.ids, self.settings)
        looks = {variant: self.measure(aims, own, batch, wrong) for variant, own in found.items()}
        return {column: np.stack([looks[variant][column] for variant in VARIANTS], 1) for column in COLUMNS} | {
            "edited": to_images(found["edit-only"].points[-1][: batch.keep]),
            "attacked": to_images(found[ATTACK].points[-1][: batch.keep]),
            "counts": np.repeat(looks[ATTACK]["counts"][None], len(batch.ids), 0),
        }

    @torch.no_grad()
    def measure(self, aims: tuple[Aim, Aim], found: Found, batch: Batch, clean_wrong: np.ndarray) -> Arrays:
        """The COLUMNS (n, R) of one variant, every image looked at again, and the counts of that."""
        columns: dict[str, list[Tensor]] = {name: [] for name in COLUMNS}
        wrong, counts = torch.from_numpy(clean_wrong), torch.zeros(len(COUNTS), dtype=torch.int64)
        for place, points in enumerate(found.points):
            distance = aims[0].distance(slice(None), self.network.embed(points))
            met = aims[0].met(distance)[:, place].cpu()
            inside = ((points >= 0) & (points <= 1)).flatten(1).all(1).cpu()
            claimed = found.done[:, place].cpu() & ~wrong[:, place]
            good = met & inside
            counts += torch.stack(
                [part.sum() for part in (claimed, claimed & ~good, claimed & ~inside, claimed & ~met)]
            )
            other = aims[1].met(aims[1].distance(slice(None), self.identity.embed(points)))[:, place]
            values = {
                "success": (claimed & good) | wrong[:, place],
                "distance": distance,
                "identity_success": other,
                "oracle_correct": self.oracle(points).argmax(1) == batch.labels,
                "ciede2000": colour_distance(batch.images, points),
                "n_forward": found.looks[:, place].double(),
            }
            for name, value in values.items():
                columns[name].append(value.cpu())
        if counts[1]:
            logger.warning("verification demoted %s", dict(zip(COUNTS, counts.tolist(), strict=True)))
        return {name: torch.stack(parts, 1).numpy() for name, parts in columns.items()} | {"counts": counts.numpy()}


@torch.no_grad()
def clean_columns(aims: tuple[Aim, Aim], embeds: tuple[Embed, Embed], images: Tensor) -> Arrays:
    """The columns CLEAN (n, R): whether the network, and the identity network, are wrong about a pair as it is."""
    pairs = zip(CLEAN, aims, embeds, strict=True)
    return {name: aim.met(aim.distance(slice(None), embed(images))).cpu().numpy() for name, aim, embed in pairs}


def stacked(parts: list[Arrays]) -> Arrays:
    """Arrays of the same names, whose second axis says which of `parts` they are from."""
    return {name: np.stack([part[name] for part in parts], 1) for name in parts[0]}
