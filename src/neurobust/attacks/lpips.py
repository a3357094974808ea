"""LPIPS of weights that the user brings: a known backbone's features, each channel weighted as people's judgements
taught (Zhang et al., CVPR 2018, equation 1; the package lpips, version 0.1)."""

from __future__ import annotations

import math
import re
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from neurobust.attacks.perceptual_settings import WithinLpips
from neurobust.core import imagenet
from neurobust.core.errors import InputError, flat
from neurobust.core.state_dicts import State, fill_part, read_state
from neurobust.core.vision import models

LPIPS = "lpips"  # its name among the networks that a batch is given
TINY = 1e-10  # beside the length of a channel vector, as the package has it
BACKBONES = {"alex": models.alexnet, "vgg": models.vgg16, "squeeze": models.squeezenet1_1}
# Where the features of torchvision's networks are read: behind so many of their layers.
CUTS = {"alex": (2, 5, 8, 10, 12), "vgg": (4, 9, 16, 23, 30), "squeeze": (2, 5, 8, 10, 11, 12, 13)}
CHANNELS = {
    "alex": (64, 192, 384, 256, 256), "vgg": (64, 128, 256, 512, 512),
    "squeeze": (64, 128, 256, 384, 384, 512, 512),
}  # fmt: skip


class Lpips(nn.Module):
    """The embedding whose squared Euclidean distance is LPIPS; it is nothing until `fill` has given it weights.

    backbone: a name of BACKBONES.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, backbone: str):
        super().__init__()
        self.name, self.cuts = backbone, CUTS[backbone]
        with torch.device("meta"):  # the classifier, most of it, is not wanted
            layers = BACKBONES[backbone](weights=None).features[: self.cuts[-1]]
        self.body = nn.Sequential(OrderedDict(features=layers.to_empty(device="cpu")))
        for name, values in (("mean", imagenet.MEAN), ("std", imagenet.STD)):
            self.register_buffer(name, torch.tensor(values).reshape(3, 1, 1))
        for place, count in enumerate(CHANNELS[backbone]):
            self.register_buffer(f"root{place}", torch.ones(count, 1))

    def fill(self, weights: Path, linear: Path, where: str) -> Lpips:
        """Itself with the weights of two files. Raises InputError, at `where`, for what is not theirs."""
        fill_part(self.body, weights, f"the backbone of LPIPS ({self.name})", of_package)
        if not all(value.isfinite().all() for value in self.body.state_dict().values()):
            raise InputError(f"{where}.weights: '{weights}': has weights that are no numbers; give a whole file")
        state = read_state(linear, f"{where}.linear")
        for place, count in enumerate(CHANNELS[self.name]):
            self.get_buffer(f"root{place}").copy_(linear_weights(state, place, count, linear, where).sqrt())
        return self

    def embed(self, images: Tensor) -> list[Tensor]:
        """Images (N, 3, H, W) in [0,1] -> parts (N, C, places): the squared distance of two images' parts, summed over
        all, is their LPIPS. Raises InputError for images that are too small for the backbone."""
        parts: list[Tensor] = []
        maps = (images - self.mean.to(images)) / self.std.to(images)
        for index, layer in enumerate(self.body.features):  # type: ignore[arg-type]
            try:
                maps = layer(maps)
            except RuntimeError as error:
                if min(images.shape[2:]) >= 64:
                    raise
                raise InputError(
                    f"LPIPS ({self.name}) of images {tuple(images.shape[2:])}: too small ({flat(error)}); choose "
                    "another backbone, or the oracle's features"
                ) from error
            if index + 1 in self.cuts:
                flat_maps = maps.flatten(2)
                unit = flat_maps / (flat_maps.norm(dim=1, keepdim=True) + TINY)
                root = self.get_buffer(f"root{len(parts)}").to(unit)
                parts.append(root * unit / math.sqrt(unit.shape[2]))
        return parts


def bring(settings: WithinLpips) -> dict[str, nn.Module]:
    """LPIPS of the files that an attack's settings name, in evaluation mode and frozen; nothing where they name none.

    Raises InputError for files that are no such weights. Nothing is unpickled but tensors, nothing is downloaded.
    """
    files: Mapping[str, str] = settings.files
    if settings.backbone is None or not files:
        return {}
    network = Lpips(settings.backbone).fill(Path(files["weights"]), Path(files["linear"]), "attack")
    return {LPIPS: network.eval().requires_grad_(False)}


def of_package(state: State) -> State:
    """A state dict of the package's own backbone (`net.slice2.3.weight`) in torchvision's names."""
    return {re.sub(r"slice\d+\.", "features.", name): value for name, value in state.items()}


def linear_weights(state: State, place: int, count: int, path: Path, where: str) -> Tensor:
    """The weights of the channels (count, 1) behind one cut; InputError for a file that has no such."""
    name = f"lin{place}.model.1.weight"
    found = next((value for key, value in state.items() if f".{key}".endswith(f".{name}")), None)
    problem = ""
    if found is None:
        problem = f"it lacks {name}"
    elif found.numel() != count:
        problem = f"{name} has {found.numel()} weights, not {count}"
    elif not (found.isfinite() & (found >= 0)).all():
        problem = f"{name} has weights below 0 or no numbers"
    if found is None or problem:
        raise InputError(
            f"{where}.linear: '{path}': not the linear weights of this backbone ({problem}); give lpips' own file"
        )
    return found.float().reshape(count, 1)
