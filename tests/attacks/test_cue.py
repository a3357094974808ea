"""Cue conflict: against answers worked out by hand, and through the engine as every other attack."""

import h5py
import numpy as np
import pytest
import torch
from msgspec.structs import replace
from torch import nn

from neurobust.attacks.bounded import COUNTS, Bounded
from neurobust.attacks.engine.subject import Subject
from neurobust.attacks.evaluate import NetworkOutputs, attack_network
from neurobust.attacks.plan import read_plan
from neurobust.attacks.run import run_attack as run_planned
from neurobust.attacks.search import Batch
from neurobust.attacks.verify import verify
from neurobust.core.errors import InputError
from neurobust.files.dataset import read_dataset

CONFLICT = {"method": "cue-conflict", "budgets": [0, 0.25, 0.5, 1]}


class Reader(nn.Module):
    """Two classes, read off one pixel's red: class 1 where it is brighter than `threshold`."""

    def __init__(self, row, threshold=0.5):
        super().__init__()
        self.row, self.threshold = row, threshold

    def forward(self, images):
        evidence = images[:, 0, self.row, 0] - self.threshold
        return torch.stack([-evidence, evidence], 1)


SHAPE, CUE = 0, 3  # rows of the pixels that tell the shape and the cue


@pytest.fixture
def task():
    """Images of two classes whose shape and cue agree, their labels, and twins with the other class's cue."""
    labels = torch.arange(8) % 2
    images = torch.full((8, 3, 4, 4), 0.3)
    images[:, 0, SHAPE, 0] = images[:, 0, CUE, 0] = labels.float() * 0.6 + 0.2  # 0.2 or 0.8
    twins = images.clone()
    twins[:, 0, CUE, 0] = 1 - images[:, 0, CUE, 0]
    return images, labels, twins


def test_against_the_answer_by_hand(run_attack, task):
    """At a share t the cue's pixel is 0.8 - 0.6 t for class 1 and 0.2 + 0.6 t for class 0.

    A threshold of 0.7 is passed at 1/6 and at 5/6, one of 0.4 at 2/3 and at 1/3.
    """
    images, labels, twins = task
    for threshold, broken in ((0.7, {1: 1, 0: 3}), (0.4, {1: 3, 0: 2})):
        result = run_attack(Reader(CUE, threshold), images, labels, CONFLICT, twins=twins)
        expected = [broken[int(label)] for label in labels]
        assert result.first.tolist() == expected, threshold
        assert result.distance.tolist() == [CONFLICT["budgets"][first] for first in expected]
        shares = result.distance.float().view(-1, 1, 1, 1)
        assert torch.allclose(result.adversarial, images + shares * (twins - images))
        assert not result.n_backward.any()


def test_a_reader_of_the_cue_falls_and_a_reader_of_the_shape_stands(run_attack, task):
    images, labels, twins = task
    whole = {"method": "cue-conflict", "budgets": [0, 1]}
    falls = run_attack(Reader(CUE), images, labels, whole, twins=twins)
    stands = run_attack(Reader(SHAPE), images, labels, whole, twins=twins)
    assert falls.clean_correct.all() and falls.success[:, 1].all() and not falls.success[:, 0].any()
    assert stands.clean_correct.all() and not stands.success.any() and stands.distance.isnan().all()
    assert torch.equal(stands.adversarial, images)


def test_clean_errors_are_broken_at_no_cost(run_attack, task):
    images, labels, twins = task
    result = run_attack(Reader(CUE), images, 1 - labels, CONFLICT, twins=twins)
    assert not result.clean_correct.any() and (result.first == 0).all() and (result.distance == 0).all()
    assert result.n_forward[:, 1:].sum() == 0 and torch.equal(result.adversarial, images)


def test_only_standing_images_are_tried_and_paid(run_attack, task):
    images, labels, twins = task
    result = run_attack(Reader(CUE, 0.7), images, labels, CONFLICT, twins=twins)
    assert result.n_forward[labels == 1].tolist() == [[1, 1, 0, 0]] * 4
    assert result.n_forward[labels == 0].tolist() == [[1, 1, 1, 1]] * 4
    price = read_plan("a", CONFLICT).passes
    assert price == 3 and (result.n_forward.sum(1) <= price + 1).all()  # and the clean pass of every attack


def test_a_twin_that_is_the_image_breaks_nothing(run_attack, task):
    """The world without a cue: the attack is no attack."""
    images, labels, _ = task
    assert not run_attack(Reader(CUE), images, labels, CONFLICT, twins=images.clone()).success.any()


def test_the_share_is_exact_at_both_ends(run_attack, toys):
    torch.manual_seed(0)
    images, twins = torch.rand(6, 3, 5, 4), torch.rand(6, 3, 5, 4)
    model = toys.linear(3)
    labels = model(images).argmax(1)
    result = run_attack(model, images, labels, {"method": "cue-conflict", "budgets": [0, 1]}, twins=twins)
    fallen = model(twins).argmax(1) != labels
    assert torch.equal(result.success[:, 1], fallen) and fallen.sum() > 0
    assert torch.equal(result.adversarial[fallen], twins[fallen])


