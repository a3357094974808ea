"""Saliency: planted masks and predictors whose pixels are known."""

import math

import pytest
import torch
from torch import nn

from neurobust.explain.measures import margin_gradients
from neurobust.explain.networks import saliency


def disks(n=24, side=16, seed=0):
    """Masks of one disk each, in places of their own."""
    centre = 4 + 8 * torch.rand(n, 2, generator=torch.Generator().manual_seed(seed))
    axis = torch.arange(side).float()
    return (axis[None, :, None] - centre[:, :1, None]) ** 2 + (axis[None, None] - centre[:, 1:, None]) ** 2 < 9


def test_a_planted_mask_is_found_and_maps_of_other_images_are_at_chance():
    masks = disks()
    maps = masks.float() + 0.01
    found = saliency.pointing_game(maps, masks)
    assert found.hits == 1 and found.mass > 0.9 and found.n == 24 and found.area == pytest.approx(28 / 256, abs=0.02)
    noise = torch.rand(4000, 16, 16, generator=torch.Generator().manual_seed(1))
    chance = saliency.pointing_game(noise, masks.repeat(167, 1, 1)[:4000])
    error = math.sqrt(chance.area / 4000)
    assert abs(chance.hits - chance.area) < 4 * error and abs(chance.mass - chance.area) < 0.01


def test_masks_without_an_inside_or_an_outside_say_nothing():
    masks = torch.zeros(3, 4, 4, dtype=torch.bool)
    masks[1] = True
    assert saliency.pointing_game(torch.rand(3, 4, 4), masks).n == 0
    masks[2, 0, 0] = True
    assert saliency.pointing_game(torch.rand(3, 4, 4), masks).n == 1


class Window(nn.Module):
    """Two classes told by the pixels in a window of the image."""

    def __init__(self, window):
        super().__init__()
        self.window = window

    def forward(self, x):
        found = (x.mean(1) * self.window).sum((1, 2))
        return torch.stack([found, -found], 1)


def test_a_network_of_one_window_looks_there_alone():
    masks = disks(1).expand(5, 16, 16)
    network, images = Window(masks[0].float()), torch.rand(5, 3, 16, 16)
    _, gradient = margin_gradients(network, images, torch.zeros(5, dtype=torch.int64))
    found = saliency.pointing_game(saliency.saliency(gradient), masks)
    assert found.hits == 1 and found.mass == pytest.approx(1)


def test_response_saliency_is_the_jacobians_energy():
    torch.manual_seed(0)
    target = nn.Sequential(nn.Flatten(), nn.Linear(3 * 5 * 5, 7))
    images = torch.rand(4, 3, 5, 5)
    wanted = target[1].weight.reshape(7, 3, 5, 5).square().sum((0, 1)).sqrt()
    found = saliency.response_saliency(target, images, draws=1500, image_batch=3)  # an SD of at most 1.8 % each
    assert torch.allclose(found, wanted.expand(4, 5, 5), rtol=0.12)
    one = saliency.response_saliency(target, images, draws=1, seed=1)
    assert one.shape == (4, 5, 5) and not torch.equal(one, saliency.response_saliency(target, images, 1, 2))


def test_shared_saliency_is_beyond_what_any_two_images_share():
    """A love of the centre alone is no shared attention."""
    own = torch.rand(40, 12, 12, generator=torch.Generator().manual_seed(0))
    axis = torch.linspace(-1, 1, 12)
    centre = 3 * torch.exp(-(axis[:, None] ** 2 + axis[None] ** 2))
    foreign = torch.rand(40, 12, 12, generator=torch.Generator().manual_seed(1))
    same, other = (
        saliency.shared_saliency(own + centre, own + centre),
        saliency.shared_saliency(own + centre, foreign + centre),
    )
    assert same.own == pytest.approx(1) and same.beyond > 0.05
    assert other.own > 0.5 and abs(other.beyond) < 4 * 0.03 / math.sqrt(40)
    order = torch.randperm(40, generator=torch.Generator().manual_seed(2))
    assert abs(saliency.shared_saliency(own, own[order]).beyond) < 0.1
    assert math.isnan(saliency.shared_saliency(torch.ones(5, 3, 3), torch.rand(5, 3, 3)).own)


def test_blur_keeps_what_is_even_and_spreads_a_point():
    assert torch.allclose(saliency.blurred(torch.ones(2, 9, 9), 1.5), torch.ones(2, 9, 9))
    point = torch.zeros(1, 15, 15)
    point[0, 7, 7] = 1
    found = saliency.blurred(point, 1.0)
    assert float(found.sum()) == pytest.approx(1, abs=1e-5)
    assert float(found[0, 7, 8] / found[0, 7, 7]) == pytest.approx(math.exp(-0.5), rel=1e-4)
    assert saliency.blurred(point, 0) is point and saliency.blurred(torch.rand(1, 3, 3), 5).shape == (1, 3, 3)
