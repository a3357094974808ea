"""Fragility against the closed forms of linear predictors, and planted fragile directions."""

import math

import pytest
import torch

from neurobust.explain.predictors import fragility
from neurobust.explain.predictors.fragility import length, random_change, smallest_change, spectrum

SIDE, VOXELS = 6, 7
PIXELS = 3 * SIDE * SIDE


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def weights():
    return torch.randn(VOXELS, PIXELS, generator=generator(1)) / PIXELS**0.5


@pytest.fixture
def images():
    """Half-way between black and white, so that no change in these tests meets the end of the range."""
    return 0.5 + 0.02 * torch.rand(5, 3, SIDE, SIDE, generator=generator(2))


def linear(weights):
    return lambda x: x.flatten(1) @ weights.T + 3


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_one_voxel_of_a_linear_predictor_has_the_norm_of_its_weights(weights, images, norm):
    for voxel in range(3):
        w, scale = weights[voxel : voxel + 1], torch.tensor([0.13])
        start = torch.randn(images.shape, generator=generator(3))
        change = smallest_change(linear(w), images, scale, norm, start, steps=4)
        wanted = 0.13 / (w.norm() if norm == "l2" else w.abs().sum())
        assert length(change, norm).flatten() == pytest.approx(torch.full((5,), wanted.item()), rel=2e-3)
        assert (change.flatten(1) @ w.T).abs() == pytest.approx(torch.full((5, 1), 0.13), rel=2e-3)


def test_an_roi_of_a_linear_predictor_has_the_largest_singular_value(weights, images):
    """Power iteration: its error shrinks with the square of the ratio of the two largest singular values (.92 here),
    so 1 % after 40 steps, which a tall gap would not need."""
    scale = torch.linspace(0.05, 0.1, VOXELS)
    singular = torch.linalg.svdvals(weights / scale[:, None])
    found = spectrum(linear(weights), images, scale, generator(4), probes=64, steps=40)
    assert found.largest == pytest.approx(singular[0].expand(5), rel=0.01)
    gram = (weights / scale[:, None]) @ (weights / scale[:, None]).T
    off_diagonal = (gram - gram.diag().diag()).square().sum()  # Rademacher: variance 2 * off-diagonal / probes
    error = (2 * off_diagonal / 64).sqrt().item()
    assert (found.energy - singular.square().sum()).abs().max() < 4 * error
    assert found.rank == pytest.approx((singular.square().sum() / singular[0] ** 2).expand(5), rel=0.1)
    change = smallest_change(linear(weights), images, scale, "l2", found.direction, steps=20)
    assert length(change, "l2").flatten() == pytest.approx((VOXELS**0.5 / singular[0]).expand(5), rel=0.01)


def test_a_random_direction_needs_as_much_more_as_there_are_pixels(weights, images):
    """|w d| of a random unit d is |w| |z| / sqrt(pixels): the ratio to the smallest change is sqrt(pixels) / |z|. Of
    400 draws the median's logarithm has a standard error of about .06 around log(sqrt(108) / .674)."""
    w, scale = weights[:1], torch.tensor([1e-3])
    many = images[:1].expand(400, -1, -1, -1)
    random = length(random_change(linear(w), many, scale, "l2", generator(5), steps=30), "l2").flatten()
    ratio = (random / (1e-3 / w.norm())).median().item()
    assert abs(math.log(ratio / (PIXELS**0.5 / 0.674))) < 4 * 0.06


def test_a_planted_fragile_direction_is_found_and_a_random_one_is_not():
    """Two predictors with the same response to smooth images: one of them also reads a fine checkerboard, with a gain
    of 30. The smallest change shrinks to that of the checkerboard; noise still needs many times as much."""
    side = 16
    checks = torch.tensor([[1.0, -1], [-1, 1]]).repeat(side // 2, side // 2) / side
    smooth = torch.nn.functional.interpolate(torch.rand(6, 3, 2, 2, generator=generator(6)), side) * 0.4 + 0.3

    def sturdy(x):
        return torch.tanh(4 * (x.flatten(1).mean(1, keepdim=True) - 0.5))

    def fragile(x):
        return sturdy(x) + 30 * (x.mean(1) * checks).flatten(1).sum(1, keepdim=True)

    assert torch.allclose(sturdy(smooth), fragile(smooth), atol=1e-4)
    scale, sizes, chance = torch.tensor([0.1]), {}, {}
    for name, respond in (("sturdy", sturdy), ("fragile", fragile)):
        start = torch.randn(smooth.shape, generator=generator(7))
        sizes[name] = length(smallest_change(respond, smooth, scale, "l2", start), "l2").median().item()
        noise = random_change(respond, smooth, scale, "l2", generator(8))
        chance[name] = length(noise, "l2").nanmedian().item()
    assert sizes["fragile"] == pytest.approx(0.1 / (30 / 3**0.5), rel=0.05)
    assert sizes["sturdy"] / sizes["fragile"] > 20 and chance["fragile"] > 5 * sizes["fragile"]


def test_changes_stay_in_the_range_and_what_cannot_move_is_nan(weights):
    dark = torch.zeros(3, 3, SIDE, SIDE)
    start = torch.randn(dark.shape, generator=generator(9))
    change = smallest_change(linear(weights[:1]), dark, torch.tensor([0.2]), "linf", start)
    assert torch.isfinite(change).all() and change.min() >= 0 and change.max() <= 1
    assert ((change.flatten(1) @ weights[:1].T).abs() >= 0.2 * (1 - 1e-3)).all()
    deaf = lambda x: x.flatten(1)[:, :1] * 0  # noqa: E731
    assert torch.isnan(smallest_change(deaf, dark, torch.ones(1), "l2", start)).all()
    assert torch.isnan(random_change(deaf, dark, torch.ones(1), "l2", generator(0))).all()


def test_the_derivative_along_a_direction_is_that_of_autograd(images):
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.Tanh(), torch.nn.Flatten(), torch.nn.LazyLinear(5))
    net(images)
    directions = torch.randn(images.shape, generator=generator(1))
    exact = torch.autograd.functional.jvp(net, images, directions)[1]
    found = fragility.push_forward(net, images, directions, torch.ones(5))
    assert torch.allclose(found, exact, rtol=1e-2, atol=1e-3)
