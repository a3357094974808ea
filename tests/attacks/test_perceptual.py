"""Perceptual distances: published test pairs, slow exact references, gradients that stay finite."""

import colorsys

import numpy as np
import pytest
import torch

from neurobust.attacks.perceptual import (
    ciede2000,
    colour_distance,
    feature_distance,
    l2_distance,
    lab_to_rgb,
    rgb_to_lab,
    ssim,
)
from neurobust.core.errors import InputError

# Sharma, Wu and Dalal (2005), table 1: L1 a1 b1, L2 a2 b2, CIEDE2000
SHARMA = """
50.0000 2.6772 -79.7751 50.0000 0.0000 -82.7485 2.0425
50.0000 3.1571 -77.2803 50.0000 0.0000 -82.7485 2.8615
50.0000 2.8361 -74.0200 50.0000 0.0000 -82.7485 3.4412
50.0000 -1.3802 -84.2814 50.0000 0.0000 -82.7485 1.0000
50.0000 -1.1848 -84.8006 50.0000 0.0000 -82.7485 1.0000
50.0000 -0.9009 -85.5211 50.0000 0.0000 -82.7485 1.0000
50.0000 0.0000 0.0000 50.0000 -1.0000 2.0000 2.3669
50.0000 -1.0000 2.0000 50.0000 0.0000 0.0000 2.3669
50.0000 2.4900 -0.0010 50.0000 -2.4900 0.0009 7.1792
50.0000 2.4900 -0.0010 50.0000 -2.4900 0.0010 7.1792
50.0000 2.4900 -0.0010 50.0000 -2.4900 0.0011 7.2195
50.0000 2.4900 -0.0010 50.0000 -2.4900 0.0012 7.2195
50.0000 -0.0010 2.4900 50.0000 0.0009 -2.4900 4.8045
50.0000 -0.0010 2.4900 50.0000 0.0010 -2.4900 4.8045
50.0000 -0.0010 2.4900 50.0000 0.0011 -2.4900 4.7461
50.0000 2.5000 0.0000 50.0000 0.0000 -2.5000 4.3065
50.0000 2.5000 0.0000 73.0000 25.0000 -18.0000 27.1492
50.0000 2.5000 0.0000 61.0000 -5.0000 29.0000 22.8977
50.0000 2.5000 0.0000 56.0000 -27.0000 -3.0000 31.9030
50.0000 2.5000 0.0000 58.0000 24.0000 15.0000 19.4535
50.0000 2.5000 0.0000 50.0000 3.1736 0.5854 1.0000
50.0000 2.5000 0.0000 50.0000 3.2972 0.0000 1.0000
50.0000 2.5000 0.0000 50.0000 1.8634 0.5757 1.0000
50.0000 2.5000 0.0000 50.0000 3.2592 0.3350 1.0000
60.2574 -34.0099 36.2677 60.4626 -34.1751 39.4387 1.2644
63.0109 -31.0961 -5.8663 62.8187 -29.7946 -4.0864 1.2630
61.2901 3.7196 -5.3901 61.4292 2.2480 -4.9620 1.8731
35.0831 -44.1164 3.7933 35.0232 -40.0716 1.5901 1.8645
22.7233 20.0904 -46.6940 23.0331 14.9730 -42.5619 2.0373
36.4612 47.8580 18.3852 36.2715 50.5065 21.2231 1.4146
90.8027 -2.0831 1.4410 91.1528 -1.6435 0.0447 1.4441
90.9257 -0.5406 -0.9208 88.6381 -0.8985 -0.7239 1.5381
6.7747 -0.2908 -2.4247 5.8714 -0.0985 -2.2286 0.6377
2.0776 0.0795 -1.1350 0.9033 -0.0636 -0.5514 0.9082
"""


def test_ciede2000_is_the_published_table():
    rows = [[float(entry) for entry in line.split()] for line in SHARMA.split("\n") if line]
    table = torch.tensor(rows, dtype=torch.float64)  # pairs 10 and 11 differ by less than float32 holds
    one, other, expected = table[:, :3, None], table[:, 3:6, None], table[:, 6, None]
    assert len(table) == 34
    assert torch.allclose(ciede2000(one, other), expected, atol=5.1e-5, rtol=0)
    assert torch.allclose(ciede2000(other, one), expected, atol=5.1e-5, rtol=0)


@pytest.fixture
def images():
    torch.manual_seed(0)
    images = torch.rand(5, 3, 20, 16, dtype=torch.float64)
    images[1] = images[1].round()  # corners of the cube, black and white among them
    images[2] = images[2, :1]  # greys
    images[3] *= 0.004  # the straight ends of both curves
    return images


def test_lab_of_known_colours():
    """CIE Lab (D65) of sRGB's corners, as colour tables print them."""
    known = {(1, 1, 1): (100, 0, 0), (0, 0, 0): (0, 0, 0), (1, 0, 0): (53.24, 80.09, 67.20),
             (0, 1, 0): (87.73, -86.18, 83.18), (0, 0, 1): (32.30, 79.19, -107.86)}  # fmt: skip
    rgb = torch.tensor(list(known), dtype=torch.float64)[..., None, None]
    lab = torch.tensor(list(known.values()), dtype=torch.float64)
    assert torch.allclose(rgb_to_lab(rgb)[..., 0, 0], lab, atol=0.02)


def test_lab_round_trip_and_greys(images):
    assert torch.allclose(lab_to_rgb(rgb_to_lab(images)), images, atol=1e-9)
    assert torch.allclose(lab_to_rgb(rgb_to_lab(images.float())), images.float(), atol=2e-5)
    assert rgb_to_lab(images[2:3])[:, 1:].abs().max() < 1e-9  # a grey has no colour


