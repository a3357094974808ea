"""A network that others trained under attack, from its function to its table: the rows of its known answer."""

import sys
import types

import numpy as np
import pytest
import torch
from torch import nn

from neurobust.attacks.engine.subject import Subject
from neurobust.attacks.evaluate import NetworkOutputs, attack_network
from neurobust.attacks.plan import read_plans
from neurobust.core.settings import read
from neurobust.files.attack_table import read_attack_table
from neurobust.files.dataset import read_dataset
from neurobust.networks.outside import bring_network
from neurobust.networks.outside_settings import OutsideNetwork

BUDGETS = [0, 4, 16, 64]


class Constant(nn.Module):
    """Says class 3 of everything, with a slope that leads nowhere."""

    def forward(self, images):
        return 1e-3 * images.mean((1, 2, 3))[:, None] + nn.functional.one_hot(torch.tensor(3), 10)[None]


@pytest.fixture
def attacked(dataset, toys, tmp_path, monkeypatch):
    """A function: the table of PGD on a network that a function of ours gives, and the network's body."""
    module = types.ModuleType("guests")
    module.constant, module.linear = Constant, lambda: toys.linear(10, shape=(3, 8, 8))
    monkeypatch.setitem(sys.modules, "guests", module)
    plans = read_plans({
        "pgd": {"method": "pgd", "norm": "linf", "steps": 20, "loss": "margin", "budgets": BUDGETS},
        "joint": {"method": "adaptive-joint", "norm": "linf", "steps": 3, "budgets": BUDGETS},
    })  # fmt: skip

    def attacked(name):
        wanted = read(OutsideNetwork, {"kind": "function", "network": f"guests:{name}", "task": "digits"}, "outside")
        bring_network(dataset, wanted, "guest", tmp_path / "model.safetensors", tmp_path / "metrics.json")
        names = {"architecture": "outside", "condition": "guest"}
        outputs = NetworkOutputs(
            {plan: tmp_path / f"{plan}.parquet" for plan in plans}, tmp_path / "examples.npz", tmp_path / ".cells",
            tmp_path / "checks.json",
        )  # fmt: skip
        attack_network(Subject(dataset, tmp_path / "model.safetensors", 0, 30, names), plans, outputs)
        return [read_attack_table(outputs.tables[plan]) for plan in plans]

    return attacked


def test_a_constant_network_stands_where_it_is_right(attacked, dataset):
    data = read_dataset(dataset)
    for frame, record in attacked("constant"):
        right = data.labels[frame["image"]] == 3
        assert (frame["success"].to_numpy() == ~right).all() and 0 < right.mean() < 1
        assert (record.architecture, record.condition, record.seed) == ("outside", "guest", 0)
    assert record.space == "logits", "it has no neural head and no features"


def test_a_linear_network_falls_at_its_closed_form(attacked, dataset, toys):
    """No image falls at a budget below its distance to the boundary in closed form."""
    frame, _ = attacked("linear")[0]
    data, body = read_dataset(dataset), toys.linear(10, shape=(3, 8, 8))
    rows = frame["image"].unique()
    images, labels = toys.to_tensor(data.images[rows]), torch.from_numpy(data.labels[rows])
    distance = toys.closed_form(body, images, labels, "linf").numpy()
    right = (body(images).argmax(1) == labels).numpy()
    success = frame["success"].to_numpy().reshape(len(rows), len(BUDGETS))
    assert success[~right].all() and right.any()
    for place, budget in enumerate(BUDGETS):
        assert not success[right & (distance > budget / 255 * 1.001), place].any(), "no budget does more than it may"
    assert np.array_equal(success[:, 0], ~right)
