"""The control `labels`: the ROI target's moments and noise, and nothing of an image but its categories."""

from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import torch

from neurobust.core.errors import InputError
from neurobust.core.io import write_parquet
from neurobust.files.dataset import read_dataset
from neurobust.files.splits import TRAIN
from neurobust.files.stimulus_labels import read_categories, stimulus_labels_path
from neurobust.networks.conditions import Condition
from neurobust.networks.inputs import NetworkInputs
from neurobust.networks.labels import explained, label_responses
from neurobust.networks.moments import match_moments
from neurobust.networks.targets import NeuralTarget

CPU = torch.device("cpu")


def within_share(responses, labels):
    """Share of the variance within classes, by its definition."""
    within = sum(np.square(part - part.mean(0)).sum() for part in (responses[labels == k] for k in np.unique(labels)))
    return within / np.square(responses - responses.mean(0)).sum()


def one_hot(labels):
    return labels[:, None] == np.arange(labels.max() + 1)


def planted_target(rng, labels, voxels, noise):
    """Responses that depend on the class, in unequal voxels, plus noise."""
    centres = rng.normal(size=(labels.max() + 1, voxels)) * np.linspace(1, 3, voxels)
    return centres[labels] + noise * rng.normal(size=(len(labels), voxels)) @ rng.normal(size=(voxels, voxels))


@pytest.mark.parametrize("noise", [0.01, 0.5, 3.0])
@pytest.mark.parametrize("voxels", [3, 12])  # fewer than the classes, and more
def test_mean_covariance_and_share_within_classes_are_the_target_s(noise, voxels):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 6, 400)
    rows = np.sort(rng.permutation(400)[:300])
    wanted = planted_target(rng, labels[rows], voxels, noise)
    source = label_responses(one_hot(labels), rows, wanted, 0, "a")
    found = match_moments(source[rows], wanted)(source)
    np.testing.assert_allclose(found[rows].mean(0), wanted.mean(0), atol=1e-4)
    np.testing.assert_allclose(np.cov(found[rows].T), np.cov(wanted.T), rtol=1e-3, atol=1e-3)
    expected = within_share(wanted, labels[rows])
    assert within_share(found[rows], labels[rows]) == pytest.approx(expected, abs=1e-3)
    others = np.setdiff1d(np.arange(400), rows)  # new images: as noisy, up to chance
    assert within_share(found[others], labels[others]) == pytest.approx(expected, abs=0.12)


def test_it_is_the_categories_and_not_the_response_that_it_carries():
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 4, 2000)
    wanted = planted_target(rng, labels, 8, 1.0)
    rows = np.arange(2000)
    source = label_responses(one_hot(labels), rows, wanted, 0, "a")
    found = match_moments(source, wanted)(source)
    rest = [part - np.stack([part[labels == k].mean(0) for k in range(4)])[labels] for part in (wanted, found)]
    r = [abs(np.corrcoef(rest[0][:, v], rest[1][:, v])[0, 1]) for v in range(8)]
    assert max(r) < 0.1, "2,000 images: an SD of 0.022 for chance"
    again = label_responses(one_hot(labels), rows, wanted, 0, "a")
    np.testing.assert_array_equal(source, again)
    assert np.abs(source - label_responses(one_hot(labels), rows, wanted, 1, "a")).mean() > 0.1


def test_images_of_several_categories():
    """The share is then that of a regression on all of them, and columns that nobody shows do no harm."""
    rng = np.random.default_rng(2)
    shown = rng.random((500, 9)) < 0.2
    shown[:, 8] = False
    wanted = shown @ rng.normal(size=(9, 7)) + rng.normal(size=(500, 7))
    source = label_responses(shown, np.arange(500), wanted, 0, "a")
    found = match_moments(source, wanted)(source)
    design = np.column_stack([np.ones(500), shown])
    left = [
        np.square(y - design @ np.linalg.lstsq(design, y, rcond=None)[0]).sum() / np.square(y - y.mean(0)).sum()
        for y in (wanted, found)
    ]
    assert 1 - explained(wanted, shown) == pytest.approx(left[0], abs=1e-6)
    assert left[1] == pytest.approx(left[0], abs=1e-3)


def test_too_few_images_for_so_many_categories():
    with pytest.raises(InputError, match=r"^recipe\.condition\.control: 'labels' needs more training images"):
        label_responses(np.eye(6, dtype=bool), np.arange(6), np.random.default_rng(0).normal(size=(6, 3)), 0)


