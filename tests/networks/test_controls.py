"""Controls: each takes away what it says and keeps everything else: dimension, moments, spectrum, amplitudes."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from neurobust.core.errors import InputError
from neurobust.core.io import write_parquet
from neurobust.files.dataset import read_dataset
from neurobust.files.splits import TEST, TRAIN
from neurobust.networks.architectures import build_network, trunk_of
from neurobust.networks.conditions import Condition, Oracle
from neurobust.networks.controls import Setting, calibrate, load_trunk, reinitialised, scramble_phase
from neurobust.networks.inputs import NetworkInputs
from neurobust.networks.moments import match_moments
from neurobust.networks.registry import CONTROLS
from neurobust.networks.targets import NeuralTarget
from neurobust.networks.voxels import matched_voxels

CPU = torch.device("cpu")
MATCHED = [name for name, control in CONTROLS.items() if control.moments]
FEATURES = Oracle(architecture="tiny", size=16)


def make_target(dataset, predictor_file, control=None, seed=0, subjects=None, files=None):
    features = FEATURES if control == "features" else None
    condition = Condition(weight=0.5, target=("V1",), loss="mse", control=control, subjects=subjects, features=features)
    inputs = NetworkInputs(dataset, (predictor_file,), **(files or {}))
    return NeuralTarget(inputs, read_dataset(dataset), condition, seed, 32, CPU)


def train_targets(target, dataset):
    return target.cached(read_dataset(dataset).rows(TRAIN)).double().numpy()


def test_the_controls_are_the_documented_ones():
    assert set(CONTROLS) == {
        "shuffled", "random", "gaussian", "pixels", "features", "labels", "phase-scrambled", "subsampled",
        "predictor-shuffled",
    }  # fmt: skip
    assert set(MATCHED) == {"random", "gaussian", "pixels", "features", "labels"}


@pytest.mark.parametrize("control", MATCHED)
def test_dimension_moments_and_spectrum_are_those_of_the_target(tiny, dataset, predictor_file, control):
    own, other = (train_targets(make_target(dataset, predictor_file, c), dataset) for c in (None, control))
    assert own.shape == other.shape
    np.testing.assert_allclose(other.mean(0), own.mean(0), atol=1e-4)
    np.testing.assert_allclose(np.cov(other.T), np.cov(own.T), atol=2e-3)
    spectra = [np.linalg.eigvalsh(np.cov(part.T)) for part in (own, other)]
    np.testing.assert_allclose(spectra[1], spectra[0], rtol=5e-3, atol=1e-4)


@pytest.mark.parametrize("control", [*MATCHED, "phase-scrambled", "shuffled"])
def test_the_images_evoke_other_responses_fixed_by_the_seed(tiny, dataset, predictor_file, control):
    own = make_target(dataset, predictor_file).responses
    first, again = (make_target(dataset, predictor_file, control).cached(np.arange(96)) for _ in range(2))
    assert torch.equal(first, again)
    assert (first - own).abs().mean() > 0.2
    if control != "pixels":  # the only one without anything drawn at random
        other = make_target(dataset, predictor_file, control, seed=1).cached(np.arange(96))
        assert (first - other).abs().mean() > 0.05


@pytest.mark.parametrize("control", [None, *MATCHED, "phase-scrambled"])
def test_live_is_cached_for_the_same_pixels(tiny, dataset, predictor_file, control):
    target, data = make_target(dataset, predictor_file, control), read_dataset(dataset)
    rows = np.array([5, 80, 0])
    torch.testing.assert_close(target.live(data.images[rows], rows), target.cached(rows), rtol=1e-3, atol=1e-3)


def test_gaussian_targets_know_nothing_of_the_image(dataset, predictor_file):
    target, data = make_target(dataset, predictor_file, "gaussian"), read_dataset(dataset)
    rows = data.rows(TEST)
    blank = np.zeros_like(data.images[rows])
    assert torch.equal(target.live(blank, rows), target.live(data.images[rows], rows))
    own = make_target(dataset, predictor_file).cached(data.rows(TRAIN)).numpy()
    drawn = target.cached(data.rows(TRAIN)).numpy()
    r = [np.corrcoef(own[:, v], drawn[:, v])[0, 1] for v in range(6)]
    assert np.abs(np.mean(r)) < 0.2  # 60 images: an SD of 0.13 for one voxel


def test_pixels_order_the_images_as_pixels_do(dataset, predictor_file):
    """The first pattern of the target over the images is the first principal component of the pixels."""
    data = read_dataset(dataset)
    rows = data.rows(TRAIN)
    target = make_target(dataset, predictor_file, "pixels").cached(rows).double().numpy()
    pixels = data.images[rows].reshape(len(rows), -1) / 255.0
    first = [np.linalg.svd(part - part.mean(0), full_matrices=False)[0][:, 0] for part in (target, pixels)]
    assert abs(first[0] @ first[1]) > 0.99


def test_a_random_predictor_has_other_weights_and_the_true_one_is_untouched(dataset, predictor_file, predictor):
    before = {name: value.clone() for name, value in predictor.state_dict().items()}
    copy = reinitialised(predictor, 0, "a")
    assert not torch.equal(copy.readout.weight, predictor.readout.weight)
    assert torch.equal(copy.readout.weight, reinitialised(predictor, 0, "a").readout.weight)
    assert not torch.equal(copy.readout.weight, reinitialised(predictor, 1, "a").readout.weight)
    make_target(dataset, predictor_file, "random")
    assert all(torch.equal(value, before[name]) for name, value in predictor.state_dict().items())


def test_parameters_without_a_start_of_their_own_are_drawn_anew():
    module = nn.Module()
    module.field = nn.Parameter(torch.linspace(2, 4, 5000))
    found = reinitialised(module, 0).field
    assert abs(found.mean() - 3) < 0.05 and abs(found.std() - module.field.std()) < 0.05
    assert abs(np.corrcoef(found, module.field.detach())[0, 1]) < 0.1


def test_calibration_gives_batch_statistics_of_training_images(tiny, dataset):
    """And moves nothing else: the mode, the dropout and the momentum are as before."""
    data = read_dataset(dataset)
    network = build_network(tiny, 2).eval()
    calibrate(network, network.features, data, CPU, "stream")
    layer = network.trunk[1]
    assert layer.momentum == 0.1 and not network.training and not layer.training
    with torch.no_grad():
        pixels = torch.tensor(data.images[data.rows(TRAIN)]).permute(0, 3, 1, 2) / 255
        maps = network.trunk[0]((pixels - network.mean) / network.std)
    torch.testing.assert_close(layer.running_mean, maps.mean((0, 2, 3)), rtol=1e-3, atol=1e-4)


def test_scrambling_keeps_amplitudes_and_means_and_takes_the_phases():
    rng = torch.Generator().manual_seed(0)
    pixels, noise = torch.rand(4, 3, 16, 16, generator=rng), torch.randn(4, 16, 16, generator=rng)
    scrambled = scramble_phase(pixels, noise)
    before, after = (torch.fft.fft2(part.double()) for part in (pixels, scrambled))
    torch.testing.assert_close(after.abs(), before.abs(), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(scrambled.mean((2, 3)), pixels.mean((2, 3)))
    difference = (after / before).angle()
    torch.testing.assert_close(difference[:, 0, 1:8], difference[:, 2, 1:8], rtol=0, atol=1e-3)  # colours stay together
    assert (scrambled - pixels).abs().mean() > 0.1
    assert not torch.allclose(difference[0], difference[1], atol=0.1)


def test_scrambled_targets_are_responses_to_scrambled_images(dataset, predictor_file, predictor):
    """The predictor itself is the same: images without structure of their own evoke what they did before."""
    data = read_dataset(dataset)
    target = make_target(dataset, predictor_file, "phase-scrambled")
    flat = np.full((2, 16, 16, 3), 90, np.uint8)
    with torch.no_grad():
        expected = (predictor(torch.full((2, 3, 16, 16), 90 / 255)) - target.mean) / target.std
    torch.testing.assert_close(target.live(flat, np.array([3, 4])), expected, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(
        target.live(data.images[:2], np.array([0, 1])), target.live(data.images[:2], np.array([7, 8]))
    )


def test_features_come_from_the_given_weights(tmp_path, dataset, predictor_file, tiny):
    network = build_network(tiny, 2)
    state = {**network.trunk.state_dict(), "6.weight": torch.zeros(10, 128), "6.bias": torch.zeros(10)}
    torch.save(state, tmp_path / "tiny.pth")
    loaded = make_target(dataset, predictor_file, "features", files={"oracle": (tmp_path / "tiny.pth",)})
    with torch.no_grad():
        data = read_dataset(dataset)
        pixels = torch.tensor(np.asarray(data.images)).permute(0, 3, 1, 2) / 255
        features = network.eval().features(pixels).numpy()
    train = data.split == TRAIN
    kept = np.linalg.svd(features[train] - features[train].mean(0), full_matrices=False)[0][:, :6]
    found = np.linalg.svd(train_targets(loaded, dataset), full_matrices=False)[0]
    np.testing.assert_allclose(np.abs(np.diag(kept.T @ found)), 1, atol=1e-2)
    assert not torch.allclose(loaded.responses, make_target(dataset, predictor_file, "features").responses, atol=0.1)


@pytest.mark.parametrize("content", [b"no weights", None])
def test_wrong_oracle_weights_are_named(tmp_path, dataset, predictor_file, tiny, content):
    path = tmp_path / "w.pth"
    path.write_bytes(content) if content else torch.save({"0.weight": torch.zeros(8, 3, 3, 3)}, path)
    with pytest.raises(InputError, match=r"w\.pth") as error:
        make_target(dataset, predictor_file, "features", files={"oracle": (path,)})
    assert "\n" not in str(error.value)


def test_oracle_weights_of_a_deeper_network_are_named(tmp_path):
    trunk, _ = trunk_of("small", "imagenet", False, 32)
    state = trunk.state_dict()
    torch.save(state | {"fc.weight": torch.zeros(10, 128), "fc.bias": torch.zeros(10)}, tmp_path / "own.pth")
    load_trunk(trunk, tmp_path / "own.pth")
    torch.save(state | {"layer4.0.weight": torch.zeros(128, 128, 3, 3)}, tmp_path / "w.pth")
    with pytest.raises(InputError, match=r"w\.pth: weights of a deeper network, with layer4; give torchvision's file"):
        load_trunk(trunk, tmp_path / "w.pth")


def test_matched_voxels_have_equal_counts_and_ceilings():
    rng = np.random.default_rng(0)
    rois = [rng.uniform(20, 90, 200), rng.uniform(0, 60, 90), np.r_[rng.uniform(10, 50, 120), [np.nan] * 5]]
    kept = [matched_voxels(rois, own, 0) for own in range(3)]
    assert len({len(part) for part in kept}) == 1 and 10 < len(kept[0]) < 90
    histograms = [np.histogram(roi[part], bins=np.arange(0, 101, 5))[0] for roi, part in zip(rois, kept, strict=True)]
    assert (histograms[0] == histograms[1]).all() and (histograms[0] == histograms[2]).all()
    means = [roi[part].mean() for roi, part in zip(rois, kept, strict=True)]
    assert max(means) - min(means) < 2 < max(np.nanmean(roi) for roi in rois) - min(np.nanmean(roi) for roi in rois)
    for part in kept:
        assert (np.diff(part) > 0).all()
    np.testing.assert_array_equal(kept[0], matched_voxels(rois, 0, 0))
    assert not np.array_equal(kept[0], matched_voxels(rois, 0, 1))


def write_voxels(path, ceilings, subjects):
    write_parquet(path, pd.DataFrame({"subject": subjects, "noise_ceiling": ceilings}))
    return path


def test_subsampled_targets_are_the_kept_voxels(tmp_path, dataset, predictor_file):
    own = write_voxels(tmp_path / "own.parquet", [12.0, 44, 13, 71, 42, 14], ["subj01"] * 3 + ["subj02"] * 3)
    other = write_voxels(tmp_path / "other.parquet", [11.0, 41, 90], ["subj01"] * 3)
    files = {"voxels": (own,), "matched": (other,)}
    found = make_target(dataset, predictor_file, "subsampled", files=files)
    whole = make_target(dataset, predictor_file)
    kept = matched_voxels(
        [np.array([12.0, 44, 13, 71, 42, 14]), np.array([11.0, 41, 90])], 0, 0, "control", "subsampled"
    )
    assert found.dim == 2 and len(set(kept) & {0, 2, 5}) == len(set(kept) & {1, 4}) == 1
    torch.testing.assert_close(found.responses, whole.responses[:, kept])
    write_voxels(other, [99.0], ["subj01"])
    with pytest.raises(InputError, match=r"own\.parquet.*other\.parquet.*no noise ceiling"):
        make_target(dataset, predictor_file, "subsampled", files=files)
    with pytest.raises(InputError, match=r"condition\.match"):
        make_target(dataset, predictor_file, "subsampled")


def test_a_target_of_some_subjects(monkeypatch, dataset, predictor_file, predictor):
    predictor.predictors = [type("P", (), {"voxels": {"subj01": 2, "subj02": 1}})(),
                            type("P", (), {"voxels": {"subj01": 1, "subj02": 2}})()]  # fmt: skip
    whole = make_target(dataset, predictor_file)
    found = make_target(dataset, predictor_file, subjects=("subj02",))
    torch.testing.assert_close(found.responses, whole.responses[:, [2, 4, 5]])
    shuffled = make_target(dataset, predictor_file, "gaussian", subjects=("subj02",))
    assert shuffled.dim == 3
    with pytest.raises(InputError, match="subj07"):
        make_target(dataset, predictor_file, subjects=("subj07",))


@pytest.mark.parametrize("width", [20, 400])  # fewer columns than images, and more
def test_moment_map_is_exact_on_its_own_images_and_keeps_their_patterns(width):
    rng = np.random.default_rng(0)
    source = rng.normal(size=(300, 20)) @ rng.normal(size=(20, width)) + 100
    target = rng.normal(size=(300, 5)) @ rng.normal(size=(5, 8)) - 7  # of rank 5
    mapped = match_moments(source, target)(source)
    assert mapped.dtype == np.float32 and mapped.shape == (300, 8)
    np.testing.assert_allclose(mapped.mean(0), target.mean(0), atol=1e-4)
    np.testing.assert_allclose(np.cov(mapped.T), np.cov(target.T), atol=1e-3)
    patterns = [np.linalg.svd(part - part.mean(0), full_matrices=False)[0][:, :5] for part in (source, mapped)]
    np.testing.assert_allclose(np.abs(np.diag(patterns[0].T @ patterns[1])), 1, atol=1e-4)


def test_a_source_of_fewer_components_keeps_the_total_variance():
    rng = np.random.default_rng(1)
    source, target = rng.normal(size=(300, 3)), rng.normal(size=(300, 9)) * np.arange(1, 10)
    mapped = match_moments(source, target)(source)
    assert np.linalg.matrix_rank(mapped - mapped.mean(0), tol=1e-2) == 3
    assert mapped.var(0).sum() == pytest.approx(target.var(0).sum(), rel=1e-4)


def test_setting_names_its_streams(dataset):
    setting = Setting(nn.Identity(), read_dataset(dataset), 3, CPU, Condition(weight=0.5))
    assert setting.stream("random") == (3, "control", "random")
