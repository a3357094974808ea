"""SemanticAdv on an editor whose edits are known: strength 0 is the plain edit, more of it only helps."""

import math

import pytest
import torch

from neurobust.attacks.semantic.editor import flip_attributes
from neurobust.attacks.semantic.plan import read_semantic
from neurobust.attacks.semantic.semanticadv import SemanticAdvAttack, rebuild, total_variation
from neurobust.attacks.semantic.semanticadv_settings import SemanticAdv
from neurobust.core.errors import InputError


def attack(toys, data, **settings):
    few = {"strengths": (0.0, 0.5, 1.0), "steps": 15, "rebuild": 2}
    return SemanticAdvAttack({"editor": toys.Blend()}, data, SemanticAdv(**(few | settings)))


def test_smoothness_equals_the_published_formula():
    """Twice the two means over all pairs of neighbours of all channels (Qiu et al., their code), pair by pair."""
    maps = torch.randn(2, 3, 4, 5)
    for n in range(2):
        down, across = [], []
        for c in range(3):
            for y in range(4):
                for x in range(5):
                    down += [float(maps[n, c, y + 1, x] - maps[n, c, y, x]) ** 2] if y < 3 else []
                    across += [float(maps[n, c, y, x + 1] - maps[n, c, y, x]) ** 2] if x < 4 else []
        wanted = 2 * (math.fsum(down) / len(down) + math.fsum(across) / len(across))
        assert (len(down), len(across)) == (45, 48)
        assert total_variation(maps)[n].item() == pytest.approx(wanted, rel=1e-5)
    checked = torch.tensor([[0.0, 1.0], [1.0, 0.0]]).repeat(28, 28)[None, None]
    for side in (8, 28, 56):
        found = total_variation(checked[..., :side, :side]).item()
        assert found == pytest.approx(4), "a map of any size weighs alike"
    assert total_variation(torch.ones(1, 2, 3, 3)) == 0


def test_one_attribute_is_turned():
    code = torch.tensor([[0.0, 1.0, 1.0], [1.0, 0.0, 0.0]])
    assert flip_attributes(code, torch.tensor([1, 0])).tolist() == [[0, 0, 1], [0, 0, 0]]


def test_strength_zero_is_the_edit_and_ends_are_what_they_say(data, batch, toys):
    images, labels, rows = batch
    whole = attack(toys, data, attribute="smiling", rebuild=0)(toys.MeanColour(), images, labels, rows)
    edited = whole.baselines["edit-only"][0]
    standing = ~(whole.first == 0)
    assert torch.equal(whole.tried[0][standing], edited[standing])
    assert (whole.n_backward[:, 0] == 0).all()
    code = torch.from_numpy(data.attributes[rows])
    red = torch.tensor([0.25, 0.0, -0.25]).view(1, 3, 1, 1)
    turned = (images + (1 - code[:, :1, None, None]) * red).clamp(0, 1)
    assert torch.allclose(edited, turned)
    same = (images + code[:, :1, None, None] * red).clamp(0, 1)
    assert torch.allclose(whole.baselines["reconstruction"][0], same)


def test_freedom_only_helps_and_batches_do_not_matter(data, batch, toys):
    images, labels, rows = batch
    network, run = toys.MeanColour(), attack(toys, data)
    whole = run(network, images, labels, rows)
    for place in range(3):
        assert torch.equal(network(whole.tried[place]).argmax(1) != labels, whole.first <= place)
        assert whole.tried[place].min() >= 0 and whole.tried[place].max() <= 1
    order = [4, 6, 1]
    part = run(network, images[order], labels[order], [rows[k] for k in order])
    assert torch.equal(part.first, whole.first[order])
    for name, batches in {**whole.baselines, "attack": whole.tried}.items():
        mine = part.tried if name == "attack" else part.baselines[name]
        assert torch.allclose(mine[-1], batches[-1][order], atol=1e-5), name


def test_random_edits_lie_between_the_face_and_its_edit(data, batch, toys):
    images, labels, rows = batch
    whole = attack(toys, data, attribute="smiling", rebuild=0)(toys.MeanColour(), images, labels, rows)
    assert torch.allclose(whole.baselines["random-edit"][0], whole.baselines["edit-only"][0])
    low = torch.minimum(whole.baselines["edit-only"][0], whole.baselines["reconstruction"][0])
    high = torch.maximum(whole.baselines["edit-only"][0], whole.baselines["reconstruction"][0])
    free = whole.baselines["random-edit"][2]
    assert (free >= low - 1e-6).all() and (free <= high + 1e-6).all()
    assert not torch.allclose(free, low) and not torch.allclose(free, high)


def test_rebuilding_brings_the_editor_s_own_image_nearer(data, batch, toys):
    images, _, rows = batch
    code = torch.from_numpy(data.attributes[rows])
    editor = toys.Blend()

    def error(points):
        return ((editor(points, code) - images).square() + (points - images).square()).mean()

    assert error(rebuild(editor, images, code, 30)) < 0.7 * error(images)


def test_bad_settings_are_one_line(data, toys):
    with pytest.raises(InputError, match="attribute 'ears' is unknown; use random or one of"):
        attack(toys, data, attribute="ears")
    with pytest.raises(InputError, match=r"semantic\.semanticadv\.strengths\.1: 2: expected a number <= 1"):
        read_semantic("semanticadv", {"strengths": [0, 2]})
