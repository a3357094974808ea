"""Small classifiers with known weaknesses, and a dataset file of real digits."""

from __future__ import annotations

import copy
import dataclasses
import json
import os
import runpy
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
import torch
from msgspec.structs import replace
from torch import Tensor, nn

from neurobust.attacks.foolbox_attacks import load_foolbox
from neurobust.attacks.plan import read_plan
from neurobust.attacks.run import batch_of
from neurobust.attacks.run import run_attack as run_planned
from neurobust.attacks.search import AttackResult, Batch

os.environ.setdefault("NUMBA_OPT", "0")  # the same numbers, compiled in two thirds of the time
UNDER_ATTACK = runpy.run_path(str(Path(__file__).parents[1] / "networks_under_attack/make.py"))


class Canary(nn.Module):
    """A classifier with one thing done to its input or output."""

    def __init__(self, body: nn.Module, before=None, after=None):
        super().__init__()
        self.body, self.before, self.after = body, before, after

    def forward(self, x: Tensor) -> Tensor:
        x = self.before(x) if self.before else x
        logits = self.body(x)
        return self.after(logits) if self.after else logits


class Scaled(nn.Module):
    """A classifier whose logits grow with how much an image resembles a random pattern of signs; classes stay."""

    def __init__(self, body: nn.Module, growth: float = 0.3):
        super().__init__()
        self.body, self.growth = body, growth
        self.pattern = torch.randn(3, 8, 8, generator=torch.Generator().manual_seed(0)).sign()

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x) * torch.exp(self.growth * ((x - 0.5) * self.pattern).sum((1, 2, 3)))[:, None]


class Seer(nn.Module):
    """An oracle: the maps of the two convolutions of the robust digits net, for images of any size and data type."""

    def __init__(self):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            self.layers = UNDER_ATTACK["load"]("cnn-robust")[:4].requires_grad_(False)

    def maps(self, images: Tensor) -> list[Tensor]:
        layers = self.layers.to(images.dtype)
        first = layers[:2](images)
        return [first, layers[2:](first)]


def linear(classes: int, shape=(3, 5, 4), seed: int = 0) -> nn.Sequential:
    """A random linear classifier: its minimal adversarial distances have a closed form."""
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(int(np.prod(shape)), classes))


def interior_images(model: nn.Module, count: int, shape=(3, 5, 4), seed: int = 1) -> tuple[Tensor, Tensor]:
    """Mid-grey images, far from the box, with the labels that the model gives them."""
    images = torch.rand(count, *shape, generator=torch.Generator().manual_seed(seed)) * 0.2 + 0.4
    return images, model(images).argmax(1)


def closed_form(model: nn.Sequential, images: Tensor, labels: Tensor, norm: str) -> Tensor:
    """Distance to the nearest decision boundary of a linear classifier: logit gap over the dual norm of the normal."""
    weight, logits = model[1].weight.detach().double(), model(images).detach().double()
    normals = weight[labels][:, None] - weight[None]
    dual = normals.abs().sum(2) if norm == "linf" else normals.norm(dim=2)
    gaps = logits.gather(1, labels[:, None]) - logits
    return (gaps / dual).scatter(1, labels[:, None], torch.inf).amin(1)


def tiny_net(classes: int = 5, seed: int = 0, channels: int = 3) -> nn.Sequential:
    """A random convolutional net for any image size, with batch norm and dropout."""
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(channels, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.5),
        nn.Conv2d(8, 8, 3, stride=2, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(),
        nn.Linear(32, classes),
    )  # fmt: skip


def simple_batch(model: nn.Module, images: Tensor, labels: Tensor, budgets) -> Batch:
    """A batch of seed 0 whose images are the first of the data set."""
    return Batch(model, images, labels, tuple(budgets), 0, tuple(range(len(images))), helpers={"oracle": Seer()})


