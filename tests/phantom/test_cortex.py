"""The planted cortex: signals are what they are said to be, noise is exact."""

import numpy as np
import pytest

from neurobust.phantom import cortex
from neurobust.phantom.scenes import render_all, sample_scenes


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
    assert np.median(within) < 0.3, "most of the variance of LO is between categories"


def test_the_first_voxel_of_each_label_has_no_signal_and_missing_labels_are_absent(stimuli):
    voxels, _ = cortex.plant_subject("subj02", 0, stimuli, missing=("EBA", "FFA-2"))
    labels = {voxel.label for voxel in voxels}
    assert not {"EBA", "FFA-2"} & labels and "FFA-1" in labels
    assert sum(voxel.ncsnr == 0 for voxel in voxels) == 2 * len(labels)
    assert all(0.5 <= voxel.ncsnr <= 1.5 for voxel in voxels if voxel.ncsnr)


def test_noise_is_exact_in_the_sample():
    rng = np.random.default_rng(0)
    image_of_trial = rng.permutation(np.r_[np.repeat(np.arange(40), 3), np.repeat(np.arange(40, 60), 2), 60])
    noise = cortex.exact_noise(rng, image_of_trial, 7)
    variances = [noise[image_of_trial == image].var(0, ddof=1) for image in range(40)]
    assert np.allclose(np.mean(variances, 0), 1)
