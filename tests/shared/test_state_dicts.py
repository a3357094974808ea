"""Weights of others: what a file may be, and what is said of one that it may not."""

import argparse

import pytest
import torch
from torch import nn

from neurobust.core.errors import InputError
from neurobust.core.state_dicts import fill_part, read_state


def layers():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2)).eval()


WEIGHTS = layers().state_dict()


def under(prefix):
    return {f"{prefix}{name}": value for name, value in WEIGHTS.items()}


@pytest.mark.parametrize("held", [
    WEIGHTS, under("module."), under("_orig_mod."), {"state_dict": under("module.model."), "epoch": 3},
    {"model": WEIGHTS, "optimizer": {"state": {}, "param_groups": []}}, under("net.") | {3: torch.zeros(1)},
    {name: nn.Parameter(value) if value.is_floating_point() else value for name, value in WEIGHTS.items()},
])  # fmt: skip
def test_usual_layouts_are_read(tmp_path, held):
    torch.save(held, tmp_path / "theirs.pt")
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2))
    fill_part(network, tmp_path / "theirs.pt", "these layers")
    assert all(torch.equal(value, WEIGHTS[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize(("write", "message"), [
    (lambda path: torch.save({"state_dict": WEIGHTS, "args": argparse.Namespace()}, path),
     r"holds more than tensors \(argparse\.Namespace\)"),
    (lambda path: torch.save(layers(), path), r"holds more than tensors \(torch\.nn\.modules\.container\.Sequential\)"),
    (lambda path: torch.save({name: value.numpy() for name, value in WEIGHTS.items()}, path),
     r"holds more than tensors \(numpy\."),
    (lambda path: torch.jit.script(layers()).save(str(path)), r"holds more than tensors \(TorchScript\)"),
    (lambda path: path.write_bytes(b"\x89HDF\r\n"), "not a file of torch; give a state dict"),
    (lambda path: path.write_bytes(b""), "not a file of torch"),
    (lambda path: path.mkdir(), "not a file of torch"),
    (lambda path: torch.save([1, 2], path), r"no state dict in it \(it has list\)"),
    (lambda path: torch.save({**WEIGHTS, "epoch": 3}, path), "no state dict in it"),
])  # fmt: skip
def test_whatever_else_a_file_holds_is_one_line(tmp_path, write, message):
    write(tmp_path / "theirs.pt")
    with pytest.raises(InputError, match=rf"^weights: '.*theirs\.pt': {message}") as error:
        read_state(tmp_path / "theirs.pt", "weights")
    assert "\n" not in str(error.value)
