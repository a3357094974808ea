"""Transfer: whole budgets, exact counts, and files that do not fit together."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from neurobust.attacks import transfer
from neurobust.attacks.engine.run import compute_cell
from neurobust.attacks.engine.subject import Bench
from neurobust.attacks.norms import lengths
from neurobust.attacks.transfer import Target, Travelling, adversarials_of, ascend, transfer_attacks
from neurobust.attacks.transfer_settings import Transfer
from neurobust.core.errors import InputError
from neurobust.core.io import read_parquet
from neurobust.core.settings import read
from neurobust.files.adversarials import write_adversarials
from neurobust.files.dataset import read_dataset
from neurobust.files.records import write_arrays

SETTINGS = Transfer(budget=24, steps=5)
CPU = torch.device("cpu")
ROWS = np.arange(1400, 1430)


def test_settings_are_checked():
    assert Transfer(budget=8).unit == "1/255" and Transfer(budget=1, norm="l2").unit == "1"
    assert Transfer(budget=8).settings()["steps"] == 10 and Transfer(budget=1, norm="l2").radius == 1
    for bad, message in (
        ({"budget": 0}, r"transfer\.budget: 0"), ({}, "missing key 'budget'"),
        ({"budget": 8, "step": 3}, "unknown key 'step'"), ({"budget": 8, "steps": 0}, r"transfer\.steps: 0"),
        ({"budget": 8, "norm": "l3"}, "'l3' is not known"), ({"budget": 8, "loss": "x"}, "'x' is not known"),
        ({"budget": 8, "method": "fgsm"}, "'fgsm' is not known; choose one of pgd"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=message):
            read(Transfer, bad, "transfer")


def test_the_price_counts_every_pair_of_networks():
    assert Transfer(budget=8).passes(3, 100) == 900 and Transfer(budget=8, images=10).passes(3, 100) == 90
    assert Transfer(budget=8, images=200, steps=4, ensembles=True).passes(2, 100) == 100 * (4 + 16)


def travelled(network, data, settings, attack_batch):
    """What a network's adversarials for others are, on ROWS."""
    bench = Bench(network, data, ROWS, CPU, attack_batch)
    return adversarials_of(compute_cell(Travelling(network, settings), bench, slice(0, len(ROWS)), 0))


@pytest.mark.parametrize(("norm", "budget"), [("linf", 24), ("l2", 1.5)])
def test_the_whole_budget_is_spent_on_the_highest_loss(net, batch, norm, budget):
    settings = Transfer(norm=norm, budget=budget, steps=5)
    images, labels = batch
    points = ascend(net, *batch, settings)
    size, radius = lengths(points.double() - images.double(), norm), settings.radius
    assert (size <= radius * (1 + 1e-6)).all() and size.median() > 0.95 * radius
    assert points.min() >= 0 and points.max() <= 1
    with torch.no_grad():
        margins = [transfer.loss_gradient(net, x, labels, "margin")[0] for x in (images, points)]
        longer = ascend(net, *batch, Transfer(norm=norm, budget=budget, steps=10))
    assert (margins[1] > margins[0]).all()
    assert transfer.loss_gradient(net, longer, labels, "margin")[0].mean() > margins[1].mean() - 0.1
    part = ascend(net, images[3:5], labels[3:5], settings)
    assert torch.allclose(part, points[3:5], atol=2e-3)
    assert all(parameter.grad is None for parameter in net.parameters())


def test_a_clean_error_stays_the_clean_image(net, dataset, toys, digits):
    data = read_dataset(dataset)
    labels = data.labels.copy()
    labels[ROWS[:5]] = (labels[ROWS[:5]] + 1) % 10
    found = travelled(net, replace(data, labels=labels), SETTINGS, 7)
    assert not found.clean_correct[:5].any() and found.clean_correct[5:].mean() > 0.8
    same = (found.adversarial == digits[0][ROWS].astype(np.float32) / np.float32(255)).all((1, 2, 3))
    assert (same == ~found.clean_correct).all() and found.adversarial.dtype == np.float32


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
        write_adversarials(folder / "transfer.npz", travelled(network, read_dataset(dataset), SETTINGS, 16))
        (folder / "model.safetensors").write_bytes(f"{condition}{seed}".encode())
        paths[condition, seed] = folder
    by_path = {paths[key] / "model.safetensors": network for key, network in networks.items()}
    monkeypatch.setattr(transfer, "load_network", lambda path: by_path[path])
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
    write_arrays(path, dict(np.load(path)) | {"adversarial": clean})
    frame, _ = study()
    assert pair(frame, ("none", 0), ("none", 0)).accuracy == 1
    row = pair(frame, ("none", 1), ("none", 0))
    assert row.beyond_white_box == pytest.approx(1 - row.accuracy) and row.beyond_white_box > 0.1


def test_ensembles_are_shown_to_strangers_alone(study):
    frame, _ = study(settings=Transfer(budget=24, steps=5, ensembles=True))
    together = frame[frame.source_seed == -1]
    assert together[["source_condition", "target_condition"]].to_numpy().tolist() == [["none", "V1"]]
    # two exact twins together are one of them
    assert together.accuracy.item() == pytest.approx(pair(frame, ("none", 0), ("V1", 0)).accuracy, abs=0.05)


def test_networks_held_at_once_change_nothing(study):
    frame, _ = study()
    again, _ = study("apart/again.parquet", networks_bytes=1, attack_batch=30)
    assert frame.equals(again)


def test_a_killed_job_goes_on_from_the_pairs_that_it_finished(study, monkeypatch):
    """And a network that is added later meets the others, and they meet it; no other pair is computed again."""
    settings, met = Transfer(budget=24, steps=5, ensembles=True), []
    whole, _ = study("whole/t.parquet", settings=settings)
    meet = Target.meet

    def killed(self, source, found):
        if len(met) == 4:
            raise KeyboardInterrupt
        met.append((source.name, self.key))
        meet(self, source, found)

    monkeypatch.setattr(Target, "meet", killed)
    with pytest.raises(KeyboardInterrupt):
        study("later/t.parquet", settings=settings)

    def counted(self, source, found):
        met.append((source.name, self.key))
        meet(self, source, found)

    monkeypatch.setattr(Target, "meet", counted)
    few = [study.paths[key] for key in (("none", 0), ("V1", 0))]
    study("later/t.parquet", settings=settings, models=[path / "model.safetensors" for path in few],
          adversarials=[path / "transfer.npz" for path in few])  # fmt: skip
    again, _ = study("later/t.parquet", settings=settings)
    assert again.equals(whole)
    assert len(met) == len(set(met)) == 7, "the adversarials of two exact twins are one source"
    monkeypatch.setattr(transfer, "load_network", lambda path: pytest.fail("nothing is left to do"))
    assert study("later/t.parquet", settings=settings)[0].equals(whole)


def test_files_that_do_not_fit_are_one_clear_line(study, tmp_path):
    path = study.paths["none", 1] / "transfer.npz"
    arrays = dict(np.load(path))
    write_arrays(path, arrays | {"adversarial": (arrays["adversarial"] + 0.05).clip(0, 1)})
    with pytest.raises(InputError, match=r"seed1/transfer\.npz: an adversarial lies .* beyond the budget"):
        study()
    write_arrays(path, {key: value[1:] for key, value in arrays.items()})
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
