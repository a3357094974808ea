"""Architectures: penultimate layer, normalisation inside, and reading back what was written."""

import numpy as np
import pytest
import torch
from torch import nn

from neurobust.core.errors import InputError
from neurobust.core.io import save_weights
from neurobust.networks.architectures import ARCHITECTURES, IMAGENET_MEAN, IMAGENET_STD, build_network, load_network

pytestmark = pytest.mark.slow

WIDTHS = {
    "resnet18": 512,
    "resnet50": 2048,
    "vgg16_bn": 4096,
    "densenet121": 1024,
    "convnext_tiny": 768,
    "efficientnet_b0": 1280,
    "vit_b_16": 768,
    "swin_t": 768,
    "mobilenet_v3_small": 1024,
    "maxvit_t": 512,
    "shufflenet_v2_x1_0": 1024,
    "small": 128,
}


def save(network, path, architecture, stem="imagenet", image_size=32, **extra):
    config = {"architecture": architecture, "num_classes": network.num_classes, "stem": stem, "image_size": image_size}
    config.update(mean=network.mean.flatten().tolist(), std=network.std.flatten().tolist(), **extra)
    save_weights(path, network.state_dict(), config)
    return path


@pytest.mark.parametrize("architecture", WIDTHS)
def test_penultimate_width(architecture):
    with torch.device("meta"):  # shapes only: no arithmetic, no memory
        network = build_network(architecture, 7).eval()
        images = torch.zeros(2, 3, 224, 224)
        assert network.features(images).shape == (2, WIDTHS[architecture])
        assert network(images).shape == (2, 7)
    assert network.feature_dim == WIDTHS[architecture]
    assert network.head.in_features == WIDTHS[architecture]


def test_head_is_the_last_operation(tiny):
    """The cut model plus the head is the whole model: torchvision's own ResNet gives the same logits."""
    network = build_network("resnet18", 5).eval()
    reference = ARCHITECTURES["resnet18"](num_classes=5).eval().to(memory_format=torch.channels_last)
    reference.load_state_dict(
        {**network.trunk.state_dict(), "fc.weight": network.head.weight, "fc.bias": network.head.bias}
    )
    images = torch.rand(2, 3, 64, 64)
    mean, std = (torch.tensor(part).reshape(3, 1, 1) for part in (IMAGENET_MEAN, IMAGENET_STD))
    with torch.no_grad():
        assert torch.equal(network(images), reference((images - mean) / std))


def test_normalisation_is_inside(tiny):
    """Pixels at the mean reach the trunk as zero, one SD above it as one."""
    network = build_network(tiny, 3, mean=(0.2, 0.4, 0.6), std=(0.1, 0.2, 0.3)).eval()
    network.trunk = nn.Identity()
    pixels = torch.tensor([0.2, 0.4, 0.6]).reshape(1, 3, 1, 1)
    assert torch.equal(network.features(pixels), torch.zeros(1, 3, 1, 1))
    above = pixels + torch.tensor([0.1, 0.2, 0.3]).reshape(1, 3, 1, 1)
    torch.testing.assert_close(network.features(above), torch.ones(1, 3, 1, 1))


@pytest.mark.parametrize(("architecture", "first"), [("resnet18", "conv1"), ("densenet121", "features.conv0")])
def test_cifar_stem_keeps_the_resolution(architecture, first):
    with torch.device("meta"):
        network = build_network(architecture, 10, stem="cifar")
        convolution = network.trunk.get_submodule(first)
        sizes = []
        name = "layer1" if architecture == "resnet18" else "features.denseblock1"
        network.trunk.get_submodule(name).register_forward_pre_hook(
            lambda module, given: sizes.append(given[0].shape[-1])
        )
        network.eval()(torch.zeros(1, 3, 32, 32))
    assert (convolution.kernel_size, convolution.stride) == ((3, 3), (1, 1))
    assert sizes == [32]


