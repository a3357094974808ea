"""Networks without a gradient path, without an answer, in half precision: attacks go on, and count what they find."""

import copy
import random

import numpy as np
import pytest
import torch

from neurobust.attacks.bounded import Bounded, arrays_of
from neurobust.attacks.checks import flags, model_checks
from neurobust.attacks.losses import input_gradient, loss_gradient, uphill
from neurobust.attacks.norms import steepest
from neurobust.attacks.outcomes import outcome_of, table_checks
from neurobust.attacks.plan import read_plan
from neurobust.attacks.run import batch_of
from neurobust.attacks.run import run_attack as run_planned
from neurobust.attacks.search import misread
from neurobust.attacks.verify import verify

LINF = {"norm": "linf", "budgets": [0, 16, 64]}
L2 = {"norm": "l2", "budgets": [0, 1, 3]}
CLIMBING = {
    "fgsm": {"method": "fgsm", **LINF},
    "pgd": {"method": "pgd", **LINF, "steps": 4, "restarts": 1},
    "apgd": {"method": "apgd", **L2, "steps": 6, "loss": "dlr"},
    "targeted": {"method": "apgd-targeted", **LINF, "steps": 4, "targets": 2},
    "fmn": {"method": "fmn", **LINF, "steps": 8},
    "fab": {"method": "fab", **LINF, "steps": 8, "targets": 3},
    "deepfool": {"method": "deepfool", **L2, "steps": 5},
    "ddn": {"method": "ddn", **L2, "steps": 5},
    "carlini-wagner": {"method": "carlini-wagner", **L2, "steps": 4, "binary_search_steps": 2},
    "joint": {"method": "adaptive-joint", **LINF, "steps": 4},
    "collision": {"method": "adaptive-collision", **LINF, "steps": 4},
}
OTHERS = {
    "autoattack": {"method": "autoattack", **LINF, "steps": 4, "targets": 2, "queries": 60},
    "square": {"method": "square", **LINF, "queries": 60},
    "square-l2": {"method": "square", **L2, "queries": 60},
    "uniform": {"method": "uniform", **LINF},
    "blended": {"method": "blended", **L2},
    "hopskipjump": {"method": "hopskipjump", **L2, "steps": 2},
    "boundary": {"method": "boundary", **L2, "steps": 5},
    "brightness": {"method": "brightness", "budgets": [0, 0.2, 0.5], "grid": 9},
    "hue": {"method": "hue", "budgets": [0, 0.2, 0.5], "grid": 5},
}
EVERY = pytest.mark.parametrize("name", [*CLIMBING, *OTHERS])


@pytest.fixture
def few(batch):
    return batch[0][:16], batch[1][:16]


@pytest.fixture
def other(unseen):
    """Other digits, for attacks that start from one."""
    return unseen[0][200:232]


def black_or_white(x):
    return (x > 0.5).float()


def silent_off_grid(x):
    """An image whose pixels are not n/255 has no answer."""
    away = (255 * x - (255 * x).round()).abs().flatten(1).amax(1) > 0.01
    return torch.where(away[:, None, None, None], torch.nan, x)


# --- no gradient path ---


@EVERY
def test_a_network_without_a_graph_is_attacked_all_the_same(run_attack, net, few, other, toys, name):
    """With a gradient of zero a climb stays where it is; what asks for answers alone breaks images."""
    network = toys.Canary(net, before=black_or_white).eval()
    settings = {**CLIMBING, **OTHERS}[name]
    result = run_attack(network, *few, settings, pool=other)
    read = ~misread(network(few[0]), few[1])
    assert (result.clean_correct == read).all()
    assert verify(network, *few, result, read_plan("a", settings).norm)[1]["demoted"] == 0
    if name in ("autoattack", "square", "square-l2", "blended", "hopskipjump", "boundary", "brightness"):
        assert result.success[read, -1].any()
    elif name in ("targeted", "fmn", "fab", "carlini-wagner", "joint", "collision"):
        assert not result.success[read].any()


def test_a_network_without_a_graph_fails_a_check(net, few, toys):
    for before in (black_or_white, torch.Tensor.detach):
        found = set(flags(model_checks(toys.Canary(net, before=before).eval(), *few)))
        assert {"gradient_path", "saturation", "gradient_margin", "slope"} <= found
    assert "gradient_path" not in flags(model_checks(net, *few))


