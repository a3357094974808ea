"""Manifold guidance: centre, radius and subspace are planted ones, and both terms pull the right way."""

import numpy as np
import pytest
import torch

from neurobust.core.errors import InputError
from neurobust.networks.manifolds import fit_manifolds, manifold_dimension, manifold_radius


@pytest.fixture
def planted():
    """Two classes in 12 dimensions, each spread over 3 planted axes (and hardly over the others)."""
    rng = np.random.default_rng(0)
    centres, axes = rng.normal(0, 3, (2, 12)), np.linalg.qr(rng.normal(size=(2, 12, 12)))[0][:, :, :3]
    labels = np.repeat([0, 1], 200)
    spread = rng.normal(size=(400, 3)) * [2.0, 1.5, 1.0]
    points = centres[labels] + np.einsum("nk,ndk->nd", spread, axes[labels]) + rng.normal(0, 0.05, (400, 12))
    return torch.tensor(points, dtype=torch.float32), torch.tensor(labels), centres, axes


def test_planted_manifolds_are_found(planted):
    points, labels, centres, axes = planted
    found = fit_manifolds(points, labels, 2)
    np.testing.assert_allclose(found.centres, centres, atol=0.4)
    np.testing.assert_allclose(found.radii, np.sqrt(2.0**2 + 1.5**2 + 1.0**2), rtol=0.1)
    assert found.bases.shape == (2, 12, 3)  # 95 % of the variance, no more axes than that takes
    for basis, true in zip(found.bases.numpy(), axes, strict=True):
        np.testing.assert_allclose(np.linalg.svd(basis.T @ true)[1], 1, atol=0.01)


def test_a_class_of_fewer_axes_is_padded_without_effect(planted):
    points, labels, *_ = planted
    points = points.clone()
    points[labels == 1] = points[labels == 1][:1] + torch.outer(torch.linspace(-1, 1, 200), torch.eye(12)[0])
    found = fit_manifolds(points, labels, 2)
    assert (found.bases[1][:, 1:] == 0).all() and found.bases[1][:, 0].abs().argmax() == 0
    inside = found.centres[1] + 2 * torch.eye(12)[:1]
    assert manifold_dimension(inside, found.of(torch.tensor([1]))).item() == pytest.approx(0, abs=1e-4)


def test_points_of_the_manifold_cost_nothing_and_far_ones_their_distance(planted):
    points, labels, *_ = planted
    found = fit_manifolds(points, labels, 2)
    assert manifold_radius(points, found.of(labels)).item() == pytest.approx(0, abs=1e-4)
    centre = found.centres[0]
    for distance in (1.0, 7.0):
        point = centre + distance * torch.eye(12)[:1]
        expected = max(0.0, distance - found.radii[0].item())
        assert manifold_radius(point, found.of(torch.tensor([0]))).item() == pytest.approx(expected, abs=1e-4)


def test_the_dimension_term_rises_with_the_variance_outside(planted):
    """The published sign would reward leaving the subspace."""
    points, labels, *_ = planted
    found = fit_manifolds(points, labels, 2)
    rng = torch.Generator().manual_seed(0)
    noise = torch.randn(points.shape, generator=rng)
    costs = [manifold_dimension(points + sigma * noise, found.of(labels)).item() for sigma in (0, 0.5, 2)]
    assert costs[0] < 0.1 < costs[1] < costs[2]
    z = (points + noise).requires_grad_(True)
    before = manifold_dimension(z, found.of(labels))
    (gradient,) = torch.autograd.grad(before, z)

    def share_inside(x):
        z = x - found.centres[labels]
        inside = torch.einsum("nd,ndk->nk", z, found.bases[labels])
        return (inside.square().sum(1) / z.square().sum(1)).mean().item()

    moved = z.detach() - 0.5 * gradient / gradient.norm(dim=1, keepdim=True)
    assert share_inside(moved) > share_inside(z.detach()) + 0.01


def test_classes_count_alike_whatever_their_share_of_the_batch(planted):
    points, labels, *_ = planted
    found = fit_manifolds(points, labels, 2)
    x = torch.cat([found.centres[:1] + 9 * torch.eye(12)[:1], found.centres[1:].repeat(9, 1)])
    y = torch.tensor([0] + [1] * 9)
    expected = (9 - found.radii[0].item() + 0) / 2
    assert manifold_radius(x, found.of(y)).item() == pytest.approx(expected, rel=1e-4)


def test_a_class_of_one_image_is_named():
    with pytest.raises(InputError, match="class 1 has 1 training images"):
        fit_manifolds(torch.randn(5, 3), torch.tensor([0, 0, 0, 0, 1]), 2)
