"""Attacks that aim at a class: who leaves, what counts as broken, and the three outcomes of an image."""

import numpy as np
import pytest
import torch
from torch import nn

from neurobust.attacks.semantic.descent import Attempt, Book, probability_lead, random_targets, reach, target_lead
from neurobust.attacks.semantic.measured import measure_variant


class Colours(nn.Module):
    """Classes red, green and blue: the largest mean."""

    def forward(self, images):
        return 30 * images.mean((2, 3))


def painted(*classes):
    """Images of one colour each, (n, 3, 4, 4)."""
    images = torch.full((len(classes), 3, 4, 4), 0.2)
    for image, shown in zip(images, classes, strict=True):
        image[shown] = 0.8
    return images


def test_an_image_leaves_at_its_target_and_is_broken_by_any_other_class():
    red, labels, targets = painted(0, 0, 0, 0), torch.zeros(4, dtype=torch.int64), torch.tensor([1, 1, 1, 1])
    book, network = Book(Colours(), red, labels, [1, 2], 0.05, targets), Colours()
    rows, tried = torch.arange(4), painted(1, 2, 0, 2)
    gone = book.offer(rows, tried, network(tried), 0)
    assert gone.tolist() == [True, False, False, False], "a third class is no reason to leave"
    book.close(0)
    assert book.first.tolist() == [0, 0, 2, 0] and book.standing().tolist() == [1, 2, 3]
    later = painted(1, 0, 2)
    assert book.offer(book.standing(), later, network(later), 1).tolist() == [True, False, False]
    book.close(1)
    assert book.first.tolist() == [0, 0, 2, 0] and book.left.tolist() == [True, True, False, False]
    shown = [network(batch).argmax(1).tolist() for batch in book.tried]
    assert shown == [[1, 2, 0, 2], [1, 1, 0, 2]], "the target in place of a third class, never the other way"


def test_without_targets_any_class_is_left_at_once():
    red, network = painted(0, 0), Colours()
    book = Book(network, red, torch.zeros(2, dtype=torch.int64), [1], 0.05)
    tried = painted(2, 0)
    assert book.offer(torch.arange(2), tried, network(tried), 0).tolist() == [True, False]
    assert book.attempt({}).targets is None


def test_leads_are_those_of_softmax_and_ties_lead_to_nothing():
    logits = torch.tensor([[2.0, 1.0, 0.0], [0.0, 0.0, -1.0], [float("nan"), 0.0, 0.0]])
    p = logits.softmax(1)
    zero = torch.zeros(3, dtype=torch.int64)
    assert target_lead(logits, zero)[0] == pytest.approx((p[0, 0] - p[0, 1]).item(), abs=1e-6)
    assert probability_lead(logits, zero)[0] == pytest.approx((p[0, 1] - p[0, 0]).item(), abs=1e-6)
    assert target_lead(logits, zero)[1] < 0 and probability_lead(logits, zero)[1] < 0
    assert target_lead(logits, zero)[2] == probability_lead(logits, zero)[2] == -torch.inf
    assert target_lead(1e5 * logits, zero)[0] == 1


def test_targets_are_another_class_of_the_image_s_own():
    labels, ids = torch.tensor([0, 1, 2, 3] * 50), range(200)
    targets = random_targets("test", np.arange(4), labels, ids)
    assert (targets != labels).all() and torch.bincount(targets, minlength=4).min() > 20
    assert torch.equal(random_targets("test", np.arange(4), labels[[7, 3]], [7, 3]), targets[[7, 3]])
    loss = reach(targets[:2])(torch.tensor([1]), None, torch.zeros(1, 4), [])
    assert loss.item() == pytest.approx(np.log(4))


def test_the_three_outcomes_are_told_apart():
    """Target, third class, unchanged, a clean error that shows the target: planted, and read off the table."""
    images, labels = painted(0, 0, 0, 1), torch.zeros(4, dtype=torch.int64)
    tried, counts = painted(1, 2, 0, 1), torch.zeros(4, 1, dtype=torch.float64)
    clean = torch.tensor([True, True, True, False])

    class Judge:
        def measure(self, clean, altered, labels):
            gone = torch.zeros(len(clean))
            names = ("ciede2000", "ssim", "l2", "feature_distance", "oracle_correct")
            return {"shown": Colours()(altered).argmax(1), **{name: gone.clone() for name in names}}

    attempt = Attempt([1.0], clean, torch.tensor([0, 0, 1, 0]), [tried], counts, counts,
                      {"noise": [painted(2, 1, 1, 0)]}, torch.ones(4, dtype=torch.int64))  # fmt: skip
    own = measure_variant(Judge(), "attack", images, labels, attempt)
    assert own["success/attack"][:, 0].tolist() == [True, True, False, True]
    assert own["reached_target/attack"][:, 0].tolist() == [True, False, False, False]
    noise = measure_variant(Judge(), "noise", images, labels, attempt)
    assert noise["reached_target/noise"][:, 0].tolist() == [False, True, True, False]
    attempt.targets = None
    assert not [name for name in measure_variant(Judge(), "attack", images, labels, attempt) if "target" in name]
