"""Confined recolouring and its parts: lightness, pins, clusters, gamut, freedom that only grows."""

import numpy as np
import pytest
import torch

from neurobust.attacks.perceptual import colour_distance, lab_to_rgb, rgb_to_lab
from neurobust.attacks.semantic.cadv_confined import ConfinedAttack, PinnedScene
from neurobust.attacks.semantic.cadv_confined_settings import CAdvConfined
from neurobust.attacks.semantic.colouriser import (
    hint_input,
    in_gamut,
    nearest_bin,
    random_places,
    recolour,
    split_lab,
    training_hints,
)
from neurobust.attacks.semantic.scene import colour_clusters, rank_clusters, smooth
from neurobust.core.errors import InputError


def confined(toys, **settings):
    few = {"strengths": (0, 2, 4), "clusters": 4, "hints": 4, "steps": 15, "learning_rate": 0.1}
    return ConfinedAttack({"colouriser": toys.HintPainter()}, None, CAdvConfined(**(few | settings)))


def test_recolouring_keeps_lightness_and_is_exact_inside_the_gamut(batch):
    lightness, ab = split_lab(batch[0])
    assert torch.allclose(recolour(lightness, ab), batch[0], atol=2e-3), "its own colours are inside"
    wild = 120 * torch.sign(torch.randn(ab.shape, generator=torch.Generator().manual_seed(0)))
    painted = recolour(lightness, wild)
    assert painted.min() >= 0 and painted.max() <= 1
    assert (rgb_to_lab(painted.double())[:, :1] - lightness).abs().max() < 0.2
    clipped = lab_to_rgb(torch.cat([lightness, wild], 1))
    assert (rgb_to_lab(clipped)[:, :1] - lightness).abs().max() > 5, "clipping, which is not done, changes lightness"


def test_shrinking_keeps_the_hue_and_lets_gradients_through(batch):
    lightness, ab = split_lab(batch[0])
    wild = (3 * ab).requires_grad_()
    inside = in_gamut(lightness, wild)
    cross = inside[:, 0] * wild[:, 1] - inside[:, 1] * wild[:, 0]
    assert cross.abs().max() < 1e-2 and (inside.norm(dim=1) <= wild.norm(dim=1) + 1e-4).all()
    recolour(lightness, wild).sum().backward()
    assert wild.grad.isfinite().all() and wild.grad.abs().max() > 0


def test_only_what_srgb_lacks_is_shrunk_and_as_little_as_can_be():
    """Against a search pixel by pixel in float64."""
    generator = torch.Generator().manual_seed(1)
    lightness = 100 * torch.rand(1, 1, 6, 6, generator=generator)
    ab = 60 * torch.randn(1, 2, 6, 6, generator=generator)
    found = in_gamut(lightness, ab)
    shrunk = 0
    for row, column in np.ndindex(6, 6):
        light, colour = lightness[0, :, row, column].double(), ab[0, :, row, column].double()
        steps = torch.linspace(0, 1, 4001, dtype=torch.float64)
        line = torch.cat([light.expand(4001, 1), steps[:, None] * colour], 1)[:, :, None, None]
        rgb = lab_to_rgb(line, clip=False).flatten(1)
        largest = steps[((rgb >= 0) & (rgb <= 1)).all(1)].max()
        assert torch.allclose(found[0, :, row, column].double(), largest * colour, atol=5e-4 * colour.norm() + 1e-6)
        shrunk += bool(largest < 1)
    assert 5 < shrunk < 36, "some are inside and some are not"


def test_blur_never_mixes_the_two_colour_axes():
    ab = torch.zeros(1, 2, 16, 16)
    ab[:, 0, 8, 8] = 100
    blurred = smooth(ab, 2.0)
    assert blurred[:, 0].sum() == pytest.approx(100, rel=1e-3) and blurred[:, 1].abs().max() == 0


def test_clusters_find_planted_colours_and_rank_by_doubt():
    ab = torch.zeros(1, 2, 8, 8)
    ab[:, 0, :4], ab[:, 1, 4:, :4], ab[:, 1, 4:, 4:] = 50, 60, -60
    member = colour_clusters(ab, 3)[0]
    assert len(member.unique()) == 3
    for block in (member[:4], member[4:, :4], member[4:, 4:]):
        assert len(block.unique()) == 1
    doubt = torch.full((1, 8, 8), 2.0)
    doubt[:, :4], doubt[:, 4:, :4] = 3.0, 1.0
    rank = rank_clusters(member[None], doubt, 3)[0]
    assert (rank[4:, :4] == 0).all() and (rank[4:, 4:] == 1).all() and (rank[:4] == 2).all()
    assert colour_clusters(torch.zeros(1, 2, 8, 8), 3).max() >= 0, "one colour alone"


def test_pins_are_nested_seeded_and_inside_their_clusters(batch, toys):
    images, _, rows = batch
    settings = CAdvConfined(strengths=(0,), clusters=4, hints=5)
    scene = PinnedScene(toys.HintPainter(), images, rows, settings)
    for k in range(4):
        fewer, more = scene.pins(k), scene.pins(k + 1)
        assert (more | ~fewer).all() and (fewer <= scene.fixed(k)).all()
        added = (more & ~fewer).flatten(1).sum(1)
        size = (scene.rank == k).flatten(1).sum(1)
        assert torch.equal(added, size.clamp_max(5))
    part = PinnedScene(
        toys.HintPainter(), images[[6, 1]], [rows[6], rows[1]], CAdvConfined(strengths=(0,), clusters=4, hints=5)
    )
    assert torch.equal(part.pin_rank, scene.pin_rank[[6, 1]]), "an image's pins are its own"


