"""Face verification: distances of embeddings, thresholds at false-positive rates, pairs of images.

Source: Qiu et al., ECCV 2020 (SemanticAdv), 4.1 and their code: two images are one person where the squared distance of
their unit embeddings is at most a threshold, which is measured on pairs of different people.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from neurobust.attacks.images import chunks, to_batch
from neurobust.core.errors import InputError
from neurobust.core.seeding import numpy_rng
from neurobust.files.dataset import Dataset
from neurobust.files.splits import TEST
from neurobust.files.verification_table import Threshold

Embed = Callable[[Tensor], Tensor]  # images (N, 3, H, W) in [0,1] -> embeddings (N, D) of any length
TARGETED, UNTARGETED = "targeted", "untargeted"


def distances(embeddings: Tensor, others: Tensor) -> Tensor:
    """Squared distances (N,) of the unit vectors along rows (N, D) and (N, D), float64: 0 to 4, NaN where undefined."""
    one, two = (functional.normalize(part.double(), dim=1) for part in (embeddings, others))
    return (one - two).square().sum(1)


def pair_distances(embeddings: Tensor, people: Tensor) -> tuple[Tensor, Tensor]:
    """Squared distances of all pairs of the same person, and of all pairs of different people, float64.

    embeddings (N, D), taken at unit length; people (N,): who each is. A distance that is not finite counts against the
    verifier: pairs of two people then pass, pairs of one person do not.
    """
    unit = functional.normalize(embeddings.double(), dim=1)
    i, j = torch.triu_indices(len(people), len(people), offset=1, device=people.device)
    found = (2 - 2 * (unit @ unit.T)[i, j]).clamp_min(0)
    same, known = people[i] == people[j], found.isfinite()
    return torch.where(known, found, torch.inf)[same], torch.where(known, found, 0.0)[~same]


def threshold_at(impostors: Tensor, rate: float) -> Tensor:
    """Largest distance at which at most a share `rate` of the impostor pairs passes: ties count against it."""
    ordered = impostors.sort().values
    return torch.nextafter(ordered[may_pass(rate, len(ordered))], ordered.new_tensor(-1.0))


def may_pass(rate: float, pairs: int) -> int:
    """How many of some impostor pairs a false-positive rate lets pass."""
    return int(rate * pairs * (1 + 1e-12))  # 3e-4 of 10,000 are 3 and no 2.9999999999999996


def thresholds_of(verifier: str, embeddings: Tensor, people: Tensor, rates: Sequence[float]) -> list[Threshold]:
    """The threshold of each false-positive rate, the largest rate first, over all pairs of some images.

    Where a rate would let not one of the impostor pairs pass, they are too few to measure it: there is no threshold,
    and none is guessed.
    """
    genuine, impostors = pair_distances(embeddings, people)
    found: list[Threshold] = []
    count = int(people.unique().numel())
    for rate in sorted(rates, reverse=True):
        limit, passing, accepted = None, None, None
        if may_pass(rate, len(impostors)) >= 1:
            limit = float(threshold_at(impostors, rate))
            passing = int((impostors <= limit).sum())
            accepted = float((genuine <= limit).double().mean()) if len(genuine) else None
        found.append(Threshold(verifier, float(rate), limit, len(impostors), passing, count, len(genuine), accepted))
    return found


def measured(thresholds: Sequence[Threshold]) -> list[Threshold]:
    """Those whose rate could be measured."""
    return [found for found in thresholds if found.threshold is not None]


@torch.no_grad()
def embedded(embed: Embed, data: Dataset, rows: np.ndarray, device: torch.device, batch: int) -> Tensor:
    """Embeddings (n, D) of the images `rows`, `batch` of them at a time."""
    return torch.cat([embed(to_batch(data, part, device)) for part in chunks(rows, batch)])


def references_of(data: Dataset, rows: Sequence[int], goal: str, untargeted: str) -> np.ndarray:
    """Whom each image is compared with: rows (n,) of test images, drawn from the image's own row and nothing else.

    Targeted: an image of another person, each person alike. Untargeted: the image itself, or `another` of its person.
    Raises InputError where there is no such image.
    """
    if goal == UNTARGETED and untargeted == "itself":
        return np.array(rows, np.int64)
    tests, found = data.rows(TEST), []
    for row in rows:
        rng = numpy_rng("verification", goal, int(row))
        person = data.labels[row]
        if goal == TARGETED:
            others = np.unique(data.labels[tests])
            others = others[others != person]
            person = rng.choice(others) if len(others) else -1
        shown = tests[(data.labels[tests] == person) & (tests != row)]
        if not len(shown):
            raise InputError(
                f"{data.path}: no other test image for the {goal} pair of image {row}; give more test images per "
                "person, or semantic.verification other goals"
            )
        found.append(int(rng.choice(shown)))
    return np.array(found, np.int64)


@dataclass(frozen=True)
class Aim:
    """What pairs are to be taken for: references (n, D), embeddings; thresholds (R,), float64."""

    goal: str
    references: Tensor
    thresholds: Tensor

    def distance(self, rows: Tensor | slice, embeddings: Tensor) -> Tensor:
        """Squared distances (k,) of the embeddings (k, D) of pairs `rows` to their references, float64."""
        return distances(embeddings, self.references[rows])

    def met(self, distance: Tensor) -> Tensor:
        """At which thresholds the pairs are where the attacker wants them, bool (k, R).

        So they are too where the network gives no finite embedding: no answer is no robustness.
        """
        passes = distance[:, None] <= self.thresholds.to(distance.device)
        wanted = passes if self.goal == TARGETED else ~passes
        return wanted | ~distance.isfinite()[:, None]

    def cost(self, distance: Tensor) -> Tensor:
        """What the attacker minimises, (k,)."""
        return distance if self.goal == TARGETED else -distance
