"""The neural loss in a training loop of your own: any network, towards a predictor's responses or your own.

What it compares is what a condition of a study compares, so a loop that does the rest as a study does gets its weights
(docs/python.md has one, and a test compares them bit for bit).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from numbers import Integral
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from neurobust.core.errors import InputError, flat
from neurobust.core.seeding import derive_seed
from neurobust.core.training import pick_device
from neurobust.files.splits import TRAIN
from neurobust.networks.architectures import Classifier
from neurobust.networks.controls import shuffled_partners
from neurobust.networks.registry import LOSSES
from neurobust.networks.targets import compute_responses, standardise

COMPILED = "_orig_mod"  # where torch.compile keeps the network that it was given
LARGEST = 1e12  # size of responses: of larger ones sums of squares are not finite in single precision
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
        """Standardised responses, without a gradient and in the target's own precision, also under autocast."""
        with torch.autocast(images.device.type, enabled=False):
            return (self.target(images).float() - self.mean) / self.std


def device_of(device: torch.device | str | int | None) -> torch.device:
    """The device that a caller names (default: the GPU where there is one); InputError for one that is not there."""
    if device is None:
        return pick_device()
    try:
        chosen = torch.device(device)
        torch.empty(0, device=chosen).cpu()
    except (RuntimeError, AssertionError, TypeError) as error:
        raise InputError(
            f"device: {device!r}: not to be had here ({flat(error)}); give 'cpu', or leave it out"
        ) from None
    return chosen


def raw_responses(target: nn.Module, images: Any, batch: int, device: torch.device) -> np.ndarray:
    """Responses (N, D) float32 of a target to images uint8 (N, H, W, 3), `batch` at a time; InputError for others."""
    if not isinstance(target, nn.Module):
        raise InputError(f"target: a {type(target).__name__}; give what `load_target` returns")
    images = images.numpy(force=True) if isinstance(images, Tensor) else images
    kind, shape = getattr(images, "dtype", type(images).__name__), tuple(getattr(images, "shape", ()))
    if kind != np.uint8 or len(shape) != 4 or shape[3] != 3:
        raise InputError(f"images: {kind} {shape}; give uint8 (N, H, W, 3), as an array")
    if not isinstance(batch, Integral) or batch < 1:
        raise InputError(f"batch: {batch!r}: give a whole number of images, at least 1")
    target.to(device)
    return compute_responses(lambda pixels, _: target(pixels), images, np.arange(len(images)), int(batch), device)


def standardised(
    target: nn.Module, images: Any, batch: int = 256, device: torch.device | str | int | None = None
) -> Standardised:
    """A target of `load_target` in units of its spread over training images uint8 (N, H, W, 3), on a device (default:
    the GPU where there is one)."""
    device = device_of(device)
    responses = raw_responses(target, images, batch, device)
    if len(responses) < 2:
        raise InputError(f"images: {len(responses)} of them; a spread of responses needs at least 2")
    return Standardised(target, *in_own_units(target, responses)).to(device)


