"""The planted cortex: signals are what they are said to be, noise is exact."""

from dataclasses import replace

import numpy as np
import pytest

from neurobust.phantom import cortex
from neurobust.phantom.cue import render_cued
from neurobust.phantom.scenes import CATEGORIES, REACH, render_all, sample_scenes, silhouette
from neurobust.phantom.settings import Cue
from neurobust.phantom.shapes import OBJECTS


@pytest.fixture(scope="module")
def stimuli():
    scenes = sample_scenes(150, 0, "cortex")
    return cortex.Stimuli(scenes, render_all(scenes, 64))


def grating(frequency, angle, size=64):
    axis = (np.arange(size) + 0.5) / size
    x, y = np.meshgrid(axis, axis)
    return 0.5 + 0.5 * np.cos(2 * np.pi * frequency * (x * np.cos(angle) + y * np.sin(angle)))


@pytest.mark.parametrize("frequency", range(len(cortex.FREQUENCIES)))
@pytest.mark.parametrize("orientation", [0, 2, 5])
def test_energy_peaks_at_its_own_grating(frequency, orientation):
    image = grating(cortex.FREQUENCIES[frequency], np.pi * orientation / cortex.ORIENTATIONS)[None].astype(np.float32)
    energy = cortex.energy_maps(image).mean((2, 3, 4))
    assert np.unravel_index(energy.argmax(), energy.shape) == (frequency, orientation)


def test_energy_does_not_depend_on_phase():
    shifted = np.stack([np.roll(grating(12, 0), shift, 1) for shift in range(3)]).astype(np.float32)
    maps = cortex.energy_maps(shifted)[1, 0].mean((1, 2))
    assert np.ptp(maps) < 0.01 * maps.mean()


def test_pooling_is_centred_where_it_says():
    maps = np.zeros((1, 64, 64), np.float32)
    maps[0, 16, 48] = 1  # upper right
    answers = {(x, y): cortex.pool(maps, x, y, 0.2)[0] for x in (-0.5, 0.5) for y in (-0.5, 0.5)}
    assert max(answers, key=answers.get) == (0.5, -0.5)
    assert cortex.pool(np.ones((1, 64, 64), np.float32), 0.3, 0.1, 0.2)[0] == pytest.approx(1)


def test_signals_are_standardised_and_follow_their_kind(stimuli):
    voxels, signals = cortex.plant_subject("subj01", 0, stimuli)
    assert np.allclose(signals.mean(0), 0, atol=1e-5) and np.allclose(signals.std(0), 1, atol=1e-5)
    kinds = np.array([voxel.kind for voxel in voxels])
    face = stimuli.category == stimuli.category.max()
    for kind, expected in ((cortex.KINDS.index("face"), True), (cortex.KINDS.index("energy"), False)):
        gap = np.abs(signals[face][:, kinds == kind].mean(0) - signals[~face][:, kinds == kind].mean(0))
        assert (np.median(gap) > 1.0) == expected
    category = signals[:, kinds == cortex.KINDS.index("category")]
    within = np.mean([category[stimuli.category == c].var(0) for c in np.unique(stimuli.category)], 0)
    assert np.median(within) < 0.3, "most of the variance of EBA is between categories"


def test_the_first_voxel_of_each_label_has_no_signal_and_missing_labels_are_absent(stimuli):
    voxels, _ = cortex.plant_subject("subj02", 0, stimuli, missing=("EBA", "FFA-2"))
    labels = {voxel.label for voxel in voxels}
    assert not {"EBA", "FFA-2"} & labels and "FFA-1" in labels
    signal = [voxel for voxel in voxels if not voxel.noise]
    assert sum(voxel.ncsnr == 0 for voxel in signal) == 2 * (len(labels) - 1)
    assert {voxel.label for voxel in voxels if voxel.noise} == {"FEF"}
    assert all(voxel.ncsnr == 0 for voxel in voxels if voxel.noise)
    assert all(0.5 <= voxel.ncsnr <= 1.5 for voxel in voxels if voxel.ncsnr)


def test_noise_is_exact_in_the_sample():
    rng = np.random.default_rng(0)
    image_of_trial = rng.permutation(np.r_[np.repeat(np.arange(40), 3), np.repeat(np.arange(40, 60), 2), 60])
    noise = cortex.exact_noise(rng, image_of_trial, 7)
    variances = [noise[image_of_trial == image].var(0, ddof=1) for image in range(40)]
    assert np.allclose(np.mean(variances, 0), 1)


