"""Fixed features, candidate fields and the search for a voxel's field."""

import math

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from torch import nn

from neurobust.core.errors import InputError
from neurobust.predictors.features import GaborEnergy, NetworkMaps, Pixels
from neurobust.predictors.features_settings import LayerMaps
from neurobust.predictors.fit_fwrf import fit_fwrf
from neurobust.predictors.fitting import FitContext
from neurobust.predictors.fixed_features import make_features, most_variable, seeded_network
from neurobust.predictors.fwrf import FwRF, candidate_fields, chosen_fields, field_weights, pool_maps


def grating(frequency, angle, size=64, phase=0.0):
    axis = torch.arange(size) / size * 2 * math.pi * frequency
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    gray = 0.5 + 0.4 * torch.cos(x * math.cos(angle) + y * math.sin(angle) + phase)
    return gray.expand(1, 3, size, size)


def test_gabor_energy_prefers_its_grating_and_ignores_phase_and_brightness():
    bank = GaborEnergy(64, 16, frequencies=[4, 8], orientations=4)
    for k in range(8):
        frequency, angle = (4, 8)[k // 4], math.pi * (k % 4) / 4
        if k % 2:  # whole periods on the torus alone: oblique ones of these frequencies do not fit
            continue
        (maps,) = bank(grating(frequency, angle))
        assert maps.shape == (1, 8, 16, 16) and maps.mean((0, 2, 3)).argmax() == k
        (moved,) = bank(grating(frequency, angle, phase=1.3) * 0.9 + 0.05)
        assert torch.allclose(moved[:, k], maps[:, k] * 0.9**0.5, atol=5e-3)


def test_pixels_are_averaged():
    images = torch.rand(2, 3, 16, 16)
    (maps,) = Pixels(16, 2)(images)
    torch.testing.assert_close(maps[0, 1, 0, 1], images[0, 1, :8, 8:].mean())


def test_network_features_do_not_follow_the_batch_and_keep_chosen_channels():
    torch.manual_seed(0)
    module = NetworkMaps(
        32, 4, "resnet18", ["layer1", "layer2", "flatten"], [2, 3, 4], mean=[0.5] * 3, std=[0.2] * 3
    )  # fmt: skip
    images = torch.rand(3, 3, 32, 32)
    alone = module.train()(images[:1])
    assert [m.shape for m in alone] == [(1, 2, 4, 4), (1, 3, 4, 4), (1, 4, 1, 1)]
    torch.testing.assert_close(alone[0], module(images)[0][:1], rtol=1e-4, atol=1e-5)
    assert not any(".fc." in name for name in module.state_dict()), "what lies behind the last layer is not kept"
    module.kept0.copy_(torch.tensor([5, 7]))
    assert torch.equal(module(images)[0], module.all_maps(images)[0][:, [5, 7]])


def test_the_most_variable_channels_of_each_layer_are_kept_in_order():
    variances = [torch.tensor([1.0, 5.0, 3.0]), torch.tensor([2.0, 1.0, 4.0, 9.0])]
    assert [part.tolist() for part in most_variable(variances, 4)] == [[1, 2], [2, 3]]
    assert [part.tolist() for part in most_variable(variances, None)] == [[0, 1, 2], [0, 1, 2, 3]]


def squeezenet(subject, weights, seed, network="squeezenet1_1"):
    """A seeded network's second layer, and its state."""
    wanted = LayerMaps(map_size=4, network=network, weights=weights, layers=("features.2",))
    return make_features(wanted, FitContext([subject], seed))[0].extractor.state_dict()


def test_random_networks_are_those_of_their_seed_and_files_are_checked(subject, tmp_path):
    state, again, other = (squeezenet(subject, "random", seed) for seed in (0, 0, 1))
    assert all(torch.equal(v, again[k]) for k, v in state.items())
    assert not torch.equal(state["features.0.weight"], other["features.0.weight"])
    for name, kept in (("w.pth", {"state_dict": {f"module.{k}": v for k, v in state.items()}}), ("v.pth", state)):
        torch.save(kept, tmp_path / name)
        read = squeezenet(subject, str(tmp_path / name), 5)
        assert all(torch.equal(v, read[k]) for k, v in state.items())
    assert torch.equal(seeded_network("squeezenet1_1", 0, 48).state_dict()["features.0.bias"], state["features.0.bias"])
    wanted = LayerMaps(map_size=4, network="resnet18", weights=str(tmp_path / "v.pth"), layers=("layer1",))
    with pytest.raises(InputError, match=r"v.pth: not the weights of torchvision's resnet18 for images of 48 px"):
        make_features(wanted, FitContext([subject], 0))


def test_an_unknown_layer_is_named(subject):
    wanted = LayerMaps(map_size=4, network="squeezenet1_1", weights="random", layers=("l1",))
    with pytest.raises(InputError, match=r"layers: \['l1'\] are not nodes of squeezenet1_1"):
        make_features(wanted, FitContext([subject], 0))


def test_candidate_fields_tile_the_image():
    fields = candidate_fields([1.05, 2.1], 1.0)  # degrees: 0.25 and 0.5 half frames
    assert len(fields) == 8 * 8 + 4 * 4
    assert fields[:, :2].abs().max() < 1
    fine = fields[fields[:, 2] == 0.25]
    assert torch.allclose(fine[1, 0] - fine[0, 0], torch.tensor(0.25))


def test_field_weights_are_gaussians_that_sum_to_1_without_denormals():
    fields = torch.tensor([[0.25, -0.5, 0.2], [0.93, 0.93, 0.001]])
    weights = field_weights(fields, 16)
    assert torch.allclose(weights.sum(0), torch.ones(2), atol=1e-4)
    assert ((weights == 0) | (weights >= 1e-7)).all()
    axis = (torch.arange(16) + 0.5) / 16 * 2 - 1
    grid = weights[:, 0].reshape(16, 16)
    assert grid.sum(0) @ axis == pytest.approx(0.25, abs=0.01), "x runs along columns"
    assert grid.sum(1) @ axis == pytest.approx(-0.5, abs=0.01), "y runs down the rows"
    assert weights[:, 1].argmax() == 15 * 16 + 15, "a field narrower than a cell falls into its cell"


def test_fwrf_reads_each_voxel_through_its_own_field():
    model = FwRF({"a": 3, "b": 2}, 32, {"name": "pixels", "map_size": 8})
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        model.field.copy_(torch.tensor([[0.5, 0, 0.3], [-0.5, 0, 0.3], [0.5, 0, 0.3], [0, 0, 0.5], [-0.5, 0, 0.3]]))
        model.weight.normal_(generator=generator)
        model.bias.normal_(generator=generator)
    images = torch.rand(4, 3, 32, 32)
    (maps,) = model.features(images)
    for v in range(5):
        pooled = pool_maps([maps], model.field[v : v + 1])[0]
        torch.testing.assert_close(model(images)[:, v], pooled @ model.weight[v] + model.bias[v])
    assert np.allclose(chosen_fields(model, "b"), [[0, 0, 2.1], [-2.1, 0, 1.26]])


def test_the_search_finds_planted_fields_and_features(subject_maker, read):
    """Voxels that read one Gabor channel through a candidate field: the field is found, and the response predicted."""
    data = subject_maker(images=160, voxels=3, size=48)
    data.split = np.repeat([0, 1, 2], [100, 30, 30]).astype(np.uint8)
    rng = np.random.default_rng(0)
    small = rng.integers(0, 256, (160, 12, 12, 1))
    data.images = np.repeat(np.repeat(np.repeat(small, 4, 1), 4, 2), 3, 3).astype(np.uint8)
    fields = candidate_fields([0.8, 1.6], 1.0)
    planted = torch.tensor([20, 55, len(fields) - 3])
    bank = GaborEnergy(48, 16, [6], 2)
    images = torch.from_numpy(data.images).permute(0, 3, 1, 2).float() / 255
    pooled = pool_maps(bank(images), fields[planted])
    signal = torch.stack([pooled[k][:, k % 2] for k in range(3)], 1).numpy()
    data.responses = ((signal - signal.mean(0)) / signal.std(0)).astype(np.float32)
    settings = {"kind": "gabor-fwrf", "input_size": 48, "map_size": 16, "frequencies": [6], "orientations": 2,
                "field_sizes": [0.8, 1.6], "field_spacing": 1.0, "alphas": [0.01, 1.0, 100.0]}  # fmt: skip
    fitted = fit_fwrf(read(settings), FitContext([data], 0))
    model, config, history = fitted.model, fitted.config, fitted.history
    assert torch.allclose(model.field, fields[planted])
    with torch.no_grad():
        assert torch.allclose(model(images), torch.from_numpy(data.responses), atol=0.05)
    assert history[0]["validation_r"] > 0.99 and config["features"]["name"] == "gabor"


@pytest.mark.parametrize("orientations", [4, 30])
def test_weights_of_a_field_are_those_of_ridge_with_fewer_and_more_channels_than_images(subject, read, orientations):
    """40 training images, 8 channels or 60: the dual form gives scikit-learn's weights too."""
    settings = {"kind": "gabor-fwrf", "input_size": 48, "map_size": 8, "frequencies": [3, 6],
                "orientations": orientations, "field_sizes": [2.0], "field_spacing": 2.0, "alphas": [10.0]}  # fmt: skip
    model = fit_fwrf(read(settings), FitContext([subject], 0)).model
    images = torch.from_numpy(subject.pictures(subject.rows_of(0))).permute(0, 3, 1, 2) / 255
    with torch.no_grad():
        maps = model.features(images)
    for v in range(subject.voxels):
        x = pool_maps(maps, model.field[v : v + 1])[0].double().numpy()
        mean, std = x.mean(0), x.std(0, ddof=1)
        wanted = Ridge(10.0).fit((x - mean) / std, subject.responses[subject.rows_of(0), v])
        assert np.allclose(model.weight[v].detach().numpy() * std, wanted.coef_, atol=2e-3)
        assert np.isclose(model.bias[v].item() + model.weight[v].detach().numpy() @ mean, wanted.intercept_, atol=1e-2)


def test_every_feature_is_a_module_without_trained_state_of_its_own():
    for module in (Pixels(32, 4), GaborEnergy(32, 4, [4], 2)):
        assert isinstance(module, nn.Module) and not module.state_dict() and module.channels