def test_a_gradient_that_no_graph_reaches_is_zero(net, few):
    points = few[0].clone().requires_grad_()
    assert not input_gradient(torch.ones(16), points).any()
    other = torch.ones(16, requires_grad=True)
    assert not input_gradient(2 * other, points).any()
    assert input_gradient(net(points)[:, 0], points).any()


def test_an_entry_that_is_not_a_number_points_nowhere():
    gradient = torch.tensor([[3.0, torch.nan, -4.0]]).view(1, 1, 1, 3)
    assert torch.equal(steepest(gradient, "linf").flatten(), torch.tensor([1.0, 0, -1]))
    assert torch.allclose(steepest(gradient, "l2").flatten(), torch.tensor([0.6, 0, -0.8]))


def test_an_infinite_entry_leaves_the_others_their_direction():
    gradient = torch.tensor([[3.0, torch.inf, -4.0, -torch.inf]]).view(1, 1, 1, 4)
    assert torch.equal(steepest(gradient, "linf").flatten(), torch.tensor([1.0, 1, -1, -1]))
    assert torch.allclose(steepest(gradient, "l2").flatten(), torch.tensor([0.6, 0, -0.8, 0]))


def steep_at_black(x):
    """The first pixel by its root: where it is black, its gradient is infinite, and the answer the same."""
    return torch.cat([x.flatten(1)[:, :1].sqrt(), x.flatten(1)[:, 1:]], 1).view_as(x)


@pytest.mark.parametrize(
    "name", [*(name for name in CLIMBING if name not in ("fgsm", "joint", "collision")), "fmn-l2", "fab-l2"]
)
def test_one_infinite_entry_of_a_gradient_hides_nothing(run_attack, net, few, toys, name):
    """As many images fall as without it, or hardly fewer: the attack goes by the other pixels."""
    more = {f"{method}-l2": {"method": method, **L2, "steps": 8} for method in ("fmn", "fab")}
    settings = (CLIMBING | more)[name]
    assert not few[0][:, 0, 0, 0].any()
    network = toys.Canary(net, before=steep_at_black).eval()
    points = few[0].clone().requires_grad_()
    assert not input_gradient(network(points)[:, 0], points).isfinite().all()
    found, plain = (run_attack(model, *few, settings) for model in (network, net))
    assert plain.success[:, -1].any() and found.success.sum() >= plain.success.sum() - 2


# --- no answer ---


@pytest.mark.parametrize(
    "name", ["pgd", "apgd", "autoattack", "fmn", "square-l2", "hopskipjump", "boundary", "uniform"]
)
def test_no_answer_counts_against_the_network(run_attack, net, few, other, toys, name):
    """A detector that answers NaN off the grid of 8 bits: nothing stands that an attack can move off it."""
    network = toys.Canary(net, before=silent_off_grid).eval()
    settings = {**CLIMBING, **OTHERS}[name]
    result = run_attack(network, *few, settings, pool=other)
    result, counts = verify(network, *few, result, read_plan("a", settings).norm)
    assert counts["demoted"] == 0 and result.success[:, -1].float().mean() > 0.9
    assert result.abstained[result.clean_correct].float().mean() > 0.5
    assert not result.abstained[~result.success[:, -1]].any()


def test_a_clean_image_without_an_answer_is_an_error_and_no_more(run_attack, net, few, toys):
    def silent_on_bright(x):
        return torch.where((x.flatten(1).mean(1) > few[0].mean())[:, None, None, None], torch.nan, x)

    network = toys.Canary(net, before=silent_on_bright).eval()
    silent = ~network(few[0]).isfinite().all(1)
    result, _ = verify(network, *few, run_attack(network, *few, CLIMBING["pgd"]), "linf")
    assert 0 < silent.sum() < 16 and not result.clean_correct[silent].any()
    assert result.success[silent].all() and result.abstained[silent].all() and (result.distance[silent] == 0).all()
    assert "finite" in flags(model_checks(network, *few))


def test_answers_that_an_attack_took_away_are_told(net, few, toys):
    network, plan = toys.Canary(net, before=silent_off_grid).eval(), read_plan("pgd", CLIMBING["pgd"])
    for model, told in ((network, True), (net, False)):
        result = run_planned(plan, batch_of(plan, model, *few, seed=0, ids=range(16)))
        result, counts = verify(model, *few, result, "linf")
        outcome = outcome_of(plan, arrays_of(result), counts)
        assert ("answers/pgd" in flags(table_checks({"pgd": outcome}))) is told


