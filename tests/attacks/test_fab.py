"""The fast adaptive boundary attack: its step against a slow exact one, and what it costs."""

import math

import pytest
import torch

from neurobust.attacks.fab import step_to_plane
from neurobust.attacks.norms import lengths


def slow_step(point, slope, rise, norm):
    """By bisection of the time, one image at a time: a value moves at its speed until it meets the box."""
    uphill = slope * math.copysign(1.0, rise)
    room = torch.where(uphill > 0, 1 - point, point)
    speed = uphill.abs() if norm == "l2" else (uphill != 0).double()

    def at(time):
        return uphill.sign() * torch.minimum(time * speed, room)

    low, high = 0.0, 1e6
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (low, middle) if (uphill * at(middle)).sum() >= abs(rise) else (middle, high)
    return at(high)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_a_step_is_the_shortest_one_to_the_plane(norm):
    torch.manual_seed(0)
    points = torch.rand(40, 3, 4, 4, dtype=torch.float64)
    points[::3] = points[::3].round()  # many values on the box already
    slope = torch.randn(40, 3, 4, 4, dtype=torch.float64) * torch.rand(40, 3, 4, 4).gt(0.3)
    rise = torch.randn(40, dtype=torch.float64) * torch.logspace(-3, 1.7, 40, dtype=torch.float64)
    steps = step_to_plane(points, slope, rise, norm)
    given, after = (slope * steps).flatten(1).sum(1), points + steps
    assert (after >= -1e-12).all() and (after <= 1 + 1e-12).all()
    reached = torch.isclose(given, rise, rtol=1e-9)
    assert 0 < reached.sum() < 40  # some planes lie outside of the box
    for point, along, up, step in zip(points, slope, rise.tolist(), steps, strict=True):
        assert torch.allclose(step, slow_step(point, along, up, norm), atol=1e-9)
    for row in reached.nonzero().flatten().tolist():  # no other step to the plane that stays in the box is shorter
        point, along, up, step = points[row], slope[row], rise[row], steps[row]
        others = (point + 0.2 * torch.randn(300, *point.shape, dtype=torch.float64)).clamp(0, 1) - point
        others = step + 0.3 * (others - step)
        others = others[(along * others).flatten(1).sum(1) * up.sign() >= up.abs()]
        assert (lengths(others, norm) >= lengths(step[None], norm) - 1e-9).all()


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_where_no_step_reaches_the_plane_it_ends_in_the_corner_that_comes_nearest(norm):
    points = torch.tensor([[0.25, 0.5, 1.0], [0.25, 0.5, 1.0], [0.25, 0.5, 1.0]], dtype=torch.float64)
    slope = torch.tensor([[2.0, -1.0, 1.0], [0.0, 0.0, 0.0], [1.0, 1.0, 0.0]], dtype=torch.float64)
    rise = torch.tensor([100.0, 1.0, torch.nan], dtype=torch.float64)
    steps = step_to_plane(points, slope, rise, norm)
    assert torch.equal(steps, torch.tensor([[0.75, -0.5, 0.0], [0, 0, 0], [0, 0, 0]], dtype=torch.float64))


def test_every_class_is_a_gradient_and_a_test_a_step(run_attack, net, batch):
    settings = {"method": "fab", "budgets": [0, 8], "steps": 5, "targets": 3}
    result = run_attack(net, *batch, settings, seed=0, ids=range(48))
    right = result.clean_correct
    assert (result.n_backward[~right] == 0).all() and (result.n_backward[right].sum(1) == 15).all()
    tests = result.n_forward[right].sum(1) - 1 - 30  # the clean image and the steps; the rest are halvings of lines
    assert ((tests >= 0) & (tests <= 30)).all()