def in_own_units(target: nn.Module, responses: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and SD (float32, (D,)) of a target's responses (N, D) in the units that it was fitted in: those of
    `targets.standardise`, which knows z-scores, and takes SDs far below 1 for those of constant columns."""
    found = getattr(target, "units", None)  # a module of somebody else may have none
    units = found.numpy(force=True) if isinstance(found, Tensor) else np.ones(1, np.float32)
    mean, std = standardise(responses / units)
    return mean * units, std * units


def target_responses(
    target: nn.Module, images: Any, split: np.ndarray, shuffle_seed: int | None = None, batch: int = 256,
    device: torch.device | str | int | None = None,
) -> Tensor:  # fmt: skip
    """Responses (N, D) on the CPU to images uint8 (N, H, W, 3), standardised on those with split (N,) 0 (training).

    With `shuffle_seed` they are those of the shuffle control: each image has the response to another one of its split
    (the only one of a split its own), the same one for good, so that only the pairing is lost. Exact where images are
    shown as they are stored, without augmentation; `standardised` serves the rest.
    """
    responses, split = raw_responses(target, images, batch, device_of(device)), np.asarray(split)
    if split.shape != (len(responses),) or (split == TRAIN).sum() < 2:
        raise InputError(
            f"split: {split.dtype} {split.shape} for {len(responses)} images; give as many numbers, at least 2 of them "
            "0, for training"
        )
    mean, std = in_own_units(target, responses[split == TRAIN])
    responses -= mean
    responses /= std
    if shuffle_seed is not None:
        responses = responses[shuffled_partners(split, shuffle_seed)]
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
    such as `standardised(load_target(path), images)`, which sees the images without a gradient, or responses (n, D),
    for `mse` in units of their standard deviation.
    loss: one that a condition can name and that acts on single batches; those that predict responses need a `head`
    (`neural_head`). Raises InputError for a loss that needs something else, and for responses that are not finite.
    """
    if loss not in LOSSES or LOSSES[loss].by_class or LOSSES[loss].mixes_layers:
        usable = [name for name in LOSSES if not (LOSSES[name].by_class or LOSSES[name].mixes_layers)]
        raise InputError(f"neural_loss: {loss!r} is not one of {', '.join(usable)}; choose one of these")
    chosen = LOSSES[loss]
    features = network if isinstance(network, Tensor) else features_of(network, images, layer)
    wanted = wanted_of(target, images, features.device)
    for name, part in (("features", features), ("responses", wanted)):
        if part.ndim != 2 or not part.is_floating_point():
            raise InputError(
                f"neural_loss: {name} are {part.dtype} {tuple(part.shape)}; give floats (images, numbers), such as "
                "those of `flatten(1)`"
            )
    if len(features) != len(wanted) or len(features) < chosen.min_batch:
        raise InputError(
            f"neural_loss: {len(features)} images and {len(wanted)} responses; '{loss}' needs as many of both, "
            f"at least {chosen.min_batch}"
        )
    check_finite(wanted)
    if chosen.needs_head and head is None:
        raise InputError(
            f"neural_loss: '{loss}' compares predicted responses; give head=neural_head(width, voxels, seed)"
        )
    if not chosen.needs_head and head is not None:
        raise InputError(
            f"neural_loss: '{loss}' compares the features themselves; leave `head` out, or take loss='mse'"
        )
    compared = features if head is None else headed(head, features, wanted.shape[1])
    with torch.autocast(compared.device.type, enabled=False):  # products in half precision would be another loss
        return cast(Tensor, chosen.function(compared.float(), wanted.float()))


def wanted_of(target: Any, images: Tensor, device: torch.device) -> Tensor:
    """Responses (n, D) of a target to images, without a gradient, or those that a caller has already."""
    if isinstance(target, (Tensor, np.ndarray)):
        return torch.as_tensor(target).to(device)
    if not callable(target):
        raise InputError(
            f"neural_loss: the target is a {type(target).__name__}; give `standardised(load_target(path), images)` or "
            "responses (images, voxels) as a tensor"
        )
    with torch.no_grad(), torch.autocast(device.type, enabled=False):
        return cast(Tensor, target(images))


def check_finite(wanted: Tensor) -> None:
    """Raise InputError for responses (n, D) that are not finite, or whose squares would not be."""
    size = float(wanted.detach().abs().max()) if wanted.numel() else 0.0
    if not size <= LARGEST:  # also where it is NaN
        raise InputError(
            f"neural_loss: responses are up to {size:g}; leave out voxels that are not finite, and give the others in "
            "units of their standard deviation"
        )


def headed(head: Any, features: Tensor, voxels: int) -> Tensor:
    """Responses (n, D) that a head predicts from features (n, d); InputError for a head of other sizes."""
    if isinstance(head, nn.Linear) and (head.in_features, head.out_features) != (features.shape[1], voxels):
        raise InputError(
            f"neural_loss: head: {head.in_features} features and {head.out_features} voxels, but there are "
            f"{features.shape[1]} and {voxels}; give neural_head({features.shape[1]}, {voxels}, seed)"
        )
    if not isinstance(head, nn.Module):
        raise InputError(f"neural_loss: head: {head!r} is no module; give neural_head(width, voxels, seed)")
    predicted = cast(Tensor, head(features))
    if predicted.shape != (len(features), voxels):
        raise InputError(
            f"neural_loss: head: it gives {tuple(predicted.shape)} for {len(features)} images and {voxels} voxels; "
            f"give neural_head({features.shape[1]}, {voxels}, seed)"
        )
    return predicted


def features_of(network: nn.Module, images: Tensor, layer: str | None) -> Tensor:
    """Activations (n, d): what the last linear layer that is called reads, or what a submodule gives, flattened.

    Raises InputError for images that are no floats, for a network without a linear layer or without the submodule, and
    for a submodule that gives no tensor.
    """
    if not isinstance(network, nn.Module):
        raise InputError(
            f"neural_loss: the network is a {type(network).__name__}; give a torch module or features (images, numbers)"
        )
    if not isinstance(images, Tensor) or not images.is_floating_point():
        kind = images.dtype if isinstance(images, Tensor) else type(images).__name__
        raise InputError(f"neural_loss: images are {kind}; give float pixels (n, 3, H, W) in [0, 1]")
    network = getattr(network, COMPILED, network)  # what torch.compile has made calls no hooks
    if isinstance(network, Classifier) and layer is None:
        return network.features(images)
    layer = None if layer is None else str(layer).removeprefix(f"{COMPILED}.")
    modules, seen = dict(network.named_modules()), []
    linear = [module for module in modules.values() if isinstance(module, nn.Linear)]
    if (layer is None and not linear) or (layer is not None and layer not in modules):
        missing = "no linear layer" if layer is None else f"no submodule {layer!r}"
        raise InputError(f"neural_loss: the network has {missing}; name {some_of(modules)}")
    if layer is None:
        handles = [
            m.register_forward_pre_hook(
                lambda _, given, named: seen.append(as_made(next(iter((*given, *named.values()))))), with_kwargs=True
            )
            for m in linear
        ]
    else:
        handles = [modules[layer].register_forward_hook(lambda _, given, output: seen.append(as_made(output)))]
    try:
        network(images)
    finally:
        for handle in handles:
            handle.remove()
    if not seen:
        missing = "calls no linear layer" if layer is None else f"does not call {layer!r}"
        raise InputError(f"neural_loss: the network {missing}; name {some_of(modules)}")
    if not isinstance(seen[-1], Tensor):
        raise InputError(
            f"neural_loss: {layer!r} gives a {type(seen[-1]).__name__}, not a tensor; name a submodule that gives one"
        )
    return seen[-1].flatten(1)


def as_made(output: Any) -> Any:
    """A copy of a tensor, which an activation in place behind it would change; what is none as it is."""
    return output.clone() if isinstance(output, Tensor) else output


def some_of(modules: Mapping[str, nn.Module]) -> str:
    """The first submodules of a network, for a message."""
    return f"one of {', '.join(list(modules)[1:9]) or 'its submodules'} as `layer`"
