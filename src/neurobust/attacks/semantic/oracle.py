"""The oracle: another network's opinion on whether an altered image still shows what its label and attributes say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from neurobust.attacks.semantic.blocks import FEATURES, small_trunk
from neurobust.attacks.semantic.data import chunks
from neurobust.attacks.semantic.fit import Trainer
from neurobust.attacks.semantic.gates import Gate, chance_corrected, gate


class Oracle(nn.Module):
    """[0,1] images (N, 3, H, W) -> logits of the classes (N, K) and of the attributes (N, A)."""

    def __init__(self, classes: int, attributes: int = 0, width: int = 24):
        super().__init__()
        self.arguments = {"classes": classes, "attributes": attributes, "width": width}
        self.trunk = small_trunk(width)
        self.head = nn.Linear(FEATURES * width, classes)
        self.attribute_head = nn.Linear(FEATURES * width, attributes) if attributes else None

    def forward(self, images: Tensor) -> Tensor:
        """Logits of the classes (N, K)."""
        return self.head(self.trunk(images))

    def attributes(self, images: Tensor) -> Tensor:
        """Logits of the attributes (N, A)."""
        return self.attribute_head(self.trunk(images))

    def maps(self, images: Tensor) -> list[Tensor]:
        """The maps of every stage, for a feature distance."""
        found = []
        for layer in self.trunk[:-2]:
            images = layer(images)
            found.append(images)
        return found[1:]


class OracleTrainer(Trainer):
    """Cross-entropy on the labels, and on each attribute of a task that has them; images flipped at random."""

    name = "oracle"
    defaults: Mapping[str, Any] = {"epochs": 10, "width": 24, "seed": 1000}

    def build(self) -> nn.Module:
        """As wide as the settings say."""
        return Oracle(len(self.data.classes), len(self.data.attribute_names), self.settings["width"])

    def losses(self, images: Tensor, rows: np.ndarray, epoch: int) -> dict[str, Tensor]:
        """Cross-entropy of labels, plus that of attributes."""
        features = self.network.trunk(flipped(images))
        loss = functional.cross_entropy(self.network.head(features), self.data.label(rows, self.device))
        if self.network.attribute_head is not None:
            logits = self.network.attribute_head(features)
            loss = loss + functional.binary_cross_entropy_with_logits(logits, self.data.code(rows, self.device))
        return {"loss": loss}

    @torch.no_grad()
    def gates(self) -> list[Gate]:
        """Accuracy above chance on held-out images, of the labels and of the worst attribute."""
        rows, hits, right = self.data.held_out(), [], []
        for part in chunks(rows, 256):
            features = self.network.trunk(self.data.pixels(part, self.device))
            hits.append(self.network.head(features).argmax(1) == self.data.label(part, self.device))
            if self.network.attribute_head is not None:
                right.append((self.network.attribute_head(features) > 0) == (self.data.code(part, self.device) > 0.5))
        accuracy = torch.cat(hits).float().mean().item()
        skill = chance_corrected(accuracy, len(self.data.classes))
        gates = [gate("label accuracy above chance", skill, 0.5, note=f"accuracy {accuracy:.3f}, {len(rows)} images")]
        if right:
            worst = torch.cat(right).float().mean(0)
            name = self.data.attribute_names[int(worst.argmin())]
            gates.append(gate("accuracy of the worst attribute", worst.min().item(), 0.8, note=name))
        return gates


def flipped(images: Tensor) -> Tensor:
    """Each image mirrored with probability 1/2 (torch's global generator)."""
    mirror = torch.rand(len(images)) < 0.5
    return torch.where(mirror.to(images.device)[:, None, None, None], images.flip(3), images)