def test_colours_outside_srgb_are_clipped_on_request():
    lab = torch.tensor([[50.0, 120.0, -120.0], [1.0, -80.0, 60.0]]).double()[..., None, None]
    inside, raw = lab_to_rgb(lab), lab_to_rgb(lab, clip=False)
    assert inside.min() == 0 and inside.max() <= 1
    assert raw.min() < 0 and torch.equal(raw.clamp(0, 1), inside)
    assert torch.allclose(rgb_to_lab(raw), lab, atol=1e-6)  # unclipped, nothing is lost


@pytest.mark.parametrize("change", [rgb_to_lab, lambda x: lab_to_rgb(rgb_to_lab(x)), lambda x: lab_to_rgb(200 * x)])
def test_gradients_are_finite_everywhere(images, change):
    points = images.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(change(points).sum(), points)
    assert gradient.isfinite().all() and (gradient != 0).any()


@pytest.mark.parametrize("change", [rgb_to_lab, lambda x: lab_to_rgb(0.9 * rgb_to_lab(x))])
def test_lab_gradient_is_a_difference_quotient(images, change):
    points, weights = images[:1].clamp(0.1, 0.9).requires_grad_(), torch.randn_like(images[:1])
    (gradient,) = torch.autograd.grad((change(points) * weights).sum(), points)
    step = torch.randn_like(points) * 1e-6
    quotient = ((change(points + step) - change(points - step)) * weights).sum() / 2
    assert (gradient * step).sum().item() == pytest.approx(quotient.item(), rel=1e-5)


def slow_ssim(one: np.ndarray, other: np.ndarray) -> float:
    """Every window by itself: weighted moments of one channel (H, W)."""
    places = np.arange(11) - 5
    weights = np.exp(-(places[:, None] ** 2 + places**2) / (2 * 1.5**2))
    weights /= weights.sum()
    values = []
    for i in range(one.shape[0] - 10):
        for j in range(one.shape[1] - 10):
            x, y = one[i : i + 11, j : j + 11], other[i : i + 11, j : j + 11]
            mean_x, mean_y = (weights * x).sum(), (weights * y).sum()
            var_x, var_y = (weights * (x - mean_x) ** 2).sum(), (weights * (y - mean_y) ** 2).sum()
            both = (weights * (x - mean_x) * (y - mean_y)).sum()
            top = (2 * mean_x * mean_y + 1e-4) * (2 * both + 9e-4)
            values.append(top / ((mean_x**2 + mean_y**2 + 1e-4) * (var_x + var_y + 9e-4)))
    return float(np.mean(values))


def test_ssim_is_the_slow_reference(images):
    torch.manual_seed(1)
    others = (images + 0.2 * torch.randn_like(images)).clamp(0, 1)
    expected = [np.mean([slow_ssim(x.numpy(), y.numpy()) for x, y in zip(*pair, strict=True)])
                for pair in zip(images, others, strict=True)]  # fmt: skip
    assert torch.allclose(ssim(images, others), torch.tensor(expected), atol=1e-10)
    assert torch.allclose(ssim(images, images), torch.ones(5).double())


def test_ssim_of_constants_is_the_luminance_term():
    one, other = torch.full((1, 3, 12, 12), 0.2), torch.full((1, 3, 12, 12), 0.6)
    assert ssim(one, other).item() == pytest.approx((2 * 0.12 + 1e-4) / (0.04 + 0.36 + 1e-4), rel=1e-6)


def test_distances_are_zero_for_equal_images_and_one_number_per_pair(images):
    torch.manual_seed(0)
    net = torch.nn.Conv2d(3, 4, 3).double()
    others = images.flip(3)
    for distance in (colour_distance, l2_distance, feature_distance(net)):
        assert torch.equal(distance(images, images), torch.zeros(5).double())
        both = distance(images, others)
        assert both.shape == (5,) and both.dtype == torch.float64 and (both[:2] > 0).all()
        assert torch.allclose(both[1:3], distance(images[1:3], others[1:3]))


def test_colour_distance_sees_hue_and_l2_is_the_norm(images):
    red = torch.tensor(colorsys.hsv_to_rgb(0.0, 0.5, 0.8)).view(1, 3, 1, 1).expand(1, 3, 4, 4)
    near, far = (torch.tensor(colorsys.hsv_to_rgb(h, 0.5, 0.8)).view(1, 3, 1, 1).expand_as(red) for h in (0.03, 0.5))
    assert 0 < colour_distance(red, near) < colour_distance(red, far)
    expected = np.linalg.norm((images - images.flip(3)).numpy().reshape(5, -1), axis=1)
    assert np.allclose(l2_distance(images, images.flip(3)).numpy(), expected)


def test_feature_distance_is_the_gap_of_unit_channels():
    def features(x):
        return [x.mean((2, 3)), x]

    one = torch.tensor([3.0, 4.0, 0.0]).view(1, 3, 1, 1).expand(1, 3, 2, 2) / 5
    other = torch.tensor([0.0, 0.0, 0.5]).view(1, 3, 1, 1).expand(1, 3, 2, 2)
    assert feature_distance(features)(one, other).item() == pytest.approx(4.0)  # two maps, orthogonal: 2 each
    assert feature_distance(features)(one, one / 2).item() == pytest.approx(0, abs=1e-12)


def test_bad_pairs_are_one_clear_error(images):
    with pytest.raises(InputError, match="two batches"):
        colour_distance(images, images[:2])
    with pytest.raises(InputError, match="11 px"):
        ssim(images[..., :8], images[..., :8])