# --- half precision, one channel, randomness ---


@pytest.mark.slow
@EVERY
@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_a_half_precision_network_is_attacked_as_the_whole_one(run_attack, net, few, other, toys, name, kind):
    """No traceback, no demotion, and where nothing is drawn next to the same images break as in float32."""
    half = toys.Canary(copy.deepcopy(net).to(kind), before=lambda x: x.to(kind)).eval()
    settings = {**CLIMBING, **OTHERS}[name]
    one, whole = (run_attack(model, *few, settings, pool=other) for model in (half, net))
    assert verify(half, *few, one, read_plan("a", settings).norm)[1]["demoted"] == 0
    if name in ("fgsm", "pgd", "apgd", "targeted", "fmn", "fab", "joint", "blended", "brightness"):
        assert abs(int(one.success.sum()) - int(whole.success.sum())) <= 4


def test_a_sure_network_has_a_gradient_of_cross_entropy_in_half_precision_too(net, few, toys):
    """The label's probability rounds to 1 and the loss's own gradient to zero: its direction is known all the same."""
    right = net(few[0]).argmax(1) == few[1]
    images, labels = few[0][right], few[1][right]
    half = toys.Canary(copy.deepcopy(net).half(), before=lambda x: x.half()).eval()
    gradients = [loss_gradient(model, images, labels, "ce")[2] for model in (half, net)]
    sure = loss_gradient(toys.Canary(net, after=lambda logits: 8 * logits), images, labels, "ce")[2]
    for gradient in (*gradients, sure):
        assert (gradient.flatten(1).abs().amax(1) > 0).all()
    assert torch.nn.functional.cosine_similarity(*(g.flatten(1) for g in gradients)).min() > 0.99


def test_uphill_is_the_direction_of_cross_entropy(net, few):
    points = few[0].clone().requires_grad_()
    ours = input_gradient(uphill(net(points), few[1], "ce"), points)
    plain = input_gradient(torch.nn.functional.cross_entropy(net(points).double(), few[1], reduction="none"), points)
    assert torch.nn.functional.cosine_similarity(ours.flatten(1).double(), plain.flatten(1).double()).min() > 0.999


@pytest.mark.parametrize("scale", [2.0**-100, 2.0**-30, 2.0**60])
@pytest.mark.parametrize("name", ["pgd", "apgd", "targeted", "fmn", "fab", "deepfool", "ddn", "carlini-wagner"])
def test_the_scale_of_logits_hides_nothing(run_attack, net, few, toys, name, scale):
    """Logits a power of two smaller or larger name the same classes: as many images fall as without it, or more."""
    scaled = toys.Canary(net, after=lambda logits: scale * logits).eval()
    found, plain = (run_attack(model, *few, CLIMBING[name]) for model in (scaled, net))
    assert found.success.sum() >= plain.success.sum() - 1 and plain.success[:, -1].any()


def test_an_image_of_one_channel_has_no_hue(run_attack, toys):
    model = toys.linear(3, shape=(1, 6, 6))
    images, labels = toys.interior_images(model, 5, shape=(1, 6, 6))
    for method in ("hue", "saturation"):
        result = run_attack(model, images, labels, {"method": method, "budgets": [0, 0.5], "grid": 5})
        assert not result.success.any()


def test_batch_statistics_and_pythons_own_random_numbers_are_told(net, few, toys):
    def on_statistics(x):
        return x - x.mean((0, 2, 3), keepdim=True)

    assert "batch_size" in flags(model_checks(toys.Canary(net, before=on_statistics).eval(), *few))
    for number in (random.random, np.random.random):
        shaken = toys.Canary(net, before=lambda x, number=number: x + 0.1 * number())
        assert "deterministic" in flags(model_checks(shaken.eval(), *few))


def test_a_network_that_draws_random_numbers_gives_the_same_whatever_was_drawn_before(net, batch, toys):
    """A job that a kill interrupted goes on with other cells than one that was not."""
    shaken = toys.Canary(net, before=lambda x: x + 0.2 * torch.randn_like(x)).eval()
    method = Bounded(read_plan("pgd", {"method": "pgd", "budgets": [0, 8, 16], "steps": 2, "eot": 2}), shaken, seed=0)
    found = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        found.append(method.attack(*batch, tuple(range(len(batch[0]))), len(batch[0])))
    assert all(np.array_equal(found[0][name], found[1][name], equal_nan=True) for name in found[0])
