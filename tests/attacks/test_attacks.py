"""Every attack: closed forms, validity, independence of the batch, and what must hold between attacks."""

import pytest
import torch

from neurobust.attacks.ascent import Ascent, Ball, climb_adaptive, climb_fixed
from neurobust.attacks.noise import draw, noisy
from neurobust.attacks.norms import lengths
from neurobust.attacks.plan import read_plan
from neurobust.attacks.registry import ATTACKS
from neurobust.attacks.search import Search
from neurobust.attacks.verify import verify
from neurobust.core.errors import InputError

LINF = {"norm": "linf", "budgets": [0, 2, 4, 8, 16, 32, 64]}
L1 = {"norm": "l1", "budgets": [0, 1, 2, 4, 8]}
L2 = {"norm": "l2", "budgets": [0, 0.25, 0.5, 1, 2]}
SETTINGS = {
    "uniform": {"method": "uniform", **LINF, "repeats": 3},
    "sign": {"method": "sign", **LINF, "repeats": 3},
    "gaussian": {"method": "gaussian", **L2, "repeats": 3},
    "fgsm-linf": {"method": "fgsm", **LINF},
    "fgsm-l2": {"method": "fgsm", **L2},
    "pgd-linf": {"method": "pgd", **LINF, "steps": 7, "restarts": 1},
    "pgd-l2": {"method": "pgd", **L2, "steps": 7, "restarts": 1},
    "apgd-linf": {"method": "apgd", **LINF, "steps": 12},
    "apgd-l2": {"method": "apgd", **L2, "steps": 12, "loss": "dlr"},
    "apgd-targeted-linf": {"method": "apgd-targeted", **LINF, "steps": 8, "targets": 3},
    "apgd-targeted-l2": {"method": "apgd-targeted", **L2, "steps": 8, "targets": 9, "loss": "margin"},
    "autoattack-linf": {"method": "autoattack", **LINF, "steps": 6, "targets": 2, "queries": 10},
    "autoattack-l2": {"method": "autoattack", **L2, "steps": 6, "targets": 2, "queries": 10},
    "square-linf": {"method": "square", **LINF, "queries": 80},
    "square-l2": {"method": "square", **L2, "queries": 80},
    "hopskipjump-linf": {"method": "hopskipjump", **LINF, "steps": 3},
    "hopskipjump-l2": {"method": "hopskipjump", **L2, "steps": 3},
    "blended-linf": {"method": "blended", **LINF},
    "blended-l2": {"method": "blended", **L2},
    "fmn-linf": {"method": "fmn", **LINF, "steps": 20},
    "fmn-l2": {"method": "fmn", **L2, "steps": 20},
    "fmn-l1": {"method": "fmn", **L1, "steps": 20},
    "fmn-l0": {"method": "fmn", "norm": "l0", "budgets": [0, 2, 5, 10, 30], "steps": 20},
    "fab-linf": {"method": "fab", **LINF, "steps": 6, "targets": 3},
    "fab-l2": {"method": "fab", **L2, "steps": 6, "targets": 9},
    "carlini-wagner": {"method": "carlini-wagner", **L2, "steps": 15, "binary_search_steps": 3},
    "ead": {"method": "ead", **L1, "steps": 15, "binary_search_steps": 3},
    "boundary": {"method": "boundary", **L2, "steps": 10},
    "brendel-bethge": {"method": "brendel-bethge", **L2, "steps": 10},
    "deepfool-l2": {"method": "deepfool", **L2, "steps": 20},
    "deepfool-linf": {"method": "deepfool", **LINF, "steps": 20},
    "ddn": {"method": "ddn", **L2, "steps": 20},
    "salt-pepper": {"method": "salt-pepper", "budgets": [0, 0.05, 0.2, 0.5], "repeats": 3},
    "hue": {"method": "hue", "budgets": [0, 0.1, 0.25, 0.5], "grid": 9},
    "saturation": {"method": "saturation", "budgets": [0, 0.5, 1, 2], "grid": 9},
    "brightness": {"method": "brightness", "budgets": [0, 0.1, 0.3], "grid": 9},
    "contrast": {"method": "contrast", "budgets": [0, 0.5, 1], "grid": 9},
    "rotation-translation": {"method": "rotation-translation", "budgets": [0, 0.5, 1], "angles": 5, "shifts": 3},
    "stadv": {"method": "stadv", "budgets": [0, 0.03, 0.1], "steps": 5},
    "random-flow": {"method": "random-flow", "budgets": [0, 0.03, 0.1], "repeats": 4},
    "recoloradv": {"method": "recoloradv", "budgets": [0, 0.06, 0.2], "steps": 4, "grid": [4, 5, 6]},
    "random-colour": {"method": "random-colour", "budgets": [0, 0.06, 0.2], "repeats": 4, "grid": [4, 5, 6]},
    "perceptual": {"method": "perceptual", "budgets": [0, 0.1, 0.4], "steps": 4, "rounds": 2},
    "random-perceptual": {"method": "random-perceptual", "budgets": [0, 0.1, 0.4], "repeats": 4},
    "patch": {"method": "patch", "budgets": [0, 0.05, 0.2], "steps": 6, "starts": 2},
    "random-patch": {"method": "random-patch", "budgets": [0, 0.05, 0.2], "repeats": 4},
    "adaptive-joint": {"method": "adaptive-joint", **LINF, "steps": 5},
    "adaptive-collision": {"method": "adaptive-collision", **LINF, "steps": 5},
    "cue-conflict": {"method": "cue-conflict", "norm": "cue", "budgets": [0, 0.5, 1]},
}
EVERY = pytest.mark.parametrize("name", list(SETTINGS))


