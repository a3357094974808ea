"""Transfer: whole budgets, exact counts, and files that do not fit together."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from neurobust.attacks import transfer
from neurobust.attacks.norms import lengths
from neurobust.attacks.transfer import ascend, resolve_transfer, transfer_attacks, transfer_cell, write_adversarials
from neurobust.core.errors import InputError
from neurobust.core.io import memmap_dataset, read_parquet

SETTINGS = {"method": "pgd", "norm": "linf", "budget": 24, "steps": 5, "loss": "margin"}
CPU = torch.device("cpu")
ROWS = np.arange(1400, 1430)


def test_settings_are_checked():
    assert (
        resolve_transfer({"budget": 8})["unit"] == "1/255"
        and resolve_transfer({"budget": 1, "norm": "l2"})["unit"] == "1"
    )
    for bad, message in (
        ({"budget": 0}, "a budget over 0"), ({}, "a budget over 0"), ({"budget": 8, "step": 3}, "'step' is unknown"),
        ({"budget": 8, "steps": 0}, "at least one step"), ({"budget": 8, "norm": "l3"}, "norm 'l3'"),
        ({"budget": 8, "loss": "x"}, "loss 'x'"), ({"budget": 8, "method": "fgsm"}, "give method pgd"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=message):
            resolve_transfer(bad)


@pytest.mark.parametrize(("norm", "budget"), [("linf", 24), ("l2", 1.5)])
def test_the_whole_budget_is_spent_on_the_highest_loss(net, batch, norm, budget):
    settings = resolve_transfer({**SETTINGS, "norm": norm, "budget": budget})
    images, labels = batch
    points = ascend(net, *batch, settings)
    size, radius = lengths(points.double() - images.double(), norm), transfer.radius_of(settings)
    assert (size <= radius * (1 + 1e-6)).all() and size.median() > 0.95 * radius
    assert points.min() >= 0 and points.max() <= 1
    with torch.no_grad():
        margins = [transfer.loss_gradient(net, x, labels, "margin")[0] for x in (images, points)]
        longer = ascend(net, *batch, settings | {"steps": 10})
    assert (margins[1] > margins[0]).all()
    assert transfer.loss_gradient(net, longer, labels, "margin")[0].mean() > margins[1].mean() - 0.1
    part = ascend(net, images[3:5], labels[3:5], settings)
    assert torch.allclose(part, points[3:5], atol=2e-3)
    assert all(parameter.grad is None for parameter in net.parameters())


def test_a_clean_error_stays_the_clean_image(net, dataset, toys, digits):
    pixels, labels = memmap_dataset(dataset, "images"), digits[1][ROWS].copy()
    labels[:5] = (labels[:5] + 1) % 10
    arrays = transfer_cell(net, pixels, ROWS, labels, resolve_transfer(SETTINGS), 7, CPU)
    assert not arrays["clean_correct"][:5].any() and arrays["clean_correct"][5:].mean() > 0.8
    same = (arrays["adversarial"] == digits[0][ROWS].astype(np.float32) / np.float32(255)).all((1, 2, 3))
    assert (same == ~arrays["clean_correct"]).all() and arrays["adversarial"].dtype == np.float32


@pytest.fixture
def study(tmp_path, monkeypatch, dataset, net, toys, digits):
    """transfer_attacks(**changes) on three networks: a net, its exact twin, and one of another kind."""
    torch.manual_seed(3)
    other = toys.linear(10, (3, 8, 8))
    images, labels = toys.to_tensor(digits[0][:1400]), torch.from_numpy(digits[1][:1400])
    features = torch.cat([images.flatten(1), torch.ones(1400, 1)], 1)
    weights = torch.linalg.lstsq(features, torch.nn.functional.one_hot(labels, 10).float(), driver="gelsd").solution
    other[1].weight.data, other[1].bias.data = weights[:-1].T.contiguous(), weights[-1]
    networks = {("none", 0): net, ("none", 1): net, ("V1", 0): other}
    paths = {}
    for (condition, seed), network in networks.items():
        folder = tmp_path / condition / f"seed{seed}"
        arrays = transfer_cell(
            network, memmap_dataset(dataset, "images"), ROWS, digits[1][ROWS], resolve_transfer(SETTINGS), 16, CPU
        )
        write_adversarials(folder / "transfer.npz", arrays)
        (folder / "model.safetensors").write_bytes(f"{condition}{seed}".encode())
        paths[condition, seed] = folder
    by_path = {paths[key] / "model.safetensors": network for key, network in networks.items()}
    reader = SimpleNamespace(load_network=lambda path: by_path[path])
    monkeypatch.setitem(sys.modules, "neurobust.networks.architectures", reader)
    monkeypatch.setattr(transfer, "pick_device", lambda: CPU)

    def run(name="t.parquet", **changes):
        arguments = {
            "dataset": dataset, "models": [path / "model.safetensors" for path in paths.values()],
            "adversarials": [path / "transfer.npz" for path in reversed(paths.values())], "settings": SETTINGS,
            "output": tmp_path / name, "names": {"task": "digits", "architecture": "tiny"}, "attack_batch": 8,
        }  # fmt: skip
        transfer_attacks(**(arguments | changes))
        return read_parquet(tmp_path / name)

    run.networks, run.paths = networks, paths
    return run


def pair(frame, source, target):
    row = frame[(frame.source_condition == source[0]) & (frame.source_seed == source[1])]
    row = row[(row.target_condition == target[0]) & (row.target_seed == target[1])]
    assert len(row) == 1
    return row.iloc[0]


def test_every_pair_is_counted_exactly(study, digits, toys):
    frame, attrs = study()
    assert len(frame) == 9 and attrs["settings"]["budget"] == 24 and attrs["task"] == "digits"
    labels, clean = digits[1][ROWS], toys.to_tensor(digits[0][ROWS])
    for source in study.networks:
        arrays = np.load(study.paths[source] / "transfer.npz")
        points = torch.from_numpy(arrays["adversarial"]).permute(0, 3, 1, 2)
        own = np.load(study.paths[source] / "transfer.npz")["clean_correct"]
        for target, network in study.networks.items():
            row, shared, right = pair(frame, source, target), 0, 0
            for index in range(len(ROWS)):  # slow: one image at a time
                reads = network(clean[index : index + 1]).argmax().item() == labels[index]
                shared += reads and own[index]
                right += reads and own[index] and network(points[index : index + 1]).argmax().item() == labels[index]
            assert row.n == len(ROWS) and row.n_shared == shared
            assert row.accuracy == pytest.approx(right / shared)
            assert row.clean_accuracy == pytest.approx(np.mean(network(clean).argmax(1).numpy() == labels))


def test_a_twin_of_the_same_weights_is_attacked_as_from_inside(study):
    frame, _ = study()
    inside, twin, stranger = (pair(frame, key, ("none", 0)) for key in (("none", 0), ("none", 1), ("V1", 0)))
    assert twin.accuracy == inside.accuracy < stranger.accuracy
    assert inside.beyond_white_box == twin.beyond_white_box == 0


def test_an_attack_that_was_fooled_is_beaten_from_elsewhere(study, digits):
    """A network whose own adversarials are its clean images: its twin's break what its own leave standing."""
    path = study.paths["none", 0] / "transfer.npz"
    clean = digits[0][ROWS].astype(np.float32) / np.float32(255)
    write_adversarials(path, dict(np.load(path)) | {"adversarial": clean})
    frame, _ = study()
    assert pair(frame, ("none", 0), ("none", 0)).accuracy == 1
    row = pair(frame, ("none", 1), ("none", 0))
    assert row.beyond_white_box == pytest.approx(1 - row.accuracy) and row.beyond_white_box > 0.1


