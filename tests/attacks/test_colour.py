"""Colour attacks: the colour model against colorsys, the grid against brute force."""

import colorsys

import pytest
import torch

from neurobust.attacks.colour import (
    add_brightness,
    grid_amounts,
    hsv_to_rgb,
    rgb_to_hsv,
    scale_contrast,
    scale_saturation,
    shift_hue,
)
from neurobust.core.errors import InputError


@pytest.fixture
def colours():
    torch.manual_seed(0)
    images = torch.rand(4, 3, 6, 6, dtype=torch.float64)
    images[1] = images[1].round()  # corners of the cube
    images[2] = images[2, :1]  # greys
    images[3, :, :3] = torch.tensor([[0.0, 1.0, 0.5]], dtype=torch.float64).T[..., None]
    return images


def by_colorsys(images, change):
    """Change each pixel's (hue, saturation, value) with the standard library."""
    out = torch.empty_like(images)
    for n in range(len(images)):
        for i in range(images.shape[2]):
            for j in range(images.shape[3]):
                pixel = change(*colorsys.rgb_to_hsv(*images[n, :, i, j].tolist()))
                out[n, :, i, j] = torch.tensor(colorsys.hsv_to_rgb(*pixel), dtype=images.dtype)
    return out


def test_round_trip_returns_the_image(colours):
    assert torch.allclose(hsv_to_rgb(*rgb_to_hsv(colours)), colours, atol=1e-12)
    single = torch.rand(8, 3, 16, 16)
    assert torch.allclose(hsv_to_rgb(*rgb_to_hsv(single)), single, atol=5e-7)


@pytest.mark.parametrize("amount", [-0.5, -0.13, 0.02, 0.4])
def test_hue_shift_is_colorsys(colours, amount):
    expected = by_colorsys(colours, lambda h, s, v: ((h + amount) % 1, s, v))
    assert torch.allclose(shift_hue(colours, amount), expected, atol=1e-9)


@pytest.mark.parametrize("amount", [-2.0, -1.0, -0.3, 0.5, 4.0])
def test_saturation_is_colorsys(colours, amount):
    expected = by_colorsys(colours, lambda h, s, v: (h, min(1, s * max(0, 1 + amount)), v))
    assert torch.allclose(scale_saturation(colours, amount), expected, atol=1e-9)


def test_grey_images_cannot_change():
    grey = torch.rand(3, 1, 5, 5).expand(-1, 3, -1, -1)
    assert torch.allclose(shift_hue(grey, 0.3), grey) and torch.allclose(scale_saturation(grey, 3.0), grey)


def test_brightness_and_contrast_are_closed_forms(colours):
    assert torch.equal(add_brightness(colours, 0), colours) and torch.allclose(scale_contrast(colours, 0), colours)
    assert (add_brightness(colours, 1) == 1).all() and (add_brightness(colours, -1) == 0).all()
    middle = 0.4 + 0.2 * colours
    assert torch.allclose(add_brightness(middle, -0.3), middle - 0.3)
    mean = middle.mean((2, 3), keepdim=True)
    assert torch.allclose(scale_contrast(middle, -1), mean.expand_as(middle))
    assert torch.allclose(scale_contrast(middle, -3), mean.expand_as(middle))  # never a negative
    doubled = scale_contrast(middle, 1)
    assert torch.allclose(doubled, (2 * middle - mean).clamp(0, 1))
    assert torch.allclose(scale_contrast(0.4 + 0.1 * colours, 1).mean((2, 3)), (0.4 + 0.1 * colours).mean((2, 3)))


def test_brightness_over_the_whole_range_is_refused(run_attack, toys):
    images = torch.rand(2, 3, 4, 4)
    settings = {"method": "brightness", "budgets": [0, 1.5]}
    with pytest.raises(InputError, match=r"1\.5 is over 1"):
        run_attack(toys.linear(3, (3, 4, 4)), images, torch.zeros(2), settings, seed=0, ids=range(2))


@pytest.mark.parametrize(
    ("method", "change"),
    [
        ("hue", shift_hue),
        ("saturation", scale_saturation),
        ("brightness", add_brightness),
        ("contrast", scale_contrast),
    ],
)
def test_worst_case_is_brute_force(run_attack, toys, method, change):
    model = toys.linear(5, (3, 4, 4))
    torch.manual_seed(5)
    images = torch.rand(24, 3, 4, 4) * torch.rand(24, 3, 1, 1)
    labels = model(images).argmax(1)
    budgets = [0, 0.05, 0.2, 0.3, 0.5]
    result = run_attack(
        model, images, labels, {"method": method, "budgets": budgets, "grid": 11}, seed=0, ids=range(24)
    )
    amounts = grid_amounts(budgets, 11)
    broken = torch.stack([model(change(images, amount)).argmax(1) != labels for amount in amounts], dim=1)
    sizes = torch.tensor([abs(amount) for amount in amounts], dtype=torch.float64)
    expected = torch.stack([(broken & (sizes <= budget + 1e-9)).any(1) for budget in budgets], dim=1)
    assert torch.equal(result.success, expected)
    assert 0 < expected[:, -1].sum() < 24
    nearest = torch.where(broken, sizes, torch.inf).amin(1)
    assert torch.equal(result.distance.nan_to_num(torch.inf), nearest)


def test_grid_holds_both_ends_of_every_budget():
    amounts = grid_amounts([0, 0.07, 0.5], 5)
    assert amounts == [-0.07, 0.07, -0.25, 0.25, -0.5, 0.5]
