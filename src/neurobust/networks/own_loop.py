"""The neural loss in a training loop of your own: any network, towards a predictor's responses or your own.

What it compares is what a condition of a study compares, so a loop that does the rest as a study does gets its weights
(docs/python.md has one, and a test compares them bit for bit).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from neurobust.core.errors import InputError
from neurobust.core.seeding import derive_seed
from neurobust.core.training import pick_device
from neurobust.files.splits import TRAIN
from neurobust.networks.architectures import Classifier
from neurobust.networks.controls import shuffled_partners
from neurobust.networks.registry import LOSSES
from neurobust.networks.targets import compute_responses, standardise

Target = Callable[[Tensor], Tensor]  # images (n, 3, H, W) in [0, 1] -> responses (n, D)


class Standardised(nn.Module):
    """A frozen target whose responses have mean 0 and SD 1 over some training images: (n, 3, H, W) -> (n, D)."""

    mean: Tensor
    std: Tensor

    def __init__(self, target: nn.Module, mean: np.ndarray, std: np.ndarray):
        super().__init__()
        self.target = target
        self.register_buffer("mean", torch.from_numpy(mean))
        self.register_buffer("std", torch.from_numpy(std))

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """Standardised responses, without a gradient."""
        return (self.target(images).float() - self.mean) / self.std


def raw_responses(target: nn.Module, images: Any, batch: int, device: torch.device) -> np.ndarray:
    """Responses (N, D) float32 of a target to images uint8 (N, H, W, 3), `batch` at a time."""
    return compute_responses(lambda pixels, _: target(pixels), images, np.arange(len(images)), batch, device)


def standardised(target: nn.Module, images: Any, batch: int = 256, device: torch.device | None = None) -> Standardised:
    """A target of `load_target` in units of its spread over training images uint8 (N, H, W, 3), on a device (default:
    the GPU where there is one)."""
    device = pick_device() if device is None else device
    responses = raw_responses(target.to(device), images, batch, device)
    return Standardised(target, *standardise(responses)).to(device)


def target_responses(
    target: nn.Module, images: Any, split: np.ndarray, shuffle_seed: int | None = None, batch: int = 256,
    device: torch.device | None = None,
) -> Tensor:  # fmt: skip
    """Responses (N, D) on the CPU to images uint8 (N, H, W, 3), standardised on those with split (N,) 0 (training).

    With `shuffle_seed` they are those of the shuffle control: each image has the response to another one of its split,
    none its own, so that only the pairing is lost. Exact where images are shown as they are stored, without
    augmentation; `standardised` serves the rest.
    """
    device = pick_device() if device is None else device
    responses = raw_responses(target.to(device), images, batch, device)
    mean, std = standardise(responses[np.asarray(split) == TRAIN])
    responses -= mean
    responses /= std
    if shuffle_seed is not None:
        responses = responses[shuffled_partners(np.asarray(split), shuffle_seed)]
    return torch.from_numpy(responses)


def neural_head(width: int, voxels: int, seed: int) -> nn.Linear:
    """The linear map from features (n, width) to responses (n, voxels) that the losses `mse` and `correlation` train.

    Drawn from a stream of its own; as `network.neural_head` of ours, or among the parameters of your optimiser.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, "neural head"))
        return nn.Linear(width, voxels)


def neural_loss(
    network: nn.Module | Tensor, images: Tensor, target: Target | Tensor, loss: str = "cka",
    head: nn.Module | None = None, layer: str | None = None,
) -> Tensor:  # fmt: skip
    """How far a network's features of images (n, 3, H, W) in [0, 1] are from a target's responses: to be minimised.

    network: a module, of which the input of its last linear layer is taken (or the output of the submodule `layer`,
    flattened), in a pass of its own; or the features (n, d) of a pass that you have made already. target: a module
    such as `standardised(load_target(path), images)`, which sees the images without a gradient, or responses (n, D).
    loss: one that a condition can name and that acts on single batches; those that predict responses need a `head`
    (`neural_head`). Raises InputError for a loss that needs something else.
    """
    if loss not in LOSSES or LOSSES[loss].by_class or LOSSES[loss].mixes_layers:
        usable = [name for name in LOSSES if not (LOSSES[name].by_class or LOSSES[name].mixes_layers)]
        raise InputError(f"neural_loss: {loss!r} is not one of {', '.join(usable)}; choose one of these")
    chosen = LOSSES[loss]
    features = network if isinstance(network, Tensor) else features_of(network, images, layer)
    if isinstance(target, Tensor):
        wanted = target.to(features.device)
    else:
        with torch.no_grad():
            wanted = target(images)
    if len(features) != len(wanted) or len(features) < chosen.min_batch:
        raise InputError(
            f"neural_loss: {len(features)} images and {len(wanted)} responses; '{loss}' needs as many of both, "
            f"at least {chosen.min_batch}"
        )
    if chosen.needs_head and head is None:
        raise InputError(
            f"neural_loss: '{loss}' compares predicted responses; give head=neural_head(width, voxels, seed)"
        )
    compared = head(features) if chosen.needs_head and head is not None else features
    return cast(Tensor, chosen.function(compared.float(), wanted.float()))


def features_of(network: nn.Module, images: Tensor, layer: str | None) -> Tensor:
    """Activations (n, d): what the last linear layer reads, or what a submodule gives, flattened.

    Raises InputError for a network without a linear layer or without the submodule.
    """
    if isinstance(network, Classifier) and layer is None:
        return network.features(images)
    modules = dict(network.named_modules())
    linear = [module for module in modules.values() if isinstance(module, nn.Linear)]
    if (layer is None and not linear) or (layer is not None and layer not in modules):
        missing = "no linear layer" if layer is None else f"no submodule {layer!r}"
        raise InputError(f"neural_loss: the network has {missing}; name one of {', '.join(list(modules)[1:9])}")
    seen: list[Tensor] = []
    if layer is None:
        handle = linear[-1].register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    else:
        handle = modules[layer].register_forward_hook(lambda module, given, output: seen.append(output))
    try:
        network(images)
    finally:
        handle.remove()
    return seen[-1].flatten(1)
