"""How fast a machine trains a predictor, and an untrained one for what reads predictors."""

from __future__ import annotations

from pathlib import Path

import torch

from neurobust.core.io import save_weights
from neurobust.core.timing import seconds_of
from neurobust.core.training import pick_device
from neurobust.predictors.gnet import GNet
from neurobust.predictors.gnet_settings import GNetSettings
from neurobust.predictors.loss import LossTerms, accumulate_gradients

SUBJECT = "probe"


def untrained_gnet(settings: GNetSettings, voxels: int, path: Path) -> None:
    """Write a G-net of these settings and so many voxels as `load_predictor` reads it."""
    config = _shape(settings, voxels)
    save_weights(path, GNet(**config).state_dict(), {"kind": settings.kind, **config})


def gnet_seconds(settings: GNetSettings, voxels: int, least: float) -> float:
    """Wall seconds of an image in a training step, over `least` seconds of steps after one that does not count."""
    device, batch = pick_device(), settings.loop.batch_size
    model = GNet(**_shape(settings, voxels)).to(device).train()
    model.prefilter.requires_grad_(settings.finetune_prefilter)
    optimiser = torch.optim.Adam([part for part in model.parameters() if part.requires_grad])
    images = torch.rand(batch, 3, settings.input_size, settings.input_size, device=device)
    target, weight = torch.randn(batch, voxels, device=device), torch.ones(batch, device=device)

    def step() -> None:
        optimiser.zero_grad(set_to_none=True)
        loss = accumulate_gradients(model, SUBJECT, images, target, weight, LossTerms(0.1, 0.1, 256))
        optimiser.step()
        loss.item()

    return seconds_of(step, least) / batch


def _shape(settings: GNetSettings, voxels: int) -> dict:
    return {
        "voxels": {SUBJECT: voxels}, "input_size": settings.input_size,
        "prefilter_channels": settings.prefilter_channels, "trunk_width": settings.trunk_width,
    }  # fmt: skip
