"""A semantic attack as the engine runs it: attacked, looked at again, and measured beside its baselines."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, cast

import numpy as np
import torch
from torch import Tensor, nn

from neurobust.attacks.engine.cells import Parts, cell_hash
from neurobust.attacks.engine.run import Arrays
from neurobust.attacks.engine.verify import logits_again, look_again
from neurobust.attacks.perceptual import colour_distance, feature_distance, l2_distance, rgb_to_lab, ssim
from neurobust.attacks.search import abstains, misread
from neurobust.attacks.semantic.descent import Attempt
from neurobust.attacks.semantic.plan import SemanticPlan
from neurobust.attacks.semantic.registry import semantic_modules
from neurobust.files.semantic_table import ATTACK

logger = logging.getLogger("neurobust")

LIGHTNESS = 0.5  # of 100: what float32 and the ends of the gamut may change of it
MEASURES = ("ciede2000", "ssim", "l2", "feature_distance")
COUNTS = ("checked", "demoted", "bounds", "lightness", "label")
PER_IMAGE = ("clean_correct", "first", "n_forward", "n_backward")


class Attack(Protocol):
    """What `SemanticAttack.run` names, made."""

    def __call__(self, model: nn.Module, images: Tensor, labels: Tensor, ids: Sequence[int]) -> Attempt:
        """Attack images (N, 3, H, W) in [0,1] with labels (N,); `ids`: their rows in the dataset."""


class OracleNetwork(Protocol):
    """What is asked of the oracle."""

    def __call__(self, images: Tensor) -> Tensor:
        """Logits (N, K)."""

    def maps(self, images: Tensor) -> list[Tensor]:
        """Maps for a feature distance."""


class IdentityNetwork(Protocol):
    """What is asked of the identity network."""

    def same(self, images: Tensor, others: Tensor) -> Tensor:
        """Whether each pair is taken for one person, bool (N,)."""


class Judge:
    """What is measured of every altered image: the network's answer, distances to the clean one, the oracle's view."""

    def __init__(self, network: nn.Module, helpers: Mapping[str, nn.Module]):
        self.network = network
        self.oracle = cast(OracleNetwork, helpers["oracle"])
        self.identity = cast(IdentityNetwork | None, helpers.get("identity"))
        self.features = feature_distance(self.oracle.maps)

    @torch.no_grad()
    def measure(self, clean: Tensor, altered: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Columns (n,) of the table for images and what became of them, on the CPU."""
        logits = logits_again(self.network, altered, batch=len(altered) // 2 + 1)
        found = {
            "shown": logits.argmax(1),
            "wrong": misread(logits, labels.cpu()),
            "abstained": abstains(logits),
            "ciede2000": colour_distance(clean, altered),
            "ssim": ssim(clean, altered),
            "l2": l2_distance(clean, altered),
            "feature_distance": self.features(clean, altered),
            "oracle_correct": self.oracle(altered).argmax(1) == labels,
        }
        if self.identity is not None:
            found["same_person"] = self.identity.same(clean, altered)
        return {name: values.cpu() for name, values in found.items()}


@dataclass(frozen=True)
class Measured:
    """One semantic attack of a study on one network.

    Arrays of a cell: clean_correct (n,), first (n,), n_forward and n_backward (n, S); `{column}/{variant}` (n, S) and
    `example/{variant}` (keep, S, H, W, 3) for the attack and each of its baselines; `note/{name}` (n,) of the attempt's
    notes; `counts` in the order of COUNTS.
    """

    plan: SemanticPlan
    network: nn.Module
    run: Attack
    judge: Judge

    @property
    def parts(self) -> Parts:
        """Name, settings and sources."""
        return {"semantic": self.plan.name, "settings": self.plan.settings(), "sources": sources_of(self.plan)}

    @property
    def arrays(self) -> frozenset[str]:
        """What every attack's cell has."""
        return frozenset((*PER_IMAGE, f"success/{ATTACK}", "counts"))

    def attack(self, images: Tensor, labels: Tensor, ids: tuple[int, ...], keep: int) -> Arrays:
        """Attack, verify and measure one batch."""
        attempt = self.run(self.network, images, labels, list(ids))
        attempt, counts = verify(self.network, images, labels, attempt, self.plan.attack.keeps_lightness)
        found = {name: getattr(attempt, name).numpy() for name in PER_IMAGE}
        found |= {f"note/{name}": values for name, values in attempt.notes.items()}
        found["counts"] = np.array([[counts[name] for name in COUNTS]])
        for variant, batches in {ATTACK: attempt.tried, **attempt.baselines}.items():
            found |= measure_variant(self.judge, variant, images, labels, attempt)
            kept = np.stack([batch[:keep].numpy() for batch in batches])
            found[f"example/{variant}"] = kept.transpose(1, 0, 3, 4, 2).astype(np.float32)
        return found


def measure_variant(judge: Judge, variant: str, images: Tensor, labels: Tensor, attempt: Attempt) -> Arrays:
    """The columns of one variant as `{column}/{variant}` (n, S). A clean error counts as success, without distances.

    `abstained`: it counts as a success because the network gives no answer.
    `reached_target` where the attack has targets: the network takes the image for its target.
    """
    columns: dict[str, list[np.ndarray]] = {}
    for strength, batch in enumerate(attempt.tried if variant == ATTACK else attempt.baselines[variant]):
        found = judge.measure(images, batch.to(images.device), labels)
        shown, wrong = found.pop("shown"), found.pop("wrong")
        if variant == ATTACK:
            wrong = attempt.first <= strength
        found["success"] = wrong | ~attempt.clean_correct
        found["abstained"] &= found["success"]
        if attempt.targets is not None:
            taken = wrong & attempt.clean_correct & ~found["abstained"]
            found["reached_target"] = taken & (shown == attempt.targets)
        for name in MEASURES:
            found[name] = torch.where(attempt.clean_correct, found[name], math.nan)
        for name, values in found.items():
            columns.setdefault(f"{name}/{variant}", []).append(values.numpy())
    return {name: np.stack(values, axis=1) for name, values in columns.items()}


def verify(
    network: nn.Module, images: Tensor, labels: Tensor, attempt: Attempt, keeps_lightness: bool
) -> tuple[Attempt, dict[str, int]]:
    """Look at every adversarial again: see `engine.verify`; the promise of `keeps_lightness` is the same lightness.

    An image whose adversarial fails stands at every strength. Returns the corrected attempt and what was counted.
    """
    size = len(attempt.strengths)
    rows = (attempt.clean_correct & (attempt.first < size)).nonzero().squeeze(1)
    if not len(rows):
        return attempt, dict.fromkeys(COUNTS, 0)
    points = torch.stack([attempt.tried[int(attempt.first[row])][row] for row in rows.tolist()])
    light = torch.ones(len(rows), dtype=torch.bool)
    if keeps_lightness:
        change = (rgb_to_lab(points.double()) - rgb_to_lab(images.cpu()[rows].double()))[:, :1]
        light = change.abs().flatten(1).amax(1) <= LIGHTNESS
    good, counts, _ = look_again(network, points, labels[rows], ("lightness", light), len(images) // 2 + 1)
    first = attempt.first.clone()
    first[rows[~good]] = size
    if counts["demoted"]:
        logger.warning("verification demoted %s", counts)
    return replace(attempt, first=first), counts


def sources_of(plan: SemanticPlan) -> str:
    """Digest of the sources behind one attack's cells."""
    return cell_hash("neurobust.attacks.semantic.measured", *semantic_modules(plan.name))