@pytest.fixture
def attack(run_attack, uncompiled):
    """attack(model, images, labels, name of SETTINGS, ids, seed, **changes of the settings)."""

    def attack(model, images, labels, name="pgd-linf", ids=None, seed=0, **changes):
        pool = torch.rand(20, *images.shape[1:], generator=torch.Generator().manual_seed(9)).to(images)
        more = {"pool": pool, "twins": 1 - images}
        return run_attack(model, images, labels, SETTINGS[name] | changes, seed=seed, ids=ids, **more)

    return attack


def test_every_method_is_tested():
    tested = {settings["method"] for settings in SETTINGS.values()}
    assert tested == set(ATTACKS)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["pgd", "apgd"])
@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("classes", [2, 6])
def test_ascent_finds_the_closed_form_distance(run_attack, toys, method, norm, classes):
    model = toys.linear(classes)
    images, labels = toys.interior_images(model, 16)
    exact = toys.closed_form(model, images, labels, norm)
    grid = [exact.min().item() * 0.99 * 1.01**step for step in range(200)]
    budgets = [budget for budget in grid if budget < 1.03 * exact.max()]
    settings = {"method": method, "norm": norm, "unit": "1", "budgets": budgets, "steps": 10, "loss": "margin"}
    result = run_attack(model, images, labels, settings, seed=0, ids=range(16))
    assert (result.distance <= 1.02 * exact).all()
    assert (result.distance >= 0.999 * exact).all()  # nothing can be nearer than the boundary


@EVERY
@pytest.mark.parametrize(("count", "shape"), [(1, (3, 8, 8)), (3, (3, 7, 12)), (8, (3, 16, 9))])
@pytest.mark.slow
def test_adversarials_are_valid_on_random_nets(attack, toys, name, count, shape):
    model = toys.tiny_net(seed=count)
    torch.manual_seed(count)
    images, labels = torch.rand(count, *shape), torch.randint(5, (count,))
    model.eval()
    labels[0] = model(images)[0].argmax()
    result = attack(model, images, labels, name)
    checked, counts = verify(model, images, labels, result, SETTINGS[name].get("norm", name))
    assert counts["demoted"] == 0 and torch.equal(checked.first, result.first)
    assert result.success.shape == result.distances.shape == result.n_forward.shape
    assert torch.equal(result.clean_correct, model(images).argmax(1) == labels)
    assert (result.distances[~result.clean_correct] == 0).all()  # clean errors: broken everywhere, nothing spent
    assert (result.n_forward[~result.clean_correct].sum(1) == 1).all()
    assert (result.success[:, 1:] >= result.success[:, :-1]).all()
    assert result.distances.isnan().equal(~result.success)
    assert result.adversarial.min() >= 0 and result.adversarial.max() <= 1


@EVERY
@pytest.mark.slow
def test_result_depends_on_neither_batch_nor_order(attack, net, batch, name):
    net = net.double()  # in float64 the kernels' own dependence on the batch size is far below every decision
    images, labels = batch[0][:6].double(), batch[1][:6]
    whole = attack(net, images, labels, name, ids=range(100, 106))
    for order in (torch.arange(6).split(1), torch.arange(6).split(4), [torch.randperm(6)]):
        for rows in order:
            part = attack(net, images[rows], labels[rows], name, ids=[100 + row for row in rows.tolist()])
            assert torch.equal(part.first, whole.first[rows])
            assert torch.allclose(part.distance, whole.distance[rows], rtol=1e-6, atol=1e-9, equal_nan=True)


