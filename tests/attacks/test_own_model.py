"""Attacks on a caller's own model."""

import pytest
import torch
from torch import nn

from neurobust.attacks.own_model import attack
from neurobust.core.errors import InputError


class Linear(nn.Module):
    """logit 1 - logit 0 = (mean brightness - 0.5) * 100: the smallest breaking change is known."""

    def forward(self, images):
        margin = (images.mean((1, 2, 3)) - 0.5) * 100
        return torch.stack([-margin, margin], 1) / 2


def batch(count=20):
    """Images of one brightness each, near the boundary on both sides, and their labels."""
    levels = 0.5 + torch.linspace(-0.02, 0.02, count)
    return levels[:, None, None, None].expand(count, 3, 8, 8).clone(), (levels > 0.5).long()


def test_the_accuracy_of_a_linear_model_is_the_closed_form():
    images, labels = batch()
    model = Linear().train()
    found = attack(model, images, labels, budgets=[0, 1, 3, 6], batch=7)
    away = (images.mean((1, 2, 3)) - 0.5).abs() * 255
    assert found.unit == "1/255" and list(found.accuracy) == [0, 1, 3, 6]
    for budget, standing in found.accuracy.items():
        assert standing == pytest.approx((away > budget).double().mean().item() if budget else 1.0)
    assert found.success.shape == (20, 4) and found.adversarial.shape == images.shape
    assert found.doubts == [] and len(found.checks) > 5
    assert model.training, "the model is given back as it was"


def test_a_model_that_hides_its_gradients_is_doubted():
    class Hidden(Linear):
        def forward(self, images):
            return super().forward((images * 8).round() / 8)

    found = attack(Hidden(), *batch(), budgets=[0, 6])
    assert any("gradient" in label for label in found.doubts)


def test_other_attacks_and_norms_are_those_of_a_study():
    images, labels = batch()
    found = attack(Linear(), images, labels, method="gaussian", budgets=[0, 0.5], norm="l2", repeats=2)
    assert found.unit == "1" and found.accuracy[0] == 1
    again = attack(Linear(), images, labels, method="gaussian", budgets=[0, 0.5], norm="l2", repeats=2)
    assert torch.equal(found.distance.nan_to_num(-1), again.distance.nan_to_num(-1))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"method": "pgdd"}, "attack.pgdd.method: 'pgdd' is not known"),
        ({"steps": 0}, "attack.pgd.steps: 0"),
        ({"budgets": [4, 1]}, "attack.pgd.budgets"),
        ({"labels": torch.zeros(3)}, "attack: 20 images and 3 labels"),
        ({"images": batch()[0] * 255}, "attack 'pgd': pixels outside"),
    ],
)
def test_what_cannot_be_attacked_is_one_line(changes, message):
    images, labels = batch()
    given = {"model": Linear(), "images": images, "labels": labels} | changes
    with pytest.raises(InputError, match=f"^{message}") as error:
        attack(**given)
    assert "\n" not in str(error.value)
