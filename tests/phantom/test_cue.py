"""The cue of a world: agrees as often as it says, is in the image after rounding, and leaves the scene as it was."""

import colorsys
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import binom

from neurobust.core.errors import InputError
from neurobust.core.settings import read
from neurobust.files.pixels import resized
from neurobust.phantom import cue as cues
from neurobust.phantom.build import build_scene_task
from neurobust.phantom.scenes import CATEGORIES, masks_of, paints, render, render_all, sample_scenes
from neurobust.phantom.settings import Cue, CuedScenes

FALSE_ALARM = 1e-6
PATTERN, HUE = Cue(kind="pattern"), Cue(kind="hue")
SCENES = {"seed": 1, "train": 30, "validation": 5, "test": 10, "size": 32}


def within(successes, trials, chance):
    """Whether a count is one that chance gives but for FALSE_ALARM."""
    return binom.ppf(FALSE_ALARM / 2, trials, chance) <= successes <= binom.isf(FALSE_ALARM / 2, trials, chance)


@pytest.fixture(scope="module")
def labels():
    return np.random.default_rng(0).integers(0, len(CATEGORIES), 3000)


@pytest.mark.parametrize("reliability", [0.0, 0.8, 0.95, 1.0])
def test_the_cue_agrees_as_often_as_it_says(labels, reliability):
    drawn = cues.draw_cues(labels, reliability, 0, "test")
    assert within((drawn.shown == labels).sum(), len(labels), reliability)
    wrong = drawn.shown[drawn.shown != labels] - labels[drawn.shown != labels]
    if len(wrong):
        counts = np.bincount(wrong % len(CATEGORIES), minlength=len(CATEGORIES))
        assert counts[0] == 0
        assert all(within(count, len(wrong), 1 / (len(CATEGORIES) - 1)) for count in counts[1:])


def test_a_conflict_is_never_the_labels_and_a_random_cue_says_nothing(labels):
    drawn, classes = cues.draw_cues(labels, 0.9, 0, "test"), len(CATEGORIES)
    assert (drawn.conflict != labels).all() and set(drawn.conflict) == set(range(classes))
    assert within((drawn.random == labels).sum(), len(labels), 1 / classes)
    together = np.zeros((classes, classes))
    np.add.at(together, (labels, drawn.random), 1)
    shares = together.sum(1, keepdims=True) / len(labels) / classes
    assert all(
        within(count, len(labels), chance)
        for count, chance in zip(together.ravel(), np.repeat(shares, classes), strict=True)
    )


def test_a_cue_does_not_depend_on_how_many_there_are(labels):
    few, many = cues.draw_cues(labels[:5], 0.8, 3), cues.draw_cues(labels[:9], 0.8, 3)
    for name in ("shown", "random", "conflict"):
        assert np.array_equal(getattr(few, name), getattr(many, name)[:5])
    assert np.array_equal(cues.draw_random(5, 3), cues.draw_random(9, 3)[:5])


@pytest.mark.parametrize("size", [32, 64, 128])
def test_patterns_are_fine_gratings_within_their_amplitude(size):
    """All power lies between 7 and 17 cycles per image, apart from what the image's border spreads."""
    frequency = np.fft.fftfreq(size) * size
    radius = np.hypot(*np.meshgrid(frequency, frequency))
    for label in range(len(CATEGORIES)):
        pattern = cues.pattern(label, size)
        power = np.abs(np.fft.fft2(pattern)) ** 2
        assert np.abs(pattern).max() <= 1 and np.abs(pattern).max() > 0.9
        near = (np.abs(radius - 8) < 2) | (np.abs(radius - 16) < 2)
        assert power[near].sum() > 0.9 * power.sum()


@pytest.mark.parametrize("size", [32, 64, 128])
def test_patterns_of_two_classes_have_little_in_common(size):
    patterns = np.stack([cues.pattern(label, size).ravel() for label in range(len(CATEGORIES))])
    together = np.corrcoef(patterns) - np.eye(len(CATEGORIES))
    assert np.abs(together).max() < 0.25


