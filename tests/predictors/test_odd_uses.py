"""Odd uses of the predictors' stage: a right number or one line, and never another number than was asked for."""

import copy
import pickle
import random

import numpy as np
import pandas as pd
import pytest
import torch

from neurobust.core.errors import InputError
from neurobust.core.imagenet import statistics_of
from neurobust.core.io import load_weights, save_weights
from neurobust.core.vision import models
from neurobust.files.splits import TRAIN
from neurobust.networks.own_loop import features_of, neural_loss, standardised, target_responses
from neurobust.predictors import fit_predictor, load_target
from neurobust.predictors.features import extractor_of
from neurobust.predictors.gnet import log_tanh
from neurobust.predictors.ridge import ridge_cv

RIDGE = {"kind": "ridge", "map_size": 2, "folds": 3}
CORE = {"kind": "core", "core": "torchvision/resnet18", "layers": ["layer1"], "readout": "ridge", "map_size": 4,
        "alphas": [100.0]}  # fmt: skip


@pytest.fixture
def arrays(subject_maker):
    """Images and responses to the brightness of their quadrants."""
    data = subject_maker(images=60, voxels=4)
    return data.images, data.responses


@pytest.fixture
def pixels(arrays):
    """Six of the images as a target takes them."""
    return torch.from_numpy(arrays[0][:6]).permute(0, 3, 1, 2) / 255


# --- layers of networks ---


@pytest.mark.parametrize(("network", "layers"), [
    ("vgg11", ["features.0", "features.1"]), ("densenet121", ["features.norm5", "flatten"]),
    ("resnet18", ["bn1", "relu"]), ("alexnet", ["features.3", "features.5"]),
])  # fmt: skip
def test_a_layer_is_the_same_whatever_else_is_read(network, layers):
    """An activation in place behind a layer overwrote it: a convolution was read as its own ReLU."""
    both, alone = (extractor_of(network, names, 64).eval() for names in (layers, layers[:1]))
    alone.load_state_dict(both.state_dict(), strict=False)
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    found = both(images)["0"]
    assert torch.allclose(found, alone(images)["0"], atol=1e-6)
    assert found.min() < 0, "before the ReLU"


def test_a_file_that_was_fitted_to_layers_changed_in_place_answers_as_it_did(arrays, pixels, tmp_path):
    """It does not say that its layers are as they were made, and its weights are for those that an activation left."""
    own = fit_predictor(*arrays, **{**CORE, "layers": ["bn1", "layer1"]}, weights="random")
    own.save(tmp_path / "new.safetensors")
    state, config = load_weights(tmp_path / "new.safetensors")
    assert config["features"].pop("as_made") is True
    save_weights(tmp_path / "old.safetensors", state, config)
    new, old = (load_target(tmp_path / f"{name}.safetensors") for name in ("new", "old"))
    changed = new.predictors[0]
    while not hasattr(changed, "features"):
        changed = changed.model
    made = changed.features.layers_of
    changed.features.layers_of = lambda images: [part.relu() for part in made(images)]
    assert torch.allclose(old(pixels), new(pixels), atol=1e-5)
    changed.features.layers_of = made
    assert not torch.allclose(old(pixels), new(pixels), atol=0.1)


def test_a_layer_of_an_own_loop_is_what_it_made():
    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(inplace=True), torch.nn.Flatten(), torch.nn.Linear(4 * 36, 2)
    )
    images = torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(0)) - 0.5
    assert torch.allclose(features_of(network, images, "0"), network[0](images).flatten(1))
    assert features_of(network, images, "0").min() < 0 <= features_of(network, images, "1").min()


def test_two_names_of_one_node_are_one_line(arrays):
    with pytest.raises(InputError, match=r"^layers: 'layer1.1.relu_1' of resnet18 is what another layer that is named"):
        fit_predictor(*arrays, **{**CORE, "layers": ["layer1", "layer1.1.relu_1"]}, weights="random")


# --- how images are normalised ---


