"""Training of G-net: the published loss, on the published schedule or on a faster one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from neurobust.core.errors import InputError
from neurobust.core.reading import read_ahead
from neurobust.core.seeding import seed_everything
from neurobust.core.training import KeepBest, finite_loss, readers, train_epochs
from neurobust.predictors.data import channel_mean, training_batches
from neurobust.predictors.fitting import FitContext, Fitted
from neurobust.predictors.gabor import fill_prefilter
from neurobust.predictors.gnet import GNet, Prefilter
from neurobust.predictors.gnet_settings import GABOR, GNetSettings, Loop
from neurobust.predictors.held import Shown
from neurobust.predictors.loss import LossTerms, accumulate_gradients
from neurobust.predictors.model import Arguments
from neurobust.predictors.predict import validation_r
from neurobust.predictors.published import train_published


def load_alexnet(prefilter: Prefilter, path: Path) -> None:
    """Fill a prefilter from torchvision's AlexNet weights (`features.0` and `features.3` of the state dict)."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        for convolution, layer in zip(prefilter.convolutions, ("features.0", "features.3"), strict=True):
            convolution.load_state_dict({k: state[f"{layer}.{k}"] for k in ("weight", "bias")})
    except (OSError, KeyError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())
        message = f"{path}: not torchvision's AlexNet weights ({reason}); give alexnet-owt-7be5be79.pth"
        raise InputError(message) from error


def build_gnet(settings: GNetSettings, context: FitContext) -> tuple[GNet, Arguments]:
    """A fresh G-net for these subjects, and the config that rebuilds its shape."""
    config: Arguments = {
        "voxels": context.voxels,
        "input_size": context.input_size,
        "prefilter_channels": settings.prefilter_channels,
        "trunk_width": settings.trunk_width,
        "dropout": settings.dropout,
        "mean": channel_mean(context.subjects),
    }
    seed_everything(context.seed, "gnet")
    model = GNet(**config)
    if settings.prefilter == GABOR:
        fill_prefilter(model.prefilter, context.seed)
    else:
        load_alexnet(model.prefilter, Path(settings.prefilter))
    model.prefilter.requires_grad_(settings.finetune_prefilter)
    return model, config


def fit_gnet(settings: GNetSettings, context: FitContext) -> Fitted:
    """Train a G-net on all subjects at once.

    The schedule `published` is the loop of St-Yves et al. (`published.train_published`), `fast` is `train_fast`.
    """
    model, config = build_gnet(settings, context)
    train = train_published if settings.schedule == "published" else train_fast
    history = train(model.to(context.device), settings.loop, context)
    return Fitted(model.cpu().eval(), config, history)


def train_fast(model: GNet, loop: Loop, context: FitContext) -> list[dict[str, float]]:
    """Train in place with one forward and backward pass a batch; return the history.

    Each unique image is passed once an epoch, with its repeat-averaged response weighted by its repeats; validation is
    on images that no training trial showed; the epoch with the best median validation r over all voxels is kept.
    """
    subjects, seed, device = context.subjects, context.seed, context.device
    terms = LossTerms(loop.l1, loop.weight_floor, context.voxel_batch)
    trained = [p for p in model.parameters() if p.requires_grad]
    optimiser = torch.optim.Adam(trained, lr=loop.learning_rate)
    shown = Shown(model, subjects, loop.batch_size, device)
    steps = len(training_batches(subjects, loop.batch_size, seed, 0)) * loop.epochs
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: max(0.0, min(1.0, 3 * (1 - step / steps))))

    def run_epoch(epoch: int) -> dict[str, float]:
        model.train()
        loss, images = 0.0, 0
        batches = training_batches(subjects, loop.batch_size, seed, epoch)
        for (data, rows), pictures in read_ahead(shown.read, batches, readers(device)):
            optimiser.zero_grad(set_to_none=True)
            batch_loss = accumulate_gradients(
                model, data.subject, shown.to_device(pictures),
                torch.from_numpy(data.responses[rows]).to(device),
                torch.from_numpy(data.n_repeats[rows].astype(np.float32)).to(device), terms,
            )  # fmt: skip
            optimiser.step()
            schedule.step()
            loss += finite_loss(batch_loss.item(), f"gnet, {data.subject}, epoch {epoch}")
            images += len(rows)
        return {"loss": loss / images, "validation_r": validation_r(model, subjects, context.image_batch, device)}

    return train_epochs(
        parts={"model": model, "optimiser": optimiser, "schedule": schedule}, run_epoch=run_epoch, epochs=loop.epochs,
        seed=seed, checkpoint=context.checkpoint, fingerprint=context.fingerprint, label="gnet",
        keep=KeepBest("validation_r", loop.patience),
    )  # fmt: skip
