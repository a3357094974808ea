"""The masking checks on networks whose true answer is known."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from neurobust.attacks import probes
from neurobust.attacks.checks import flags, model_checks
from neurobust.attacks.outcomes import Outcome, outcome_of, table_checks
from neurobust.attacks.plan import read_plan
from neurobust.attacks.probes import Noted, ascent_checks, probe_checks
from neurobust.attacks.run import batch_of, run_attack
from neurobust.attacks.twin import twin_checks


def failed(model, batch):
    return set(flags(model_checks(model, *batch)))


def test_plain_network_has_no_flag(net, batch):
    assert failed(net, batch) == set()


def test_scaled_logits_are_flagged(net, batch, toys):
    assert "gradient_ce" in failed(toys.Canary(net, after=lambda logits: 1e3 * logits), batch)


def test_probabilities_are_flagged(net, batch, toys):
    assert "logits" in failed(toys.Canary(net, after=lambda logits: logits.softmax(1)), batch)


def test_logits_that_underflow_are_flagged_and_large_ones_are_not(net, batch, toys):
    assert "logit_scale" in failed(toys.Canary(net, after=lambda logits: 1e3 * logits), batch)
    assert "logit_scale" not in failed(toys.Canary(net, after=lambda logits: 2 * logits), batch)


def test_logits_that_depend_on_the_batch_are_flagged(net, batch, toys):
    assert "batch_size" in failed(toys.Canary(net, after=lambda logits: logits - logits.mean(0)), batch)


def test_gradient_that_is_not_finite_is_flagged(net, batch, toys):
    found = failed(toys.Canary(net, before=lambda x: x + (0 * x).sqrt()), batch)
    assert {"gradient_ce", "gradient_margin", "gradient_start_ce", "gradient_start_margin"} <= found


def test_gradient_is_looked_at_beside_the_image_too(net, batch, toys):
    """Flat everywhere but at pixels of exactly n/255: the images themselves have a gradient."""

    def flat_between(x):
        on_grid = (((255 * x).round() / 255 - x).abs() < 1e-6).flatten(1).all(1)
        return torch.where(on_grid[:, None, None, None], x, x.detach())

    found = failed(toys.Canary(net, before=flat_between), batch)
    assert "gradient_margin" not in found and "gradient_start_margin" in found


def test_quantised_input_is_flagged(net, batch, toys):
    found = failed(toys.Canary(net, before=lambda x: (x * 32).round() / 32), batch)
    assert {"gradient_ce", "gradient_margin", "unbounded"} <= found


def test_noisy_network_is_flagged(net, batch, toys):
    assert "deterministic" in failed(toys.Canary(net, before=lambda x: x + 0.05 * torch.randn_like(x)), batch)


def outcome(model, batch, name="attack", **settings):
    plan = read_plan(name, settings)
    result = run_attack(plan, batch_of(plan, model, *batch, seed=0, ids=range(len(batch[0]))))
    counts = {"checked": 10, "demoted": 0}
    return Outcome(plan, result.clean_correct.numpy(), result.success.numpy(), counts)


BUDGETS = [0, 8, 32, 64]


@pytest.fixture
def tables(net, batch):
    return {
        "pgd": outcome(net, batch, "pgd", method="pgd", budgets=BUDGETS, steps=5),
        "fgsm": outcome(net, batch, method="fgsm", budgets=BUDGETS),
        "noise": outcome(net, batch, method="uniform", budgets=BUDGETS, repeats=2),
    }


def test_sound_tables_have_no_flag(tables):
    found = table_checks(tables)
    assert flags(found) == []
    names = {entry.label for entry in found}
    assert {
        "worst_case/pgd",
        "not_weaker/pgd vs fgsm",
        "not_weaker/pgd vs noise",
        "noise_weaker/pgd vs noise",
        "monotone/pgd",
    } <= names


def test_iterative_attack_that_stands_still_is_flagged(tables):
    tables["pgd"] = replace(tables["pgd"], success=np.repeat(~tables["pgd"].clean_correct[:, None], len(BUDGETS), 1))
    found = set(flags(table_checks(tables)))
    assert {"not_weaker/pgd vs fgsm", "worst_case/pgd", "noise_weaker/pgd vs noise"} <= found


def test_noise_as_strong_as_the_attack_is_flagged(tables):
    tables["noise"] = replace(tables["noise"], success=tables["pgd"].success.copy())
    assert "noise_weaker/pgd vs noise" in flags(table_checks(tables))


def test_image_that_recovers_is_flagged(tables):
    row = np.flatnonzero(tables["fgsm"].success[:, 1])[0]
    tables["fgsm"].success[row, 2] = False
    assert "monotone/fgsm" in flags(table_checks(tables))


def test_demoted_adversarials_are_flagged(tables):
    tables["fgsm"] = replace(tables["fgsm"], verification={"checked": 10, "demoted": 3})
    assert "verification" in flags(table_checks(tables))


def test_cross_entropy_alone_is_flagged(net, batch):
    alone = {"pgd": outcome(net, batch, method="pgd", budgets=[0, 8], steps=2, loss="ce")}
    assert "margin_loss" in flags(table_checks(alone))


def test_steps_too_short_for_the_ball_are_flagged(net, batch):
    """The default of foolbox: 1/30 of the budget, whatever the number of steps."""
    short = {"pgd": outcome(net, batch, method="pgd", budgets=[0, 8], steps=5, rel_stepsize=1 / 30)}
    assert "reach/pgd" in flags(table_checks(short))
    short["pgd"] = outcome(net, batch, method="pgd", budgets=[0, 8], steps=5)
    assert "reach/pgd" not in flags(table_checks(short))


def test_black_box_attack_that_finds_more_is_flagged(tables):
    square = read_plan("square", {"method": "square", "norm": "linf", "unit": "1/255", "budgets": BUDGETS})
    tables["square"] = replace(tables["pgd"], plan=square)
    assert "not_weaker/pgd vs square" not in flags(table_checks(tables))
    success = tables["square"].success.copy()
    success[:, 1:] = True
    tables["square"] = replace(tables["square"], success=success)
    assert "not_weaker/pgd vs square" in flags(table_checks(tables))


# --- an ascent against all the others ---

STRONGER = {
    "autoattack": {"method": "autoattack", "budgets": [0, 8, 32], "steps": 6, "targets": 2, "queries": 10},
    "fmn": {"method": "fmn", "budgets": [0, 4, 32], "steps": 30},
    "deepfool": {"method": "deepfool", "norm": "linf", "budgets": [0, 4, 32], "steps": 20},
    "apgd": {"method": "apgd", "budgets": [0, 32], "steps": 6},
    "joint": {"method": "adaptive-joint", "budgets": [0, 32], "steps": 6},
}


@pytest.mark.parametrize("name", list(STRONGER))
def test_an_ascent_that_finds_nothing_where_another_attack_does_is_flagged(net, batch, name):
    """PGD breaks nothing; an ensemble, a minimum-norm or an adaptive attack breaks most of the same images."""
    pgd = outcome(net, batch, "pgd", method="pgd", budgets=BUDGETS, steps=5)
    other = outcome(net, batch, name, **STRONGER[name])
    assert "worst_case/pgd" not in flags(table_checks({"pgd": pgd, name: other}))
    blind = replace(pgd, success=np.repeat(~pgd.clean_correct[:, None], len(BUDGETS), 1))
    assert "worst_case/pgd" in flags(table_checks({"pgd": blind, name: other}))


def test_other_attacks_count_with_what_they_broke_at_smaller_budgets_and_of_one_norm(net, batch):
    pgd = outcome(net, batch, "pgd", method="pgd", budgets=[0, 40], steps=5)
    fmn = outcome(net, batch, "fmn", method="fmn", budgets=[0, 32], steps=30)
    l2 = outcome(net, batch, "l2", method="fmn", norm="l2", budgets=[0, 0.1], steps=30)
    blind = replace(pgd, success=np.repeat(~pgd.clean_correct[:, None], 2, 1))
    value = {entry.label: entry.value for entry in table_checks({"pgd": blind, "fmn": fmn})}
    assert value["worst_case/pgd"] == pytest.approx(fmn.success[fmn.clean_correct, 1].mean())
    assert "worst_case/pgd" not in {entry.label for entry in table_checks({"pgd": blind, "l2": l2})}
    larger = replace(fmn, plan=read_plan("fmn", {"method": "fmn", "budgets": [0, 48]}))
    assert "worst_case/pgd" not in flags(table_checks({"pgd": blind, "fmn": larger}))


def test_images_that_fall_to_queries_alone_are_flagged(tables):
    """As a table of Square's, and as the member of an ensemble that broke them."""
    square = read_plan("square", {"method": "square", "budgets": BUDGETS})
    tables["square"] = replace(tables["pgd"], plan=square)
    assert "queries_alone/square" not in flags(table_checks(tables))
    success = tables["square"].success.copy()
    success[:, 1:] = True
    tables["square"] = replace(tables["square"], success=success)
    assert "queries_alone/square" in flags(table_checks(tables))
    plan, correct = read_plan("autoattack", STRONGER["autoattack"]), tables["pgd"].clean_correct
    found = {"clean_correct": correct, "first": np.where(correct, 1, 0), "abstained": np.zeros(len(correct), bool)}
    assert [part.black_box for part in plan.attack.members] == [False] * (len(plan.attack.members) - 1) + [True]
    for member, part in enumerate(plan.attack.members):
        members = np.where(correct, member, -1)
        alone = outcome_of(plan, found | {"member": members}, {"checked": 10, "demoted": 0})
        assert ("queries_alone/autoattack" in flags(table_checks({"autoattack": alone}))) is part.black_box


