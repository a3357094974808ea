"""Resized stimuli: the right images in ascending order, resized without aliasing."""

from __future__ import annotations

import json

import h5py
import numpy as np
import pytest

from neurobust.core.errors import InputError
from neurobust.core.io import memmap_dataset
from neurobust.nsd import layout
from neurobust.nsd.stimuli import build_stimuli, resize
from neurobust.phantom import files


@pytest.mark.parametrize("contiguous", [True, False])
@pytest.mark.parametrize("image_batch", [256, 7])
def test_same_size_keeps_the_images_of_the_subject(copied, tmp_path, contiguous, image_batch):
    files.write_stimuli(copied.root, iter(copied.images), len(copied.images), contiguous=contiguous)
    output = tmp_path / "12.h5"
    build_stimuli(copied.root, "subj02", 4, 12, output, image_batch=image_batch)
    images = memmap_dataset(output, "images")
    with h5py.File(output) as file:
        ids = file["nsd_id"][()]
        record = json.loads(file.attrs["provenance"])
    seen = sorted(set(copied.design.nsd_ids(2, 4).tolist()))
    assert ids.tolist() == seen
    np.testing.assert_array_equal(images, copied.images[seen])
    assert record["params"] == {"subject": "subj02", "n_sessions": 4, "size": 12}


def test_provenance_knows_the_pixels(copied, tmp_path):
    """One changed pixel of a seen image changes the record; of an unseen image, it does not."""
    seen = copied.design.nsd_ids(1, 5)
    unseen = np.setdiff1d(np.arange(len(copied.images)), seen)[0]
    records = []
    for changed in (None, unseen, seen[0]):
        images = copied.images.copy()
        if changed is not None:
            images[changed, 0, 0, 0] ^= 1
        files.write_stimuli(copied.root, images)
        build_stimuli(copied.root, "subj01", 5, 12, tmp_path / "12.h5")
        with h5py.File(tmp_path / "12.h5") as file:
            records.append(file.attrs["provenance"])
    assert records[0] == records[1] != records[2]


def test_integer_downsampling_is_a_weighted_mean():
    """A triangle filter twice as wide as the source pixels: weights 1/8, 3/8, 3/8, 1/8 away from the border."""
    images = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), np.uint8)
    weights = np.zeros((8, 16))
    for i in range(8):
        for offset, weight in zip((-1, 0, 1, 2), (1, 3, 3, 1), strict=True):
            if 0 <= 2 * i + offset < 16:
                weights[i, 2 * i + offset] = weight
    weights /= weights.sum(1, keepdims=True)
    expected = np.einsum("ih,jw,nhwc->nijc", weights, weights, images.astype(float))
    assert np.abs(resize(images, 8) - expected).max() <= 0.51


def test_a_fine_grating_becomes_gray_and_not_a_coarse_one():
    x = np.arange(96)
    grating = (127.5 + 127.5 * np.cos(2 * np.pi * x * 45 / 96)).round().astype(np.uint8)
    images = np.broadcast_to(grating[None, None, :, None], (1, 96, 96, 3)).copy()
    small = resize(images, 24).astype(float)
    assert small[:, 2:-2, 2:-2].std() < 3  # plain sampling would give a contrast of about 90


@pytest.mark.parametrize(
    ("shape", "dtype", "name", "message"),
    [
        ((340, 12, 10, 3), np.uint8, "imgBrick", r"uint8 \(340, 12, 10, 3\)"),
        ((340, 3, 12, 12), np.uint8, "imgBrick", r"uint8 \(340, 3, 12, 12\)"),
        ((340, 12, 12, 3), np.float32, "imgBrick", "float32"),
        ((339, 12, 12, 3), np.uint8, "imgBrick", "339 images, but the design has 340"),
        ((340, 12, 12, 3), np.uint8, "images", "no dataset 'imgBrick'"),
    ],
)
def test_wrong_brick_leaves_nothing(copied, tmp_path, shape, dtype, name, message):
    with h5py.File(layout.stimuli(copied.root), "w") as file:
        file.create_dataset(name, shape, dtype)
    output = tmp_path / "out" / "8.h5"
    with pytest.raises(InputError, match=message):
        build_stimuli(copied.root, "subj01", 5, 8, output)
    assert not output.parent.exists() or not any(output.parent.iterdir())


def test_missing_or_truncated_brick(copied, tmp_path):
    path = layout.stimuli(copied.root)
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(InputError, match="not a readable HDF5"):
        build_stimuli(copied.root, "subj01", 5, 8, tmp_path / "8.h5")
    path.unlink()
    with pytest.raises(InputError, match="no such file"):
        build_stimuli(copied.root, "subj01", 5, 8, tmp_path / "8.h5")