def test_published_weights_want_the_statistics_that_torchvision_says():
    """Of every classifier; those that change normalised images inside want what undoes it."""
    from neurobust.core.architecture_names import readable

    for network in readable():
        said = models.get_model_weights(network).DEFAULT.transforms()
        if network in ("googlenet", "inception_v3"):
            arguments = {"transform_input": True, "init_weights": False, "aux_logits": False}
            built = models.get_model(network, weights=None, **arguments)
            images = torch.rand(2, 3, 4, 4)
            mean, std = (torch.tensor(part)[:, None, None] for part in (said.mean, said.std))
            own_mean, own_std = (torch.tensor(part)[:, None, None] for part in statistics_of(network))
            assert torch.allclose(
                built._transform_input((images - mean) / std), (images - own_mean) / own_std, atol=1e-5
            )  # fmt: skip
        else:
            assert np.allclose(statistics_of(network), (said.mean, said.std)), network


@pytest.mark.parametrize("settings", [
    {"kind": "cnn-fwrf", "network": "resnet18", "field_sizes": [2.0]},
    {"kind": "ridge", "features": "network", "network": "resnet18", "folds": 3},
    {"kind": "core", "core": "torchvision/resnet18", "readout": "ridge"},
])  # fmt: skip
def test_images_are_normalised_as_the_weights_want(arrays, settings, tmp_path):
    """Those of a file as it says, else as published; those of a seed by the images' own statistics."""
    state = models.resnet18(weights=None).state_dict()
    torch.save(state, tmp_path / "plain.pth")
    own = {"norm.mean": torch.full((1, 3, 1, 1), 0.5), "norm.std": torch.full((1, 3, 1, 1), 0.25)}
    torch.save({f"net.{name}": value for name, value in state.items()} | own, tmp_path / "wrapped.pth")
    own = {"module.normalizer.new_mean": torch.full((3, 1, 1), 0.4)}
    own["module.normalizer.new_std"] = torch.full((3, 1, 1), 0.25)
    own |= {f"module.{part}.{name}": value for part in ("model", "attacker.model") for name, value in state.items()}
    torch.save({"model": own, "epoch": 9}, tmp_path / "robustness.pth")  # of Engstrom and others' package
    common = {**settings, "layers": ["layer1"], "map_size": 4, "alphas": [100.0]}
    images = arrays[0]
    fitted = fit_predictor(*arrays, **common, weights="random")
    mean = images[fitted.split == TRAIN].mean((0, 1, 2)) / 255
    wanted = {"random": mean, tmp_path / "plain.pth": (0.485, 0.456, 0.406), tmp_path / "wrapped.pth": (0.5, 0.5, 0.5)}
    wanted[tmp_path / "robustness.pth"] = (0.4, 0.4, 0.4)
    for weights, mean in wanted.items():
        features = fit_predictor(*arrays, **common, weights=weights).fitted.model.features
        assert np.allclose(features.mean.flatten(), mean, atol=1e-5), weights
    assert np.allclose(features.std.flatten(), 0.25), "the file's"


def test_statistics_of_bytes_and_two_networks_in_one_file_are_one_line(arrays, tmp_path):
    with pytest.raises(InputError, match=r"mean.0: 123: expected a number <= 1"):
        fit_predictor(*arrays, **CORE, weights="random", mean=[123, 117, 104], std=[58, 57, 57])
    state = models.resnet18(weights=None).state_dict()
    both = {
        f"{part}.{name}": value + k for k, part in enumerate(("student", "teacher")) for name, value in state.items()
    }
    for prefix, below in (("", "student, teacher"), ("module.", "module.student, module.teacher")):
        torch.save({f"{prefix}{name}": value for name, value in both.items()}, tmp_path / "dino.pth")
        with pytest.raises(InputError, match=rf"two sets of weights of .*resnet18 .*, below {below}; save the one"):
            fit_predictor(*arrays, **CORE, weights=tmp_path / "dino.pth")


# --- numbers ---


