"""Layers by name, their mixture, and every architecture with every loss."""

import pytest
import torch
from torch import nn

from neurobust.core.errors import InputError
from neurobust.networks.architectures import build_network
from neurobust.networks.layers import PENULTIMATE, LayerMixture, Layers, layer_depth
from neurobust.networks.manifolds import fit_manifolds
from neurobust.networks.registry import LOSSES

pytestmark = pytest.mark.slow

ARCHITECTURES = {  # a layer of maps, of tokens or of features in the middle of each, and its width
    "resnet18": ("layer2", 128),
    "resnet50": ("layer3", 1024),
    "vgg16_bn": ("features.23", 256),
    "densenet121": ("features.denseblock2", 512),
    "convnext_tiny": ("features.3", 192),
    "efficientnet_b0": ("features.4", 80),
    "vit_b_16": ("encoder.layers.encoder_layer_5", 768),
}


def layers_of(network, names, pool=1, architecture="tiny", size=16):
    return Layers(network, names, pool, architecture, size)


def test_layers_are_those_of_the_same_pass_in_the_given_order(tiny):
    network = build_network(tiny, 3).eval()
    layers = layers_of(network, ["0", PENULTIMATE, "2"])
    images = torch.rand(5, 3, 16, 16)
    features = network.features(images)
    found = layers.collect(features)
    convolved = network.trunk[0]((images - network.mean) / network.std)
    expected = [convolved.mean((2, 3)), features, network.trunk[2](network.trunk[1](convolved)).mean((2, 3))]
    torch.testing.assert_close(found, torch.cat(expected, 1))
    assert layers.widths == [8, 128, 8]


def test_pooling_keeps_a_grid(tiny):
    network = build_network(tiny, 3).eval()
    layers = layers_of(network, ["0"], pool=2)
    images = torch.rand(4, 3, 16, 16)
    found = layers.collect(network.features(images))
    maps = network.trunk[0]((images - network.mean) / network.std)
    torch.testing.assert_close(found[:, 1], maps[:, 0, :4, 4:].mean((1, 2)))  # 8 x 8: the upper right quarter
    assert layers.widths == [32]


def test_tokens_are_averaged_and_swin_maps_have_their_channels_last(tiny):
    vit = build_network("vit_b_16", 3, image_size=32)
    assert layers_of(vit, ["encoder.layers.encoder_layer_0"], 1, "vit_b_16", 32).widths == [768]
    swin = build_network("swin_t", 3)
    assert layers_of(swin, ["features.1", "features.0.0"], 1, "swin_t", 64).widths == [96, 96]


def test_channels_last_are_found_inside_of_any_network():
    """A name told Swin's maps before: its first convolution and ConvNeXt's inner layers were averaged over channels."""
    network = build_network("convnext_tiny", 3).eval()
    names = ["features.1", "features.1.0.block.2", "features.1.0.block.0"]
    layers = layers_of(network, names, 1, "convnext_tiny", 64)
    assert layers.widths == [96, 96, 96] and layers.last == {"features.1.0.block.2"}
    images, seen = torch.rand(2, 3, 64, 64), []
    network.trunk.get_submodule(names[1]).register_forward_hook(lambda module, given, output: seen.append(output))
    found = layers.collect(network.features(images))
    torch.testing.assert_close(found[:, 96:192], seen[0].mean((1, 2)))


def test_maps_with_as_many_channels_as_places_are_told_by_their_growth(tiny):
    """8 channels of 8 x 8 places: no shape alone says which axis is which."""
    network = build_network(tiny, 3).eval()
    layers = layers_of(network, ["0"])
    maps = network.trunk[0](torch.zeros(1, 3, 16, 16))
    assert maps.shape == (1, 8, 8, 8) and layers.widths == [8] and not layers.last


def test_depth_is_the_share_of_weighted_layers_passed():
    """ResNet18 has 20 convolutions before its head: 1, then 4, 5, 5 and 5 in its stages."""
    network = build_network("resnet18", 3)
    depths = {"conv1": 1, "relu": 1, "layer1": 5, "layer2.0": 8, "layer2": 10, "layer4": 20, PENULTIMATE: 20}
    assert {name: layer_depth(network, name) for name in depths} == {name: n / 20 for name, n in depths.items()}
    assert layers_of(network, ["layer1", PENULTIMATE], 1, "resnet18", 32).depth == 0.625


