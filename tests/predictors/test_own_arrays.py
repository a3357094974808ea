"""Predictors of a caller's own arrays."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import neurobust.predictors
from neurobust.core.errors import InputError
from neurobust.core.io import save_weights
from neurobust.predictors import fit_predictor, load_target
from neurobust.predictors.own_arrays import own_split
from neurobust.predictors.registry import PREDICTORS, read_predictor

RIDGE = {"kind": "ridge", "map_size": 2, "folds": 3}


@pytest.fixture
def arrays(subject_maker):
    """Images and responses to the brightness of their quadrants."""
    data = subject_maker(images=100)
    return data.images, data.responses


def test_five_lines_fit_judge_save_and_read(arrays, tmp_path):
    images, responses = arrays
    names = [f"voxel {k}" for k in "abcde"]
    p = fit_predictor(images, responses, names=names, **RIDGE)
    assert list(p.voxels["name"]) == names and p.voxels["r"].min() > 0.8 and p.voxels["r_normalised"].isna().all()
    test = p.split == 2
    predicted = p.predict(images[test])
    r = [np.corrcoef(predicted[:, v], responses[test, v])[0, 1] for v in range(5)]
    assert np.allclose(r, p.voxels["r"], atol=1e-4)
    p.save(tmp_path / "p.safetensors")
    target = load_target(tmp_path / "p.safetensors")
    assert target.names == names, "the voxels' names travel"
    pixels = torch.from_numpy(images[test]).permute(0, 3, 1, 2) / 255
    assert np.allclose(target(pixels), predicted, atol=1e-4)
    assert load_target([tmp_path / "p.safetensors"] * 2).names == names * 2


def test_the_shuffle_control_knows_nothing_and_is_tested_on_true_pairs(arrays):
    images, responses = arrays
    p = fit_predictor(images, responses, shuffle_pairing=True, alphas=[100.0], **RIDGE)
    assert abs(p.voxels["r"].median()) < 0.8 < fit_predictor(images, responses, **RIDGE).voxels["r"].min()
    learned = np.mean([np.corrcoef(p.predict(images)[:, v], responses[:, v])[0, 1] for v in range(5)])
    assert abs(learned) < 0.5


def test_a_split_of_one_s_own_and_ceilings_are_kept(arrays):
    images, responses = arrays
    split = np.arange(100) % 3
    p = fit_predictor(images, responses.astype(np.float16), split=split, noise_ceiling=[100, 50, 4, 1, 64], **RIDGE)
    assert np.array_equal(p.split, split)
    assert p.voxels["r_normalised"].isna().tolist() == [False, False, True, True, False]
    drawn = own_split(100, 0)
    assert np.array_equal(np.bincount(drawn), [80, 10, 10]) and np.array_equal(drawn, own_split(100, 0))
    assert not np.array_equal(drawn, own_split(100, 1))
    assert np.array_equal(np.bincount(own_split(12, 0)), [8, 2, 2])


WRONG = {
    "one voxel as a vector": ({"responses": lambda r: r[:, 0]}, r"responses: \(100,\) for 100 images"),
    "fewer responses": ({"responses": lambda r: r[1:]}, r"responses: \(99, 5\) for 100 images"),
    "no voxels": ({"responses": lambda r: r[:, :0]}, r"responses: \(100, 0\)"),
    "not finite": ({"responses": lambda r: np.where(r == r[3, 1], np.nan, r)}, "own: responses: nan in row 3, voxel 1"),
    "text": ({"responses": lambda r: r.astype(str)}, "own: responses: <U.* give real numbers"),
    "floats": ({"images": lambda i: i / 255}, "own: images are float64 .* give square uint8 colour images"),
    "gray": ({"images": lambda i: i[..., 0]}, r"own: images are uint8 \(100, 48, 48\)"),
    "channels first": ({"images": lambda i: i.transpose(0, 3, 1, 2)}, "own: images are uint8 .* give square"),
    "few": ({"images": lambda i: i[:4], "responses": lambda r: r[:4]}, "own: 0 training images"),
    "names": ({"names": ["a"] * 5}, "names: 1 different ones for 5 voxels"),
    "split": ({"split": np.full(100, 7)}, "split: .* give 100 numbers"),
    "no test": ({"split": np.arange(100) % 2}, "own: 0 test images"),
    "ceilings": ({"noise_ceiling": [1.0]}, r"noise_ceiling: \(1,\) for 5 voxels"),
    "kind": ({"kind": "gnets"}, "kind: 'gnets' is not known.*gnet"),
    "key": ({"epochs": 3}, "fit_predictor.own: unknown key 'epochs'"),
    "rows of several sizes": ({"images": lambda i: [i[0, :40], *i[1:]]}, "images: rows of several sizes"),
    "masked": (
        {"responses": lambda r: np.ma.masked_greater(r, np.median(r))},
        "responses: 250 values are masked; leave",
    ),
    "a number for names": ({"names": 5}, "names: 5: give a list with a name for each of 5 voxels"),
    "splits in words": ({"split": ["train"] * 100}, "split: .* give 100 numbers"),
    "ceilings in words": ({"noise_ceiling": ["high"] * 5}, "noise_ceiling: <U4; give one number a voxel, in percent"),
    "ceilings above 100": (
        {"noise_ceiling": [50, 150, 1, 2, 3]},
        "noise_ceiling: from 1 to 150; give percent, 0 to 100",
    ),
    "ceilings as shares": ({"noise_ceiling": [0.5] * 5}, "noise_ceiling: 0.5 at most, which is a share; give percent"),
    "size": ({"input_size": 64}, "own: images of 48 px for a predictor with input_size: 64"),
}


@pytest.mark.parametrize("fault", WRONG)
def test_what_cannot_be_fitted_is_one_line(arrays, fault):
    changes, message = WRONG[fault]
    given = {"images": arrays[0], "responses": arrays[1], **RIDGE}
    given |= {key: value(given[key]) if callable(value) else value for key, value in changes.items()}
    with pytest.raises(InputError, match=f"^{message}") as error:
        fit_predictor(**given)
    assert "\n" not in str(error.value)


def test_responses_may_have_any_unit(arrays, tmp_path):
    """Trained readouts start near 0 and go by steps of one size: a G-net on raw responses 1000 +- 1 learned nothing."""
    images, responses = arrays
    spread = responses.std(0)
    for settings in (RIDGE, {"kind": "gnet", "epochs": 3}):
        plain = fit_predictor(images, responses, **settings)
        for scale, shift in ((1.0, 1000 * spread), (1e-13, 0.0), (1e6, -3e6)):
            other = fit_predictor(images, responses.astype(np.float64) * scale + shift, **settings)
            assert np.allclose(other.voxels["r"], plain.voxels["r"], atol=0.05), (settings, scale)
            error = other.predict(images) - (plain.predict(images) * scale + shift)
            assert np.abs(error).mean() < 0.2 * scale * spread.mean(), "in the unit that they came in"
    other.save(tmp_path / "p.safetensors")
    target, pixels = load_target(tmp_path / "p.safetensors"), torch.from_numpy(images[:9]).permute(0, 3, 1, 2) / 255
    assert np.allclose(target(pixels), other.predict(images[:9]), rtol=1e-4)
    parts = target.contributions(pixels)
    left = (target(pixels) - sum(parts.values())).std(0)
    assert parts and (left < 1e-3 * target(pixels).std(0)).all(), "they add up to it but for a constant"
    assert target.core_features(pixels).shape[0] == 9 and load_target([tmp_path / "p.safetensors"] * 2, members=2).names


def test_a_constant_voxel_stays_what_it_is(arrays):
    images, responses = arrays
    p = fit_predictor(images, np.column_stack([responses[:, :2], np.full(100, 7.0)]), **RIDGE)
    assert np.allclose(p.predict(images)[:, 2], 7) and p.voxels["r"].tolist()[2] == 0


def test_tensors_data_frames_paths_and_numbers_of_numpy_are_taken_as_they_come(arrays):
    images, responses = arrays
    plain = fit_predictor(images, responses, alphas=[1.0, 10.0], **RIDGE)
    frame = pd.DataFrame(responses, columns=list("abcde"))
    given = {"alphas": [np.float32(1), np.int64(10)], **RIDGE, "map_size": np.int64(RIDGE["map_size"])}
    assert list(fit_predictor(list(images), frame, **given).voxels["name"]) == list("abcde")
    tensors = fit_predictor(torch.from_numpy(images), torch.from_numpy(responses).requires_grad_(), **given)
    assert np.array_equal(tensors.voxels["r"], plain.voxels["r"])
    half = fit_predictor(images, torch.from_numpy(responses).bfloat16(), **given)
    assert np.allclose(half.voxels["r"], plain.voxels["r"], atol=0.05)
    assert np.array_equal(plain.predict(torch.from_numpy(images[:3])), plain.predict(images[:3]))
    with pytest.raises(InputError, match=r"^weights: '.*none.pth': not a file of torch"):
        core = {"core": "torchvision/resnet18", "layers": ["layer1"], "readout": "ridge"}
        fit_predictor(images, responses, kind="core", weights=Path("none.pth"), **core)


def test_repeats_of_an_image_on_both_sides_of_the_split_are_one_line(arrays):
    images, responses = arrays
    twice, split = np.repeat(images[:, ::-1], 2, 0), np.repeat(own_split(len(images), 0), 2)
    with pytest.raises(
        InputError, match=r"^images: rows \d+ and \d+ are one image, in two parts of the split; average"
    ):
        fit_predictor(twice, np.repeat(responses, 2, 0), **RIDGE)
    assert len(fit_predictor(twice, np.repeat(responses, 2, 0), split=split, **RIDGE).voxels) == responses.shape[1]


def test_a_file_that_is_read_under_inference_mode_has_a_gradient(arrays, tmp_path):
    images, responses = arrays[0][:40], arrays[1][:40] * 3 + 7
    fit_predictor(images, responses, kind="ridge", map_size=2, folds=2).save(tmp_path / "p.safetensors")
    with torch.inference_mode():
        target = load_target(tmp_path / "p.safetensors", members=np.int64(1))
    pixels = (torch.from_numpy(images[:3]).permute(0, 3, 1, 2) / 255).requires_grad_()
    target(pixels).sum().backward()
    assert pixels.grad is not None and pixels.grad.abs().sum() > 0


def test_where_a_predictor_cannot_be_saved_is_one_line(arrays, tmp_path):
    p = fit_predictor(*arrays, alphas=[1.0], **RIDGE)
    with pytest.raises(InputError, match="a folder; name a file in it"):
        p.save(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"cannot be written \(.*\); name another place"):
        p.save(tmp_path / "file/p.safetensors")
    with pytest.raises(InputError, match="image_batch: 0: give a whole number of images"):
        p.predict(arrays[0], image_batch=0)


def test_images_of_another_size_are_not_predicted(arrays):
    p = fit_predictor(*arrays, **RIDGE)
    with pytest.raises(InputError, match=r"images: uint8 \(100, 40, 48, 3\); give uint8 \(n, 48, 48, 3\)"):
        p.predict(arrays[0][:, :40])


def test_every_kind_has_its_usual_keys():
    """Those of a network's layers alone must be named: which network, whose weights, which layers."""
    needed = {"cnn-fwrf": {"network": "resnet18", "weights": "random", "layers": ["layer1"]}}
    for kind in ("gnet", "resnet-pcs", "gabor-fwrf", "cnn-fwrf", "ridge"):
        usual = {
            key: value for key, value in PREDICTORS[kind].usual.items() if key in PREDICTORS[kind].__struct_fields__
        }
        assert read_predictor("own", {"kind": kind, "input_size": 64, **usual, **needed.get(kind, {})}).kind == kind


def test_a_file_of_a_study_has_names_too(tmp_path):
    from neurobust.predictors.linear import PooledLinear

    config = {"voxels": {"subj01": 2, "subj02": 1}, "input_size": 8, "features": {"name": "pixels", "map_size": 1},
              "inputs": 3}  # fmt: skip
    save_weights(tmp_path / "m", PooledLinear(**config).state_dict(), {"kind": "ridge", **config})
    assert load_target(str(tmp_path / "m")).names == ["subj01 0", "subj01 1", "subj02 0"]


def test_the_room_itself_imports_nothing():
    code = "import sys; from neurobust.predictors.registry import PREDICTORS; assert 'torch' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    with pytest.raises(AttributeError, match="no attribute 'fit'"):
        neurobust.predictors.fit  # noqa: B018
    assert neurobust.predictors.neural_loss.__module__ == "neurobust.networks.own_loop"