def test_verified_as_every_other_attack(task):
    """A share beyond the budget, a pixel outside the box or a label that holds is demoted."""
    images, labels, twins = task
    model, plan = Reader(CUE), read_plan("cue", CONFLICT)
    batch = Batch(model, images, labels, plan.radii, 0, tuple(range(8)), twins=twins)
    result = run_planned(plan, batch)
    checked, counts = verify(model, images, labels, result, plan.norm)
    assert counts == {"checked": 8, "demoted": 0, "bounds": 0, "distance": 0, "label": 0}
    assert torch.equal(checked.first, result.first) and torch.equal(checked.distance, result.distance)
    result.adversarial[0], result.distance[1] = images[0], 1.5
    result.adversarial[2, 1, 1, 1] = 1.01
    checked, counts = verify(model, images, labels, result, plan.norm)
    assert counts == {"checked": 8, "demoted": 3, "bounds": 1, "distance": 1, "label": 1}
    assert checked.first[:3].tolist() == [4, 4, 4]


@pytest.mark.parametrize("twins", [None, torch.rand(7, 3, 4, 4)])
def test_without_twins_it_is_one_line(run_attack, task, twins):
    images, labels, _ = task
    with pytest.raises(InputError, match=r"twins of images .* are missing") as error:
        run_attack(Reader(CUE), images, labels, CONFLICT, twins=twins)
    assert "\n" not in str(error.value)


def test_more_than_the_whole_way_is_refused():
    with pytest.raises(InputError, match=r"cue\.budgets: 2 is over 1"):
        read_plan("cue", {"method": "cue-conflict", "budgets": [0, 2]})


# --- through the engine ---


@pytest.fixture
def cued(dataset):
    """The digits with a cue: the twins' upper left corner is bright."""
    with h5py.File(dataset, "a") as file:
        images = file["images"][:]
        file["cue"] = file["labels"][:]
        for name, value in (("random_cue", 90), ("conflict", 255)):
            twins = images.copy()
            twins[:, :3, :3] = value
            file[name] = twins
    return dataset


@pytest.mark.parametrize("size", [1, 7, 30])
def test_the_method_takes_each_image_its_own_twin_whatever_the_batch(cued, digits_net, size):
    data, plan = read_dataset(cued), read_plan("cue", CONFLICT)
    rows = data.examined(30)
    method = Bounded(plan, digits_net, 0, data=data)
    images = torch.from_numpy(data.images[rows] / np.float32(255)).permute(0, 3, 1, 2).contiguous()
    labels = torch.from_numpy(data.labels[rows])
    parts = [
        method.attack(images[start : start + size], labels[start : start + size], tuple(rows[start : start + size]), 30)
        for start in range(0, 30, size)
    ]
    found = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    twins = torch.from_numpy(data.conflict[rows] / np.float32(255)).permute(0, 3, 1, 2)
    first = np.full(30, 4)
    for index, share in reversed(list(enumerate(CONFLICT["budgets"]))):
        wrong = (digits_net(images + share * (twins - images)).argmax(1) != labels).numpy()
        first[wrong] = index
    assert np.array_equal(found["first"], first) and (first < 4).sum() > 0
    assert found["counts"][:, COUNTS.index("demoted")].sum() == 0


def outputs(folder, plans):
    return NetworkOutputs(
        tables={name: folder / f"{name}.parquet" for name in plans},
        examples=folder / "examples.npz", checks=folder / "checks.json", cells=folder / ".cells",
    )  # fmt: skip


def test_a_job_writes_its_table_and_one_without_a_cue_says_so(tmp_path, cued, digits_net, monkeypatch):
    import pandas as pd

    from neurobust.attacks import evaluate

    monkeypatch.setattr(evaluate, "load_network", lambda path, neural_head=False: digits_net)
    model = tmp_path / "model.safetensors"
    model.write_bytes(b"-")
    names = {"task": "digits", "architecture": "cnn", "condition": "none"}
    subject, plans = Subject(cued, model, 0, 12, names), {"cue": read_plan("cue", CONFLICT)}
    attack_network(subject, plans, outputs(tmp_path / "out", plans))
    table = pd.read_parquet(tmp_path / "out/cue.parquet")
    assert len(table) == 12 * 4 and set(table["budget"]) == {0, 0.25, 0.5, 1}
    with h5py.File(cued, "a") as file:
        for name in ("cue", "random_cue", "conflict"):
            del file[name]
    with pytest.raises(InputError, match=r"dataset\.h5: its images bear no cue") as error:
        attack_network(subject, plans, outputs(tmp_path / "again", plans))
    assert "\n" not in str(error.value)


def test_the_parameters_of_the_other_attacks_do_not_change():
    plan = read_plan("cue", CONFLICT)
    assert plan.settings() == {"method": "cue-conflict", "unit": "1", "budgets": [0, 0.25, 0.5, 1], "norm": "cue"}
    assert plan.attack.unit == "of the conflicting cue" and replace(plan, budgets=(0.0, 1.0)).passes == 1
