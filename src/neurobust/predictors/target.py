"""A trained predictor, read back as a frozen module: what networks are asked to resemble."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from neurobust.core.errors import InputError
from neurobust.core.io import load_weights
from neurobust.predictors.fwrf import FwRF
from neurobust.predictors.gnet import GNet
from neurobust.predictors.linear import PooledLinear
from neurobust.predictors.projection import Projection
from neurobust.predictors.resnet_pcs import ComponentNet

# kind -> what rebuilds its module from the config in its weights file
MODULES: dict[str, Callable[..., nn.Module]] = {
    "gnet": GNet,
    "resnet-pcs": ComponentNet,
    "gabor-fwrf": FwRF,
    "cnn-fwrf": FwRF,
    "ridge": PooledLinear,
}


def load_predictor(path: Path) -> nn.Module:
    """A trained predictor from its `model.safetensors`: eval mode, frozen, images (N, 3, size, size) -> (N, voxels)."""
    state, config = load_weights(path)
    kind = config.pop("kind", None)
    if kind not in MODULES:
        raise InputError(f"{path}: predictor kind {kind!r} is not one of {sorted(MODULES)}; update neurobust")
    module = MODULES[kind](**config)
    module.load_state_dict(state)
    return module.eval().requires_grad_(False)


class Target(nn.Module):
    """Frozen predictors side by side: images (N, 3, H, W) in [0, 1] of any size -> responses (N, D).

    Each predictor gets the image at its own input size and subtracts its own mean. `projection`, where given, turns
    the responses of all of them into D components. `train()` is without effect: a frozen predictor whose BatchNorm
    follows the batch is not frozen (a flaw of published code).
    """

    def __init__(self, predictors: list[nn.Module], projection: Projection | None = None):
        super().__init__()
        self.predictors = nn.ModuleList(predictors)
        self.projection = projection
        self.requires_grad_(False)
        voxels = sum(sum(p.voxels.values()) for p in predictors)
        self.dimensions = projection.dimensions if projection is not None else voxels
        super().train(False)

    def train(self, mode: bool = True) -> Target:
        return self

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        responses = torch.cat([predictor(resize(images, predictor.input_size)) for predictor in self.predictors], 1)
        return responses if self.projection is None else self.projection(responses)


def resize(images: torch.Tensor, size: int) -> torch.Tensor:
    """Bilinear, antialiased resize of (N, 3, H, W) to (N, 3, size, size); the identity at the same size."""
    if images.shape[-2:] == (size, size):
        return images
    return nn.functional.interpolate(images, (size, size), mode="bilinear", antialias=True, align_corners=False)


def load_target(paths: list[Path], projection: Projection | None = None) -> Target:
    """Predictors of several ROIs as one frozen target module, with a projection that was fitted to them."""
    return Target([load_predictor(path) for path in paths], projection)
