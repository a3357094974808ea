"""A network that others trained under attack, from its function to its table: the rows of its known answer."""

import shutil
import sys
import types

import numpy as np
import pytest
import torch
from torch import nn

from neurobust.attacks.engine.subject import Subject
from neurobust.attacks.evaluate import NetworkOutputs, attack_network
from neurobust.attacks.helpers import Helpers
from neurobust.attacks.plan import read_plans
from neurobust.attacks.semantic.oracle import Oracle
from neurobust.attacks.transfer import transfer_attacks
from neurobust.attacks.transfer_settings import Transfer
from neurobust.core.io import save_weights
from neurobust.core.settings import read
from neurobust.files.attack_table import read_attack_table
from neurobust.files.auxiliary import AuxiliaryRecord, write_auxiliary_record
from neurobust.files.dataset import read_dataset
from neurobust.files.transfer_table import read_transfer_table
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
        "near": {"method": "perceptual", "budgets": [0, 0.1, 1.0], "steps": 3, "rounds": 2},
    })  # fmt: skip
    torch.manual_seed(0)
    oracle = Oracle(10, width=4)
    save_weights(
        tmp_path / "oracle.safetensors", oracle.state_dict(), {"auxiliary": "oracle", "arguments": oracle.arguments}
    )
    write_auxiliary_record(tmp_path / "oracle.json", AuxiliaryRecord(network="oracle", gates=[], passed=True))
    helpers = Helpers({"oracle": tmp_path / "oracle.safetensors"}, {"oracle": tmp_path / "oracle.json"})

    def attacked(name):
        wanted = read(OutsideNetwork, {"kind": "function", "network": f"guests:{name}", "task": "digits"}, "outside")
        bring_network(dataset, wanted, "guest", tmp_path / "model.safetensors", tmp_path / "metrics.json")
        names = {"architecture": "outside", "condition": "guest"}
        outputs = NetworkOutputs(
            {plan: tmp_path / f"{plan}.parquet" for plan in plans}, tmp_path / "examples.npz", tmp_path / ".cells",
            tmp_path / "checks.json", tmp_path / "transfer.npz",
        )  # fmt: skip
        subject = Subject(dataset, tmp_path / "model.safetensors", 0, 30, names)
        attack_network(subject, plans, outputs, helpers=helpers, transfer=Transfer(budget=64, steps=3, images=12))
        return [read_attack_table(outputs.tables[plan]) for plan in plans]

    return attacked


def test_a_constant_network_stands_where_it_is_right(attacked, dataset):
    data = read_dataset(dataset)
    for frame, record in attacked("constant")[:2]:
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


def test_a_perceptual_attack_breaks_it_within_its_distance(attacked):
    """It reads the oracle of the task, whoever made the network."""
    frame, record = attacked("linear")[2]
    assert record.norm == "lpips" and record.verification["demoted"] == 0 and not record.failed
    broken = frame[frame["success"] & frame["clean_correct"]]
    assert len(broken) and (broken["distance"] <= broken["budget"]).all() and (broken["distance"] > 0).all()


def test_its_adversarials_and_those_of_others_meet(attacked, dataset, tmp_path):
    """Both ways, under the name that it has in the study; its own adversarials break it."""
    attacked("linear")
    files = {"model": [], "transfer": []}
    for folder in ("outside/guest", "small/none"):
        for kind, end in (("model", "safetensors"), ("transfer", "npz")):
            path = tmp_path / folder / "seed0" / f"{kind}.{end}"
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(tmp_path / path.name, path)
            files[kind].append(path)
        attacked("constant")
    out, names = tmp_path / "transfer.parquet", {"task": "digits", "architecture": "small"}
    transfer_attacks(dataset, *files.values(), Transfer(budget=64, steps=3, images=12), out, names)
    table = read_transfer_table(out).set_index(["source_condition", "target_condition"])
    assert len(table) == 4 and table.loc[("guest", "guest"), "accuracy"] < 0.5
    assert (table["accuracy"].xs("none", level="target_condition").dropna() == 1).all(), "it says the same of all"
