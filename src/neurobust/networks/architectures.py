"""Architectures: any torchvision classifier, or `small`, as trunk + linear head with its normalisation inside."""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast
from urllib.error import URLError

import torch
from torch import Tensor, nn

from neurobust.core.architecture_names import check_architecture
from neurobust.core.errors import InputError
from neurobust.core.imagenet import MEAN as IMAGENET_MEAN
from neurobust.core.imagenet import STD as IMAGENET_STD
from neurobust.core.io import load_weights
from neurobust.core.places import load
from neurobust.core.vision import models, size_arguments
from neurobust.networks.low_pass import LowPass

NEURAL_HEAD = "neural_head."
REBUILD = "neurobust.networks.outside:rebuild"  # of files that `bring_network` wrote; rules that read some name it


def small() -> nn.Module:
    """Three strided convolutions with batch norm, averaged over the image: 93,472 weights before the head.

    For studies of many networks: an image of 32 px costs a fifteenth of what it costs a ResNet18.
    """
    layers: dict[str, nn.Module] = {}
    for number, (width, wider) in enumerate(itertools.pairwise((3, 32, 64, 128)), start=1):
        convolution = nn.Conv2d(width, wider, kernel_size=3, stride=2, padding=1, bias=False)
        layers[f"layer{number}"] = nn.Sequential(convolution, nn.BatchNorm2d(wider), nn.ReLU())
    layers |= {"pool": nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten(), "fc": nn.Linear(128, 10)}
    return nn.Sequential(OrderedDict(layers))


# name -> builder of a module whose last Linear is the last operation of its forward pass. Squeezenet ends in a
# convolution and has no such layer. A new architecture is one more entry.
ARCHITECTURES: dict[str, Callable[..., nn.Module]] = {
    name: models.get_model_builder(name) for name in models.list_models(module=models, exclude="squeezenet*")
}
OWN = {"small": small}  # ours: without pretrained weights, and with a stem of their own
ARCHITECTURES |= OWN


class Classifier(nn.Module):
    """Logits of [0, 1] RGB images: `head(features(images))`, the features being the penultimate layer.

    Where there is a `low_pass`, everything behind it sees filtered images; it is as much a part of the network as its
    normalisation is, in training and under attack.

    `neural_head` (features -> target responses) is set during training, and on demand by `load_network`; it is no
    part of the classifier.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        trunk: nn.Module,
        feature_dim: int,
        num_classes: int,
        mean: Sequence[float],
        std: Sequence[float],
        low_pass: LowPass | None = None,
    ):
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32).reshape(3, 1, 1))
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32).reshape(3, 1, 1))
        self.low_pass = low_pass
        self.trunk = trunk
        self.head = nn.Linear(feature_dim, num_classes)
        self.neural_head: nn.Module | None = None
        self.feature_dim = feature_dim
        self.num_classes = num_classes

    def features(self, images: Tensor) -> Tensor:
        """Penultimate activations (N, feature_dim) of `images` (N, 3, H, W) in [0, 1]."""
        shown = images if self.low_pass is None else self.low_pass(images)
        return self.trunk((shown - self.mean) / self.std)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, num_classes) of `images` (N, 3, H, W) in [0, 1]."""
        return self.head(self.features(images))


def build_network(
    architecture: str,
    num_classes: int,
    mean: Sequence[float] = IMAGENET_MEAN,
    std: Sequence[float] = IMAGENET_STD,
    stem: str = "imagenet",
    pretrained: bool = False,
    image_size: int = 224,
    low_pass: float | None = None,
) -> Classifier:
    """A `Classifier` of a named architecture, initialised from torch's global random state.

    `stem` "cifar" replaces the stride-4 stem by a 3x3 convolution of stride 1, for images of about 32 px; `small` has
    its own for both.
    `image_size` (px) only matters to architectures with a fixed grid (ViT, MaxViT) and to the filter. With
    `pretrained`, the trunk has torchvision's first ImageNet weights (IMAGENET1K_V1 where they exist) and the head is
    new. `low_pass` is the cut-off of a `LowPass` that comes first, in cycles per image; None for none.
    Raises InputError for an unknown name, an impossible combination or weights that cannot be had.
    """
    check_architecture(architecture, stem, pretrained, "network", sorted(ARCHITECTURES))
    trunk, feature_dim = trunk_of(architecture, stem, pretrained, image_size)
    filter_first = None if low_pass is None else LowPass(low_pass, image_size)
    network = Classifier(trunk, feature_dim, num_classes, mean, std, filter_first)
    return network.to(memory_format=torch.channels_last)  # as images are: files.pixels


def trunk_of(architecture: str, stem: str, pretrained: bool, image_size: int) -> tuple[nn.Module, int]:
    """What comes before the head of an architecture, and its number of features (D).

    Nothing is checked: what is known of architectures (`torchvision_facts`) is made from it.
    """
    model = _build_model(architecture, pretrained, image_size)
    if stem == "cifar" and architecture not in OWN:
        _use_cifar_stem(model, architecture)
    return model, _cut_last_linear(model, architecture)


