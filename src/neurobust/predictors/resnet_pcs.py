"""A convolutional network trained from scratch on the principal components of ROI responses.

Source: Shao, Ma, Li & Beck, "Probing human visual robustness with neurally-guided deep neural networks" (2024): a
ResNet-18 whose outputs are the components that hold 95 % of the variance. Re-implemented from the description.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from neurobust.core.seeding import seed_everything
from neurobust.core.training import pick_device, train_epochs
from neurobust.predictors.data import TRAIN, SubjectData, channel_statistics, to_float, training_batches
from neurobust.predictors.predict import validation_r
from neurobust.predictors.projection import count_components, principal_components


class ComponentNet(nn.Module):
    """Images (N, 3, size, size) in [0, 1] -> responses (N, all voxels), through components per subject.

    components: their number per subject; mean, std: RGB statistics of the training images.
    """

    def __init__(
        self, voxels: dict[str, int], components: dict[str, int], architecture: str, input_size: int,
        mean: list[float], std: list[float],
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

    def forward(self, images: Tensor) -> Tensor:
        responses = [
            torch.addmm(getattr(self, f"centre_{subject}"), scores, getattr(self, f"basis_{subject}"))
            for subject, scores in self.scores(images).items()
        ]
        return torch.cat(responses, 1)


def build_component_net(
    settings: dict[str, Any], subjects: list[SubjectData], seed: int
) -> tuple[ComponentNet, dict[str, Any]]:
    """A fresh network with the components of the training images' responses, and the config that rebuilds its shape."""
    fits = {data.subject: principal_components(data.responses[data.rows_of(TRAIN)]) for data in subjects}
    mean, std = channel_statistics(subjects)
    config = {
        "voxels": {data.subject: data.voxels for data in subjects},
        "components": {s: max(1, count_components(fit[2], settings["variance"])) for s, fit in fits.items()},
        "architecture": settings["architecture"],
        "input_size": subjects[0].images.shape[1],
        "mean": mean,
        "std": std,
    }
    seed_everything(seed, "resnet-pcs")
    model = ComponentNet(**config)
    for subject, (centre, basis, _) in fits.items():
        kept = torch.from_numpy(basis.T[: config["components"][subject]]).float()
        getattr(model, f"centre_{subject}").copy_(torch.from_numpy(centre))
        getattr(model, f"basis_{subject}")[: len(kept)] = kept
    return model, config


def fit_resnet_pcs(
    settings: dict[str, Any], subjects: list[SubjectData], seed: int, checkpoint: Path | None, fingerprint: str,
    *, voxel_batch: int = 512, image_batch: int = 100,
) -> tuple[ComponentNet, dict[str, Any], list[dict]]:  # fmt: skip
    """Train on all subjects at once: (model, config, history). Loss: squared error summed over components, averaged
    over images; Adam with weight decay; the epoch with the best median validation r over voxels is kept."""
    device = pick_device()
    model, config = build_component_net(settings, subjects, seed)
    model.to(device)
    optimiser = torch.optim.Adam(
        model.parameters(), lr=settings["learning_rate"], weight_decay=settings["weight_decay"]
    )

    def run_epoch(epoch: int) -> dict[str, float]:
        model.train()
        loss, images = 0.0, 0
        for data, rows in training_batches(subjects, settings["batch_size"], seed, epoch):
            if len(rows) == 1:
                continue  # BatchNorm has no statistics of one image where the maps are one place
            target = torch.from_numpy(data.responses[rows]).to(device) - getattr(model, f"centre_{data.subject}")
            target = target @ getattr(model, f"basis_{data.subject}").T
            scores = model.scores(to_float(data.images[data.row[rows]], device))[data.subject]
            error = (scores - target).square().sum()
            optimiser.zero_grad(set_to_none=True)
            (error / len(rows)).backward()
            optimiser.step()
            loss, images = loss + error.item(), images + len(rows)
        return {"loss": loss / max(images, 1), "validation_r": validation_r(model, subjects, image_batch, device)}

    history = train_epochs(
        parts={"model": model, "optimiser": optimiser}, run_epoch=run_epoch, epochs=settings["epochs"], seed=seed,
        checkpoint=checkpoint, fingerprint=fingerprint, label="resnet-pcs", patience=settings.get("patience"),
        score="validation_r",
    )  # fmt: skip
    return model.cpu().eval(), config, history