@pytest.mark.parametrize(
    ("architecture", "stem"),
    [("resnet18", "imagenet"), ("resnet18", "cifar"), ("tiny", "imagenet"), ("small", "imagenet")],
)
def test_reading_back_is_exact(tmp_path, tiny, architecture, stem):
    network = build_network(architecture, 6, stem=stem)
    network(torch.rand(4, 3, 32, 32))  # moves the batch statistics away from their defaults
    network.neural_head = nn.Linear(network.feature_dim, 11)
    path = save(network, tmp_path / "model.safetensors", architecture, stem)
    torch.manual_seed(3)
    before = torch.get_rng_state()
    loaded = load_network(path)
    assert torch.equal(torch.get_rng_state(), before)  # reading draws no random numbers
    assert loaded.neural_head is None and not any("neural_head" in name for name in loaded.state_dict())
    assert not loaded.training and not any(parameter.requires_grad for parameter in loaded.parameters())
    images = torch.rand(3, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(loaded(images), network.eval()(images))
    expected = {key: value for key, value in network.state_dict().items() if not key.startswith("neural_head.")}
    assert loaded.state_dict().keys() == expected.keys()
    assert all(torch.equal(value, expected[key]) for key, value in loaded.state_dict().items())


def test_small_is_three_strided_layers_whatever_the_stem():
    """Weights counted by hand: 9 x (3 x 32 + 32 x 64 + 64 x 128), and two of batch norm per channel."""
    with torch.device("meta"):
        networks = [build_network("small", 7, stem=stem) for stem in ("imagenet", "cifar")]
        sizes = []
        for name in ("layer1", "layer2", "layer3"):
            networks[0].trunk.get_submodule(name).register_forward_hook(
                lambda module, given, output: sizes.append(tuple(output.shape[1:]))
            )
        networks[0].eval()(torch.zeros(1, 3, 32, 32))
    assert sizes == [(32, 16, 16), (64, 8, 8), (128, 4, 4)]
    weights = 9 * (3 * 32 + 32 * 64 + 64 * 128) + 2 * (32 + 64 + 128)
    assert sum(part.numel() for part in networks[0].trunk.parameters()) == weights
    assert networks[0].state_dict().keys() == networks[1].state_dict().keys()


def test_vit_takes_the_image_size():
    with torch.device("meta"):
        network = build_network("vit_b_16", 4, image_size=32).eval()
        assert network(torch.zeros(1, 3, 32, 32)).shape == (1, 4)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"architecture": "resnet19"}, ["resnet19", "resnet18"]),
        ({"architecture": "squeezenet1_0"}, ["squeezenet1_0"]),
        ({"architecture": "resnet18", "stem": "none"}, ["none", "cifar"]),
        ({"architecture": "vgg16_bn", "stem": "cifar"}, ["vgg16_bn", "cifar"]),
        ({"architecture": "resnet18", "stem": "cifar", "pretrained": True}, ["pretrained", "cifar"]),
        ({"architecture": "small", "pretrained": True}, ["small", "pretrained"]),
        ({"architecture": "vit_b_16", "image_size": 33}, ["vit_b_16", "33"]),
        ({"architecture": "inception_v3", "pretrained": True}, ["inception_v3", "pretrained"]),
    ],
)
def test_bad_request_is_one_line(arguments, words):
    with torch.device("meta"), pytest.raises(InputError) as error:
        build_network(num_classes=4, **arguments)
    assert "\n" not in str(error.value) and all(word in str(error.value) for word in words)


def test_wrong_weights_are_named(tmp_path, tiny):
    network = build_network(tiny, 4)
    path = save(network, tmp_path / "model.safetensors", "resnet18")
    with pytest.raises(InputError, match=r"model\.safetensors") as error:
        load_network(path)
    assert "\n" not in str(error.value)
    save_weights(path, {"voxels": torch.zeros(1)}, {"predictor": "gnet"})
    with pytest.raises(InputError, match="architecture"):
        load_network(path)


def test_image_gradient_is_scaled_by_the_normalisation(tiny):
    """Budgets are in pixel units: a gradient with respect to [0, 1] pixels carries 1/std."""
    network = build_network(tiny, 3, mean=(0.5,) * 3, std=(0.5, 0.25, 0.125)).eval()
    network.trunk, network.head = nn.Flatten(), nn.Identity()
    pixels = torch.rand(1, 3, 2, 2, requires_grad=True)
    network(pixels).sum().backward()
    np.testing.assert_allclose(pixels.grad[0, :, 0, 0], [2, 4, 8])
