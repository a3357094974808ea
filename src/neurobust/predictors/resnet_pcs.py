"""A convolutional network trained from scratch on the principal components of ROI responses.

Source: Shao, Ma, Li & Beck, "Probing human visual robustness with neurally-guided deep neural networks" (2024): a
ResNet-18 whose outputs are the components that hold 95 % of the variance. Re-implemented from the description.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from neurobust.predictors.model import ResponseModel


class ComponentNet(ResponseModel):
    """Images (N, 3, size, size) in [0, 1] -> responses (N, all voxels), through components per subject.

    components: their number per subject; mean, std: RGB statistics of the training images.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, voxels: dict[str, int], components: dict[str, int], architecture: str, input_size: int,
        mean: Sequence[float], std: Sequence[float],
    ):  # fmt: skip
        super().__init__()
        from neurobust.core.vision import models

        self.voxels, self.components, self.input_size = dict(voxels), dict(components), input_size
        self.register_buffer("mean", torch.tensor(mean).reshape(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(std).reshape(1, 3, 1, 1))
        self.core = models.get_model(architecture, weights=None, num_classes=sum(components.values()))
        for subject, count in voxels.items():
            self.register_buffer(f"centre_{subject}", torch.zeros(count))
            self.register_buffer(f"basis_{subject}", torch.zeros(components[subject], count))

    def scores(self, images: Tensor) -> dict[str, Tensor]:
        """Predicted components (N, K) of each subject."""
        parts = self.core((images - self.mean) / self.std).split(list(self.components.values()), 1)
        return dict(zip(self.components, parts, strict=True))

    def centre(self, subject: str) -> Tensor:
        """Mean response (V,) of a subject."""
        return getattr(self, f"centre_{subject}")

    def basis(self, subject: str) -> Tensor:
        """Components (K, V) of a subject."""
        return getattr(self, f"basis_{subject}")

    def forward(self, images: Tensor) -> Tensor:
        """Responses (N, voxels)."""
        scores = self.scores(images)
        return torch.cat([self._responses(scores, subject) for subject in scores], 1)

    def respond(self, images: Tensor, subject: str) -> Tensor:
        """Responses (N, V) of one subject's voxels."""
        return self._responses(self.scores(images), subject)

    def _responses(self, scores: dict[str, Tensor], subject: str) -> Tensor:
        return torch.addmm(self.centre(subject), scores[subject], self.basis(subject))
