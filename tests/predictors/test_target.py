"""Predictors as frozen targets."""

import copy

import pytest
import torch
from torch import nn

from neurobust.core.errors import InputError
from neurobust.core.io import save_weights
from neurobust.predictors.gnet import GNet
from neurobust.predictors.target import load_predictor, load_target


def small_gnet(size, voxels, mean=(0.5, 0.4, 0.3)):
    torch.manual_seed(size)
    config = {"voxels": voxels, "input_size": size, "prefilter_channels": (4, 6), "trunk_width": 2, "mean": mean}
    model = GNet(**config)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    for readout in model.readouts.values():
        readout.weight.data.normal_()
    return model.eval(), config


@pytest.fixture
def target(tmp_path):
    paths, models = [], []
    for size, voxels in ((48, {"subj01": 2, "subj02": 1}), (64, {"subj01": 4})):
        model, config = small_gnet(size, voxels)
        save_weights(tmp_path / f"{size}.safetensors", model.state_dict(), {"kind": "gnet", **config})
        paths.append(tmp_path / f"{size}.safetensors")
        models.append(model)
    return load_target(paths), models


def test_predictors_stand_side_by_side_each_at_its_own_size_with_its_own_mean(target):
    target, models = target
    images = torch.rand(3, 3, 48, 48)
    out = target(images)
    assert out.shape == (3, 7) and target.dimensions == 7
    torch.testing.assert_close(out[:, :3], models[0](images))
    large = nn.functional.interpolate(images, (64, 64), mode="bilinear", antialias=True, align_corners=False)
    torch.testing.assert_close(out[:, 3:], models[1](large))
    assert not torch.allclose(models[0](images), models[0](images - models[0].mean), rtol=0.01)


def test_a_frozen_predictor_stays_frozen_under_train(target):
    """BatchNorm statistics, dropout and weights are untouched by a training loop around the target."""
    target, _ = target
    network = nn.Sequential(nn.Conv2d(3, 3, 1), nn.Sigmoid(), target)
    images = torch.rand(4, 3, 48, 48)
    before, expected = copy.deepcopy(target.state_dict()), target(images)
    network.train()
    optimiser = torch.optim.SGD([p for p in network.parameters() if p.requires_grad], lr=1.0, weight_decay=0.1)
    network(images).sum().backward()
    optimiser.step()
    assert not any(module.training for module in target.modules())
    assert not any(p.requires_grad for p in target.parameters())
    for name, value in target.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert torch.equal(target(images), expected)
    assert torch.equal(target.train(True)(images), expected)


def test_gradients_reach_the_image(target):
    target, _ = target
    images = torch.rand(2, 3, 56, 56, requires_grad=True)
    (gradient,) = torch.autograd.grad(target(images).sum(), images)
    assert gradient.shape == images.shape and gradient.abs().sum() > 0


def test_files_that_are_no_predictors_are_named(tmp_path):
    path = tmp_path / "model.safetensors"
    save_weights(path, {"a": torch.zeros(1)}, {"kind": "hnet"})
    with pytest.raises(InputError, match=r"model.safetensors: predictor kind 'hnet' is not one of"):
        load_predictor(path)
    path.write_bytes(b"\0" * 20)
    with pytest.raises(InputError, match=r"model.safetensors: not a readable safetensors file"):
        load_predictor(path)


WRONG = {
    "uint8": (torch.randint(0, 256, (2, 3, 48, 48), dtype=torch.uint8), r"images are torch.uint8 \(2, 3, 48, 48\)"),
    "0 to 255": (torch.rand(2, 3, 48, 48) * 255, r"pixels from 0.* to 25\d"),
    "one image": (torch.rand(3, 48, 48), r"images are torch.float32 \(3, 48, 48\)"),
    "one channel": (torch.rand(2, 1, 48, 48), r"images are torch.float32 \(2, 1, 48, 48\)"),
    "channels last": (torch.rand(2, 48, 48, 3), r"images are torch.float32 \(2, 48, 48, 3\)"),
    "normalised": ((torch.rand(2, 3, 48, 48) - 0.45) / 0.22, "pixels from -2.* to 2"),
    "not finite": (torch.full((2, 3, 48, 48), torch.nan), "pixels from nan to nan"),
}