# --- a slope, a tie, a twin ---


class Shaken(torch.autograd.Function):
    """The identity with noise for a gradient."""

    @staticmethod
    def forward(context, x):
        return x.clone()

    @staticmethod
    def backward(context, gradient):
        return torch.randn_like(gradient) * gradient.abs().mean()


def test_a_gradient_that_is_not_the_slope_is_flagged(net, batch, toys):
    assert "slope" in failed(toys.Canary(net, before=Shaken.apply), batch)
    assert "slope" in failed(toys.Canary(net, after=lambda logits: logits + 1e8), batch)


class Sifted(torch.autograd.Function):
    """The identity, whose gradient lacks all but every n-th pixel of a row."""

    @staticmethod
    def forward(context, x, every):
        context.every = every
        return x.clone()

    @staticmethod
    def backward(context, gradient):
        kept = torch.arange(gradient.shape[-1]) % context.every == 0
        return gradient * kept, None


@pytest.mark.parametrize("every", [2, 8])
def test_a_gradient_that_lacks_pixels_is_flagged(net, batch, toys, every):
    """Along it all is as promised; PGD leaves 9 images of 10 standing at 24/255 where 6 are left without the sieve."""
    sifted = toys.Canary(net, before=lambda x: Sifted.apply(x, every))
    found = failed(sifted, batch)
    assert "directions" in found and "slope" not in found
    plain, lacking = (outcome(model, batch, method="pgd", budgets=[0, 24], steps=10) for model in (net, sifted))
    assert lacking.success[:, 1].mean() < plain.success[:, 1].mean() - 0.1