def attack(model, images, labels, settings, *, seed=0, ids=None, pool=None, twins=None, name="attack") -> AttackResult:
    """One attack as a configuration says it, but with any budgets, in the configured unit: without 0, or 0 alone."""
    wanted = settings["budgets"]
    plan = read_plan(name, {**settings, "budgets": [0, max(wanted) or 1]})
    plan = replace(plan, budgets=tuple(map(float, wanted)))
    ids = range(len(images)) if ids is None else ids
    given = batch_of(plan, model, images, labels, seed=seed, ids=ids, pool=pool, twins=twins)
    return run_planned(plan, dataclasses.replace(given, helpers={"oracle": Seer()}))


@pytest.fixture(scope="session")
def run_attack():
    """`attack` above: run_attack(model, images, labels, settings, *, seed, ids, pool, twins, name)."""
    return attack


@pytest.fixture(scope="session")
def digits() -> tuple[np.ndarray, np.ndarray]:
    """Real 8 x 8 digits as uint8 RGB (n, 8, 8, 3) with their labels."""
    return UNDER_ATTACK["read_digits"]()


def to_tensor(images: np.ndarray) -> Tensor:
    return torch.from_numpy(images.astype(np.float32) / np.float32(255)).permute(0, 3, 1, 2).contiguous()


@pytest.fixture(scope="session")
def digits_net(digits) -> nn.Module:
    """A small net that reads digits (accuracy over 0.95 on images it was not shown)."""
    net, images, labels = UNDER_ATTACK["load"]("cnn"), to_tensor(digits[0][1400:]), torch.from_numpy(digits[1][1400:])
    assert (net(images).argmax(1) == labels).float().mean() > 0.95
    return net


@pytest.fixture
def net(digits_net) -> nn.Module:
    """A copy of the digits net that a test may change."""
    return copy.deepcopy(digits_net)


@pytest.fixture(scope="session")
def batch(digits) -> tuple[Tensor, Tensor]:
    """48 digits that the net was not trained on."""
    return to_tensor(digits[0][1400:1448]), torch.from_numpy(digits[1][1400:1448])


@pytest.fixture(scope="session")
def unseen(digits) -> tuple[Tensor, Tensor]:
    """All 397 digits that no net was trained on: where shares are compared, a few images must not decide."""
    return to_tensor(digits[0][1400:]), torch.from_numpy(digits[1][1400:])


@pytest.fixture
def dataset(tmp_path: Path, digits) -> Path:
    """dataset.h5 of the digits: 1400 training images, 30 test images."""
    path = tmp_path / "dataset.h5"
    images, labels = digits[0][:1430], digits[1][:1430]
    with h5py.File(path, "w") as file:
        file["images"], file["labels"] = images, labels
        file["split"] = np.where(np.arange(1430) < 1400, 0, 2).astype(np.uint8)
        file.attrs["task"], file.attrs["classes"] = "digits", json.dumps([str(digit) for digit in range(10)])
    return path


def plain_walker():
    """foolbox's l2 solver of the walk along the boundary, its own code, as Python runs it: not compiled."""
    from foolbox.attacks import brendel_bethge

    walker, inner = (
        type(jitted.__name__, (), {name: method.py_func for name, method in jitted.class_type.jit_methods.items()})
        for jitted in (brendel_bethge.L2Optimizer, brendel_bethge.BFGSB)
    )
    made = walker.__new__(walker)
    made.bfgsb = inner()
    return made


@pytest.fixture
def uncompiled(monkeypatch):
    """Brendel and Bethge's attack without its solver's compilation, half a minute in every process and data type.

    Small images are walked in plain Python long before that; the compiled solver is tested where the attack meets its
    closed form.
    """
    attack = load_foolbox().attacks.L2BrendelBethgeAttack
    monkeypatch.setattr(attack, "instantiate_optimizer", lambda self: plain_walker())


@pytest.fixture(scope="session")
def toys() -> SimpleNamespace:
    """The builders above, for tests (conftest files cannot be imported)."""
    return SimpleNamespace(
        Canary=Canary,
        Scaled=Scaled,
        linear=linear,
        interior_images=interior_images,
        closed_form=closed_form,
        tiny_net=tiny_net,
        batch=simple_batch,
        to_tensor=to_tensor,
        load=UNDER_ATTACK["load"],
        Seer=Seer,
    )
