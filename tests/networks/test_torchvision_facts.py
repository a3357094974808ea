"""What the border knows of architectures, without torch, is what the networks themselves say."""

from __future__ import annotations

import pytest

from neurobust.core.architecture_names import (
    PENULTIMATE,
    check_architecture,
    check_layer,
    check_name,
    check_node,
    check_side,
    known,
    readable,
    trainable,
)
from neurobust.core.errors import InputError
from neurobust.core.vision import models
from neurobust.networks.architectures import ARCHITECTURES, OWN, build_network
from neurobust.networks.torchvision_facts import Trees, can_be_pretrained, facts_of


def paths(number: int, trees: list[dict[str, int]]) -> set[str]:
    """Every path of a tree."""
    found = set()
    for name, below in trees[number].items():
        found |= {name} | {f"{name}.{path}" for path in paths(below, trees)}
    return found


def test_the_file_names_every_architecture():
    assert trainable() == sorted(ARCHITECTURES)
    assert readable() == sorted(models.list_models(module=models))
    for name in trainable():
        assert known().architectures[name].pretrained == can_be_pretrained(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["small", "alexnet", "resnet18", "vgg11", "vit_b_32", "mnasnet0_5", "squeezenet1_1"])
def test_the_file_says_what_the_network_says(name):
    """`python -m neurobust.networks.torchvision_facts` writes all of it, in minutes."""
    trees, kept = Trees(), known()
    made, written = facts_of(name, trees), kept.architectures[name]
    for key in ("network", "cifar", "pretrained", "least", "multiple"):
        assert made.get(key, getattr(written, key)) == getattr(written, key)
    for key in ("modules", "nodes"):
        number = getattr(written, key)
        assert (number is None) == (key not in made)
        if number is not None:
            assert paths(number, kept.trees) == paths(made[key], trees.written())


def test_layers_of_a_real_network_are_known():
    trunk = build_network("resnet18", 2).trunk
    for path, _ in trunk.named_modules():
        if path:
            check_layer("resnet18", path, "layers")
    check_layer("resnet18", PENULTIMATE, "layers")
    check_node("resnet18", "layer1.0.add", "layers")
    for wrong in ("layer1.0.add", "layer5", "layer1.2", "conv1.weight"):
        with pytest.raises(InputError, match=rf"^layers: '{wrong}' is not a layer of resnet18; "):
            check_layer("resnet18", wrong, "layers")


def test_what_cannot_be_combined_is_refused_here_as_in_training():
    cases = [("vgg11", "cifar", False), ("small", "imagenet", True), ("resnet18", "cifar", True),
             ("inception_v3", "imagenet", True)]  # fmt: skip
    for name, stem, pretrained in cases:
        with pytest.raises(InputError) as here:
            check_architecture(name, stem, pretrained, "network")
        with pytest.raises(InputError) as training:
            build_network(name, 2, stem=stem, pretrained=pretrained)
        assert str(here.value) == str(training.value), "one check, one message"
    check_architecture("densenet121", "cifar", False, "here")
    check_side("alexnet", 63, "here")
    with pytest.raises(InputError, match=r"^here: alexnet cannot take images of 62 px; their side must be at least 63"):
        check_side("alexnet", 62, "here")
    with pytest.raises(InputError, match=r"nearest: resnet18"):
        check_name("resnet_18", trainable(), "here")
    assert "small" in OWN
