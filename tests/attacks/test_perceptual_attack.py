"""The attack within a perceptual distance: the distance, a ball of known shape, and images that stay inside."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from neurobust.attacks.perceptual import distance_in, embed, feature_distance
from neurobust.attacks.perceptual_attack import Space, unit
from neurobust.attacks.plan import read_plan
from neurobust.attacks.run import batch_of, run_attack
from neurobust.attacks.verify import verify
from neurobust.core.errors import InputError

TURN = 0.2  # radians per unit of a pixel: small, so that chords are arcs


class Circles(nn.Module):
    """An oracle whose distance is L2: each pixel and channel is an angle on a circle of its own.

    The unit vector of a place has parts (cos, sin) / sqrt(3) per channel, so that the squared distance is the mean over
    places of the mean over channels of 4 sin(TURN d / 2)^2, about TURN^2 times that of d^2.
    """

    def maps(self, images):
        return [torch.cat([torch.cos(TURN * images), torch.sin(TURN * images)], 1)]


def radius_of(distance, shape):
    """The L2 radius of the ball of this distance: the channels and places share it."""
    return distance * math.sqrt(math.prod(shape)) / TURN


@pytest.fixture
def scenes(toys):
    """A linear classifier, images far from the box, and how far the Circles see each one's boundary."""
    shape = (3, 8, 8)
    model = toys.linear(3, shape)
    images, labels = toys.interior_images(model, 24, shape)
    return model, images, labels, toys.closed_form(model, images, labels, "l2") / radius_of(1.0, shape)


def run(plan, model, images, labels, oracle):
    batch = batch_of(plan, model, images, labels, seed=0, ids=range(len(images)))
    batch = replace(batch, helpers={"oracle": oracle})
    return run_attack(plan, batch), batch


def test_it_is_the_root_of_zhang_s_distance_and_has_a_gradient(batch, toys):
    images, others = batch[0][:6], batch[0][6:12]
    seer = toys.Seer()
    near, squared = distance_in(lambda x: embed(seer.maps(x))), feature_distance(seer.maps)
    assert torch.allclose(near(images, others).square(), squared(images, others), rtol=1e-5)
    assert torch.equal(near(images, images), torch.zeros(6, dtype=torch.float64))
    points = images.clone().requires_grad_()
    (still,) = torch.autograd.grad(near(images, points).sum(), points)
    assert (still == 0).all(), "at the image itself"
    points = others.double().requires_grad_()
    circles = distance_in(lambda x: embed(Circles().maps(x)))
    (slope,) = torch.autograd.grad(circles(images.double(), points).sum(), points)
    step = 1e-6 * torch.randn(points.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    gap = circles(images.double(), points + step) - circles(images.double(), points - step)
    assert gap.sum().item() / 2 == pytest.approx((slope * step).sum().item(), rel=1e-4)


@pytest.mark.slow
def test_a_ball_of_known_shape_is_searched_to_its_edge(scenes):
    """Where the distance is L2 and the classifier linear, what can break is known in closed form."""
    model, images, labels, needed = scenes
    budgets = needed.quantile(torch.tensor([0.3, 0.6, 0.9], dtype=torch.float64)).tolist()
    plan = read_plan("a", {"method": "perceptual", "budgets": [0, *budgets]})
    result, _ = run(plan, model, images, labels, Circles())
    for place, budget in enumerate(budgets, 1):
        assert not (result.success[:, place] & (needed > 1.001 * budget)).any(), "nearer than the boundary is"
        assert result.success[:, place][needed < 0.95 * budget].all()
    random = read_plan("r", {"method": "random-perceptual", "budgets": [0, *budgets], "repeats": 10})
    chance, _ = run(random, model, images, labels, Circles())
    assert chance.success.sum() < result.success.sum() / 4 and not (chance.success & ~result.success).any()


@pytest.mark.parametrize("method", ["perceptual", "random-perceptual"])
def test_it_stays_inside_and_is_measured_again(net, batch, toys, method):
    images, labels = batch
    more = {"steps": 8, "rounds": 3} if method == "perceptual" else {"repeats": 10}
    plan = read_plan("a", {"method": method, "budgets": [0, 0.2, 1.0], **more})
    result, given = run(plan, net, images, labels, toys.Seer())
    broken = result.clean_correct & (result.first < 3)
    assert broken.sum() > 5
    apart = feature_distance(toys.Seer().maps)(images, result.adversarial).sqrt()
    limits = torch.tensor(result.budgets, dtype=torch.float64)
    assert (apart[broken] <= limits[result.first[broken]]).all()
    assert torch.allclose(result.distance[broken], apart[broken], rtol=1e-3)
    measure = Space(given).measure
    assert verify(net, images, labels, result, "lpips", 1, measure)[1]["demoted"] == 0
    beyond = result.adversarial.clone()
    row = int(broken.nonzero()[0])
    beyond[row] = 1 - images[row]
    result.adversarial = beyond
    checked, counts = verify(net, images, labels, result, "lpips", 1, measure)
    assert counts["distance"] == 1 and checked.first[row] == 3, "the attack's own word does not count"


def test_points_along_a_change_reach_the_limit_or_the_end(batch, toys):
    images, labels = batch
    space = Space(toys.batch(None, images, labels, [0.1]))
    rows = torch.arange(len(images))
    points, apart = space.towards(rows, 1 - 2 * images, 0.3)
    assert (apart <= 0.3).all() and (apart > 0.29).all()
    assert torch.allclose(space.apart(rows, points), apart, rtol=1e-4)
    whole, apart = space.towards(rows, 0.01 * (1 - 2 * images), 10.0)
    assert torch.allclose(whole, (images + 0.01 * (1 - 2 * images)).clamp(0, 1)) and (apart > 0).all()


def test_units_of_tiny_huge_and_spoiled_directions():
    given = torch.stack([torch.full((3, 2, 2), value) for value in (1e-30, 1e30, 0.0, torch.nan)])
    assert torch.allclose(unit(given).flatten(1).norm(dim=1), torch.tensor([1.0, 1.0, 0.0, 0.0]))


def test_without_the_oracle_it_says_so(net, batch):
    plan = read_plan("a", {"method": "perceptual", "budgets": [0, 0.2]})
    images, labels = batch
    with pytest.raises(InputError, match="auxiliary network 'oracle' is missing"):
        run_attack(plan, batch_of(plan, net, images, labels, seed=0, ids=range(len(images))))
