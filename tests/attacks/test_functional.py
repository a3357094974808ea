"""Bounded flows and colour grids: the changes themselves, their bounds, and what they break beside random ones."""

from dataclasses import replace

import pytest
import torch

from neurobust.attacks.bounded import arrays_of
from neurobust.attacks.functional import Family, fields, flow, flows, recolour, recolourings, roughness, roughness_slope
from neurobust.attacks.luv import luv_to_rgb, rgb_to_luv
from neurobust.attacks.outcomes import outcome_of, table_checks
from neurobust.attacks.plan import read_plan
from neurobust.attacks.registry import ATTACKS
from neurobust.attacks.run import batch_of, distance_of
from neurobust.attacks.run import run_attack as run_attack_of
from neurobust.attacks.verify import verify

# The attack, its baseline, budgets and settings: small, for digits. A budget of stAdv is a share of 8 px.
PAIRS = {
    "stadv": ("random-flow", [0, 0.03, 0.05], {"steps": 15, "restarts": 0}, {}),
    "recoloradv": ("random-colour", [0, 0.06, 0.12], {"steps": 15, "restarts": 0}, {"grid": [8, 8, 8]}),
    "perceptual": ("random-perceptual", [0, 0.4], {"steps": 10, "rounds": 3}, {}),
    "patch": ("random-patch", [0, 0.03, 0.05], {"steps": 20, "starts": 2}, {}),  # 5 and 7 px of 32
}
LUV = {  # sRGB -> L*, u*, v* (D65), as colour tables have them
    (0, 0, 0): (0, 0, 0), (1, 1, 1): (100, 0, 0), (1, 0, 0): (53.24, 175.02, 37.76),
    (0, 1, 0): (87.73, -83.08, 107.40), (0, 0, 1): (32.30, -9.40, -130.34), (0.5, 0.5, 0.5): (53.39, 0, 0),
}  # fmt: skip


def test_luv_is_that_of_colour_tables():
    images = torch.tensor([*LUV], dtype=torch.float64).T[None, :, None]
    luv = rgb_to_luv(images)[0, :, 0].T * torch.tensor([100.0, 200, 200]) - torch.tensor([0.0, 100, 100])
    assert torch.allclose(luv, torch.tensor([*LUV.values()], dtype=torch.float64), atol=0.03)


