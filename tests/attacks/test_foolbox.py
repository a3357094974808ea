"""The faults of foolbox that touch us: each test fails if we fall into one."""

import os
import subprocess
import sys

import pytest
import torch

from neurobust.attacks.foolbox_attacks import load_foolbox, minimum_norm

pytestmark = pytest.mark.slow


def test_success_is_distance_within_budget_not_clip_and_test(run_attack, net, batch):
    """A clipped minimum-norm adversarial is another image: its label says nothing about the distance found."""
    images, labels = batch
    budgets = [0.1 * step for step in range(20)]
    settings = {"method": "deepfool", "norm": "l2", "budgets": budgets}
    result = run_attack(net, images, labels, settings, seed=0, ids=range(48))
    full = run_attack(net, images, labels, settings | {"budgets": [0, 100]}, seed=0, ids=range(48))
    limits = torch.tensor(budgets, dtype=torch.float64)
    assert torch.equal(result.success, full.distance[:, None] <= limits)
    foolbox = load_foolbox()
    target = foolbox.PyTorchModel(net.eval(), bounds=(0, 1), device="cpu")
    _, _, clipped = foolbox.attacks.L2DeepFoolAttack()(target, images, labels, epsilons=budgets)
    assert not torch.equal(clipped.T, result.success)  # the fault is there to be met


def test_failed_attack_returns_no_black_image(net, batch, toys):
    """C&W that finds nothing returns black, and foolbox's success is what the model says of black."""
    images, labels = batch
    flat = toys.Canary(net, after=lambda logits: logits.round())  # no gradient at all
    options = {"steps": 3, "binary_search_steps": 1}
    foolbox = load_foolbox()
    target = foolbox.PyTorchModel(flat.eval(), bounds=(0, 1), device="cpu")
    black, _, success = foolbox.attacks.L2CarliniWagnerAttack(**options)(target, images, labels, epsilons=None)
    correct = flat(images).argmax(1) == labels
    assert success[correct].any() and (black[correct] == 0).all()  # the fault is there to be met
    result = minimum_norm(toys.batch(flat, images, labels, [0, 0.5, 1.0]), "l2", "L2CarliniWagnerAttack", options)
    assert not result.success[result.clean_correct].any()
    assert result.distance[result.clean_correct].isnan().all()


@pytest.mark.parametrize(("method", "norm"), [("deepfool", "l2"), ("deepfool", "linf"), ("ddn", "l2"), ("fmn", "linf")])
def test_unbreakable_model_is_never_broken(run_attack, toys, method, norm):
    model = toys.linear(3)
    images, labels = toys.interior_images(model, 6)
    model[1].bias.data += 1e4 * torch.eye(3)[0]
    settings = {"method": method, "norm": norm, "unit": "1", "budgets": [0, 0.5, 1], "steps": 10}
    result = run_attack(model, images, torch.zeros(6, dtype=torch.long), settings, seed=0, ids=range(6))
    assert not result.success.any() and result.distance.isnan().all()
    assert torch.equal(result.adversarial, images)


def test_cost_does_not_grow_with_the_number_of_budgets(run_attack, net, batch):
    """One run serves every budget; foolbox's own list of epsilons is not used."""
    few, many = (
        run_attack(net, *batch, {"method": "ddn", "budgets": budgets, "steps": 10}, seed=0, ids=range(48))
        for budgets in ([0, 1], [0, 0.1, 0.2, 0.4, 0.8, 1])
    )
    assert few.n_forward.sum() == many.n_forward.sum() and few.n_backward.sum() == many.n_backward.sum() > 0


def test_result_follows_its_seed_and_not_the_global_one(run_attack, toys):
    """DDN draws a direction where the gradient is zero: from our seed, whatever ran before."""
    flat = toys.Canary(toys.linear(5), after=lambda logits: (20 * logits).round())
    images, labels = toys.interior_images(flat, 12)
    settings = {"method": "ddn", "budgets": [0, 9], "steps": 10}
    results = []
    for start in (1, 2):
        torch.manual_seed(start)
        results.append(run_attack(flat, images, labels, settings, seed=3, ids=range(12)))
    other = run_attack(flat, images, labels, settings, seed=4, ids=range(12))
    assert torch.equal(results[0].adversarial, results[1].adversarial)
    assert not torch.equal(results[0].adversarial, other.adversarial)


@pytest.mark.slow
def test_foolbox_loads_where_there_is_no_git():
    code = "from neurobust.attacks.foolbox_attacks import load_foolbox; load_foolbox()"
    environment = {key: value for key, value in os.environ.items() if key != "GIT_PYTHON_REFRESH"} | {"PATH": ""}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("norm", "name"), [("linf", "LinfPGD"), ("l2", "L2PGD")])
def test_pgd_is_no_weaker_than_foolbox_s(run_attack, unseen, toys, norm, name):
    """Two climbs of twenty nested steps against foolbox's forty with the right step size, on two nets in float64.

    foolbox starts at random, which alone moves its count at one budget by a few of 200 images: it may be 10 ahead
    there (measured: 3). In all, ours breaks 918 (linf) and 951 (l2), theirs 905 and 912; with steps of 1/30 ours would
    break 877 and 905.
    """
    images, labels = unseen[0][:200].double(), unseen[1][:200]
    budgets = [0.1, 0.13, 0.15, 0.2] if norm == "linf" else [0.8, 1.0, 1.2, 1.5]
    settings = {"method": "pgd", "norm": norm, "unit": "1", "budgets": budgets, "steps": 20, "restarts": 1}
    foolbox = load_foolbox()
    attack = getattr(foolbox.attacks, name)(steps=40, rel_stepsize=2.5 / 40)
    ours, theirs = [], []
    for net in (toys.load("cnn").double(), toys.load("cnn-robust").double()):
        ours.append(run_attack(net, images, labels, settings, seed=0, ids=range(200)).success.sum(0))
        torch.manual_seed(0)
        target = foolbox.PyTorchModel(net, bounds=(0, 1), device="cpu")
        theirs.append(attack(target, images, labels, epsilons=budgets)[2].sum(1))
    ours, theirs = torch.stack(ours), torch.stack(theirs)
    assert (ours >= theirs - 10).all() and ours.sum() > theirs.sum(), (ours, theirs)