@EVERY
def test_model_is_given_back_as_it_was(attack, toys, name):
    model = toys.tiny_net()
    model.train()
    model[1].eval()
    model[0].weight.requires_grad_(False)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    images = torch.rand(4, 3, 8, 8)
    state = torch.get_rng_state()
    attack(model, images, torch.zeros(4, dtype=torch.long), name)
    assert torch.equal(state, torch.get_rng_state())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert [parameter.requires_grad for parameter in model.parameters()] == [False] + [True] * 7
    assert model.training and model[3].training and not model[1].training
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


@pytest.mark.slow
@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("single", ["ce", "margin"])
@pytest.mark.parametrize("method", ["pgd", "apgd"])
def test_iterative_attack_breaks_what_fgsm_breaks(attack, net, batch, norm, single, method):
    budgets = [0, 1, 4, 8, 16, 32, 64] if norm == "linf" else [0, 0.1, 0.3, 0.6, 1, 2]
    fgsm = attack(net, *batch, f"fgsm-{norm}", loss=single, budgets=budgets)
    strong = attack(net, *batch, f"{method}-{norm}", loss="margin", budgets=budgets)
    assert (strong.success >= fgsm.success).all()
    assert strong.success.sum() > fgsm.success.sum()


def test_apgd_is_no_weaker_than_pgd_of_as_many_steps(attack, net, batch):
    apgd = attack(net, *batch, "apgd-l2", steps=20, loss="margin")
    pgd = attack(net, *batch, "pgd-l2", steps=20, restarts=0)
    assert apgd.success.sum() >= pgd.success.sum() - 1


def test_noise_is_far_weaker(attack, net, batch):
    pgd, uniform = attack(net, *batch), attack(net, *batch, "uniform", repeats=10)
    assert (pgd.success >= uniform.success).all()
    correct = pgd.clean_correct
    half = (pgd.success[correct].double().mean(0) >= 0.5).nonzero()[0, 0]
    assert uniform.success[correct, half].double().mean() < 0.25


def test_margin_loss_survives_scaled_logits(attack, net, batch, toys):
    """logits x 1e3: cross-entropy underflows and every CE attack stands still."""
    scaled = toys.Canary(net, after=lambda logits: 1e3 * logits)
    plain, margin, blind = (
        attack(model, *batch, loss=loss, restarts=0).success[:, 5].sum()
        for model, loss in ((net, "margin"), (scaled, "margin"), (scaled, "ce"))
    )
    assert margin >= plain - 2 and blind < 0.5 * plain


@pytest.mark.parametrize("steps", [5, 10, 20])
@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("climb", [lambda a, n: climb_fixed(a, n, 2.5 / n), climb_adaptive])
def test_climb_reaches_its_radius_whatever_the_number_of_steps(toys, steps, norm, climb):
    """A fixed share of the budget per step (foolbox: 1/30) leaves a short attack far inside its ball."""
    model = toys.linear(3)
    images, labels = toys.interior_images(model, 4)
    model[1].bias.data += 100 * torch.eye(3)[labels[0]]  # nothing breaks: only the way counts
    labels[:] = labels[0]
    search = Search(toys.batch(model, images, labels, [0, 0.1]))
    ascent = Ascent(search, Ball(1, 0.1, norm), "margin", torch.arange(4), images, images.clone())
    climb(ascent, steps)
    assert (lengths(ascent.best - images, norm) >= 0.0999).all()


@pytest.mark.parametrize("steps", [4, 10])
def test_default_step_is_two_and_a_half_budgets_over_all_steps(attack, net, batch, steps):
    default, explicit = (
        attack(net, *batch, steps=steps, restarts=0, **change) for change in ({}, {"rel_stepsize": 2.5 / steps})
    )
    assert torch.equal(default.adversarial, explicit.adversarial)
    assert not torch.equal(
        default.adversarial, attack(net, *batch, steps=steps, restarts=0, rel_stepsize=1 / 30).adversarial
    )


@pytest.mark.parametrize(("name", "steps"), [("pgd-linf", 6), ("pgd-l2", 9), ("apgd-linf", 11)])
def test_passes_are_counted_as_the_model_sees_them(attack, net, batch, toys, name, steps):
    forwards, backwards = [], []

    def watch(x):
        forwards.append(len(x))
        if x.requires_grad:
            x.register_hook(lambda gradient: backwards.append(len(gradient)))
        return x

    result = attack(toys.Canary(net, before=watch), *batch, name, steps=steps)
    assert result.n_forward.sum() == sum(forwards)
    assert result.n_backward.sum() == sum(backwards)