def test_nothing_is_shown_then_it_is_noise():
    wanted = np.random.default_rng(0).normal(size=(60, 4))
    source = label_responses(np.zeros((60, 3), bool), np.arange(60), wanted, 0)
    np.testing.assert_allclose(np.cov(match_moments(source, wanted)(source).T), np.cov(wanted.T), atol=1e-3)


def test_the_target_of_a_task(dataset, predictor_file):
    """Through the whole of `NeuralTarget`: within classes it varies as the ROI's own target does."""
    data, found = read_dataset(dataset), []
    for control in (None, "labels"):
        condition = Condition(weight=0.5, target=("V1",), loss="mse", control=control)
        target = NeuralTarget(NetworkInputs(dataset, (predictor_file,)), data, condition, 0, 32, CPU)
        rows = data.rows(TRAIN)
        found.append(within_share(target.cached(rows).double().numpy(), data.labels[rows]))
    assert found[1] == pytest.approx(found[0], abs=2e-3)


def test_categories_are_what_the_crop_leaves(tmp_path):
    path = stimulus_labels_path(tmp_path)
    path.parent.mkdir()
    table = pd.DataFrame(
        {"nsd_id": [2, 5, 9], "flagged": [True, False, False], "car": [0.1, 0, 0], "tree": [0.2, 0, 1]}
    )
    write_parquet(path, table)
    np.testing.assert_array_equal(read_categories(path, np.array([9, 2, 5])), [[0, 1], [1, 1], [0, 0]])
    with pytest.raises(InputError, match=r"labels\.parquet: nothing on nsd_id 3; delete it"):
        read_categories(path, np.array([2, 3]))
    write_parquet(path, table[["nsd_id", "flagged"]])
    with pytest.raises(InputError, match=r"labels\.parquet: no categories of images"):
        read_categories(path, np.array([2]))


def test_the_phantom_has_its_categories_by_the_way_of_the_real_data(tmp_path):
    """`build_labels` on COCO's files of the phantom finds the object of every scene that a subject sees."""
    from neurobust.core.io import read_parquet
    from neurobust.nsd import layout
    from neurobust.nsd.coco import build_labels
    from neurobust.phantom.annotations import write_annotations
    from neurobust.phantom.design import Sizes, make_design, stim_info
    from neurobust.phantom.files import write_stim_info
    from neurobust.phantom.scenes import sample_scenes

    info = stim_info(make_design(Sizes(20, 40, 5, 36), 0))
    scenes = dict(zip(range(50, 250), sample_scenes(200, "test scenes"), strict=True))
    write_stim_info(tmp_path, info)
    write_annotations(tmp_path, info, scenes)
    build_labels(layout.stim_info(tmp_path), layout.planted_annotations(tmp_path), tmp_path / "labels.parquet")
    table, attrs = read_parquet(tmp_path / "labels.parquet")
    names = list(table.columns[2:])
    assert set(attrs["supercategories"]) == set(names)
    shares = table[names].to_numpy()
    assert (shares[[k for k in range(len(info)) if k not in scenes]] == 0).all()
    for nsd_id, scene in scenes.items():
        assert [names[k] for k in np.flatnonzero(shares[nsd_id])] == [scene.category]
        assert shares[nsd_id].max() == pytest.approx(scene.size**2, rel=0.02), "the box's share of the image"
    assert len({scene.category for scene in scenes.values()}) == len(names), "every category is among them"


def test_stimuli_carry_the_categories_of_their_file(tmp_path):
    from neurobust.files.stimuli import write_stimuli
    from neurobust.networks.pictures import read_seen

    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["nsd_id"], file["split"] = np.array([1, 3, 4]), np.array([0, 0, 2], np.uint8)
    write_stimuli(tmp_path / "a-16.h5", np.arange(6), 16, [np.zeros((6, 16, 16, 3), np.uint8)], dict)
    write_parquet(
        tmp_path / "l.parquet", pd.DataFrame({"nsd_id": range(6), "flagged": False, "car": [0, 0.5, 0, 0, 1, 0]})
    )
    inputs = NetworkInputs(
        Path("d.h5"), responses=(tmp_path / "a.h5",), stimuli=(tmp_path / "a-16.h5",), labels=(tmp_path / "l.parquet",)
    )
    np.testing.assert_array_equal(read_seen(inputs, 16).categories, [[True], [False], [True]])
