"""The oracle: another network's opinion on whether an altered image still shows what its label and attributes say."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from neurobust.attacks.images import chunks
from neurobust.attacks.semantic.blocks import FEATURES, small_trunk
from neurobust.attacks.semantic.gates import chance_corrected, gate
from neurobust.attacks.semantic.oracle_settings import OracleHelper
from neurobust.attacks.semantic.trainer import Trainer, flipped
from neurobust.files.auxiliary import Gate


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
        """Logits of the attributes (N, A); only for a task that has some."""
        if self.attribute_head is None:
            raise ValueError("this oracle was trained on a task without attributes; name a task of faces")
        logits: Tensor = self.attribute_head(self.trunk(images))
        return logits

    def maps(self, images: Tensor) -> list[Tensor]:
        """The maps of every stage, for a feature distance."""
        found = []
        for layer in self.trunk[:-2]:
            images = layer(images)
            found.append(images)
        return found[1:]


class OracleTrainer(Trainer[Oracle, OracleHelper]):
    """Cross-entropy on the labels, and on each attribute of a task that has them; images flipped at random."""

    def build(self) -> Oracle:
        """As wide as the settings say."""
        return Oracle(len(self.data.classes), len(self.data.attribute_names), self.settings.width)

    def losses(self, images: Tensor, rows: np.ndarray, epoch: int) -> dict[str, Tensor]:
        """Cross-entropy of labels, plus that of attributes."""
        features = self.network.trunk(flipped(images))
        loss = functional.cross_entropy(self.network.head(features), self.label(rows))
        if self.network.attribute_head is not None:
            logits = self.network.attribute_head(features)
            loss = loss + functional.binary_cross_entropy_with_logits(logits, self.code(rows))
        return {"loss": loss}

    @torch.no_grad()
    def gates(self) -> list[Gate]:
        """Accuracy above chance on held-out images, of the labels and of the worst attribute."""
        rows, hits, right = self.data.held_out(), [], []
        for part in chunks(rows, 256):
            features = self.network.trunk(self.pixels(part))
            hits.append(self.network.head(features).argmax(1) == self.label(part))
            if self.network.attribute_head is not None:
                right.append((self.network.attribute_head(features) > 0) == (self.code(part) > 0.5))
        accuracy = torch.cat(hits).float().mean().item()
        skill = chance_corrected(accuracy, len(self.data.classes))
        gates = [gate("label accuracy above chance", skill, 0.5, note=f"accuracy {accuracy:.3f}, {len(rows)} images")]
        if right:
            worst = torch.cat(right).float().mean(0)
            name = self.data.attribute_names[int(worst.argmin())]
            gates.append(gate("accuracy of the worst attribute", worst.min().item(), 0.8, note=name))
        return gates