def load_network(path: str | Path, neural_head: bool = False) -> Classifier:
    """Read a trained network: eval mode, frozen, float32, on the CPU; its neural head is left out.

    One from outside (`bring_network`) has logits alone, neither features nor heads.
    With `neural_head`, `network.neural_head` is the linear map that the neural loss has trained, where it reads the
    penultimate layer; None where there is no such map. Raises InputError if the file is not a network of this pipeline.
    """
    state, config = load_weights(path)
    if "kind" in config:
        raise InputError(f"{path}: a predictor's file, not a network's; give the model.safetensors of a network")
    try:
        if "outside" in config:
            network = cast(Any, load(REBUILD))(state, config)
            return cast(Classifier, network.eval().requires_grad_(False))
        arguments = {key: config[key] for key in ("architecture", "num_classes", "mean", "std", "stem", "image_size")}
        with torch.random.fork_rng(devices=[]):  # reading a file must not move the caller's random state
            network = build_network(**arguments, low_pass=config.get("low_pass"))
        network.load_state_dict({key: value for key, value in state.items() if not key.startswith(NEURAL_HEAD)})
    except (KeyError, RuntimeError) as error:
        text = " ".join(str(error).split())
        raise InputError(f"{path}: not the weights of a network ({text}); delete it and train again") from error
    if neural_head:
        network.neural_head = _trained_head(state, config)
    return network.eval().requires_grad_(False)


def _trained_head(state: Mapping[str, Tensor], config: Mapping[str, Any]) -> nn.Linear | None:
    """The neural head of a weights file, if it is a linear map of the penultimate layer."""
    weight, bias = (state.get(f"{NEURAL_HEAD}{name}") for name in ("weight", "bias"))
    recipe = config.get("provenance", {}).get("params", {})
    layers = recipe.get("condition", {}).get("layers")
    if weight is None or bias is None or layers not in (None, ["penultimate"]):
        return None
    with torch.random.fork_rng(devices=[]):
        head = nn.Linear(weight.shape[1], weight.shape[0])
    head.load_state_dict({"weight": weight, "bias": bias})
    return head


def _build_model(architecture: str, pretrained: bool, image_size: int) -> nn.Module:
    builder = ARCHITECTURES[architecture]
    arguments: dict[str, object] = size_arguments(architecture, image_size)
    if architecture in ("googlenet", "inception_v3"):
        arguments.update(aux_logits=False, init_weights=True)
    try:
        if not pretrained:
            return builder(**arguments)
        weights = models.get_model_weights(builder)
        return builder(weights=getattr(weights, "IMAGENET1K_V1", weights.DEFAULT), **arguments)
    except URLError as error:
        raise InputError(
            f"architecture '{architecture}': pretrained weights could not be downloaded ({error.reason}); "
            "put the file into the hub/checkpoints folder of TORCH_HOME"
        ) from error
    except (ValueError, AssertionError) as error:
        raise InputError(f"architecture '{architecture}' cannot take images of {image_size} px ({error})") from error


def large_stem(model: nn.Module, architecture: str) -> tuple[Any, str, str] | None:
    """Where a network has the stem for large images that one for small images can replace: the module that holds it,
    and the names of its convolution and of its pool; None where it has none."""
    if isinstance(getattr(model, "conv1", None), nn.Conv2d) and hasattr(model, "maxpool"):
        return model, "conv1", "maxpool"  # ResNet, ResNeXt, Wide ResNet
    return (model.features, "conv0", "pool0") if architecture.startswith("densenet") else None


def _use_cifar_stem(model: nn.Module, architecture: str) -> None:
    found = large_stem(model, architecture)
    assert found is not None, f"{architecture} has no such stem, which check_architecture says"
    parent, convolution, pool = found
    width = getattr(parent, convolution).out_channels
    replacement = nn.Conv2d(3, width, kernel_size=3, stride=1, padding=1, bias=False)
    nn.init.kaiming_normal_(replacement.weight, mode="fan_out", nonlinearity="relu")
    setattr(parent, convolution, replacement)
    setattr(parent, pool, nn.Identity())


def last_linear(model: nn.Module, architecture: str) -> tuple[str, nn.Linear]:
    """The name and the module of the last Linear: what gives the logits. Raises InputError where there is none."""
    linear = [(name, module) for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    if not linear:
        raise InputError(f"architecture '{architecture}' has no linear layer, so no penultimate one; choose another")
    return linear[-1]


def _cut_last_linear(model: nn.Module, architecture: str) -> int:
    """Replace the last Linear by the identity, so that the model gives its penultimate layer; return its width."""
    name, last = last_linear(model, architecture)
    _replace(model, name, nn.Identity())
    return last.in_features


def _replace(model: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, attribute = name.rpartition(".")
    setattr(model.get_submodule(parent), attribute, module)


def build_bare(architecture: str, outputs: int, stem: str, image_size: int) -> nn.Module:
    """An architecture as its state dicts know it: logits (N, outputs) of images that are normalised already.

    Raises InputError for a name or a stem that there is not.
    """
    check_architecture(architecture, stem, False, "network", sorted(ARCHITECTURES))
    model = _build_model(architecture, False, image_size)
    if stem == "cifar" and architecture not in OWN:
        _use_cifar_stem(model, architecture)
    name, last = last_linear(model, architecture)
    _replace(model, name, nn.Linear(last.in_features, outputs, bias=last.bias is not None))
    return model
