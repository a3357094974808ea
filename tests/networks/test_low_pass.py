"""References that change what a network sees: a low-pass filter inside it, and images with a random cue."""

from dataclasses import replace

import h5py
import numpy as np
import pytest
import torch

from neurobust.core.errors import InputError
from neurobust.core.io import load_weights, read_json
from neurobust.files.dataset import read_dataset
from neurobust.networks.architectures import build_network, load_network
from neurobust.networks.conditions import read_recipe
from neurobust.networks.inputs import NetworkInputs, NetworkOutputs
from neurobust.networks.low_pass import LowPass, filter_matrix, matched_cutoff
from neurobust.networks.train import train_network
from neurobust.networks.trainer import Trainer


def wave(down, across, height, width):
    """cos(2 pi f y) cos(2 pi f x) with so many cycles per image, at the middles of the pixels."""
    y, x = ((torch.arange(n, dtype=torch.float64) + 0.5) / n for n in (height, width))
    return (2 * torch.pi * down * y).cos()[:, None] * (2 * torch.pi * across * x).cos()


@pytest.mark.parametrize(("height", "width"), [(32, 32), (24, 32)])
@pytest.mark.parametrize("cutoff", [2.0, 5.0])
def test_a_wave_keeps_what_the_closed_form_says(height, width, cutoff):
    layer = LowPass(cutoff, 32).double()
    for down, across in ((0, 0), (cutoff, 0), (0, cutoff), (3, 1.5), (2.5, 10)):
        image = 0.5 + 0.3 * wave(down, across, height, width)
        kept = 2.0 ** (-(down**2 + across**2) / cutoff**2)
        expected = 0.5 + 0.3 * (kept if down or across else 1) * wave(down, across, height, width)
        torch.testing.assert_close(layer(image.expand(2, 3, -1, -1)), expected.expand(2, 3, -1, -1), atol=1e-6, rtol=0)


def test_the_cut_off_halves_and_the_mean_stays():
    assert 2.0 ** -((4.0 / 4.0) ** 2) == 0.5
    images = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    found = LowPass(4.0, 32)(images)
    torch.testing.assert_close(found.mean((2, 3)), images.mean((2, 3)))
    assert found.min() >= 0 and found.max() <= 1, "its kernel has no negative lobes"
    assert filter_matrix(32, 4.0).min() > -1e-6
    wide = LowPass(1e6, 32)(images)
    torch.testing.assert_close(wide, images, atol=1e-5, rtol=0)


def train(folder, recipe, inputs, checkpoint=None):
    folder.mkdir(exist_ok=True)
    outputs = NetworkOutputs(folder / "m.safetensors", folder / "m.json", folder / "h.parquet", checkpoint)
    train_network(inputs, read_recipe(recipe), 0, outputs, {"condition": "x"})
    return load_weights(outputs.model), read_json(outputs.metrics)


def reference(recipe, kind, **settings):
    return {**recipe, "condition": {"weight": 0.5, "reference": {"kind": kind, **settings}}}