def test_measuring_changes_nothing(tiny):
    network = build_network(tiny, 3).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    torch.manual_seed(0)
    state = torch.get_rng_state()
    layers_of(network, ["0"])
    assert network.training and torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_an_unknown_layer_is_named(tiny):
    network = build_network("resnet18", 3)
    with pytest.raises(InputError, match=r"'layer9' is not a layer of resnet18; try penultimate, conv1.*layer4"):
        layers_of(network, ["layer9"], 1, "resnet18", 32)


def test_mixture_has_the_mixed_similarities():
    """Inner products of its rows are sum_k softmax(logits)_k cos_k of the centred layers."""
    rng = torch.Generator().manual_seed(0)
    parts = [torch.randn(6, width, generator=rng) + 5 for width in (4, 9)]
    mixture = LayerMixture([4, 9])
    with torch.no_grad():
        mixture.logits.copy_(torch.tensor([0.3, -1.2]))
    rows = mixture(torch.cat(parts, 1))
    weights = torch.tensor([0.3, -1.2]).softmax(0)
    cosines = [nn.functional.cosine_similarity((p - p.mean(0))[:, None], (p - p.mean(0))[None], dim=2) for p in parts]
    torch.testing.assert_close(rows @ rows.T, weights[0] * cosines[0] + weights[1] * cosines[1], rtol=1e-4, atol=1e-5)


def test_mixture_learns_which_layer_resembles_the_target():
    rng = torch.Generator().manual_seed(1)
    like, unlike = torch.randn(24, 10, generator=rng), torch.randn(24, 10, generator=rng)
    mixture = LayerMixture([10, 10])
    optimiser = torch.optim.SGD(mixture.parameters(), 5.0)
    target = like - like.mean(0)
    for _ in range(100):
        loss = LOSSES["similarity"].function(mixture(torch.cat([unlike, like], 1)), target)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert mixture.logits.softmax(0)[1] > 0.9


def batch_of(loss, width):
    """Images of three classes, targets (or manifolds) for them, and the head that the loss acts behind."""
    torch.manual_seed(0)
    images, labels, responses = torch.rand(8, 3, 32, 32), torch.arange(8) % 2, torch.randn(8, 5)
    images += labels[:, None, None, None] * torch.rand(3, 32, 32)
    head = nn.Linear(width, 5) if loss.needs_head else LayerMixture([width]) if loss.mixes_layers else nn.Identity()
    if not loss.by_class:
        return images, responses, head
    wide = 0.05 * torch.randn(40, 5) + 3 * labels.repeat(5)[:, None]
    return images, fit_manifolds(wide, labels.repeat(5), 2).of(labels), head


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_architecture_takes_a_step_that_lowers_every_loss(architecture):
    """One plain gradient step on a fixed batch, at the penultimate layer and at one in the middle."""
    name, width = ARCHITECTURES[architecture]
    torch.manual_seed(0)
    network = build_network(architecture, 3, image_size=32).eval()  # a fixed function: no dropout, no batch statistics
    layers = layers_of(network, [PENULTIMATE, name], 1, architecture, 32)
    assert layers.widths == [network.feature_dim, width]
    parameters = [p for p in network.trunk.parameters() if p.requires_grad]
    batches = {key: batch_of(loss, sum(layers.widths)) for key, loss in LOSSES.items()}
    for key, loss in LOSSES.items():
        images, target, head = batches[key]
        before = loss.function(head(layers.collect(network.features(images))), target)
        gradients = torch.autograd.grad(before, parameters, allow_unused=True)
        assert any(g is not None and g.abs().max() > 0 for g in gradients), key
        reached = [(p, g) for p, g in zip(parameters, gradients, strict=True) if g is not None]
        size = torch.stack([g.norm() for _, g in reached]).norm().item()
        with torch.no_grad():
            lowered = False
            for step in (1e-2, 1e-3, 1e-4):
                move(reached, -step / size)
                lowered = loss.function(head(layers.collect(network.features(images))), target) < before
                move(reached, step / size)
                if lowered:
                    break
        assert lowered, key


def move(reached, factor):
    for parameter, gradient in reached:
        parameter.add_(gradient, alpha=factor)