@pytest.mark.parametrize("fault", WRONG)
def test_what_is_no_batch_of_pixels_is_refused_in_one_line(target, fault):
    """A predictor would answer with finite numbers that mean nothing."""
    images, message = WRONG[fault]
    with pytest.raises(InputError, match=f"^target: {message}.*give float pixels .* in .0, 1.") as error:
        target[0](images)
    assert "\n" not in str(error.value)


def test_pixels_of_other_precision_are_taken_and_arrays_refused(target):
    images = torch.rand(2, 3, 48, 48)
    for kind in (torch.float64, torch.float16, torch.bfloat16):
        torch.testing.assert_close(target[0](images.to(kind)), target[0](images), atol=0.05, rtol=0.05)
    with pytest.raises(InputError, match="target: images are a ndarray; give float pixels"):
        target[0](images.numpy())


NO_FILES = {
    "none": ([], "load_target: no files; give a predictor's file, or several"),
    "nothing": (None, "load_target: NoneType: give a predictor's file, or several"),
    "a number": (3, "load_target: int: give"),
    "absent": (
        "absent.safetensors",
        "absent.safetensors: there is no such file; give the model.safetensors of a study",
    ),
    "a folder": (".", r"\.: a folder, not a predictor's file; give"),
}


@pytest.mark.parametrize("case", NO_FILES)
def test_what_is_no_file_is_one_line(case, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given, message = NO_FILES[case]
    with pytest.raises(InputError, match=f"^{message}") as error:
        load_target(given)
    assert "\n" not in str(error.value)


def test_pixels_outside_0_and_1_are_taken_where_they_are_asked_for(target):
    """As of scrambled phases; and rounding is no fault."""
    target, models = target
    images = torch.rand(2, 3, 48, 48) * 1.4 - 0.2
    torch.testing.assert_close(target(images, bounded=False)[:, :3], models[0](images))
    target(torch.rand(2, 3, 48, 48).clamp(max=1) + 1e-4)
    for fault in ("uint8", "one image", "one channel"):
        with pytest.raises(InputError, match=r"^target: images are"):
            target(WRONG[fault][0], bounded=False)


def saved(folder, name, seed, voxels, size=48):
    """A small G-net of a seed in a file."""
    torch.manual_seed(seed)
    model, config = small_gnet(size, voxels)
    torch.manual_seed(seed)
    for readout in model.readouts.values():
        readout.weight.data.normal_()
    save_weights(folder / name, model.state_dict(), {"kind": "gnet", **config})
    return folder / name, model


def test_an_ensemble_is_the_mean_of_its_seeds_and_rois_stay_side_by_side(tmp_path):
    voxels = [{"subj01": 2, "subj02": 1}] * 3 + [{"subj01": 4}] * 3
    made = [saved(tmp_path, f"{k}.safetensors", k, part) for k, part in enumerate(voxels)]
    target = load_target([path for path, _ in made], members=3)
    assert target.dimensions == 7 and [p.voxels for p in target.predictors] == [voxels[0], voxels[3]]
    assert target.names == ["subj01 0", "subj01 1", "subj02 0", *(f"subj01 {k}" for k in range(4))]
    images = torch.rand(3, 3, 48, 48)
    answers = [model(images) for _, model in made]
    assert not torch.allclose(answers[0], answers[1], atol=1e-3)
    torch.testing.assert_close(target(images)[:, :3], sum(answers[:3]) / 3)
    torch.testing.assert_close(target(images)[:, 3:], sum(answers[3:]) / 3)
    one = target.predictors[0].respond(images, "subj02")
    torch.testing.assert_close(one, sum(answers[:3])[:, 2:] / 3)
    assert not any(p.requires_grad for p in target.parameters()) and not any(m.training for m in target.modules())


def test_what_is_no_ensemble_is_one_line(tmp_path):
    paths = [saved(tmp_path, f"{k}.safetensors", k, {"subj01": 2 + k})[0] for k in range(2)]
    with pytest.raises(InputError, match=r"0.safetensors: member 1 has voxels \{'subj01': 3\} at 48 px, the first"):
        load_target(paths, members=2)
    for members in (0, -1, 2.0):
        with pytest.raises(InputError, match=f"load_target: members: {members}: give a whole number of files"):
            load_target(paths, members=members)
    with pytest.raises(InputError, match=r"0.safetensors: 2 files are no ensembles of 3; give each ROI as many seeds"):
        load_target(paths, members=3)