def test_ensembles_are_shown_to_strangers_alone(study):
    frame, _ = study(settings={**SETTINGS, "ensembles": True})
    together = frame[frame.source_seed == -1]
    assert together[["source_condition", "target_condition"]].to_numpy().tolist() == [["none", "V1"]]
    # two exact twins together are one of them
    assert together.accuracy.item() == pytest.approx(pair(frame, ("none", 0), ("V1", 0)).accuracy, abs=0.05)


def test_networks_held_at_once_change_nothing(study):
    frame, _ = study()
    again, _ = study("again.parquet", networks_batch=1, attack_batch=30)
    assert frame.equals(again)


def test_files_that_do_not_fit_are_one_clear_line(study, tmp_path):
    path = study.paths["none", 1] / "transfer.npz"
    arrays = dict(np.load(path))
    write_adversarials(path, arrays | {"adversarial": (arrays["adversarial"] + 0.05).clip(0, 1)})
    with pytest.raises(InputError, match=r"seed1/transfer\.npz: an adversarial lies .* beyond the budget"):
        study()
    write_adversarials(path, {key: value[1:] for key, value in arrays.items()})
    with pytest.raises(InputError, match="hold other images"):
        study()
    path.write_bytes(b"half")
    with pytest.raises(InputError, match=r"transfer\.npz: not a readable file"):
        study()
    with pytest.raises(InputError, match="differ"):
        study(models=[study.paths["V1", 0] / "model.safetensors"])
    with pytest.raises(InputError, match="pass the pipeline's own"):
        study(models=[tmp_path / "a" / "b" / "model.safetensors"])
    assert not (tmp_path / "t.parquet").exists()