def test_a_pattern_is_the_same_at_every_resolution():
    for label in range(len(CATEGORIES)):
        large = cues.pattern(label, 256).reshape(64, 4, 64, 4).mean((1, 3))
        assert np.corrcoef(large.ravel(), cues.pattern(label, 64).ravel())[0, 1] > 0.99


@pytest.mark.parametrize("size", [64, 32])
def test_a_predictor_and_a_network_see_the_same_pattern_in_task_and_stimuli(size):
    """A predictor sees 64 pixels of either, a network the stimuli in the task's 32: each class is like itself alone."""

    def seen(made):
        patterns = np.stack([cues.pattern(label, made) for label in range(len(CATEGORIES))])
        return resized(torch.from_numpy(patterns)[:, None], size).flatten(1).numpy()

    task, stimuli = seen(32), seen(128)
    alike = np.corrcoef(task, stimuli)[:10, 10:]
    assert np.diag(alike).min() > 0.85 and np.abs(alike - np.diag(np.diag(alike))).max() < 0.15
    assert 0.5 < stimuli.std() / task.std() < 2


@pytest.mark.parametrize("size", [32, 128])
def test_a_pattern_of_two_steps_is_there_after_rounding(size):
    """The difference of twins, of their own scene, is told apart by the nearest pattern without an error."""
    scenes = sample_scenes(12, 0, "rounding", faces=0.0)
    weak = Cue(kind="pattern", amplitude=2)
    shown = np.arange(12) % len(CATEGORIES)
    images = cues.render_cued(scenes, shown, weak, size, "rounding").astype(int)
    plain = cues.render_cued(scenes, shown, replace_amplitude(weak, 0), size, "rounding").astype(int)
    assert 1 <= np.abs(images - plain).max() <= 3
    patterns = np.stack([cues.pattern(label, size) for label in range(len(CATEGORIES))])
    likeness = np.einsum("nhw,khw->nk", (images - plain).mean(-1), patterns)
    assert (likeness.argmax(1) == shown).all()


def replace_amplitude(cue, amplitude):
    return Cue(kind=cue.kind, amplitude=amplitude, reliability=cue.reliability)


@pytest.mark.parametrize("cue", [PATTERN, HUE])
def test_twins_differ_in_the_cue_alone(cue):
    """Where no object is and no pattern is added, twins are equal; two draws of the same cue are equal everywhere."""
    scenes = sample_scenes(8, 0, "twins", faces=0.0)
    one, other = np.zeros(8, np.int64), np.full(8, 5)
    first, second = (cues.render_cued(scenes, shown, cue, 32, "twins").astype(int) for shown in (one, other))
    assert (first != second).any((1, 2, 3)).all()
    assert np.array_equal(first, cues.render_cued(scenes, one, cue, 32, "twins"))
    difference = np.abs(first - second)
    if cue.kind == "pattern":
        assert difference.max() <= 2 * cue.strength + 1
    else:
        for scene, image in zip(scenes, difference, strict=True):
            axis = (np.arange(32) + 0.5) / 16 - 1
            far = np.hypot(axis[:, None] - scene.y, axis[None] - scene.x) > 1.7 * scene.size
            assert image[far].max(initial=0) == 0


@pytest.mark.parametrize("kind", ["pattern", "hue"])
def test_without_amplitude_every_cue_gives_the_same_image(kind):
    scenes, none = sample_scenes(6, 0, "none"), Cue(kind=kind, amplitude=0)
    images = [cues.render_cued(scenes, np.full(6, label), none, 32, "none") for label in (0, 3, 9)]
    assert all(np.array_equal(images[0], image) for image in images[1:])


