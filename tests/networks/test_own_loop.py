"""The neural loss outside of a study."""

import numpy as np
import pytest
import torch
from torch import nn

from neurobust.core.errors import InputError
from neurobust.networks.architectures import build_network
from neurobust.networks.losses import cka, mse
from neurobust.networks.own_loop import neural_head, neural_loss, standardised, target_responses

CPU = torch.device("cpu")


class Colours(nn.Module):
    """Four responses: the mean colours, and their sum."""

    def forward(self, images):
        colours = images.mean((2, 3))
        return torch.cat([colours, colours.sum(1, keepdim=True)], 1) * 7 + 3


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (40, 16, 16, 3), dtype=np.uint8)


@pytest.fixture
def pixels(images):
    return torch.from_numpy(images).permute(0, 3, 1, 2) / 255


@pytest.fixture
def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.AvgPool2d(4), nn.Flatten(), nn.Linear(48, 8), nn.ReLU(), nn.Linear(8, 2))


def test_a_target_is_in_units_of_its_training_images(images, pixels):
    target = standardised(Colours(), images, batch=7, device=CPU)
    responses = target(pixels)
    assert torch.allclose(responses.mean(0), torch.zeros(4), atol=1e-4)
    assert torch.allclose(responses.std(0, correction=0), torch.ones(4), atol=1e-4)
    split = np.repeat([0, 1, 2], [20, 10, 10])
    table = target_responses(Colours(), images, split, device=CPU)
    assert torch.allclose(table[:20].mean(0), torch.zeros(4), atol=1e-4) and table[20:].mean().abs() > 1e-3
    wanted = standardised(Colours(), images[:20], device=CPU)(pixels)
    assert torch.allclose(table, wanted, atol=1e-3)


def test_the_shuffle_control_moves_responses_within_their_split(images):
    split = np.repeat([0, 1, 2], [20, 10, 10])
    own = target_responses(Colours(), images, split, device=CPU)
    shuffled = target_responses(Colours(), images, split, shuffle_seed=1, device=CPU)
    for part in range(3):
        rows = split == part
        assert torch.equal(own[rows].sort(0).values, shuffled[rows].sort(0).values)
        assert not (own[rows] == shuffled[rows]).all(1).any(), "none keeps its own"
    assert not torch.equal(shuffled, target_responses(Colours(), images, split, shuffle_seed=2, device=CPU))


def test_the_loss_is_a_study_s_on_the_penultimate_layer(images, pixels, network):
    target = standardised(Colours(), images, device=CPU)
    penultimate = network[:4](pixels)
    wanted = cka(penultimate, target(pixels))
    assert torch.equal(neural_loss(network, pixels, target), wanted)
    assert torch.equal(neural_loss(penultimate, pixels, target(pixels)), wanted)
    assert torch.equal(neural_loss(network, pixels, target, layer="2"), cka(network[:3](pixels), target(pixels)))
    head = neural_head(8, 4, seed=0)
    assert torch.equal(neural_loss(network, pixels, target, "mse", head), mse(head(penultimate), target(pixels)))
    assert torch.equal(head.weight, neural_head(8, 4, seed=0).weight)
    ours = build_network("small", 2, image_size=16).eval()
    assert torch.equal(neural_loss(ours, pixels, target), cka(ours.features(pixels), target(pixels)))
    assert all(not part._forward_hooks and not part._forward_pre_hooks for part in network.modules())


def test_the_gradient_moves_the_network_and_not_the_target(images, pixels, network):
    predictor = Colours()
    predictor.scale = nn.Parameter(torch.ones(1))
    target = standardised(predictor, images, device=CPU)
    losses = []
    optimiser = torch.optim.Adam(network.parameters(), lr=0.01)
    for _ in range(60):
        loss = neural_loss(network, pixels, target)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] - 0.2 and predictor.scale.grad is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"loss": "nothing"}, "neural_loss: 'nothing' is not one of mse"),
        ({"loss": "similarity"}, "neural_loss: 'similarity' is not one of"),
        ({"loss": "mse"}, "neural_loss: 'mse' compares predicted responses; give head="),
        ({"layer": "features.3"}, "neural_loss: the network has no submodule 'features.3'; name one of 0, 1, 2"),
        ({"network": nn.Conv2d(3, 2, 1)}, "neural_loss: the network has no linear layer"),
        ({"target": torch.zeros(3, 4)}, "neural_loss: 40 images and 3 responses"),
    ],
)
def test_what_cannot_be_compared_is_one_line(images, pixels, network, changes, message):
    given = {"network": network, "images": pixels, "target": standardised(Colours(), images, device=CPU)} | changes
    with pytest.raises(InputError, match=f"^{message}") as error:
        neural_loss(**given)
    assert "\n" not in str(error.value)
