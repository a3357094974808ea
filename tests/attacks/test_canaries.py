"""Canaries: each is caught by sound attacks and checks, and missed by unsound ones; sound networks raise no flag."""

import pytest
import torch

from neurobust.attacks import canaries
from neurobust.attacks.canaries import CANARIES, attack_canaries, distances, find_flags, run_linear
from neurobust.attacks.check_plans import canary_modules, canary_plans
from neurobust.attacks.plan import read_plans
from neurobust.core.errors import InputError
from neurobust.core.io import read_json
from neurobust.files.checks import Check

pytestmark = pytest.mark.slow

ATTACKS = {
    "noise": {"method": "uniform", "budgets": [0, 8, 16, 32], "repeats": 2},
    "fgsm": {"method": "fgsm", "budgets": [0, 8, 16, 32]},
    "pgd-linf": {"method": "pgd", "budgets": [0, 8, 16, 32], "steps": 8, "loss": "margin"},
    "apgd-l2": {"method": "apgd", "norm": "l2", "budgets": [0, 0.5, 1], "steps": 10},
    "hue": {"method": "hue", "budgets": [0, 0.5], "grid": 3},
}
PLANS = read_plans(ATTACKS)
ONE = {"pgd-linf": PLANS["pgd-linf"]}
NAMES = [*CANARIES, "linear"]


def missed(path):
    return [entry["canary"] for entry in read_json(path)["canaries"] if not entry["caught"]]


@pytest.fixture(scope="module")
def robust_net(toys):
    """A net of the same kind, trained on adversarials of 32/255 (one step from a random point)."""
    return toys.load("cnn-robust")


def test_eleven_of_eleven_are_caught_twice_alike(dataset, tmp_path):
    for name in ("one", "two"):
        attack_canaries(dataset, PLANS, tmp_path / f"{name}.json", n_images=16)
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()
    found = read_json(tmp_path / "one.json")
    assert len(NAMES) == 11
    assert [entry["canary"] for entry in found["canaries"]] == NAMES and missed(tmp_path / "one.json") == []
    assert found["train_accuracy"] > 0.9 and found["images"] == 16 and found["attacks"] == ["pgd-linf", "apgd-l2"]
    entries = {entry["canary"]: entry for entry in found["canaries"]}
    assert entries["undefended"]["value"] <= 0.02 and entries["undefended"]["found"] == []
    assert 0.999 <= entries["linear"]["value"] <= 1.02
    for name, (_, expected) in CANARIES.items():
        assert set(expected) <= set(entries[name]["found"])


def reject_class(logits):
    """A further class, whose logit is always 0."""
    return torch.cat([logits, logits.new_zeros(len(logits), 1)], dim=1)


