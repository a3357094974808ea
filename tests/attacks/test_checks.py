"""The masking checks on networks whose true answer is known."""

import numpy as np
import pytest
import torch

from neurobust.attacks.checks import flags, label, model_checks, table_checks
from neurobust.attacks.registry import resolve, run_attack


def failed(model, batch):
    return set(flags(model_checks(model, *batch)))


def test_plain_network_has_no_flag(net, batch):
    assert failed(net, batch) == set()


def test_scaled_logits_are_flagged(net, batch, toys):
    assert "gradient_ce" in failed(toys.Canary(net, after=lambda logits: 1e3 * logits), batch)


def test_probabilities_are_flagged(net, batch, toys):
    assert "logits" in failed(toys.Canary(net, after=lambda logits: logits.softmax(1)), batch)


def test_quantised_input_is_flagged(net, batch, toys):
    found = failed(toys.Canary(net, before=lambda x: (x * 32).round() / 32), batch)
    assert {"gradient_ce", "gradient_margin", "unbounded"} <= found


def test_noisy_network_is_flagged(net, batch, toys):
    assert "deterministic" in failed(toys.Canary(net, before=lambda x: x + 0.05 * torch.randn_like(x)), batch)


def table(model, batch, **settings):
    settings = resolve("a", settings)
    result = run_attack(model, *batch, settings, seed=0, ids=range(len(batch[0])))
    return {
        "settings": settings, "clean_correct": result.clean_correct.numpy(), "success": result.success.numpy(),
        "verification": {"checked": 10, "demoted": 0},
    }  # fmt: skip


BUDGETS = [0, 8, 32, 64]


@pytest.fixture
def tables(net, batch):
    return {
        "pgd": table(net, batch, method="pgd", budgets=BUDGETS, steps=5),
        "fgsm": table(net, batch, method="fgsm", budgets=BUDGETS),
        "noise": table(net, batch, method="uniform", budgets=BUDGETS, repeats=2),
    }


def test_sound_tables_have_no_flag(tables):
    found = table_checks(tables)
    assert flags(found) == []
    names = {label(entry) for entry in found}
    assert {"not_weaker/pgd vs fgsm", "not_weaker/pgd vs noise", "noise_weaker/pgd vs noise", "monotone/pgd"} <= names


def test_iterative_attack_that_stands_still_is_flagged(tables):
    tables["pgd"]["success"] = np.repeat(~tables["pgd"]["clean_correct"][:, None], len(BUDGETS), 1)
    assert {"not_weaker/pgd vs fgsm", "not_weaker/pgd vs noise", "noise_weaker/pgd vs noise"} <= set(
        flags(table_checks(tables))
    )


def test_noise_as_strong_as_the_attack_is_flagged(tables):
    tables["noise"]["success"] = tables["pgd"]["success"].copy()
    assert "noise_weaker/pgd vs noise" in flags(table_checks(tables))


def test_image_that_recovers_is_flagged(tables):
    row = np.flatnonzero(tables["fgsm"]["success"][:, 1])[0]
    tables["fgsm"]["success"][row, 2] = False
    assert "monotone/fgsm" in flags(table_checks(tables))


def test_demoted_adversarials_are_flagged(tables):
    tables["fgsm"]["verification"] = {"checked": 10, "demoted": 3}
    assert "verification" in flags(table_checks(tables))


def test_cross_entropy_alone_is_flagged(net, batch):
    alone = {"pgd": table(net, batch, method="pgd", budgets=[0, 8], steps=2, loss="ce")}
    assert "margin_loss" in flags(table_checks(alone))
