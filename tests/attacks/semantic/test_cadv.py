"""cAdv as published: where it starts, what moves, and the class that it aims at."""

import itertools
from dataclasses import replace

import pytest
import torch
from torch import nn

from neurobust.attacks.semantic.cadv import CAdvAttack
from neurobust.attacks.semantic.cadv_confined import ConfinedAttack
from neurobust.attacks.semantic.cadv_confined_settings import CAdvConfined
from neurobust.attacks.semantic.cadv_settings import CAdv
from neurobust.attacks.semantic.colouriser import ON, recolour_clipped
from neurobust.attacks.semantic.scene import Scene
from neurobust.core.errors import InputError


class Painter(nn.Module):
    """A colouriser that paints its hints, half as strong where the mask is off, and notes what it was given."""

    def __init__(self):
        super().__init__()
        self.given = []

    def forward(self, lightness, hints, mask):
        self.given.append((hints.detach().clone(), mask.detach().clone()))
        classes = torch.cat([lightness, -lightness], 1) / 50  # surer where it is light
        return 110 * hints * (mask + 1.5) / 2, nn.functional.avg_pool2d(classes, 4)


class Colours(nn.Module):
    """Classes red, green and blue: the largest mean."""

    def forward(self, images):
        return 30 * images.mean((2, 3))


@pytest.fixture
def coloured(data, batch):
    """The data with three classes, images of one colour cast each, their classes under `Colours`, their rows."""
    images = batch[0].clone()
    for k in range(len(images)):
        images[k] = 0.5 + 0.3 * (images[k] - images[k].mean((1, 2), keepdim=True))
        images[k, k % 3] += 0.02
    return replace(data, classes=["red", "green", "blue"]), images, Colours()(images).argmax(1), batch[2]


def cadv(data, **settings):
    few = {"strengths": (0, 5, 20), "clusters": 4, "hinted": 2, "hints": 40, "learning_rate": 0.02}
    return CAdvAttack({"colouriser": Painter()}, data, CAdv(**(few | settings)))


def test_hints_start_in_the_surest_clusters_together(coloured):
    _, images, _, rows = coloured
    scene = Scene(Painter(), images, rows, CAdv(clusters=4), recolour_clipped)
    for k in range(5):
        hinted = scene.hinted(k, 40)
        assert ((scene.rank < k)[:, None] | ~hinted).all()
        size = (scene.rank < k).flatten(1).sum(1)
        assert torch.equal(hinted.flatten(1).sum(1), size.clamp_max(40))
    hints, mask = scene.start(scene.hinted(2, 40))
    on = mask == ON
    assert torch.allclose((110 * hints)[on.expand_as(hints)], scene.ab[on.expand_as(hints)], atol=1e-3)
    assert (hints[~on.expand_as(hints)] == 0).all() and (mask[~on] == -ON).all()
    part = Scene(Painter(), images[[5, 2]], [rows[5], rows[2]], CAdv(clusters=4), recolour_clipped)
    assert torch.equal(part.hinted(2, 40), scene.hinted(2, 40)[[5, 2]]), "an image's hints are its own"


def test_hints_and_mask_move_everywhere_by_a_step_of_adam(coloured):
    """The first step of Adam moves whatever has a gradient by the learning rate, pinned or not."""
    data, images, labels, rows = coloured
    attack = cadv(data, strengths=(1,), learning_rate=0.01, confidence=0.99)  # so that none leaves
    attempt = attack(Colours(), images, labels, rows)
    looks = [given for given in attack.colouriser.given if len(given[0]) == len(images)]
    (hints, mask), (moved_hints, moved_mask) = find_step(looks)
    change, on = (moved_hints - hints).abs(), (mask == ON).expand_as(hints)
    for where in (on, ~on):
        assert where.any() and torch.allclose(change[where], torch.tensor(0.01), atol=1e-4)
    assert moved_mask.min() >= -ON and moved_mask.max() <= ON
    assert attempt.n_backward.sum() == len(images)


def find_step(looks):
    """The two looks in a row of which the second is one step of 0.01 from the first."""
    apart = [(one[0] - two[0]).abs().max().item() for one, two in itertools.pairwise(looks)]
    (place,) = [k for k, gap in enumerate(apart) if gap == pytest.approx(0.01, abs=1e-4)]
    return looks[place], looks[place + 1]


def test_all_clusters_hinted_is_an_attack_where_the_confined_one_is_a_reconstruction(coloured):
    data, images, labels, rows = coloured
    every = cadv(data, hinted=4, hints=256, strengths=(0, 20), targeted=False)(Colours(), images, labels, rows)
    assert torch.allclose(every.tried[0], images, atol=3e-2), "before a step: every colour is given away"
    assert (every.first == 1).all(), "and then it breaks all"
    settings = CAdvConfined(strengths=(0,), clusters=4, hints=256, steps=20, learning_rate=0.02)
    confined = ConfinedAttack({"colouriser": Painter()}, data, settings)(Colours(), images, labels, rows)
    assert (confined.first == 1).all() and torch.allclose(confined.tried[0], images, atol=3e-2)


def test_it_reaches_its_target_or_any_class_and_success_only_grows(coloured):
    data, images, labels, rows = coloured
    aimed = cadv(data)(Colours(), images, labels, rows)
    free = cadv(data, targeted=False)(Colours(), images, labels, rows)
    assert free.targets is None and (aimed.targets != labels).all() and aimed.targets.max() <= 2
    for k in range(3):
        shown = Colours()(aimed.tried[k]).argmax(1)
        assert torch.equal(shown != labels, aimed.first <= k)
    assert torch.equal(shown, aimed.targets), "every target at the last strength"
    assert (free.first <= aimed.first).all() and (free.first < 3).all()
    random = [Colours()(made).argmax(1) for made in aimed.baselines["random-hints"]]
    assert (random[-1] == aimed.targets).double().mean() < 0.7, "random hints as far away do not"


def test_batches_do_not_matter_and_clean_errors_are_left_alone(coloured):
    data, images, labels, rows = coloured
    whole = cadv(data)(Colours(), images, labels, rows)
    order = [7, 0, 3]
    part = cadv(data)(Colours(), images[order], labels[order], [rows[k] for k in order])
    assert torch.equal(part.first, whole.first[order]) and torch.equal(part.targets, whole.targets[order])
    assert torch.allclose(part.tried[-1], whole.tried[-1][order], atol=1e-4)
    wrong = labels.clone()
    wrong[:2] = (wrong[:2] + 1) % 3
    left = cadv(data)(Colours(), images, wrong, rows)
    assert left.first[:2].tolist() == [0, 0] and left.n_backward[:2].sum() == 0
    assert torch.equal(left.tried[-1][:2], images[:2])


def test_more_hinted_clusters_than_there_are_is_an_error():
    with pytest.raises(InputError, match="hinted 9 exceeds the 8 clusters"):
        CAdv(hinted=9)
