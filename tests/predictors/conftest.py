import numpy as np
import pytest

from neurobust.predictors.data import SubjectData

SIZE = 48


def make_subject(name="subj01", images=60, voxels=5, seed=0, size=SIZE):
    """A subject whose voxels are the mean brightness of image quadrants, plus noise."""
    rng = np.random.default_rng(seed)
    pictures = rng.integers(0, 256, (images, size, size, 3), dtype=np.uint8)
    half = size // 2
    quadrants = np.stack(
        [pictures[:, a : a + half, b : b + half].mean((1, 2, 3)) for a in (0, half) for b in (0, half)], 1
    )
    signal = (quadrants - quadrants.mean(0)) / quadrants.std(0)
    responses = (signal[:, np.arange(voxels) % 4] + 0.1 * rng.normal(size=(images, voxels))).astype(np.float32)
    split = np.repeat([0, 1, 2], [images - 20, 10, 10]).astype(np.uint8)
    test = np.flatnonzero(split == 2)
    return SubjectData(
        subject=name, images=pictures, row=np.arange(images), responses=responses,
        n_repeats=rng.integers(1, 4, images).astype(np.int16), split=split, nsd_id=np.arange(images) * 3,
        voxel_index=np.arange(voxels), ncsnr=np.full(voxels, 1.0), noise_ceiling=np.full(voxels, 75.0),
        single_trials=np.repeat(responses[test], 2, 0), single_trial_nsd_id=np.repeat(test * 3, 2),
    )  # fmt: skip


@pytest.fixture
def subject():
    return make_subject()


@pytest.fixture
def settings():
    return {
        "kind": "gnet", "prefilter": "gabor", "finetune_prefilter": False, "prefilter_channels": [8, 12],
        "trunk_width": 4, "dropout": 0.5, "learning_rate": 1e-3, "batch_size": 8, "epochs": 3, "patience": 3, "l1": 0.1,
        "weight_floor": 0.1,
    }  # fmt: skip