def signals_of(scenes, images, labels):
    """(N, V) noise-free signals of the voxels with these labels."""
    voxels, signals = cortex.plant_subject("subj01", 0, cortex.Stimuli(scenes, images))
    return signals[:, [voxel.label in labels for voxel in voxels]]


def test_without_faces_the_regions_of_faces_are_silent():
    scenes = sample_scenes(20, 0, "no faces", faces=0.0)
    voxels, signals = cortex.plant_subject("subj01", 0, cortex.Stimuli(scenes, render_all(scenes, 64)))
    face = np.array([cortex.KINDS[voxel.kind] == "face" for voxel in voxels])
    assert (signals[:, face] == 0).all() and all(voxel.ncsnr == 0 for voxel in np.array(voxels)[face])
    assert np.isfinite(signals).all()


SILHOUETTE = ("LO1", "LO2", "TO1", "TO2")


@pytest.mark.parametrize(
    "change",
    [
        lambda scene: replace(scene, x=-scene.x, y=scene.y / 2),
        lambda scene: replace(scene, size=scene.size * 0.7),
        lambda scene: replace(scene, hue=(scene.hue + 0.4) % 1, saturation=0.3),
        lambda scene: replace(scene, texture="stripes", texture_seed=5, contrast=0.2),
    ],
    ids=["position", "size", "colour", "background"],
)
def test_lo_does_not_know_where_how_large_or_in_what_colour(change):
    scenes = sample_scenes(40, 0, "same")
    changed = [change(scene) for scene in scenes]
    images = [render_all(part, 64) for part in (scenes, changed)]
    assert np.array_equal(signals_of(scenes, images[0], SILHOUETTE), signals_of(changed, images[1], SILHOUETTE))
    assert not np.allclose(signals_of(scenes, images[0], ("V1v",)), signals_of(changed, images[1], ("V1v",)), atol=0.05)


@pytest.mark.parametrize("kind", ["pattern", "hue"])
def test_lo_does_not_know_the_cue_and_the_region_that_carries_it_does(kind):
    scenes = sample_scenes(60, 0, "cue", faces=0.0)
    cue = Cue(kind=kind, amplitude=8 if kind == "pattern" else 1)
    shown = np.arange(60) % len(CATEGORIES)
    images = [render_cued(scenes, part, cue, 64, "cue") for part in (shown, (shown + 5) % len(CATEGORIES))]
    carrier = {"pattern": "V1v", "hue": "hV4"}[kind]
    assert np.array_equal(*(signals_of(scenes, part, SILHOUETTE) for part in images))
    assert not np.allclose(*(signals_of(scenes, part, (carrier,)) for part in images), atol=0.05)


def test_lo_tells_the_category_and_keeps_the_angle(stimuli):
    """The nearest category mean of half of the images names nearly all others; a turned object is another signal."""
    voxels, signals = cortex.plant_subject("subj01", 0, stimuli)
    lo = signals[:, [voxel.label in ("LO1", "LO2") for voxel in voxels]]
    first = np.arange(len(lo)) % 2 == 0
    means = np.stack([lo[first & (stimuli.category == c)].mean(0) for c in np.unique(stimuli.category)])
    guess = np.linalg.norm(lo[~first, None] - means[None], axis=2).argmin(1)
    assert (guess == stimuli.category[~first]).mean() > 0.9
    scene = sample_scenes(1, 0, "turn", faces=0.0)[0]
    assert np.abs(silhouette(replace(scene, angle=scene.angle + 0.5)) - silhouette(scene)).max() > 0.5


def test_a_silhouette_is_what_the_object_covers():
    """By the slow way: how much of each cell lies in a part, over many points; cells on an edge may differ."""
    scene = replace(sample_scenes(1, 0, "cover", faces=0.0)[0], category="house", angle=0.0)
    fine = (((np.arange(16 * 24) + 0.5) / (16 * 24)) * 2 - 1) * REACH
    x, y = np.meshgrid(fine, fine)
    inside = np.logical_or.reduce([distance(x, y) < 0 for _, distance in OBJECTS["house"]])
    share = inside.reshape(16, 24, 16, 24).mean((1, 3))
    found = silhouette(scene)
    assert np.abs(found - share).max() < 0.5 and np.corrcoef(found.ravel(), share.ravel())[0, 1] > 0.95
