"""Jacobian, margin and curvature against exact decompositions and closed forms."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from neurobust.explain.measures import linear_distances, margin_gradients
from neurobust.explain.networks import jacobian


def small():
    torch.manual_seed(0)
    layers = (
        nn.Conv2d(3, 6, 3, stride=2),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(6, 4),
    )
    return nn.Sequential(*layers).double().eval()


@pytest.mark.parametrize("image_batch", [2, 64])
def test_power_iteration_finds_the_exact_spectral_norm(image_batch):
    network, images = small(), torch.rand(5, 3, 7, 7, dtype=torch.float64)
    exact = []
    for image in images:
        whole = torch.autograd.functional.jacobian(lambda x: network(x[None])[0], image)
        exact.append(float(torch.linalg.svdvals(whole.flatten(1))[0]))
    found = jacobian.spectral_norms(network, images, steps=60, image_batch=image_batch)
    assert found.tolist() == pytest.approx(exact, rel=1e-3)
    rough = jacobian.spectral_norms(network, images, steps=3)
    assert (rough <= found * (1 + 1e-9)).all() and (rough > 0.6 * found).all(), "it comes from below"


class Linear(nn.Module):
    def __init__(self, classes=2):
        super().__init__()
        torch.manual_seed(1)
        self.head = nn.Linear(3 * 6 * 6, classes)

    def forward(self, x):
        return self.head(x.flatten(1))


def test_a_linear_network_is_straight_and_its_norm_is_that_of_its_weights():
    network, images = Linear(4), torch.rand(9, 3, 6, 6)
    labels = network(images).argmax(1)
    margin, gradient = margin_gradients(network, images, labels)
    found = jacobian.curvatures(network, images, labels, gradient, 1e-3)
    assert found.abs().max() < 1e-2
    exact = float(torch.linalg.svdvals(network.head.weight.detach())[0])
    assert jacobian.spectral_norms(network, images, 60).tolist() == pytest.approx([exact] * 9, rel=1e-3)


class Quadratic(nn.Module):
    """Margin b.x + x'Ax / 2 of a flat image."""

    def __init__(self):
        super().__init__()
        a = torch.randn(27, 27, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
        self.a, self.b = (a + a.T) / 2, torch.linspace(-1, 1, 27, dtype=torch.float64)

    def forward(self, x):
        x = x.flatten(1)
        margin = x @ self.b + 0.5 * ((x @ self.a) * x).sum(1)
        return torch.stack([margin, torch.zeros_like(margin)], 1)


def test_the_curvature_of_a_quadratic_is_its_matrix_along_the_gradient():
    network, images = Quadratic(), torch.rand(6, 3, 3, 3, dtype=torch.float64)
    labels = torch.zeros(6, dtype=torch.int64)
    _, gradient = margin_gradients(network, images, labels)
    g = images.flatten(1) @ network.a + network.b
    wanted = ((g / g.norm(dim=1, keepdim=True)) @ network.a).norm(dim=1) / g.norm(dim=1)
    for step in (1e-3, 0.3):
        found = jacobian.curvatures(network, images, labels, gradient, step, image_batch=4)
        assert found.tolist() == pytest.approx(wanted.tolist(), rel=1e-6)


def test_linear_distances_are_the_minimal_ones_of_a_linear_network():
    network, images = Linear(), torch.rand(30, 3, 6, 6)
    labels = network(images).argmax(1)
    labels[::5] = 1 - labels[::5]
    margin, gradient = margin_gradients(network, images, labels)
    found = linear_distances(margin, gradient)
    assert found.isnan().sum() == 6
    moved = images - (1 + 1e-4) * (found / gradient.flatten(1).norm(dim=1))[:, None, None, None] * gradient
    kept = images - (1 - 1e-4) * (found / gradient.flatten(1).norm(dim=1))[:, None, None, None] * gradient
    right = ~found.isnan()
    assert (network(moved).argmax(1) != labels)[right].all() and (network(kept).argmax(1) == labels)[right].all()
    met = jacobian.agreement(found.numpy(), 1.0 * found.numpy())
    assert met["correlation"] == pytest.approx(1) and met["ratio"] == pytest.approx(1)


def test_the_nearest_adversarials_of_a_search_agree_with_the_linear_distance_of_a_linear_network():
    """FMN's own distances, which it is told nothing of: their median is the linear one within a percent."""
    from neurobust.attacks.fmn import fmn
    from neurobust.attacks.fmn_settings import FMN
    from neurobust.attacks.search import Batch

    network = Linear()
    images = torch.rand(30, 3, 6, 6, generator=torch.Generator().manual_seed(4)) * 0.2 + 0.4  # far from black and white
    labels = network(images).argmax(1)
    margin, gradient = margin_gradients(network, images, labels)
    linear = linear_distances(margin, gradient).numpy()
    found = fmn(Batch(network, images, labels, (10.0,), 0, tuple(range(30))), FMN(norm="l2", steps=60))
    met = jacobian.agreement(linear, found.distance.numpy())
    assert met["correlation"] > 0.999 and met["ratio"] == pytest.approx(1, abs=0.01)


def test_agreement_of_shuffled_distances_is_at_chance():
    rng = np.random.default_rng(0)
    linear = rng.uniform(0.5, 2, 200)
    minimal = 0.8 * linear
    minimal[:10] = np.nan
    found = jacobian.agreement(linear, minimal)
    assert found["correlation"] == pytest.approx(1) and found["ratio"] == pytest.approx(0.8)
    mixed = [jacobian.agreement(linear, rng.permutation(minimal))["correlation"] for _ in range(50)]
    assert abs(np.mean(mixed)) < 4 / math.sqrt(50 * 190)
    assert math.isnan(jacobian.agreement(linear[:4], minimal[-4:])["ratio"])
