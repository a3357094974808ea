"""The patch attack: one square of the right size, where and what a linear classifier says it must be."""

import pytest
import torch

from neurobust.attacks.patch import cut, drawn, pasted, patch_side


@pytest.fixture
def scenes(toys):
    """A linear classifier of two classes, 40 images that it reads, and its normal (3, 8, 10)."""
    model = toys.linear(2, (3, 8, 10))
    images, labels = toys.interior_images(model, 40, (3, 8, 10))
    weight = model[1].weight.detach()
    return model, images, labels, (weight[1] - weight[0]).view(3, 8, 10)


def best_patch(images, labels, model, normal, side):
    """The largest margin of the other class over every place and content of a square: (n,)."""
    logits = model(images).detach()
    towards = 1 - 2 * labels  # the other class is class 1 for label 0
    slope = towards[:, None, None, None] * normal
    gain = (slope.clamp_min(0) - slope * images).sum(1)  # the best value of each pixel in place of its own
    windows = gain.unfold(1, side, 1).unfold(2, side, 1).sum((3, 4)).flatten(1).amax(1)
    return towards * (logits[:, 1] - logits[:, 0]) + windows


def test_sides():
    images = torch.zeros(1, 3, 8, 10)
    assert [patch_side(share, images) for share in (0.0124, 0.0125, 0.05, 0.2, 1)] == [0, 1, 2, 4, 8]
    assert patch_side(0.05, torch.zeros(1, 3, 224, 224)) == 50


def test_it_finds_what_is_best_for_a_linear_classifier(run_attack, scenes):
    model, images, labels, normal = scenes
    best = {side: best_patch(images, labels, model, normal, side) for side in range(1, 6)}
    budgets = [0, *(side**2 / 80 for side in best)]
    settings = {"method": "patch", "budgets": budgets, "steps": 40, "starts": 4, "step_size": 0.2}
    result = run_attack(model, images, labels, settings)
    breakable = torch.stack([labels < 0, *((values > 0) for values in best.values())], dim=1)
    assert not (result.success & ~breakable).any(), "more than every place and content could do"
    assert result.success.sum() >= 0.9 * breakable.sum() and 0.2 < breakable.double().mean() < 0.9


def test_it_is_one_square_of_the_budget_s_size(run_attack, net, batch):
    images, labels = batch
    for method, more in (("patch", {"steps": 10, "starts": 2}), ("random-patch", {"repeats": 60})):
        result = run_attack(net, images, labels, {"method": method, "budgets": [0, 0.001, 0.1, 0.2], **more})
        assert (result.first != 1).all(), "less than a pixel"
        broken = (result.clean_correct & result.success[:, -1]).nonzero().squeeze(1)
        assert len(broken) > 10
        for row in broken.tolist():
            rows, columns = (result.adversarial[row] != images[row]).any(0).nonzero().T
            side = patch_side(result.budgets[result.first[row]], images)
            assert max(rows.max() - rows.min(), columns.max() - columns.min()) < side
            assert result.distance[row] == side**2 / 64 <= result.budgets[result.first[row]]


def test_pasted_is_cut_again_and_draws_belong_to_an_image(toys):
    images = torch.rand(5, 3, 8, 10)
    batch = toys.batch(None, images, torch.zeros(5), [0.1])
    contents, places = drawn(batch, torch.arange(5), 3, "draw", 2)
    assert (places >= 0).all() and (places <= torch.tensor([5, 7])).all()
    assert torch.equal(cut(pasted(images, contents, places), places, 3), contents)
    changed = (pasted(images, contents, places) != images).any(1)
    assert (changed.flatten(1).sum(1) <= 9).all()
    again = drawn(batch, torch.tensor([4, 2]), 3, "draw", 2)
    assert torch.equal(again[0], contents[[4, 2]]) and torch.equal(again[1], places[[4, 2]])
    flat = drawn(batch, torch.arange(5), 3, "draw", 0)[0]
    assert torch.allclose(flat, flat[:, :, :1, :1].expand_as(flat)), "the first draws are of one colour"
