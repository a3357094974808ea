"""A frozen prefilter is asked once for every training image, and the trunk sees what it would give in each epoch."""

import dataclasses

import numpy as np
import pytest
import torch

from neurobust.predictors import held
from neurobust.predictors.gnet import GNet
from neurobust.predictors.held import Shown, places_of

CPU = torch.device("cpu")


def model_of(subjects, frozen=True):
    torch.manual_seed(0)
    model = GNet({data.subject: data.voxels for data in subjects}, 64, (4, 6), 3)
    model.prefilter.requires_grad_(not frozen)
    return model


@pytest.fixture
def subjects(subject_maker):
    """Two subjects; the rows of the second are in another order than its images, some of which it has not seen."""
    first, second = subject_maker(size=64), subject_maker("subj02", seed=1, size=64)
    return [first, dataclasses.replace(second, row=np.random.default_rng(0).permutation(second.row))]


def test_the_maps_of_a_batch_are_those_of_its_pictures(subjects):
    model = model_of(subjects)
    shown = Shown(model, subjects, image_batch=7, device=CPU)
    for data in subjects:
        rows = np.random.default_rng(1).permutation(np.flatnonzero(data.split == 0))[:11]
        batch, read = shown.read((data, rows))
        assert batch[0] is data and batch[1] is rows
        images = torch.from_numpy(data.images[data.row[rows]]).permute(0, 3, 1, 2).float() / 255
        with torch.no_grad():
            wanted = model.prefilter(images - model.mean)
            flat = model.eval().flat_maps(images)
            given = model.flat_maps(shown.to_device(read))
        torch.testing.assert_close(shown.to_device(read).maps, wanted, rtol=1e-5, atol=1e-5)
        for one, other in zip(given, flat, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_no_image_passes_the_prefilter_twice(subjects):
    model, passed = model_of(subjects), []
    model.prefilter.register_forward_hook(lambda module, inputs, output: passed.append(len(output)))
    shown = Shown(model, subjects, image_batch=7, device=CPU)
    for _ in range(3):
        for data in subjects:
            model.flat_maps(shown.to_device(shown.read((data, np.arange(5)))[1]))
    assert sum(passed) == 1 + 2 * 40, "one image is passed to know the size of its maps"


@pytest.mark.parametrize("reason", ["trained", "no room"])
def test_a_prefilter_that_changes_or_has_large_maps_sees_every_batch(subjects, monkeypatch, reason):
    if reason == "no room":
        monkeypatch.setattr(held, "ROOM", 80 * 6 * 7 * 7 * 4 - 1)
    shown = Shown(model_of(subjects, frozen=reason != "trained"), subjects, image_batch=7, device=CPU)
    (_, rows), read = shown.read((subjects[1], np.arange(5)))
    np.testing.assert_array_equal(read, subjects[1].images[subjects[1].row[rows]])
    assert shown.to_device(read).shape == (5, 3, 64, 64)


def test_the_room_that_the_maps_need_is_known(subjects, monkeypatch):
    monkeypatch.setattr(held, "ROOM", 80 * 6 * 7 * 7 * 4)
    read = Shown(model_of(subjects), subjects, image_batch=7, device=CPU).read((subjects[0], np.arange(5)))[1]
    assert read.maps.shape == (5, 6, 7, 7)


def test_places_of_rows():
    assert places_of(np.array([1, 4, 5])).tolist() == [-1, 0, -1, -1, 1, 2]
    assert places_of(np.array([], dtype=int)).tolist() == []