def test_pinned_pixels_keep_their_colour(batch, toys):
    """The stand-in paints hints exactly, so what is pinned must come back exactly, however strong the attack."""
    images, labels, rows = batch
    attack = confined(toys, strengths=(0, 2))
    attempt = attack(toys.MeanColour(), images, labels, rows)
    scene = PinnedScene(attack.colouriser, images, rows, attack.settings)
    pins = scene.pins(2).expand_as(images)
    assert pins.any()
    assert (attempt.tried[1] - images)[pins].abs().max() < 2e-3
    fixed = scene.fixed(2) & ~scene.pins(2)  # not free and not pinned: grey under the stand-in
    assert (rgb_to_lab(attempt.tried[1])[:, 1:].norm(dim=1, keepdim=True)[fixed]).max() < 1
    assert (attempt.tried[1] - attempt.baselines["colouriser-only"][1]).abs().max() > 0.05, "the rest is repainted"


def test_freedom_only_helps_lightness_stays_and_batches_do_not_matter(batch, toys):
    images, labels, rows = batch
    network, attack = toys.MeanColour(), confined(toys)
    whole = attack(network, images, labels, rows)
    share = [(whole.first <= k).float().mean() for k in range(3)]
    assert share[0] <= share[1] <= share[2] and share[2] > share[0]
    lightness = split_lab(images)[0]
    for k, tried in enumerate(whole.tried):
        assert torch.equal(network(tried).argmax(1) != labels, whole.first <= k)
        assert (split_lab(tried.double())[0] - lightness).abs().max() < 0.5
        assert tried.min() >= 0 and tried.max() <= 1
    order = [7, 0, 3]
    part = attack(network, images[order], labels[order], [rows[k] for k in order])
    assert torch.equal(part.first, whole.first[order])
    assert torch.allclose(part.tried[-1], whole.tried[-1][order], atol=1e-5)
    for name in whole.baselines:
        assert torch.allclose(part.baselines[name][-1], whole.baselines[name][-1][order], atol=1e-4), name


def test_baselines_are_what_they_say(batch, toys):
    images, labels, rows = batch
    attempt = confined(toys)(toys.MeanColour(), images, labels, rows)
    assert torch.allclose(attempt.baselines["reconstruction"][0], images, atol=2e-3), "all hints given"
    grey = attempt.baselines["colouriser-only"][-1]
    assert (grey.amax(1) - grey.amin(1)).max() < 1e-2, "no cluster is pinned: the stand-in paints grey"
    pairs = zip(attempt.baselines["random-hints"], attempt.baselines["colouriser-only"], attempt.tried, strict=True)
    moved = 0
    for noisy, plain, tried in pairs:
        far, alone, wanted = (colour_distance(images, other) for other in (noisy, plain, tried))
        assert (far <= torch.maximum(alone, wanted) + 1e-6).all(), (
            "no farther than the attack, if the colouriser is not"
        )
        short = alone < wanted - 0.05
        assert (far[short] > alone[short]).all(), "hints take it towards the attack's distance"
        assert torch.equal(noisy[alone > wanted], plain[alone > wanted]), "and change nothing where it is there already"
        moved += int(short.sum())
    assert moved


def test_clean_errors_are_not_attacked(batch, toys):
    images, labels, rows = batch
    wrong = labels.clone()
    wrong[:2] = 1 - wrong[:2]
    attempt = confined(toys)(toys.MeanColour(), images, wrong, rows)
    assert attempt.first[:2].tolist() == [0, 0] and attempt.n_backward[:2].sum() == 0
    assert torch.equal(attempt.tried[-1][:2], images[:2])


def test_more_free_clusters_than_there_are_is_an_error(toys):
    with pytest.raises(InputError, match="exceed the 4 clusters"):
        confined(toys, strengths=(0, 5))


def test_training_hints_give_the_colour_away_and_repeat(batch):
    _, ab = split_lab(batch[0])
    torch.manual_seed(3)
    hints, mask = training_hints(ab.repeat(8, 1, 1, 1))
    torch.manual_seed(3)
    again = training_hints(ab.repeat(8, 1, 1, 1))
    assert torch.equal(hints, again[0]) and torch.equal(mask, again[1])
    off = (mask == -0.5).expand_as(hints)
    assert (hints[off] == 0).all() and (~off).any() and set(mask.unique().tolist()) == {-0.5, 0.5}
    error = (110 * hints - ab.repeat(8, 1, 1, 1))[~off]
    assert error.abs().max() < 1e-3, "patches of one pixel at this size: the very colour"


def test_hint_places_and_colour_classes():
    places = random_places(3, 16, 5, "test")
    assert places.flatten(1).sum(1).tolist() == [5, 5, 5] and torch.equal(places, random_places(3, 16, 5, "test"))
    assert random_places(2, 16, 0, "test").sum() == 0
    hints, mask = hint_input(torch.full((3, 2, 16, 16), 55.0), places)
    assert hints[places.expand_as(hints)].unique().tolist() == [0.5] and mask.sum() == 3 * (5 * 0.5 - 251 * 0.5)
    bins = torch.tensor([[5.0, 5.0], [-15.0, 25.0]])
    ab = torch.zeros(1, 2, 8, 8)
    ab[:, 0, :4], ab[:, 1, :4] = -14, 22
    assert nearest_bin(ab, bins)[0].tolist() == [[1, 1], [0, 0]]
    assert np.isfinite(hints.numpy()).all()
