"""How fast a machine trains a predictor, and an untrained one for what reads predictors."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from neurobust.core.io import save_weights
from neurobust.core.timing import seconds_of
from neurobust.core.training import pick_device
from neurobust.predictors.gnet import Filtered, GNet
from neurobust.predictors.gnet_settings import GNetSettings
from neurobust.predictors.held import ROOM
from neurobust.predictors.loss import LossTerms, accumulate_gradients

SUBJECT = "probe"


def untrained_gnet(settings: GNetSettings, voxels: int, path: Path) -> None:
    """Write a G-net of these settings and so many voxels as `load_predictor` reads it."""
    config = _shape(settings, voxels)
    save_weights(path, GNet(**config).state_dict(), {"kind": settings.kind, **config})


@torch.no_grad()
def shown(model: GNet, settings: GNetSettings, images: Tensor, count: int) -> Tensor | Filtered:
    """What a step is shown of some of `count` images: as in training, their maps where those of all are kept."""
    if settings.finetune_prefilter:
        return images
    maps = model.filtered(images)
    return maps if count * maps.maps[0].nbytes <= ROOM else images


def gnet_seconds(settings: GNetSettings, voxels: int, images: int, least: float) -> float:
    """Wall seconds of an image in a training step on so many images in all, over `least` seconds of steps after one
    that does not count."""
    device, batch = pick_device(), settings.loop.batch_size
    model = GNet(**_shape(settings, voxels)).to(device).train()
    model.prefilter.requires_grad_(settings.finetune_prefilter)
    optimiser = torch.optim.Adam([part for part in model.parameters() if part.requires_grad])
    seen = shown(model, settings, torch.rand(batch, 3, *[settings.input_size] * 2, device=device), images)
    target, weight = torch.randn(batch, voxels, device=device), torch.ones(batch, device=device)

    def step() -> None:
        optimiser.zero_grad(set_to_none=True)
        loss = accumulate_gradients(model, SUBJECT, seen, target, weight, LossTerms(0.1, 0.1, 256))
        optimiser.step()
        loss.item()

    return seconds_of(step, least) / batch


def _shape(settings: GNetSettings, voxels: int) -> dict:
    return {
        "voxels": {SUBJECT: voxels}, "input_size": settings.input_size,
        "prefilter_channels": settings.prefilter_channels, "trunk_width": settings.trunk_width,
    }  # fmt: skip
