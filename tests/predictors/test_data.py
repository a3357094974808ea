"""Matching responses with pictures, and what goes wrong with files."""

import h5py
import numpy as np
import pytest
import torch

from neurobust.core.errors import InputError
from neurobust.files.pixels import to_pixels
from neurobust.predictors.data import channel_mean, channel_statistics, load_subject, training_batches


def test_a_subject_comes_back_with_each_response_beside_its_picture(subject, write_subject):
    roi, stimuli = write_subject(subject)
    order = np.random.default_rng(1).permutation(len(subject.nsd_id))
    with h5py.File(stimuli, "w") as file:  # more pictures than responses, as for another ROI's images
        ids = np.concatenate([subject.nsd_id, subject.nsd_id + 1])
        rank = np.argsort(ids)
        file["images"] = np.concatenate([subject.images, np.zeros_like(subject.images)])[rank]
        file["nsd_id"] = ids[rank]
    loaded = load_subject(roi, stimuli)
    assert np.array_equal(loaded.images[loaded.row][order], subject.images[order])
    assert np.array_equal(loaded.responses, subject.responses) and loaded.voxels == 5
    assert loaded.trials is None


def test_a_picture_that_is_missing_is_named(subject, write_subject):
    roi, stimuli = write_subject(subject)
    for keep in (slice(0, -1), slice(1, None)):
        with h5py.File(stimuli, "w") as file:
            file["images"], file["nsd_id"] = subject.images[keep], subject.nsd_id[keep]
        lost = subject.nsd_id[-1] if keep.stop else subject.nsd_id[0]
        with pytest.raises(InputError, match=rf"stimuli.h5: no picture for nsd_id {lost} of .*roi.h5"):
            load_subject(roi, stimuli)


def test_a_missing_dataset_is_named(subject, write_subject):
    roi, stimuli = write_subject(subject)
    with h5py.File(roi, "a") as file:
        del file["ncsnr"]
    with pytest.raises(InputError, match=r"roi.h5: no dataset 'ncsnr'"):
        load_subject(roi, stimuli)


def test_statistics_are_those_of_training_images_alone(subject):
    pixels = subject.images[subject.split == 0].reshape(-1, 3) / 255
    mean, std = channel_statistics([subject], image_batch=7)
    assert np.allclose(mean, pixels.mean(0)) and np.allclose(std, pixels.std(0))
    before = channel_mean([subject])
    subject.images[subject.split != 0] = 0
    assert channel_mean([subject]) == before


def test_to_float_is_channels_first_in_unit_range():
    images = np.zeros((1, 2, 3, 3), np.uint8)
    images[0, 1, 2, 0] = 255
    tensor = to_pixels(images, torch.device("cpu"))
    assert tensor.shape == (1, 3, 2, 3) and tensor[0, 0, 1, 2] == 1 and tensor.sum() == 1
    assert tensor.is_contiguous(memory_format=torch.channels_last), "in memory as the images are stored"


def test_batches_hold_every_training_image_once_and_depend_on_seed_and_epoch_alone(subject_maker):
    subjects = [subject_maker("a"), subject_maker("b", images=50)]
    first, again = (training_batches(subjects, 8, 3, 1) for _ in range(2))
    for data in subjects:
        rows = np.concatenate([r for d, r in first if d is data])
        assert sorted(rows) == data.rows_of(0).tolist()
    assert all(np.array_equal(a[1], b[1]) for a, b in zip(first, again, strict=True))
    other = training_batches(subjects, 8, 3, 2)
    assert any(not np.array_equal(a[1], b[1]) for a, b in zip(first, other, strict=True))


def test_shuffled_pairs_stay_in_their_split_and_leave_the_test_pairs_alone(subject):
    shuffled, again, other = subject.shuffled(1), subject.shuffled(1), subject.shuffled(2)
    for split, moved in ((0, True), (1, True), (2, False)):
        rows = subject.rows_of(split)
        assert sorted(shuffled.row[rows]) == sorted(subject.row[rows])
        assert np.array_equal(shuffled.row[rows], subject.row[rows]) != moved
    assert np.array_equal(shuffled.row, again.row) and not np.array_equal(shuffled.row, other.row)
    assert shuffled.responses is subject.responses and np.array_equal(subject.row, np.arange(60))
