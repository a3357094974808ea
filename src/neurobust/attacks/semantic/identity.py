"""Identity: an embedding of faces, and the threshold at which two of them are taken for the same person."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from neurobust.attacks.images import chunks
from neurobust.attacks.semantic.blocks import FEATURES, small_trunk
from neurobust.attacks.semantic.gates import gate
from neurobust.attacks.semantic.identity_settings import IdentityHelper
from neurobust.attacks.semantic.trainer import Trainer, flipped
from neurobust.attacks.semantic.verification import distances, pair_distances, threshold_at
from neurobust.files.auxiliary import Gate
from neurobust.files.splits import TEST

FALSE_POSITIVES = 1e-3  # share of pairs of different people that may pass for one
SCALE, MARGIN = 16.0, 0.1  # of the cosine softmax: Wang et al. (CosFace), CVPR 2018, for few people


class IdentityNetwork(nn.Module):
    """[0,1] images (N, 3, H, W) -> unit embeddings (N, D). `threshold`: squared distance at the false-positive rate."""

    threshold: Tensor

    def __init__(self, classes: int, dimensions: int = 64, width: int = 24):
        super().__init__()
        self.arguments = {"classes": classes, "dimensions": dimensions, "width": width}
        self.trunk = small_trunk(width)
        self.project = nn.Linear(FEATURES * width, dimensions)
        self.people = nn.Parameter(torch.randn(classes, dimensions))
        self.register_buffer("threshold", torch.zeros(()))

    def forward(self, images: Tensor) -> Tensor:
        """Unit embeddings (N, D)."""
        return functional.normalize(self.project(self.trunk(images)), dim=1)

    def same(self, images: Tensor, others: Tensor) -> Tensor:
        """Whether each pair is taken for one person, bool (N,)."""
        near: Tensor = distances(self(images), self(others)).float() <= self.threshold
        return near


class IdentityTrainer(Trainer[IdentityNetwork, IdentityHelper]):
    """Cosine softmax with a margin over the people; images flipped at random."""

    def build(self) -> IdentityNetwork:
        """As wide as the settings say."""
        return IdentityNetwork(len(self.data.classes), self.settings.dimensions, self.settings.width)

    def losses(self, images: Tensor, rows: np.ndarray, epoch: int) -> dict[str, Tensor]:
        """Cross-entropy of scaled cosines, the right one less the margin."""
        labels = self.label(rows)
        cosines = self.network(flipped(images)) @ functional.normalize(self.network.people, dim=1).T
        cosines = cosines - MARGIN * functional.one_hot(labels, cosines.shape[1])
        return {"loss": functional.cross_entropy(SCALE * cosines, labels)}

    def gates(self) -> list[Gate]:
        """Share of a person's own pairs that pass at the threshold, which is set here, both on held-out images.

        With a validation split the threshold comes from it and the shares from the test images.
        """
        held_out, test = self.data.held_out(), self.data.rows(TEST)
        _, impostors = pair_distances(*self.embed(held_out))
        self.network.threshold.copy_(threshold_at(impostors.float(), FALSE_POSITIVES))
        own, others = pair_distances(*self.embed(test))
        passed, wrong = ((part.float() <= self.network.threshold).float().mean().item() for part in (own, others))
        note = f"threshold {self.network.threshold.item():.3f} from {len(impostors)} pairs"
        return [
            gate("pairs of one person that pass", passed, 0.5, note=note),
            gate(
                "pairs of two people that pass", wrong, 10 * FALSE_POSITIVES, at_most=True, note=f"{len(others)} pairs"
            ),
        ]

    @torch.no_grad()
    def embed(self, rows: np.ndarray) -> tuple[Tensor, Tensor]:
        """Embeddings of `rows` and who they are."""
        parts = [self.network(self.pixels(part)) for part in chunks(rows, 256)]
        return torch.cat(parts), self.label(rows)