def test_penalties_below_rounding_give_the_least_solution():
    """With fewer rows than features and hardly a penalty: the interpolation of least norm, as numpy's pinv has it."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(40, 200)), rng.normal(size=(40, 3))
    fit = ridge_cv(torch.from_numpy(x).float(), torch.from_numpy(y).float(), [1e-30], folds=4)
    wanted = np.linalg.pinv(x - x.mean(0)) @ (y - y.mean(0))
    assert np.abs(fit.weights.numpy() - wanted).max() < 1e-4 * np.abs(wanted).max() + 1e-6


@pytest.mark.parametrize(("shift", "scale"), [(1e8, 1), (-1e10, 1), (0, 1e50), (0, 1e-50), (0, 1e-35)])
def test_responses_that_single_precision_loses_are_one_line(arrays, shift, scale):
    """Rounded to steps larger than their spread they gave r 0, without a word."""
    images, responses = arrays
    with pytest.raises(InputError, match=r"^responses: voxel 0 \(4 of 4\) goes over .* single precision does not hold"):
        fit_predictor(images, responses.astype(np.float64) * scale + shift, **RIDGE)
    found = fit_predictor(images, np.column_stack([responses, np.full(60, 1e8)]), **RIDGE)
    assert found.voxels["r"].iloc[:4].min() > 0.9, "a constant voxel has none"


def test_the_second_derivative_of_g_nets_nonlinearity_is_right():
    x = torch.linspace(-2, 2, 8, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradgradcheck(log_tanh, x)
    assert torch.autograd.gradcheck(log_tanh, x)


@pytest.mark.parametrize("kind", [RIDGE, {"kind": "gnet", "epochs": 1}])
def test_a_fit_is_the_same_whatever_a_caller_has_set_and_leaves_it_so(arrays, kind, tmp_path):
    plain = fit_predictor(*arrays, **kind)
    plain.save(tmp_path / "p")

    def drawn():
        return torch.rand(1).item(), np.random.rand(), random.random()  # noqa: NPY002

    def started():
        torch.manual_seed(3), np.random.seed(3), random.seed(3)  # noqa: NPY002

    started()
    wanted = drawn()
    for around in (torch.no_grad(), torch.inference_mode(), torch.autocast("cpu", torch.bfloat16)):
        started()
        with around:
            found = fit_predictor(*arrays, **kind)
            load_target(tmp_path / "p")
        assert drawn() == wanted, "the caller's own generators go on"
        assert np.allclose(found.predict(arrays[0]), plain.predict(arrays[0]), atol=1e-5)
    torch.set_default_dtype(torch.float64)
    try:
        found = fit_predictor(*arrays, **kind)
        assert load_target(tmp_path / "p").dimensions == 4 and torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
    assert np.allclose(found.predict(arrays[0]), plain.predict(arrays[0]), atol=1e-5)


def test_a_loop_under_autocast_has_the_same_loss(arrays, pixels, tmp_path):
    """A frozen ridge in half precision answered half a standard deviation beside itself."""
    fit_predictor(*arrays, **RIDGE).save(tmp_path / "p")
    target = standardised(load_target(tmp_path / "p"), arrays[0], device=torch.device("cpu"))
    features = torch.randn(6, 5, generator=torch.Generator().manual_seed(0))
    wanted = neural_loss(features, pixels, target), neural_loss(features, pixels, target.target)
    with torch.autocast("cpu", torch.bfloat16):
        found = neural_loss(features, pixels, target), neural_loss(features, pixels, target.target)
    assert torch.equal(torch.stack(found), torch.stack(wanted))


@pytest.mark.parametrize("unit", [1e-20, 1e-7, 1.0, 1e20])
def test_a_target_is_standardised_in_any_unit(arrays, pixels, unit, tmp_path):
    """Responses of 1e-13 were taken for constant ones, and a network was drawn towards 0."""
    images, responses = arrays
    fit_predictor(images, responses.astype(np.float64) * unit, **RIDGE).save(tmp_path / "p")
    fit_predictor(images, responses, **RIDGE).save(tmp_path / "q")
    targets = [load_target(tmp_path / name) for name in "pq"]
    found, wanted = (standardised(target, images, device=torch.device("cpu"))(pixels) for target in targets)
    assert torch.allclose(found, wanted, atol=1e-2)
    found, wanted = (target_responses(target, images, np.zeros(60)) for target in targets)
    assert torch.allclose(found, wanted, atol=1e-2) and np.allclose(found.std(0, correction=0), 1, atol=1e-3)


def test_a_head_of_other_sizes_and_a_compiled_network_are_told(pixels):
    """One number for all voxels was spread over them."""
    features, responses = torch.rand(6, 5), torch.rand(6, 4)
    head = torch.nn.Sequential(torch.nn.Linear(5, 1))
    with pytest.raises(InputError, match=r"head: it gives \(6, 1\) for 6 images and 4 voxels; give neural_head\(5, 4"):
        neural_loss(features, pixels, responses, loss="mse", head=head)
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 48 * 48, 5), torch.nn.Linear(5, 3))
    compiled = torch.compile(network, backend="eager")
    compiled(pixels)
    for layer in (None, "1", "_orig_mod.1"):
        assert torch.equal(features_of(compiled, pixels, layer), network[1](pixels.flatten(1)))


# --- files and targets ---


@pytest.fixture
def saved(arrays, tmp_path):
    """A function: the file of a fitted ridge, with what it keeps changed."""
    fit_predictor(*arrays, names=list("abcd"), **RIDGE).save(tmp_path / "whole")

    def changed(change):
        state, config = load_weights(tmp_path / "whole")
        state, config = dict(state), dict(config)
        change(state, config)
        save_weights(tmp_path / "changed", state, config)
        return tmp_path / "changed"

    return changed


DAMAGES = {
    "a weight is missing": (lambda s, c: s.pop("readout.bias"), r"no whole predictor of kind ridge \(.*readout.bias"),
    "a weight too many": (lambda s, c: s.update(x=torch.zeros(1)), "no whole predictor of kind ridge .*Unexpected key"),
    "another shape": (lambda s, c: s.update({"readout.bias": torch.zeros(2)}), "no whole predictor .*size mismatch"),
    "half of the units": (lambda s, c: s.pop("units.std"), r"no whole predictor of kind ridge \('std'\)"),
    "no voxels": (lambda s, c: c.pop("voxels"), "no whole predictor of kind ridge .*voxels"),
    "a key too many": (lambda s, c: c.update(zz=1), "no whole predictor of kind ridge .*zz"),
    "not finite": (lambda s, c: s["readout.bias"].fill_(torch.nan), "readout.bias is not finite; fit the"),
    "few names": (lambda s, c: c.update(names={"own": ["a"]}), "1 names for 4 voxels"),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_file_that_is_not_whole_is_one_line(saved, damage):
    change, message = DAMAGES[damage]
    with pytest.raises(InputError, match=rf"changed: {message}") as error:
        load_target(saved(change))
    assert "\n" not in str(error.value)


def test_a_g_net_that_is_not_whole_is_no_core(arrays, tmp_path):
    """What its file lacked stayed random."""
    fit_predictor(*arrays, kind="gnet", epochs=1).save(tmp_path / "g")
    state, config = load_weights(tmp_path / "g")
    lacking = {name: value for name, value in state.items() if name != "trunk.conv3.0.bias"}
    given = {**CORE, "core": "gnet", "layers": [0, 1], "weights": tmp_path / "cut"}
    for values, keys, message in (
        (lacking, config, "no whole G-net, it lacks trunk.conv3.0.bias"),
        (state, {name: value for name, value in config.items() if name != "mean"}, r"no whole G-net \('mean'\)"),
    ):
        save_weights(tmp_path / "cut", values, keys)
        with pytest.raises(InputError, match=rf"^weights: '.*cut': {message}"):
            fit_predictor(*arrays, **given)


def test_members_with_other_voxels_are_no_ensemble(arrays, pixels, tmp_path):
    """As many voxels in another order were averaged with one another."""
    images, responses = arrays
    fit_predictor(images, responses, names=list("abcd"), **RIDGE).save(tmp_path / "a")
    fit_predictor(images, responses[:, ::-1], names=list("dcba"), **RIDGE).save(tmp_path / "b")
    with pytest.raises(InputError, match="member 1 has voxel 'd' where the first one has 'a'; fit all to the same"):
        load_target([tmp_path / "a", tmp_path / "b"], members=2)
    fit_predictor(images, responses, kind="gabor-fwrf", names=list("abcd"), map_size=2, field_sizes=[4.0]).save(
        tmp_path / "c"
    )
    fit_predictor(images, responses, kind="gnet", epochs=1, names=list("abcd")).save(tmp_path / "d")
    mixed = load_target([tmp_path / "c", tmp_path / "d"], members=2)
    alone = [load_target(tmp_path / name)(pixels) for name in "cd"]
    assert torch.allclose(mixed(pixels), torch.stack(alone).mean(0), atol=1e-6) and mixed.contributions(pixels) == {}


def test_a_target_is_copied_sent_and_cast(saved, pixels):
    target = load_target(saved(lambda state, config: None))
    for other in (copy.deepcopy(target), pickle.loads(pickle.dumps(target))):
        assert torch.equal(other(pixels), target(pixels)) and other.names == list("abcd")
    double = copy.deepcopy(target).double()(pixels.double())
    assert double.dtype == torch.float64 and torch.allclose(double.float(), target(pixels), atol=1e-3)
    assert target(pixels[:0]).shape == (0, 4)
    with pytest.raises(InputError, match=r"^target: images are torch.float32 \(6, 3, 0, 0\)"):
        target(pixels[:, :, :0, :0])
    for read in (target.contributions, target.core_features):
        with pytest.raises(InputError, match=r"^target: pixels from 0 to 255"):
            read(pixels * 255)
        with pytest.raises(InputError, match=r"^target: images are torch.uint8"):
            read((pixels * 255).to(torch.uint8))


# --- what is given ---

ODD = {
    "images that are a path": ({"images": "images.npy"}, "images: <U10, no array; give uint8"),
    "images in a mapping": ({"images": {"a": 1}}, "images: object, no array"),
    "images without values": ({"images": torch.zeros(60, 48, 48, 3, dtype=torch.uint8, device="meta")},
                              "images: a tensor of torch.strided on meta; give a dense one with values"),
    "sparse responses": ({"responses": torch.ones(60, 4).to_sparse()}, "responses: a tensor of torch.sparse"),
    "letters as names": ({"names": "abcd"}, "names: 'abcd': give a list with a name for each of 4 voxels"),
    "no seed": ({"seed": None}, "seed: None: give a whole number"),
    "half a seed": ({"seed": 0.5}, "seed: 0.5: give a whole number"),
    "a penalty of zero": ({"alphas": [0, 1]}, "fit_predictor.own.alphas.0: 0: expected a number > 0"),
    "an infinite penalty": ({"alphas": [1, np.inf]}, "fit_predictor.own.alphas.1: inf: expected"),
    "a missing number of pandas": (
        {"responses": pd.DataFrame(np.ones((60, 4))).astype("Float32").mask(np.eye(60, 4) > 0)},
        "own: responses: nan in row 0, voxel 0",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", ODD)
def test_odd_arguments_are_one_line(arrays, case):
    changes, message = ODD[case]
    with pytest.raises(InputError, match=f"^{message}") as error:
        fit_predictor(**{"images": arrays[0], "responses": arrays[1], **RIDGE, **changes})
    assert "\n" not in str(error.value)


def test_odd_images_and_paths_of_a_fitted_predictor_are_one_line(arrays, tmp_path):
    p = fit_predictor(*arrays, alphas=torch.tensor([1.0, 10.0]), names=torch.arange(4), **RIDGE)
    assert list(p.voxels["name"]) == list("0123") and p.predict(arrays[0][:0]).shape == (0, 4)
    strange = {
        "images: float32": torch.rand(3, 48, 48, 3, requires_grad=True), "images: rows of several": [arrays[0][0], [1]],
        "images: 7 values are masked": np.ma.masked_array(
            arrays[0][:1], np.arange(48 * 48 * 3).reshape(1, 48, 48, 3) < 7
        ),
    }  # fmt: skip
    for message, images in strange.items():
        with pytest.raises(InputError, match=f"^{message}"):
            p.predict(images)
    for batch in (2.5, "3", None):
        with pytest.raises(InputError, match=f"^image_batch: {batch!r}: give a whole number"):
            p.predict(arrays[0], image_batch=batch)
    for path in (None, 3, b"p"):
        with pytest.raises(InputError, match=r"^save: .*: give the path of a file"):
            p.save(path)
    with pytest.raises(InputError, match=r"cannot be written .*null"):
        p.save("a\0b")


def test_frames_of_pandas_own_numbers_strides_and_orders_are_taken(arrays):
    images, responses = arrays
    plain = fit_predictor(images, responses, **RIDGE).voxels["r"]
    for given in (pd.DataFrame(responses).astype("Float32"), responses.astype(">f8"), np.asfortranarray(responses)):
        assert np.allclose(fit_predictor(images, given, **RIDGE).voxels["r"], plain, atol=1e-4)
    turned = images[:, ::-1, :, ::-1]
    p = fit_predictor(turned, responses, **RIDGE)
    assert np.array_equal(p.predict(turned), p.predict(np.ascontiguousarray(turned)))
