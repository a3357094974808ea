"""Attacks on the neural head: they reach their goals, and see through a defence that hides the gradient."""

import pytest
import torch
from torch import nn

from neurobust.attacks.adaptive import describe, respond, show_pool, target_space
from neurobust.core.io import save_weights
from neurobust.networks.architectures import build_network, load_network

LINF = {"norm": "linf", "budgets": [0, 8, 16, 32], "steps": 8}


class Headed(nn.Module):
    """The digits net as trunk, head and a neural head of 12 responses; `after` changes the logits."""

    def __init__(self, net, after=None):
        super().__init__()
        self.trunk, self.last, self.after = net[:-1], net[-1], after
        torch.manual_seed(5)
        self.neural_head = nn.Linear(32, 12)

    def features(self, images):
        return self.trunk(images)

    def head(self, features):
        logits = self.last(features)
        return logits if self.after is None else self.after(logits)

    def forward(self, images):
        return self.head(self.features(images))


@pytest.fixture
def headed(net, digits, toys):
    """The net with its head, and 100 training images in its pool."""
    network = Headed(net).eval()
    show_pool(network, toys.to_tensor(digits[0][:100]), torch.from_numpy(digits[1][:100]))
    return network


@pytest.fixture
def attack(run_attack):
    """attack(model, (images, labels), method, **changes of LINF)."""
    return lambda model, batch, method, **changes: run_attack(model, *batch, {"method": method, **LINF, **changes})


def test_the_space_is_the_head_s_where_there_is_one(headed, net):
    assert target_space(headed) == "neural head" and target_space(net) == "logits"
    headed.neural_head = None
    assert target_space(headed) == "features"
    assert describe(headed) == {"space": "features"}


def test_joint_without_its_weight_is_plain_ascent(attack, headed, batch):
    alone = attack(headed, batch, "adaptive-joint", neural_weight=0)
    plain = attack(headed, batch, "pgd")
    assert abs(alone.success.double().mean() - plain.success.double().mean()) < 0.05


def test_joint_changes_the_response_more(attack, headed, batch):
    alone, joint = (
        attack(headed, batch, "adaptive-joint", neural_weight=weight, budgets=[0, 32]) for weight in (0, 30)
    )
    rows = alone.clean_correct & alone.success[:, -1] & joint.success[:, -1]  # broken by both
    assert rows.sum() >= 10
    with torch.no_grad():
        clean, *reached = (respond(headed, p[rows])[0] for p in (batch[0], alone.adversarial, joint.adversarial))
    changes = [(points - clean).square().mean().item() for points in reached]
    assert changes[1] > 1.1 * changes[0]


def test_collision_comes_near_a_response_of_another_class(attack, headed, batch):
    result = attack(headed, batch, "adaptive-collision", budgets=[0, 64], steps=15)
    responses, classes = headed.collision_pool
    with torch.no_grad():
        clean, reached = (respond(headed, points)[0] for points in (batch[0], result.adversarial))
    other = classes[None] != batch[1][:, None]
    before, after = (
        torch.cdist(points, responses).masked_fill(~other, torch.inf).amin(1) for points in (clean, reached)
    )
    moved = result.clean_correct & result.success[:, -1]
    assert moved.double().mean() > 0.5
    assert (after[moved] < before[moved]).double().mean() > 0.9


def test_collision_sees_through_hidden_logits(attack, net, batch, digits, toys):
    """Logits in steps have no gradient: PGD finds nothing, the response is attacked all the same."""
    stepped = Headed(net, after=lambda logits: (4 * logits).round() / 4).eval()
    show_pool(stepped, toys.to_tensor(digits[0][:100]), torch.from_numpy(digits[1][:100]))
    hidden = attack(stepped, batch, "pgd", budgets=[0, 64])
    seen = attack(stepped, batch, "adaptive-collision", budgets=[0, 64])
    assert hidden.success[:, 1].double().mean() < 0.2 < 0.4 < seen.success[:, 1].double().mean()


def test_without_a_pool_collision_is_plain_ascent(run_attack, toys):
    model = toys.linear(2)
    images, labels = toys.interior_images(model, 8)
    exact = toys.closed_form(model, images, labels, "linf")
    for factor, falls in ((0.99, False), (1.01, True)):
        for row in range(8):
            settings = {"method": "adaptive-collision", "norm": "linf", "unit": "1", "steps": 5}
            settings["budgets"] = [0, factor * exact[row].item()]
            result = run_attack(model, images[row : row + 1], labels[row : row + 1], settings, seed=0, ids=[row])
            assert bool(result.success[0, 1]) == falls


def test_a_pool_of_one_class_alone_is_no_goal(attack, headed, batch):
    responses, _ = headed.collision_pool
    headed.collision_pool = responses[:5], batch[1][:1].expand(5)
    result = attack(headed, (batch[0][:1], batch[1][:1]), "adaptive-collision")
    plain = attack(headed, (batch[0][:1], batch[1][:1]), "adaptive-joint", neural_weight=0)
    assert torch.equal(result.success, plain.success)


@pytest.mark.slow
@pytest.mark.parametrize(("layers", "kept"), [(["penultimate"], True), (["layer3"], False), (None, True)])
def test_the_trained_head_is_read_on_demand(tmp_path, layers, kept):
    torch.manual_seed(0)
    network = build_network("resnet18", 4, stem="cifar", image_size=32)
    network.neural_head = nn.Linear(network.feature_dim, 7)
    config = {"architecture": "resnet18", "num_classes": 4, "stem": "cifar", "image_size": 32}
    config |= {"mean": [0.5] * 3, "std": [0.2] * 3}
    condition = {} if layers is None else {"layers": layers}
    config["provenance"] = {"params": {"condition": condition}}
    path = tmp_path / "model.safetensors"
    save_weights(path, network.state_dict(), config)
    assert load_network(path).neural_head is None
    loaded = load_network(path, neural_head=True)
    assert (loaded.neural_head is not None) == kept
    if kept:
        assert torch.equal(loaded.neural_head.weight, network.neural_head.weight)
        assert not any(parameter.requires_grad for parameter in loaded.parameters())