def test_hues_are_the_classes_own_and_patterns_leave_the_hue_to_chance():
    scenes = sample_scenes(400, 0, "hues", faces=0.0)
    rngs = [np.random.default_rng(i) for i in range(800)]
    hue = np.array([cues.bearing(s, 4, HUE, rng).hue for s, rng in zip(scenes, rngs[:400], strict=True)])
    assert np.abs(hue - 0.4).max() < 6 * cues.HUE_SPREAD
    free = np.array([cues.bearing(s, 4, PATTERN, rng).hue for s, rng in zip(scenes, rngs[400:], strict=True)])
    assert all(within(count, 400, 0.1) for count in np.histogram(free, 10, (0, 1))[0])


def test_saturation_is_a_share_of_the_paints_own():
    scene = sample_scenes(1, 0, "paint", faces=0.0)[0]
    for share in (0.0, 0.5, 1.0):
        main = paints(replace(scene, saturation=share))["main"]
        assert colorsys.rgb_to_hsv(*main.tolist())[1] == pytest.approx(0.75 * share, abs=1e-6)
    assert np.array_equal(render(replace(scene, saturation=1.0), 32), render(scene, 32))


def test_a_mask_is_where_another_paint_changes_the_picture():
    """Objects of another hue: what differs is their paint, of which a mask lacks dark and light parts alone."""
    scenes = sample_scenes(40, 0, "masks", faces=0.0)
    masks = masks_of(scenes, 64)
    turned = render_all([replace(scene, hue=(scene.hue + 0.5) % 1) for scene in scenes], 64)
    differ = (render_all(scenes, 64).astype(int) != turned).any(-1)
    wide = masks.copy()  # edges are antialiased
    for shift in (-2, -1, 1, 2):
        wide |= np.roll(masks, shift, 1) | np.roll(masks, shift, 2)
    assert (differ & ~wide).sum() < 0.02 * masks.sum() and (differ & masks).sum() > 0.7 * masks.sum()
    assert ((masks.mean((1, 2)) > 0.02) & (masks.mean((1, 2)) < 0.5)).all()


@pytest.mark.parametrize("kind", ["pattern", "hue"])
def test_the_task_has_its_twins(tmp_path, kind):
    settings = read(CuedScenes, {**SCENES, "cue": {"kind": kind, "reliability": 0.8}}, "scenes")
    build_scene_task(tmp_path / "cued.npz", settings)
    build_scene_task(tmp_path / "plain.npz", read(CuedScenes, SCENES, "scenes"))
    with np.load(tmp_path / "cued.npz") as cued, np.load(tmp_path / "plain.npz") as plain:
        assert plain.files == ["images", "labels", "split", "classes", "mask"]
        for name in plain.files[1:]:
            assert np.array_equal(cued[name], plain[name])  # the same scenes
        drawn = cues.draw_cues(cued["labels"], 0.8, 1, "phantom task")
        scenes = sample_scenes(45, 1, "phantom task", faces=0.0)
        for name, classes in (("images", drawn.shown), ("random_cue", drawn.random), ("conflict", drawn.conflict)):
            assert np.array_equal(cued[name], cues.render_cued(scenes, classes, settings.cue, 32, 1, "phantom task"))
        assert np.array_equal(cued["cue"], drawn.shown) and np.array_equal(cued["conflict_cue"], drawn.conflict)
        same = drawn.shown == drawn.random
        assert np.array_equal(same, (cued["images"] == cued["random_cue"]).all((1, 2, 3)))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"kind": "hue", "amplitude": 4}, "scenes.cue: amplitude 4 of a hue is more than 1"),
        ({"kind": "stripes"}, "scenes.cue.kind: 'stripes' is not known; choose one of pattern, hue"),
        ({"kind": "hue", "reliability": 1.2}, "scenes.cue.reliability: 1.2: expected a number <= 1"),
        ({"kind": "pattern", "amplitude": -1}, "scenes.cue.amplitude: -1: expected a number >= 0"),
        ({}, "scenes.cue: missing key 'kind'"),
    ],
)
def test_faults_are_one_line(given, message):
    with pytest.raises(InputError) as error:
        read(CuedScenes, {**SCENES, "cue": given}, "scenes")
    assert str(error.value).startswith(message) and "\n" not in str(error.value)
