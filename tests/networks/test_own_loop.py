"""The neural loss outside of a study."""

import numpy as np
import pytest
import torch
from torch import nn

from neurobust.core.errors import InputError
from neurobust.networks.architectures import build_network
from neurobust.networks.losses import cka, mse
from neurobust.networks.own_loop import neural_head, neural_loss, standardised, target_responses
from neurobust.networks.registry import LOSSES

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
        ({"target": torch.zeros(40)}, r"neural_loss: responses are torch.float32 \(40,\); give floats"),
        ({"target": torch.zeros(40, 2, 2)}, r"neural_loss: responses are torch.float32 \(40, 2, 2\); give floats"),
        ({"target": "predictor.safetensors"}, r"neural_loss: the target is a str; give `standardised\(load_target"),
        ({"network": torch.zeros(40, 2, 2, 2)}, r"neural_loss: features are torch.float32 \(40, 2, 2, 2\); give"),
        ({"network": torch.ones(40, 2).int()}, "neural_loss: features are torch.int32"),
        ({"network": lambda x: x}, "neural_loss: the network is a function; give a torch module or features"),
        (
            {"images": torch.zeros(40, 3, 8, 8, dtype=torch.uint8)},
            "neural_loss: images are torch.uint8; give float pixels",
        ),
        ({"images": np.zeros((40, 3, 8, 8))}, "neural_loss: images are ndarray; give float pixels"),
        ({"target": torch.full((40, 4), torch.nan)}, "neural_loss: responses are up to nan; leave out voxels"),
        ({"target": torch.full((40, 4), -torch.inf)}, "neural_loss: responses are up to inf; leave out voxels"),
        ({"target": torch.rand(40, 4).double() * 1e20}, r"neural_loss: responses are up to .*e\+19; leave out"),
        ({"head": nn.Linear(2, 2)}, "neural_loss: 'cka' compares the features themselves; leave `head` out"),
        ({"loss": "mse", "head": nn.Linear(99, 2)}, r"neural_loss: head: 99 features and 2 voxels, but there are"),
        ({"loss": "mse", "head": nn.Linear}, r"neural_loss: head: .* is no module; give neural_head\(width, voxels"),
    ],
)
def test_what_cannot_be_compared_is_one_line(images, pixels, network, changes, message):
    given = {"network": network, "images": pixels, "target": standardised(Colours(), images, device=CPU)} | changes
    with pytest.raises(InputError, match=f"^{message}") as error:
        neural_loss(**given)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("loss", ["cka", "cka-debiased", "rsa", "correlation"])
@pytest.mark.parametrize("unit", [1e-13, 1e-6, 2e-3, 1.0, 1e11])
def test_a_loss_that_asks_for_no_unit_is_the_same_in_every_one(loss, unit):
    """Responses in tesla or volts too: the small numbers that losses add were most of their sums."""
    rng = np.random.default_rng(1)
    features, responses = (torch.from_numpy(rng.normal(size=(16, 5))) for _ in range(2))
    head = nn.Identity() if loss == "correlation" else None
    expected = LOSSES[loss].function(features, responses)
    found = neural_loss(features, features, responses * unit / responses.abs().max(), loss=loss, head=head)
    assert found.item() == pytest.approx(expected.item(), rel=1e-2)


@pytest.mark.parametrize("device", ["cuda:99", "gpu", "meta", 7.5])
def test_a_device_is_named_by_text_and_one_that_is_not_there_is_one_line(images, device):
    split = np.zeros(40)
    assert torch.equal(
        target_responses(Colours(), images, split, device="cpu", batch=np.int64(7)),
        target_responses(Colours(), images, split, device=CPU),
    )
    assert standardised(Colours(), images, device="cpu").mean.device == CPU
    for function, more in ((standardised, {}), (target_responses, {"split": split})):
        with pytest.raises(
            InputError, match=f"^device: {device!r}: not to be had here .*; give 'cpu', or leave it"
        ) as e:
            function(Colours(), images, device=device, **more)
        assert "\n" not in str(e.value)


def test_what_a_linear_layer_reads_by_name_or_is_changed_behind_it_is_what_it_read(images, pixels):
    class Named(nn.Module):
        def __init__(self):
            super().__init__()
            self.last = nn.Linear(48, 2)

        def forward(self, x):
            read = nn.functional.avg_pool2d(x, 4).flatten(1)
            found = self.last(input=read)
            read.zero_()
            return found

    network, target = Named().requires_grad_(False), standardised(Colours(), images, device=CPU)
    read = nn.functional.avg_pool2d(pixels, 4).flatten(1)
    assert torch.equal(neural_loss(network, pixels, target), neural_loss(read, pixels, target))


def test_the_last_linear_layer_is_the_last_one_that_is_called(images, pixels):
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.second, self.first, self.unused = nn.Linear(4, 2), nn.Linear(48, 4), nn.Linear(3, 3)
            self.pair = Pair()

        def forward(self, x):
            return self.second(self.pair(self.first(nn.functional.avg_pool2d(x, 4).flatten(1)))[0])

    class Pair(nn.Module):
        def forward(self, x):
            return x, x

    network, target = Odd(), standardised(Colours(), images, device=CPU)
    features = network.first(nn.functional.avg_pool2d(pixels, 4).flatten(1))
    assert torch.equal(neural_loss(network, pixels, target), neural_loss(features, pixels, target))
    assert torch.equal(neural_loss(features, pixels, target(pixels).numpy()), neural_loss(features, pixels, target))
    with pytest.raises(InputError, match="neural_loss: 'pair' gives a tuple, not a tensor; name a submodule"):
        neural_loss(network, pixels, target, layer="pair")
    with pytest.raises(InputError, match="neural_loss: the network does not call 'unused'; name one of second"):
        neural_loss(network, pixels, target, layer="unused")


NO_TARGETS = {
    "a path": ({"target": "predictor.safetensors"}, "target: a str; give what `load_target` returns"),
    "floats": ({"images": np.zeros((4, 8, 8, 3))}, r"images: float64 \(4, 8, 8, 3\); give uint8 \(N, H, W, 3\)"),
    "channels first": ({"images": np.zeros((4, 3, 8, 8), np.uint8)}, r"images: uint8 \(4, 3, 8, 8\); give"),
    "one image": ({"images": np.zeros((8, 8, 3), np.uint8)}, r"images: uint8 \(8, 8, 3\); give"),
    "a list": ({"images": [1, 2]}, r"images: list \(\); give"),
    "no batch": ({"batch": 0}, "batch: 0: give a whole number of images"),
}


@pytest.mark.parametrize("case", NO_TARGETS)
def test_what_cannot_be_answered_is_one_line(images, case):
    changes, message = NO_TARGETS[case]
    for function, more in ((standardised, {}), (target_responses, {"split": np.zeros(40)})):
        with pytest.raises(InputError, match=f"^{message}"):
            function(**({"target": Colours(), "images": images, **more} | changes))


def test_what_has_no_spread_is_one_line(images):
    with pytest.raises(InputError, match="images: 1 of them; a spread of responses needs at least 2"):
        standardised(Colours(), images[:1])
    for split in (np.zeros(3), np.ones(40), ["train"] * 40):
        with pytest.raises(InputError, match=r"split: .* for 40 images; give as many numbers, at least 2 of them 0"):
            target_responses(Colours(), images, split)
