"""Controls: transforms of a condition, each of which takes one ingredient away from its target.

The functions behind `controls_settings`, which says what each takes away. Those with `moments` are given the mean and
the covariance of the target that they stand in for, over the training images, so dimension, variance and spectrum are
the same and only their images differ.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from neurobust.core.errors import InputError, flat
from neurobust.core.seeding import derive_seed, numpy_rng
from neurobust.core.state_dicts import part_beyond
from neurobust.files.pixels import resized, to_pixels
from neurobust.files.splits import TRAIN
from neurobust.networks.architectures import build_network
from neurobust.networks.batches import in_order
from neurobust.networks.conditions import Condition, Oracle
from neurobust.networks.pictures import Pictures

PIXEL_SIDE = 16  # pixels at which images are compared as such
CALIBRATION_IMAGES = 512  # training images that the batch statistics of an untrained network are taken from

Respond = Callable[[Tensor, np.ndarray], Tensor]  # pixels (n, 3, H, W) in [0, 1] and their rows -> responses (n, D)


@dataclass(frozen=True)
class Setting:
    """What a control may draw on: the frozen predictors, the images (a task's, or stimuli), the condition, a seed.

    `columns` are the voxels that the target keeps (None: all); `weights` the file of the condition's image classifier;
    `wanted`, for a control with moments, the standardised target (n, D) that it stands in for, on the training images.
    """

    module: nn.Module
    dataset: Pictures
    seed: int
    device: torch.device
    condition: Condition
    columns: np.ndarray | None = None
    weights: Path | None = None
    wanted: np.ndarray | None = None

    def stream(self, *names: object) -> tuple[object, ...]:
        """The name of a random stream of this control."""
        return (self.seed, "control", *names)


def own_partners(split: np.ndarray, seed: int) -> np.ndarray:
    """Every image is paired with its own target."""
    return np.arange(len(split))


def shuffled_partners(split: np.ndarray, seed: int) -> np.ndarray:
    """Row (N,) whose target each image gets: fixed by the seed, within each split, no image keeping its own.

    The targets of a split are the same set as before, so their means, variances and covariances are identical.
    """
    partners = np.arange(len(split))
    for part in np.unique(split):
        cycle = numpy_rng(seed, "control", "shuffled", int(part)).permutation(np.flatnonzero(split == part))
        partners[cycle] = np.roll(cycle, 1)
    return partners


def predicted(setting: Setting) -> Respond:
    """The predictors' own responses, in the voxels that the target keeps.

    Pixels are not looked at: those of images as stored are in [0, 1], scrambled ones may leave it (`scramble_phase`),
    and a look in every step would wait for the device.
    """
    answer = partial(setting.module, bounded=False)
    if setting.columns is None:
        return lambda pixels, rows: answer(pixels)
    columns = torch.from_numpy(setting.columns).to(setting.device)
    return lambda pixels, rows: answer(pixels)[:, columns]


def untrained(setting: Setting) -> Respond:
    """The responses of the same predictors with new weights."""
    module = reinitialised(setting.module, *setting.stream("random"))
    calibrate(module, module, setting.dataset, setting.device, *setting.stream("calibration"))
    return lambda pixels, rows: module(pixels)


def gaussian(setting: Setting) -> Respond:
    """Independent normal numbers, drawn once per image: (N, D), as many columns as the target."""
    with torch.inference_mode():
        first = to_pixels(setting.dataset.images[:1], setting.device)
        width = predicted(setting)(first, np.zeros(1, int)).shape[1]
    drawn = numpy_rng(*setting.stream("gaussian")).standard_normal((len(setting.dataset.split), width), np.float32)
    table = torch.from_numpy(drawn)
    return lambda pixels, rows: table[torch.from_numpy(rows)].to(pixels.device)


def pixels_of(setting: Setting) -> Respond:
    """The pixels themselves, averaged down to 16 x 16: similar are images that look alike point by point."""
    return lambda pixels, rows: nn.functional.adaptive_avg_pool2d(pixels, PIXEL_SIDE).flatten(1)


def oracle_features(setting: Setting) -> Respond:
    """The penultimate layer of a torchvision network at its own input size, from a weights file or untrained."""
    oracle = setting.condition.features or Oracle()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(*setting.stream("features")))
        network = build_network(oracle.architecture, 2, image_size=oracle.size)
    network.eval().requires_grad_(False).to(setting.device)

    def features(pixels: Tensor) -> Tensor:
        return network.features(resized(pixels, oracle.size))

    if setting.weights is None:
        calibrate(network, features, setting.dataset, setting.device, *setting.stream("calibration"))
    else:
        load_trunk(network.trunk, setting.weights)
    return lambda pixels, rows: features(pixels)


def phase_scrambled(setting: Setting) -> Respond:
    """The predictors' responses to images whose phases are random, fixed per image (the amplitudes are their own)."""
    respond = predicted(setting)

    def scrambled(pixels: Tensor, rows: np.ndarray) -> Tensor:
        shape = pixels.shape[-2:]
        noise = np.stack([numpy_rng(*setting.stream("phase", int(row))).standard_normal(shape) for row in rows])
        return respond(scramble_phase(pixels, torch.from_numpy(noise)), rows)

    return scrambled


def scramble_phase(pixels: Tensor, noise: Tensor) -> Tensor:
    """Pixels (n, C, H, W) with the phases of real noise (n, H, W) added in all channels alike.

    The amplitude spectrum and the mean of each channel are kept exactly, so single pixels may leave [0, 1].
    """
    turn = torch.fft.rfft2(noise.to(pixels.device, torch.float64))
    turn = turn / turn.abs().clamp_min(1e-12)
    turn[:, 0, 0] = 1
    spectrum = torch.fft.rfft2(pixels.double()) * turn[:, None]
    return torch.fft.irfft2(spectrum, s=pixels.shape[-2:]).to(pixels.dtype)


def reinitialised(module: nn.Module, *stream: object) -> nn.Module:
    """A frozen copy of a module with new weights from a named stream.

    A layer that can reset itself does so; any other parameter is drawn from a normal distribution with its own
    mean and SD.
    """
    module = copy.deepcopy(module).requires_grad_(False)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(derive_seed(*stream))
        for part in module.modules():
            reset = getattr(part, "reset_parameters", None)
            if callable(reset):
                reset()
                continue
            for parameter in part.parameters(recurse=False):
                drawn = torch.randn(parameter.shape).to(parameter) * parameter.std(correction=0) + parameter.mean()
                parameter.copy_(drawn)
    return module.eval()


@torch.no_grad()
def calibrate(
    module: nn.Module,
    run: Callable[[Tensor], Tensor],
    dataset: Pictures,
    device: torch.device,
    *stream: object,
    batch: int = 64,
) -> None:
    """Give the BatchNorm layers of an untrained network the statistics of some training images, shown by `run`.

    With the default ones a deep untrained network answers all images alike. Everything else stays in eval mode.
    """
    layers = [part for part in module.modules() if isinstance(part, nn.modules.batchnorm._BatchNorm)]
    if not layers:
        module.eval()
        return
    rows = np.sort(numpy_rng(*stream).permutation(dataset.rows(TRAIN))[:CALIBRATION_IMAGES])
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # the plain average over all batches
        layer.train()
    for part in in_order(rows, batch):
        run(to_pixels(dataset.images[part], device))
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
    module.eval()


def load_trunk(trunk: nn.Module, path: Path) -> None:
    """Put torchvision's weights of a whole classifier (a .pth state dict, never unpickled) into its trunk."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        missing, left = trunk.load_state_dict(state, strict=False)
    except Exception as error:
        text = flat(error)
        raise InputError(f"{path}: not the weights of this architecture ({text}); give its torchvision file") from error
    missing = [name for name in missing if not name.endswith("num_batches_tracked")]
    if missing:
        raise InputError(f"{path}: no '{missing[0]}' among the weights; give torchvision's file of this architecture")
    if beyond := part_beyond(left, trunk):
        raise InputError(
            f"{path}: weights of a deeper network, with {beyond}; give torchvision's file of this architecture"
        )