def same(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


def test_the_saved_network_has_its_filter(tmp_path, dataset, recipe):
    (state, config), _ = train(tmp_path / "run", reference(recipe, "low-pass", cutoff=2), NetworkInputs(dataset))
    network = load_network(tmp_path / "run" / "m.safetensors")
    assert config["low_pass"] == 2.0 and network.low_pass.cutoff == 2.0
    plain = build_network("tiny", 4, image_size=16).eval()
    assert state.keys() == plain.state_dict().keys(), "the filter has no weights"
    plain.load_state_dict(state)
    pixels = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(network(pixels), plain(LowPass(2.0, 16)(pixels)))
    assert not torch.allclose(network(pixels), plain(pixels), atol=1e-3)


def test_an_attack_sees_through_the_filter(tmp_path, dataset, recipe):
    """Fine detail moves nothing, and the gradient, which is not zero, has none."""
    train(tmp_path / "run", reference(recipe, "low-pass", cutoff=2), NetworkInputs(dataset))
    network = load_network(tmp_path / "run" / "m.safetensors")
    pixels = torch.full((1, 3, 16, 16), 0.5) + 0.1 * wave(1, 1, 16, 16).float()
    fine = 0.2 * wave(7.5, 7.5, 16, 16).float()
    torch.testing.assert_close(network(pixels), network(pixels + fine), atol=1e-4, rtol=0)
    pixels.requires_grad_(True)
    network(pixels)[0, 0].backward()
    gradient = pixels.grad
    assert gradient.abs().max() > 1e-4
    assert (gradient * fine).sum().abs() < 1e-4 * gradient.norm() * fine.norm()


def test_other_networks_say_nothing_of_a_filter(tmp_path, dataset, recipe):
    (_, config), _ = train(tmp_path / "run", {**recipe, "condition": {"weight": 0.5}}, NetworkInputs(dataset))
    assert "low_pass" not in config and load_network(tmp_path / "run" / "m.safetensors").low_pass is None


@pytest.mark.parametrize("cutoff", [2.0, 4.0, 6.0])
def test_the_cut_off_that_matches_a_filtered_network_is_its_filter_s(cutoff):
    """Linear networks with weights of noise behind a filter: the gradients are filtered noise."""
    layer = LowPass(cutoff, 32)
    weights = torch.randn(10, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    pixels = torch.rand(50, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    found = matched_cutoff(
        lambda images: layer(images).flatten(1) @ weights.flatten(1).T, pixels, torch.arange(50) % 10
    )
    assert found == pytest.approx(cutoff, abs=0.6), "frequencies are multiples of 1/2 in each direction"


def test_a_filter_is_matched_with_a_guided_network(tmp_path, dataset, predictor_file, recipe):
    """The saved network has the cut-off that the guided one's gradients say, and a file that is not there is named."""
    guided = {**recipe, "condition": {"target": "V1", "loss": "mse", "weight": 0.5}}
    train(tmp_path / "guided", guided, NetworkInputs(dataset, (predictor_file,)))
    weights = tmp_path / "guided" / "m.safetensors"
    given = reference(recipe, "low-pass", match="V1")
    (_, config), metrics = train(tmp_path / "run", given, NetworkInputs(dataset, guided=(weights,)))
    data = read_dataset(dataset)
    pixels = torch.from_numpy(data.images[data.rows(0)]).permute(0, 3, 1, 2) / 255
    expected = matched_cutoff(load_network(weights), pixels, torch.from_numpy(data.labels[data.rows(0)]))
    assert config["low_pass"] == pytest.approx(expected) and 0.5 < expected < 16
    assert load_network(tmp_path / "run" / "m.safetensors").low_pass.cutoff == config["low_pass"]
    assert "guided0" in metrics["provenance"]["inputs"]
    with pytest.raises(
        InputError, match=r"^recipe\.condition\.reference: one that is matched with a network goes with"
    ):
        train(tmp_path / "none", given, NetworkInputs(dataset))


def test_the_oracle_trains_on_exactly_the_images_with_a_random_cue(tmp_path, cued, recipe):
    data = read_dataset(cued)
    trainer = Trainer(NetworkInputs(cued), data, read_recipe(reference(recipe, "oracle-cue")), 0, 32)
    rows = np.array([3, 40, 7])
    _, shown, _ = trainer._read(((0, 0), rows))
    shown = np.asarray(shown)
    np.testing.assert_array_equal(shown, data.random_cue[rows])
    assert (shown != data.images[rows]).any((1, 2, 3)).all()
    (state, _), metrics = train(tmp_path / "oracle", reference(recipe, "oracle-cue"), NetworkInputs(cued))

    swapped = tmp_path / "swapped.h5"  # `none` on a task that has these images gives the same weights
    with h5py.File(cued) as source, h5py.File(swapped, "w") as file:
        file.create_dataset("images", data=source["random_cue"][:])
        file["labels"], file["split"] = source["labels"][:], source["split"][:]
        file.attrs.update(dict(source.attrs))
    (expected, _), _ = train(tmp_path / "none", {**recipe, "condition": {"weight": 0.5}}, NetworkInputs(swapped))
    assert same(state, expected)

    network = load_network(tmp_path / "oracle" / "m.safetensors")  # measured on the task's own images
    rows = data.rows(2)
    with torch.no_grad():
        hits = network(torch.from_numpy(data.images[rows]).permute(0, 3, 1, 2) / 255).argmax(1).numpy()
    assert metrics["clean_accuracy"] == (hits == data.labels[rows]).mean()


def test_a_task_without_a_cue_has_no_oracle(dataset, recipe):
    data = replace(read_dataset(dataset))
    with pytest.raises(InputError, match=r"dataset\.h5: no 'random_cue', which the reference 'oracle-cue' trains on"):
        Trainer(NetworkInputs(dataset), data, read_recipe(reference(recipe, "oracle-cue")), 0, 32)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "augment"), [("low-pass", "none"), ("oracle-cue", "none"), ("oracle-cue", "crop-flip")]
)
def test_killed_and_resumed_is_identical(tmp_path, killed_in_epoch, cued, recipe, kind, augment):
    given, inputs = reference({**recipe, "augment": augment}, kind), NetworkInputs(cued)
    (whole, _), _ = train(tmp_path / "whole", given, inputs)
    with killed_in_epoch(2):
        train(tmp_path / "resumed", given, inputs, tmp_path / "checkpoint.pt")
    (resumed, _), _ = train(tmp_path / "resumed", given, inputs, tmp_path / "checkpoint.pt")
    assert same(resumed, whole)
