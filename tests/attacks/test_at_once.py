"""Memory is what a caller says: no attack shows the network more images in one call than it was allowed."""

import dataclasses

import pytest
import torch
from torch import nn

from neurobust.attacks.bounded import Bounded
from neurobust.attacks.own_model import attack
from neurobust.attacks.plan import read_plan
from neurobust.attacks.registry import ATTACKS
from neurobust.attacks.run import batch_of
from neurobust.attacks.run import run_attack as run_planned
from neurobust.core.settings import options

IMAGES, LIMIT, LARGEST_COUNT = 2, 3, 9


class Counting(nn.Module):
    """A network that notes how many images each call has."""

    def __init__(self, body, sizes):
        super().__init__()
        self.body, self.sizes = body, sizes

    def __deepcopy__(self, _):
        return self  # foolbox attacks a copy

    def forward(self, images):
        self.sizes.append(len(images))
        return self.body(images)


@pytest.fixture
def right(net, unseen):
    """Digits that the net reads rightly."""
    read = net(unseen[0]).argmax(1) == unseen[1]
    return unseen[0][read], unseen[1][read]


def plan_of(method):
    """A short run of a method: its counts cut down, but still larger than what may go through at once."""
    kind = ATTACKS[method]
    counts = {
        option.name: min(option.default, LARGEST_COUNT)
        for option in options(kind)
        if isinstance(option.default, int) and not isinstance(option.default, bool)
    }
    return read_plan(method, {"method": method, "unit": "1", "budgets": [0, 1e-3, min(kind.largest, 0.3)], **counts})


@pytest.mark.usefixtures("uncompiled")
@pytest.mark.parametrize("limit", [None, LIMIT])
@pytest.mark.parametrize("method", list(ATTACKS))
def test_no_call_has_more_images_than_the_batch_allows(net, right, toys, method, limit):
    """Queries of one image and other images that an attack starts from go through in parts."""
    (images, labels), sizes, plan = right, [], plan_of(method)
    few, others = slice(IMAGES), slice(10, 40)
    batch = batch_of(
        plan, Counting(net, sizes), images[few], labels[few], seed=0, ids=range(IMAGES), pool=images[others],
        twins=images[IMAGES : 2 * IMAGES],
    )  # fmt: skip
    run_planned(plan, dataclasses.replace(batch, helpers={"oracle": toys.Seer()}, attack_batch=limit))
    assert len(sizes) > 2 and max(sizes) <= (limit or IMAGES)
    if limit and plan.attack.pool:
        assert max(sizes) == limit, "and no fewer: the last batch of a network may be one image"


def test_a_study_and_a_model_of_one_s_own_hand_their_batch_on(net, right):
    (images, labels), sizes = right, []
    plan = read_plan("walk", {"method": "hopskipjump", "budgets": [0, 1e-3, 4], "steps": 2})
    method = Bounded(plan, Counting(net, sizes), 0, images[10:40], attack_batch=8)
    method.attack(images[:IMAGES], labels[:IMAGES], (0, 1), 0)
    assert max(sizes) == 8
    given = {"method": "hopskipjump", "budgets": [0, 1e-3, 4], "steps": 2, "norm": "l2"}
    sizes.clear()
    attack(Counting(net, sizes), images[:5], labels[:5], batch=4, **given)
    assert max(sizes) == 5, "the checks look at all five at once"


def test_the_parts_change_no_result(net, right):
    (images, labels), found = right, []
    plan = plan_of("hopskipjump")
    for limit in (2, 512):
        batch = batch_of(plan, net, images[:4], labels[:4], seed=0, ids=range(4), pool=images[10:40])
        found.append(run_planned(plan, dataclasses.replace(batch, attack_batch=limit)))
    assert torch.equal(found[0].n_forward, found[1].n_forward)
    assert torch.equal(found[0].clean_correct, found[1].clean_correct)
