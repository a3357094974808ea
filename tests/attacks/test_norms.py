"""Norms, projections and losses against slow references."""

import pytest
import torch

from neurobust.attacks.losses import LOSSES, loss_gradient
from neurobust.attacks.norms import SHRINK, lengths, project, steepest, stretch
from neurobust.core.errors import InputError


def slow_projection(point, centre, radius):
    """l2 projection onto ball ∩ box by bisection on the ball's multiplier, in float64."""
    inside = point.clamp(0, 1)
    if (inside - centre).norm() <= radius:
        return inside
    low, high = 0.0, 1.0
    for _ in range(200):
        t = (low + high) / 2
        candidate = (centre + t * (point - centre)).clamp(0, 1)
        low, high = (t, high) if (candidate - centre).norm() <= radius else (low, t)
    return (centre + low * (point - centre)).clamp(0, 1)


@pytest.mark.parametrize("spread", [0.05, 0.5, 3.0])
@pytest.mark.parametrize("radius", [0.1, 0.7, 2.0])
def test_l2_projection_is_exact(radius, spread):
    torch.manual_seed(0)
    centre = torch.rand(20, 3, 4, 5, dtype=torch.float64)
    centre[:4] = centre[:4].round()  # corners of the box: half of all directions are blocked
    points = centre + spread * torch.randn_like(centre)
    got = project(points, centre, radius, "l2")
    expected = torch.stack([slow_projection(p, c, radius * SHRINK) for p, c in zip(points, centre, strict=True)])
    assert torch.allclose(got, expected, atol=1e-9)


@pytest.mark.parametrize("kind", ["linf", "l2"])
@pytest.mark.parametrize("radius", [0.1, 0.5 / 255, 8 / 255, 0.5, 3.0])
def test_projected_points_are_valid_in_float64(kind, radius):
    torch.manual_seed(1)
    centre = torch.rand(64, 3, 16, 16).mul(255).round() / 255
    points = project(centre + torch.randn_like(centre), centre, radius, kind)
    assert points.min() >= 0 and points.max() <= 1
    assert (lengths(points.double() - centre.double(), kind) <= radius * (1 + 1e-6) + 1e-7).all()


def test_stretch_fills_the_budget_after_clipping():
    torch.manual_seed(2)
    centre = torch.rand(32, 3, 8, 8, dtype=torch.float64).round()  # every pixel on the box
    got = lengths(stretch(centre, torch.randn_like(centre), 2.0) - centre, "l2")
    assert torch.allclose(got, torch.full_like(got, 2 * SHRINK), rtol=1e-9)


def test_stretch_stops_at_the_box_where_the_budget_is_out_of_reach():
    centre = torch.full((1, 3, 2, 2), 0.5)
    points = stretch(centre, torch.ones_like(centre), 100.0)
    assert torch.equal(points, torch.ones_like(points))


def test_steepest_has_unit_norm_even_for_tiny_gradients():
    gradient = torch.randn(4, 3, 5, 5) * torch.tensor([1.0, 1e-20, 1e-30, 0]).view(4, 1, 1, 1)
    size = lengths(steepest(gradient, "l2"), "l2")
    assert torch.allclose(size, torch.tensor([1, 1, 1, 0.0], dtype=torch.float64), atol=1e-5)
    assert torch.equal(steepest(gradient, "linf"), gradient.sign())


def test_losses_follow_their_definitions():
    torch.manual_seed(3)
    logits, labels = torch.randn(50, 6), torch.randint(6, (50,))
    for row, label, margin, dlr in zip(
        logits, labels, LOSSES["margin"](logits, labels), LOSSES["dlr"](logits, labels), strict=True
    ):
        others = [value.item() for place, value in enumerate(row) if place != label]
        ranked = sorted(row.tolist(), reverse=True)
        assert margin.item() == pytest.approx(max(others) - row[label].item(), abs=1e-6)
        assert dlr.item() == pytest.approx((max(others) - row[label].item()) / (ranked[0] - ranked[2]), rel=1e-4)


def test_dlr_refuses_two_classes():
    with pytest.raises(InputError, match="use 'margin'"):
        LOSSES["dlr"](torch.zeros(1, 2), torch.zeros(1, dtype=torch.long))


def test_gradient_is_per_image(toys):
    """A batch-mean loss would shrink every gradient by the batch size."""
    model = toys.linear(4)
    images, labels = toys.interior_images(model, 8)
    _, _, together = loss_gradient(model, images, labels, "margin")
    alone = [loss_gradient(model, images[i : i + 1], labels[i : i + 1], "margin")[2] for i in range(8)]
    assert torch.allclose(together, torch.cat(alone), atol=1e-6)
    assert all(parameter.grad is None for parameter in model.parameters())  # loss.backward() would fill them