def test_the_share_that_a_gradient_does_not_tell_is_the_closed_form(toys):
    """Of a linear network all is told; with half of its weights the rest moves as much as was promised: half is."""
    model = toys.linear(2, shape=(3, 8, 8))
    images, labels = toys.interior_images(model, 40, shape=(3, 8, 8))
    for every, least, most in ((1, 0.0, 0.0), (2, 0.75, 1.0)):
        network = toys.Canary(model, before=lambda x, every=every: Sifted.apply(x, every)).eval()
        (found,) = (entry for entry in model_checks(network, images, labels) if entry.label == "directions")
        assert least <= found.value <= most and found.passed is (every == 1)


def test_a_true_logit_that_does_not_move_is_flagged(net, batch, toys):
    top = 0.7 * net(batch[0]).amax(1).median().item()
    assert "saturation" in failed(toys.Canary(net, after=lambda logits: logits.clamp(max=top)), batch)


def test_two_classes_that_are_level_are_flagged(net, batch, toys):
    coarse = toys.Canary(net, after=lambda x: x + ((x / 20).round() * 20 - x).detach())
    assert {"ties", "slope"} <= failed(coarse, batch)


@pytest.mark.parametrize("defence", ["clipped", "shaken", "plain"])
def test_a_twin_shows_what_a_defence_hides(net, batch, toys, defence):
    """The same network without its defence: its adversarials break what the defended one's own attack leaves."""
    top = 0.7 * net(batch[0]).amax(1).median().item()
    network = {
        "clipped": toys.Canary(net, after=lambda logits: logits.clamp(max=top)),
        "shaken": toys.Canary(net, before=Shaken.apply), "plain": net,
    }[defence].eval()  # fmt: skip
    own = {"pgd": outcome(network, batch, "pgd", method="pgd", norm="l2", budgets=[0, 0.5, 1, 2], steps=10)}
    found = flags([*twin_checks(network, net, *batch, own)])
    assert found == ([] if defence == "plain" else ["twin/pgd"])
    assert not [*twin_checks(network, net, *batch, {"hue": outcome(network, batch, method="hue", budgets=[0, 0.5])})]


# --- probes ---


def probed(model, batch, tables):
    return flags(probe_checks(model, *batch, tables, seed=0))