def test_broken_images_cost_nothing_more(attack, net, batch):
    result = attack(net, *batch, restarts=0)
    later = torch.arange(len(result.budgets))[None] > result.first[:, None]
    assert later.any() and (result.n_forward[later] == 0).all() and (result.n_backward[later] == 0).all()
    rows = (result.first > 1) & (result.first < len(result.budgets))
    spent = result.n_backward[rows].gather(1, result.first[rows, None])
    assert ((spent > 0) & (spent < 7)).any()  # some left in the middle of a climb


def test_single_budget_and_zero_alone(attack, net, batch):
    zero = attack(net, *batch, budgets=[0])
    assert torch.equal(zero.success[:, 0], ~zero.clean_correct)
    only = attack(net, *batch, budgets=[48], restarts=0)
    assert only.success.shape == (48, 1) and only.success.sum() > (~only.clean_correct).sum()


def test_uniform_noise_shares_its_draws_over_budgets(attack, net, batch):
    one = attack(net, *batch, "uniform", budgets=[64])
    many = attack(net, *batch, "uniform", budgets=[16, 32, 64])
    assert (many.success[:, 2] >= one.success[:, 0]).all()


@pytest.mark.parametrize(("name", "norm"), [("uniform", "linf"), ("sign", "linf"), ("gaussian", "l2")])
def test_noise_is_the_exact_best_of_its_draws(attack, toys, name, norm):
    model = toys.linear(6)
    model[1].bias.data -= 0.9 * model(torch.full((1, 3, 5, 4), 0.5))[0].detach()  # mid-grey is near every boundary
    images, labels = toys.interior_images(model, 12)
    budgets = [0.02, 0.04, 0.06, 0.1, 0.2, 0.4] if norm == "linf" else [0.1, 0.2, 0.3, 0.5, 1.0, 2.0]
    result = attack(model, images, labels, name, budgets=budgets, unit="1", repeats=6, ids=range(50, 62))
    expected = torch.full((12,), len(budgets))
    for repeat in range(6):
        noise = torch.stack([draw(name, images.shape[1:], 0, identifier, repeat) for identifier in range(50, 62)])
        for place, budget in enumerate(budgets):
            broken = model(noisy(images, noise, budget, norm)).argmax(1) != labels
            expected[broken & (expected > place)] = place
    assert torch.equal(result.first, expected)
    assert len(expected.unique()) > 2


def test_draws_differ_between_images_repeats_and_seeds():
    draws = [draw("gaussian", (3, 4, 4), *stream) for stream in ((0, 1, 0), (0, 2, 0), (0, 1, 1), (1, 1, 0))]
    assert len({tuple(values.flatten().tolist()) for values in draws}) == 4


def test_seed_changes_noise_and_nothing_else_does(attack, net, batch):
    first, again, other = (attack(net, *batch, "gaussian", seed=seed, budgets=[0, 4, 8]) for seed in (1, 1, 2))
    assert torch.equal(first.adversarial, again.adversarial)
    assert not torch.equal(first.adversarial, other.adversarial)