class Winners(torch.nn.Module):
    """Of all values of an image, the largest third stay."""

    def forward(self, values):
        flat = values.flatten(1)
        last = flat.topk(flat.shape[1] // 3, dim=1).values[:, -1:]
        return (flat * (flat >= last)).view_as(values)


def honest(name, net, toys):
    """A network that reads the digits and hides nothing."""
    changes = {
        "temperature 10": lambda logits: logits / 10, "temperature 0.1": lambda logits: 10 * logits,
        "logits x 1e-4": lambda logits: 1e-4 * logits, "reject class": reject_class,
    }  # fmt: skip
    if name in changes:
        return toys.Canary(net, after=changes[name])
    if name in ("float16", "bfloat16"):
        kind = getattr(torch, name)
        return toys.Canary(net.to(kind), before=lambda x: x.to(kind))
    if name == "k-winners":
        net[1], net[3] = Winners(), Winners()
        return net
    return toys.load(name)


HONEST = (
    "cnn", "cnn-robust", "mlp", "vit", "temperature 10", "temperature 0.1", "logits x 1e-4", "reject class",
    "k-winners", "float16", "bfloat16",
)  # fmt: skip


@pytest.mark.parametrize("name", HONEST)
def test_an_honest_network_raises_no_flag(net, toys, batch, name):
    """Under ascents, one that needs no gradient, an ensemble, a minimum-norm attack, and a twin's adversarials."""
    more = {
        "square": {"method": "square", "budgets": [0, 8, 16, 32], "queries": 30},
        "autoattack": {"method": "autoattack", "budgets": [0, 8, 32], "steps": 8, "targets": 2, "queries": 20},
        "fmn": {"method": "fmn", "norm": "l2", "budgets": [0, 0.5, 1], "steps": 30},
    }
    network = honest(name, net, toys).eval()
    found, _ = find_flags(network, *batch, canary_plans(PLANS) | read_plans(more), 0, twin=toys.load("mlp"))
    assert found == []


def test_the_robust_network_is_robust(net, robust_net, batch):
    outcomes = [find_flags(network, *batch, ONE, 0)[1]["pgd-linf"] for network in (net, robust_net)]
    plain, robust = (1 - outcome.success[:, 3].mean() for outcome in outcomes)
    assert robust > plain + 0.1


def test_a_study_without_an_iterative_attack_is_given_one(dataset, tmp_path):
    single = {"fgsm": PLANS["fgsm"], "hue": PLANS["hue"]}
    assert list(canary_plans(single)) == ["fgsm", "pgd"]
    attack_canaries(dataset, single, tmp_path / "c.json", n_images=8)
    assert missed(tmp_path / "c.json") == [] and read_json(tmp_path / "c.json")["attacks"] == ["pgd"]


def test_a_broken_attack_is_told_from_a_sound_one(dataset, tmp_path, monkeypatch):
    run = canaries.run_attack

    def blind(plan, batch):
        """Finds nothing where it would take a gradient."""
        result = run(plan, batch)
        if plan.method in ("pgd", "apgd"):
            result.first[result.clean_correct] = len(result.budgets)
        return result

    monkeypatch.setattr(canaries, "run_attack", blind)
    attack_canaries(dataset, ONE, tmp_path / "c.json", n_images=8)
    assert missed(tmp_path / "c.json") == ["undefended", "linear"]


def test_checks_that_see_nothing_are_told_from_sound_ones(dataset, tmp_path, monkeypatch):
    monkeypatch.setattr(canaries, "model_checks", lambda *arguments: [])
    attack_canaries(dataset, ONE, tmp_path / "c.json", n_images=8)
    assert missed(tmp_path / "c.json") == [name for name, spoiled in CANARIES.items() if spoiled.expected]


def test_a_check_that_flags_everything_is_told_from_a_sound_one(dataset, tmp_path, monkeypatch):
    always = [Check("alarm", passed=False)]
    monkeypatch.setattr(canaries, "table_checks", lambda outcomes: always)
    attack_canaries(dataset, ONE, tmp_path / "c.json", n_images=8)
    assert missed(tmp_path / "c.json") == ["undefended"]


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_linear_distance_is_the_closed_form(toys, norm):
    model = toys.linear(4)
    images, labels = toys.interior_images(model, 9)
    exact = toys.closed_form(model, images, labels, norm)
    assert torch.allclose(distances(model[1], images, labels, norm), exact, rtol=1e-5)


def test_linear_canary_needs_an_iterative_attack(batch):
    attacks = canary_plans(PLANS)
    assert run_linear(batch[0], attacks, 0).caught
    assert not run_linear(batch[0], {"fgsm": attacks["fgsm"]}, 0).caught


def test_labels_that_cannot_be_learned_are_one_clear_line(dataset, tmp_path, monkeypatch):
    monkeypatch.setattr(canaries, "EPOCHS", 0)
    monkeypatch.setattr(canaries, "LEAST", 300)
    with pytest.raises(InputError, match=r"dataset\.h5: a small network reads \d+ of 400 images"):
        attack_canaries(dataset, PLANS, tmp_path / "c.json")
    assert not (tmp_path / "c.json").exists()


def test_the_sources_are_the_attacks_that_canaries_meet():
    """Those that take part, and the ascent that every network's checks run."""
    code = {name.rpartition(".")[2] for name in canary_modules(PLANS)}
    assert code == {"noise", "noise_settings", "gradient", "gradient_settings"}
    assert {name.rpartition(".")[2] for name in canary_modules({})} == {"gradient", "gradient_settings"}
