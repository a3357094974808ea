"""Training of G-net: the published loss, on the published schedule or on a faster one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from neurobust.core.errors import InputError
from neurobust.core.seeding import seed_everything
from neurobust.core.training import pick_device, train_epochs
from neurobust.predictors.data import SubjectData, channel_mean, to_float, training_batches
from neurobust.predictors.gabor import fill_prefilter
from neurobust.predictors.gnet import GNet, Prefilter
from neurobust.predictors.loss import accumulate_gradients
from neurobust.predictors.predict import validation_r
from neurobust.predictors.published import PUBLISHED, train_published


def load_alexnet(prefilter: Prefilter, path: Path) -> None:
    """Fill a prefilter from torchvision's AlexNet weights (`features.0` and `features.3` of the state dict)."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        prefilter[0].load_state_dict({k: state[f"features.0.{k}"] for k in ("weight", "bias")})
        prefilter[3].load_state_dict({k: state[f"features.3.{k}"] for k in ("weight", "bias")})
    except (OSError, KeyError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())
        message = f"{path}: not torchvision's AlexNet weights ({reason}); give alexnet-owt-7be5be79.pth"
        raise InputError(message) from error


def build_gnet(settings: dict[str, Any], subjects: list[SubjectData], seed: int) -> tuple[GNet, dict[str, Any]]:
    """A fresh G-net for these subjects, and the config that rebuilds its shape."""
    config = {
        "voxels": {data.subject: data.voxels for data in subjects},
        "input_size": subjects[0].images.shape[1],
        "prefilter_channels": settings["prefilter_channels"],
        "trunk_width": settings["trunk_width"],
        "dropout": settings["dropout"],
        "mean": channel_mean(subjects),
    }
    seed_everything(seed, "gnet")
    model = GNet(**config)
    if settings["prefilter"] == "gabor":
        fill_prefilter(model.prefilter, seed)
    else:
        load_alexnet(model.prefilter, Path(settings["prefilter"]))
    model.prefilter.requires_grad_(settings["finetune_prefilter"])
    return model, config


def fit_gnet(
    settings: dict[str, Any], subjects: list[SubjectData], seed: int, checkpoint: Path | None, fingerprint: str,
    *, voxel_batch: int = 512, image_batch: int = 100,
) -> tuple[GNet, dict[str, Any], list[dict]]:  # fmt: skip
    """Train a G-net on all subjects at once: (model, config, history).

    `settings["schedule"]`: `published` is the loop of St-Yves et al. (`published.train_published`), whose numbers
    (batch, epochs, rates) are the defaults; `fast`, the default, is `train_fast`.
    """
    device = pick_device()
    published = settings.get("schedule", "fast") == "published"
    settings = {**(PUBLISHED if published else {}), **settings}
    model, config = build_gnet(settings, subjects, seed)
    train = train_published if published else train_fast
    history = train(
        model.to(device), settings, subjects, seed, checkpoint, fingerprint, device,
        voxel_batch=voxel_batch, image_batch=image_batch,
    )  # fmt: skip
    return model.cpu().eval(), config, history


def train_fast(
    model: GNet, settings: dict[str, Any], subjects: list[SubjectData], seed: int, checkpoint: Path | None,
    fingerprint: str, device: torch.device, *, voxel_batch: int, image_batch: int,
) -> list[dict]:  # fmt: skip
    """Train in place with one forward and backward pass a batch; return the history.

    Each unique image is passed once an epoch, with its repeat-averaged response weighted by its repeats; validation is
    on images that no training trial showed; the epoch with the best median validation r over all voxels is kept.
    """
    trained = [p for p in model.parameters() if p.requires_grad]
    optimiser = torch.optim.Adam(trained, lr=settings["learning_rate"])
    steps = len(training_batches(subjects, settings["batch_size"], seed, 0)) * settings["epochs"]
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: max(0.0, min(1.0, 3 * (1 - step / steps))))

    def run_epoch(epoch: int) -> dict[str, float]:
        model.train()
        loss, images = 0.0, 0
        for data, rows in training_batches(subjects, settings["batch_size"], seed, epoch):
            optimiser.zero_grad(set_to_none=True)
            loss += accumulate_gradients(
                model, model.readouts[data.subject], to_float(data.images[data.row[rows]], device),
                torch.from_numpy(data.responses[rows]).to(device),
                torch.from_numpy(data.n_repeats[rows].astype(np.float32)).to(device),
                l1=settings["l1"], floor=settings["weight_floor"], voxel_batch=voxel_batch,
            )  # fmt: skip
            images += len(rows)
            optimiser.step()
            schedule.step()
        return {"loss": loss / images, "validation_r": validation_r(model, subjects, image_batch, device)}

    return train_epochs(
        parts={"model": model, "optimiser": optimiser, "schedule": schedule}, run_epoch=run_epoch,
        epochs=settings["epochs"], seed=seed, checkpoint=checkpoint, fingerprint=fingerprint,
        label="gnet", patience=settings["patience"], score="validation_r",
    )  # fmt: skip