def test_verification_demotes_each_kind_of_fault(attack, net, batch):
    images, labels = batch
    result = attack(net, images, labels)
    rows = (result.clean_correct & (result.first < len(result.budgets))).nonzero().squeeze(1)
    outside, far, right = rows[:3].tolist()
    result.adversarial[outside, 0, 0, 0] = -1e-6
    result.adversarial[far] = 1 - images[far]
    result.adversarial[right] = images[right]
    checked, counts = verify(net, images, labels, result, "linf")
    assert (checked.first[[outside, far, right]] == len(result.budgets)).all()
    assert checked.distance[[outside, far, right]].isnan().all()
    assert counts["checked"] == len(rows) and counts["demoted"] == 3
    assert counts["bounds"] == 1 and counts["distance"] == 1 and counts["label"] >= 1
    others = [row for row in range(len(images)) if row not in (outside, far, right)]
    assert torch.equal(checked.first[others], result.first[others])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"method": "nope", "budgets": [0, 1]}, "'nope' is not known"),
        ({"budgets": [0, 1]}, "missing key 'method'"),
        ({"method": "pgd"}, "budgets: missing; give a list"),
        ({"method": "pgd", "budgets": [0]}, "at least one budget above it"),
        ({"method": "pgd", "budgets": [0, 2, 1]}, "must ascend from 0"),
        ({"method": "pgd", "budgets": [1, 2]}, "must ascend from 0"),
        ({"method": "pgd", "budgets": [0, float("inf")]}, "inf is not a finite number"),
        ({"method": "pgd", "budgets": [0, 1], "stepz": 3}, "unknown key 'stepz'; known keys are norm, loss, steps"),
        ({"method": "pgd", "budgets": [0, 1], "unit": "pixels"}, "unit: 'pixels' is not known"),
        ({"method": "pgd", "budgets": [0, 1], "reference_budget": 1}, "unknown key 'reference_budget'; known keys are"),
        ({"method": "pgd", "budgets": [0, 1], "loss": "mse"}, "loss: 'mse' is not known"),
        ({"method": "pgd", "budgets": [0, 1], "steps": 0}, "steps: 0"),
        ({"method": "pgd", "budgets": [0, 1], "restarts": -1}, "restarts: -1"),
        ({"method": "pgd", "budgets": [0, 1], "rel_stepsize": 0}, "rel_stepsize: 0"),
        ({"method": "pgd", "budgets": [0, 1], "eot": 0}, "eot: 0"),
        ({"method": "pgd", "budgets": [0, 1], "order": "random"}, "order: 'random' is not known"),
        ({"method": "apgd", "budgets": [0, 1], "warm_steps": 0}, "warm_steps: 0"),
        ({"method": "apgd-targeted", "budgets": [0, 1], "targets": 0}, "targets: 0"),
        ({"method": "fmn", "budgets": [0, 1], "gamma": 1}, "gamma: 1"),
        ({"method": "square", "budgets": [0, 1], "area": 1.1}, "area: 1.1"),
        ({"method": "uniform", "budgets": [0, 1], "repeats": 0}, "repeats: 0"),
        ({"method": "deepfool", "budgets": [0, 1], "candidates": 1}, "candidates: 1"),
        ({"method": "adaptive-joint", "budgets": [0, 1], "neural_weight": -1}, "neural_weight: -1"),
        ({"method": "ddn", "budgets": [0, 1], "norm": "linf"}, "norm: 'linf' is not a norm of ddn; choose one of l2"),
        ({"method": "contrast", "budgets": [0, 1], "grid": 2}, "grid: 2"),
        ({"method": "hue", "budgets": [0, 0.7]}, "0.7 is over 0.5"),
        ({"method": "salt-pepper", "budgets": [0, 1.2]}, "1.2 is over 1"),
        ({"method": "stadv", "budgets": [0, 2]}, r"2 is over 1, the whole range \(of the side\)"),
        ({"method": "recoloradv", "budgets": [0, 0.1], "grid": [1, 8, 8]}, r"grid\.0: 1"),
        ({"method": "patch", "budgets": [0, 0.05], "starts": 0}, "starts: 0"),
    ],
)
def test_bad_settings_are_one_clear_line(settings, message):
    with pytest.raises(InputError, match=message) as caught:
        read_plan("a", settings)
    assert str(caught.value).startswith("attacks.a") and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("budgets", "message"),
    [
        ([0, 2, 1], "larger than the one before"),
        ([-1, 2], "finite numbers >= 0"),
        ([0, float("nan")], "finite numbers >= 0"),
    ],
)
def test_bad_budgets_of_a_batch_are_one_clear_line(net, batch, attack, budgets, message):
    with pytest.raises(InputError, match=message) as caught:
        attack(net, *batch, budgets=budgets)
    assert "\n" not in str(caught.value)


def test_units_and_defaults_are_filled_in():
    plan = read_plan("a", {"method": "pgd", "budgets": [0, 8]})
    settings = plan.settings()
    assert settings["unit"] == "1/255" and settings["norm"] == "linf" and settings["steps"] == 20
    assert read_plan("a", settings) == plan and plan.radii == (0, 8 / 255)
    assert read_plan("b", {"method": "ddn", "budgets": [0, 0.5]}).unit == "1"


def test_bad_inputs_are_refused(attack, net, batch):
    images, labels = batch
    with pytest.raises(InputError, match="normalisation belongs inside"):
        attack(net, images + 1e-7, labels)
    with pytest.raises(InputError, match="normalisation belongs inside"):
        attack(net, torch.full_like(images, torch.nan), labels)
    with pytest.raises(InputError, match="2 or more"):
        attack(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 1)), images, labels)