def test_sound_attack_passes_its_probes(net, batch, tables):
    found = probe_checks(net, *batch, {"pgd": tables["pgd"]}, seed=0)
    assert flags(found) == []
    assert [entry.check for entry in found] == ["doubled_steps", "ascent", "unfinished", "other_loss", "silent_success"]
    assert probe_checks(net, *batch, {"noise": tables["noise"]}, seed=0) == []


def test_an_ensemble_is_probed_too(net, batch):
    tables = {"aa": outcome(net, batch, "aa", **STRONGER["autoattack"])}
    found = probe_checks(net, *batch, tables, seed=0)
    assert flags(found) == [] and len(found) == 5
    tables["aa"].success[:, 1:] = ~tables["aa"].clean_correct[:, None]
    assert "doubled_steps/aa" in flags(probe_checks(net, *batch, tables, seed=0))


def test_attack_that_ends_too_early_is_flagged(net, batch):
    """At 64/255 twice the steps break all 8 images (two would do); the table has none of them broken."""
    weak = {"pgd": outcome(net, batch, method="pgd", budgets=[0, 64], steps=8)}
    assert "doubled_steps/pgd" not in probed(net, batch, weak)
    weak["pgd"].success[:, 1] = ~weak["pgd"].clean_correct
    assert "doubled_steps/pgd" in probed(net, batch, weak)


def test_ascent_without_a_gradient_is_flagged(net, batch, toys):
    flat = toys.Canary(net, before=lambda x: (x * 32).round() / 32)
    outcomes = {"pgd": outcome(flat, batch, "pgd", method="pgd", budgets=[0, 8], steps=3)}
    assert "ascent/pgd" in probed(flat, batch, outcomes)


@pytest.mark.parametrize("loss", ["margin", "ce"])
def test_logits_whose_scale_follows_the_image_are_flagged(net, batch, toys, loss):
    """The same classes at every point, and a margin that falls fastest where the scale does: PGD changes the scale."""
    settings = {"method": "pgd", "budgets": [0, 32], "steps": 20, "loss": loss}
    led = toys.Scaled(net).eval()
    plain, astray = (outcome(network, batch, "pgd", **settings) for network in (net, led))
    assert astray.success[:, 1].mean() < plain.success[:, 1].mean() - 0.3
    assert "other_loss/pgd" in probed(led, batch, {"pgd": astray})
    assert "other_loss/pgd" not in probed(net, batch, {"pgd": plain})
    free = {"pgd": outcome(led, batch, "pgd", **settings | {"loss": "dlr"})}
    assert "other_loss/pgd" not in probed(led, batch, free)


def test_two_classes_have_no_other_loss(toys, batch):
    model = toys.linear(2, shape=(3, 8, 8))
    images, labels = toys.interior_images(model, 12, shape=(3, 8, 8))
    pgd = {"pgd": outcome(model, (images, labels), "pgd", method="pgd", budgets=[0, 2], steps=5)}
    found = {entry.check for entry in probe_checks(model, images, labels, pgd, seed=0)}
    assert "other_loss" not in found and "doubled_steps" in found


def test_loss_that_still_rises_is_flagged():
    rising = torch.linspace(0, 1, 41).square()[:, None].repeat(1, 5)
    settled = 1 - torch.exp(-torch.linspace(0, 8, 41))[:, None].repeat(1, 5)
    assert flags(ascent_checks(rising, "a")) == ["unfinished/a"]
    assert flags(ascent_checks(settled, "a")) == []
    assert flags(ascent_checks(torch.zeros(41, 5), "a")) == ["ascent/a"]
    assert flags(ascent_checks(torch.full((41, 5), torch.nan), "a")) == ["ascent/a"]


def test_attack_that_loses_what_it_found_is_flagged(net, batch, tables, monkeypatch):
    """An attack that returns its last iterate although an earlier one was misclassified."""

    def forgetful(*arguments):
        result = run_attack(*arguments)
        result.first[result.clean_correct] = len(result.budgets)
        return result

    monkeypatch.setattr(probes, "run_attack", forgetful)
    assert "silent_success/pgd" in probed(net, batch, {"pgd": tables["pgd"]})


def test_only_points_inside_the_ball_are_noted(net, batch):
    images, labels = batch[0][:6], net(batch[0][:6]).argmax(1)
    noted = Noted(net, images, labels, 0.1, "linf")
    noted(1 - images)  # far away, and surely read otherwise
    assert not noted.broken.any()
    Noted(net, images, (labels + 1) % 10, 0.1, "linf")(images)
    wrong = Noted(net, images, (labels + 1) % 10, 0.1, "linf")
    wrong(images[[4, 2]] + 0.01)
    assert wrong.broken.tolist() == [False, False, True, False, True, False]