def test_luv_comes_back_and_has_finite_gradients_everywhere():
    images = torch.rand(4, 3, 20, 20, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    images[1] = images[1].round()  # corners of the cube, black among them
    images[2] = images[2, :1]  # greys
    assert torch.allclose(luv_to_rgb(rgb_to_luv(images)), images, atol=1e-6)
    assert torch.allclose(luv_to_rgb(rgb_to_luv(images.float())), images.float(), atol=2e-4)
    far = (2 * torch.rand(2, 3, 30, 30, generator=torch.Generator().manual_seed(1)) - 0.5).requires_grad_()
    (slope,) = torch.autograd.grad(luv_to_rgb(far).sum(), far)
    assert slope.isfinite().all()


def test_a_flow_moves_pixels_and_its_edge_is_continued():
    images = torch.rand(2, 3, 6, 9, dtype=torch.float64)
    still, right = torch.zeros(2, 2, 6, 9, dtype=torch.float64), torch.zeros(2, 2, 6, 9, dtype=torch.float64)
    right[:, 0], right[1, 1] = 2 / 9, -1 / 6  # two pixels to the right, and in the second image one up
    assert torch.allclose(flow(images, still), images, atol=1e-12)
    moved = flow(images, right)
    assert torch.allclose(moved[0, :, :, :7], images[0, :, :, 2:], atol=1e-12)
    assert torch.allclose(moved[0, :, :, 7:], images[0, :, :, 8:].expand(-1, -1, 2), atol=1e-12)
    assert torch.allclose(moved[1, :, 1:, :7], images[1, :, :-1, 2:], atol=1e-12)


def test_a_colour_grid_moves_luv_and_equal_colours_stay_equal():
    images = 0.4 + 0.2 * torch.rand(2, 3, 5, 5, dtype=torch.float64)
    images[:, :, 3:] = images[:, :, :1, :1]
    none = torch.zeros(2, 3, 4, 5, 6, dtype=torch.float64)
    assert torch.allclose(recolour(images, none), images, atol=1e-6)
    shift = torch.tensor([0.02, -0.03, 0.01], dtype=torch.float64).view(1, 3, 1, 1, 1)
    moved = rgb_to_luv(recolour(images, none + shift)) - rgb_to_luv(images)
    assert torch.allclose(moved, shift[..., 0].expand_as(moved), atol=1e-6)
    wild = 0.1 * torch.randn(2, 3, 4, 5, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    patch = recolour(images, wild)[:, :, 3:]
    assert torch.allclose(patch, patch[:, :, :1, :1].expand_as(patch), atol=1e-12)
    only = none.clone()
    only[:, 0, 3] = 0.05  # the brightest of four planes: it reaches down to L = 200 / 3
    dark, light = (torch.full((2, 3, 1, 1), grey, dtype=torch.float64) for grey in (0.3, 0.9))
    assert torch.allclose(recolour(dark, only), dark, atol=1e-6) and (recolour(light, only) > light + 0.02).all()


def test_roughness_counts_neighbours():
    step = torch.zeros(1, 2, 4, 4, dtype=torch.float64)
    step[:, 0, :, 2:], step[:, 1, :, 2:] = 3, 4
    assert roughness(step).item() == pytest.approx(4 * 5, abs=1e-4)
    assert (roughness_slope(step + 7)[:, :, :, 0].abs() < 1e-9).all(), "inside a plateau nothing pulls"
    assert (roughness_slope(step)[:, 0, :, 2] > 0).all() and (roughness_slope(step)[:, 0, :, 1] < 0).all()


@pytest.mark.parametrize("family", [flows(torch.zeros(1, 3, 8, 12)), recolourings(torch.zeros(1, 3, 8, 8), (4, 8, 8))])
def test_random_functions_reach_the_bound_and_belong_to_an_image(toys, family):
    assert isinstance(family, Family)
    batch = toys.batch(None, torch.zeros(5, 3, 8, 12), torch.zeros(5), [0.1])
    drawn = [fields(batch, family, torch.arange(5), "draw", number) for number in range(4)]
    for number, field in enumerate(drawn):
        assert field.shape == (5, *family.shape) and torch.allclose(field.flatten(1).abs().amax(1), torch.ones(5))
        assert torch.equal(fields(batch, family, torch.tensor([3, 1]), "draw", number), field[[3, 1]])
    rough = [roughness(field).mean() for field in drawn]
    assert rough[0] < 1e-3 and rough == sorted(rough), "from one value for all to ever finer ones"


def run(run_attack, net, images, labels, method, **changes):
    partner, budgets, settings, shared = PAIRS[method]
    return run_attack(net, images, labels, {"method": method, "budgets": budgets, **settings, **shared, **changes})


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cnn", "mlp-robust"])
@pytest.mark.parametrize("method", PAIRS)
def test_each_breaks_far_more_than_random_ones_at_equal_budgets_and_passes(run_attack, toys, batch, name, method):
    baseline, budgets, settings, shared = PAIRS[method]
    net, (images, labels) = toys.load(name), batch
    if method == "perceptual":
        images, labels = images[:24], labels[:24]  # a random change takes a dozen looks by the oracle
    if method == "patch":  # of 8 px, three would be a patch
        net, images = torch.nn.Sequential(torch.nn.AvgPool2d(4), net), images.repeat_interleave(4, 2)
        images = images.repeat_interleave(4, 3)
    passes = ATTACKS[method](**settings).passes(1)
    attack = run(run_attack, net, images, labels, method)
    random = {"method": baseline, "budgets": budgets, "repeats": int(passes), **shared}
    noise = run_attack(net, images, labels, random)
    rates, chance = attack.success.double().mean(0), noise.success.double().mean(0)
    assert (rates >= chance).all() and (rates - chance).max() > 0.2, f"{rates} {chance}"
    limits = torch.tensor(budgets, dtype=torch.float64)
    for result in (attack, noise):
        broken = result.clean_correct & result.success[:, -1]
        assert (result.distance[broken] <= limits[result.first[broken]]).all() and (result.distance[broken] > 0).all()


# Budgets at which random changes, too, break some digits.
WIDE = {"stadv": [0, 0.2, 0.4], "recoloradv": [0, 0.3, 0.6], "perceptual": [0, 0.5, 1.0], "patch": [0, 0.15, 0.3]}


@pytest.mark.slow
@pytest.mark.parametrize("method", PAIRS)
def test_a_climb_that_sees_no_slope_is_flagged_by_random_changes_and_an_honest_one_is_not(toys, batch, method):
    baseline, _, settings, shared = PAIRS[method]
    budgets, net, (images, labels) = WIDE[method], toys.load("cnn"), batch
    if method == "patch":  # which draws patches at random before it climbs
        settings = settings | {"draws": 1, "starts": 1}
    plans = {
        "climb": read_plan("climb", {"method": method, "budgets": budgets, **settings, **shared}),
        "random": read_plan("random", {"method": baseline, "budgets": budgets, "repeats": 20, **shared}),
    }

    def flagged(network):
        found = {}
        for name, plan in plans.items():
            one = batch_of(plan, network, images, labels, seed=0, ids=range(len(images)))
            one = replace(one, helpers={"oracle": toys.Seer()})
            measure = distance_of(plan, one)
            result, counts = verify(network, images, labels, run_attack_of(plan, one), plan.norm, 1, measure)
            assert counts["demoted"] == 0
            found[name] = outcome_of(plan, arrays_of(result), counts)
        return [entry.label for entry in table_checks(found) if not entry.passed]

    assert flagged(net) == []
    assert flagged(toys.Canary(net, before=lambda x: (x * 255).round() / 255).eval()) == ["worst_case/climb"]


def test_a_flow_takes_each_pixel_from_nearby(run_attack, toys, batch):
    """Bilinear interpolation gives no pixel a value that its neighbours up to a pixel away have not between them."""
    images, labels = batch
    result = run(run_attack, toys.load("cnn"), images, labels, "stadv")
    broken = result.clean_correct & result.success[:, -1]
    moved, clean = result.adversarial[broken], images[broken]
    around = torch.nn.functional.pad(clean, (1, 1, 1, 1), mode="replicate").unfold(2, 3, 1).unfold(3, 3, 1).flatten(4)
    assert len(moved) > 20 and (moved <= around.amax(4) + 1e-5).all() and (moved >= around.amin(4) - 1e-5).all()


def test_colours_move_by_no_more_than_the_budget(run_attack, toys, batch):
    images, labels = 0.35 + 0.3 * batch[0], batch[1]  # far from the edge of sRGB, where clipping adds to a change
    net = torch.nn.Sequential(Stretch(), toys.load("cnn"))
    result = run(run_attack, net, images, labels, "recoloradv")
    broken = result.clean_correct & result.success[:, -1]
    moved = (rgb_to_luv(result.adversarial.double()) - rgb_to_luv(images.double()))[broken].flatten(1).abs().amax(1)
    assert broken.sum() > 5
    assert (moved <= torch.tensor(result.budgets, dtype=torch.float64)[result.first[broken]] + 5e-4).all()


class Stretch(torch.nn.Module):
    def forward(self, images):
        return (images - 0.35) / 0.3
