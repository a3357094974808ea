"""What a study must know of each architecture before it imports torch: `architectures.json`, made here.

    python -m neurobust.networks.torchvision_facts > src/neurobust/core/architectures.json

It is worked out from the networks themselves, built without memory for their weights, for `core.architecture_names`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch
from torch import nn

from neurobust.core.errors import InputError
from neurobust.core.vision import feature_extraction, models
from neurobust.networks.architectures import (
    ARCHITECTURES,
    IMAGENET_MEAN,
    IMAGENET_STD,
    OWN,
    Classifier,
    large_stem,
    trunk_of,
)

Written = dict[str, Any]  # as JSON types
LARGEST = 512  # side, in pixels, up to which the smallest is looked for
GRIDS = (8, 14, 16, 28, 32, 56, 64, 112, 128, 224, 256)  # sides of which those of a fixed grid are multiples


class Trees:
    """Names with dots as trees, in which parts that are the same are kept once: a block's names stand there once."""

    def __init__(self) -> None:
        self.kept: dict[str, int] = {}

    def add(self, names: Iterable[str]) -> int:
        """The number of the tree of these names."""
        parts: dict[str, list[str]] = {}
        for name in names:
            head, _, rest = name.partition(".")
            below = parts.setdefault(head, [])
            below += [rest] if rest else []
        tree = {head: self.add(below) for head, below in sorted(parts.items())}
        return self.kept.setdefault(json.dumps(tree), len(self.kept))

    def written(self) -> list[dict[str, int]]:
        """Every tree, by its number: name -> the number of the tree below it."""
        return [json.loads(tree) for tree in self.kept]


@contextmanager
def without_weights() -> Iterator[None]:
    """Networks that are built here have weights without memory: some read numbers while they are built, so that not
    all of it can be done on the device `meta`."""
    parameter, buffer = nn.Module.register_parameter, nn.Module.register_buffer

    def register_parameter(module: nn.Module, name: str, given: nn.Parameter | None) -> None:
        parameter(module, name, None if given is None else nn.Parameter(given.to("meta"), given.requires_grad))

    def register_buffer(module: nn.Module, name: str, given: torch.Tensor | None, persistent: bool = True) -> None:
        buffer(module, name, None if given is None else given.to("meta"), persistent)

    with (
        mock.patch.object(nn.Module, "register_parameter", register_parameter),
        mock.patch.object(nn.Module, "register_buffer", register_buffer),
    ):
        yield


def facts() -> Written:
    """`architectures`: name -> what `architecture_names.Facts` says; `trees`: the names of their layers."""
    trees = Trees()
    names = sorted({*ARCHITECTURES, *models.list_models(module=models)})
    return {"architectures": {name: facts_of(name, trees) for name in names}, "trees": trees.written()}


def facts_of(name: str, trees: Trees) -> Written:
    """One architecture. `modules`: layers that a condition can name; `nodes`: those of its graph, for predictors."""
    found: Written = {"network": name in ARCHITECTURES}
    if found["network"]:
        found |= {"cifar": has_cifar_stem(name), "pretrained": can_be_pretrained(name), **sides(name)}
        found["modules"] = trees.add(module for module, _ in network(name, 224).trunk.named_modules() if module)
    if name not in OWN:
        with without_weights():
            model = models.get_model(name, weights=None)
        _, nodes = feature_extraction.get_graph_node_names(model)
        found["nodes"] = trees.add(nodes)
    return found


def network(name: str, side: int, stem: str = "imagenet") -> Classifier:
    """A network whose weights have no memory."""
    with without_weights():
        trunk, feature_dim = trunk_of(name, stem, pretrained=False, image_size=side)
        return Classifier(trunk, feature_dim, 2, IMAGENET_MEAN, IMAGENET_STD)


def has_cifar_stem(name: str) -> bool:
    """Whether a stem for small images can take the place of its own, or it has one for all."""
    if name in OWN:
        return True
    with without_weights():
        return large_stem(models.get_model(name, weights=None), name) is not None


def can_be_pretrained(name: str) -> bool:
    """Whether a study can start from torchvision's weights: of these two they change the input's scale inside the
    model, a second normalisation."""
    return name not in OWN and name not in ("googlenet", "inception_v3")


def sides(name: str) -> dict[str, int]:
    """`least`: the smallest side of an image in pixels, `multiple`: of what a side must be a multiple."""
    if name.startswith(("vit_", "maxvit")):
        grid = next(side for side in GRIDS if takes(name, None, side))
        return {"least": grid, "multiple": grid}
    built = network(name, 224)
    low, high = 0, LARGEST  # takes not, takes
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if takes(name, built, middle) else (middle, high)
    return {"least": high, "multiple": 1}


def takes(name: str, built: Classifier | None, side: int) -> bool:
    """Whether a network, in training, takes images of this side."""
    try:
        shown = built or network(name, side)
        shown.train()(torch.zeros(2, 3, side, side, device="meta"))
    except (InputError, RuntimeError, ValueError, AssertionError, ZeroDivisionError):
        return False
    return True


def main() -> None:
    """Write them, an architecture or a tree a line."""
    found = facts()
    lines = [f" {json.dumps(name)}: {json.dumps(fact)}" for name, fact in found["architectures"].items()]
    trees = [f" {json.dumps(tree)}" for tree in found["trees"]]
    sys.stdout.write('{"architectures": {\n' + ",\n".join(lines) + '\n},\n"trees": [\n' + ",\n".join(trees) + "\n]}\n")


if __name__ == "__main__":
    main()
