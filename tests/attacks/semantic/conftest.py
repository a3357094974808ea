"""Tiny faces and scenes as dataset files, and stand-ins for the auxiliary networks with a known answer."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from neurobust.attacks.images import to_batch
from neurobust.attacks.semantic.data import read_task
from neurobust.attacks.semantic.registry import HELPERS
from neurobust.core.io import save_weights, write_json
from neurobust.core.places import load
from neurobust.phantom.build import build_face_task
from neurobust.phantom.settings import FaceTask

SIZE = 16


class MeanColour(nn.Module):
    """Class 1 where the mean of red exceeds that of blue, class 0 elsewhere: a net that looks at colour alone."""

    def __init__(self, scale: float = 20.0):
        super().__init__()
        self.scale = scale

    def forward(self, images: Tensor) -> Tensor:
        gap = self.scale * (images[:, 0] - images[:, 2]).mean((1, 2))
        return torch.stack([-gap, gap], 1)


class HintPainter(nn.Module):
    """A colouriser that paints what the hints say where the mask is on, fading to grey where it is off."""

    def forward(self, lightness: Tensor, hints: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        classes = torch.cat([lightness, -lightness], 1) / 50  # surer where it is light
        return 110 * hints * (mask + 0.5), nn.functional.avg_pool2d(classes, 4)


class Blend(nn.Module):
    """An editor whose features are the image itself, redder with the first attribute."""

    def encode(self, images: Tensor, code: Tensor) -> Tensor:
        red = torch.tensor([0.25, 0.0, -0.25]).view(1, 3, 1, 1)
        return images + code[:, :1, None, None] * red

    def decode(self, features: Tensor) -> Tensor:
        return features.clamp(0, 1)

    def forward(self, images: Tensor, code: Tensor) -> Tensor:
        return self.decode(self.encode(images, code))


@pytest.fixture(scope="session")
def faces(tmp_path_factory) -> Path:
    """dataset.h5 of 4 people, 160 training and 40 validation and test images of 16 px; corners show the attributes."""
    folder = tmp_path_factory.mktemp("faces")
    spec = FaceTask(seed=0, identities=4, train=160, validation=40, test=40, size=SIZE, aligned=True)
    build_face_task(folder / "faces.npz", spec)
    with np.load(folder / "faces.npz") as source, h5py.File(folder / "dataset.h5", "w") as file:
        images = source["images"].copy()
        for k, (y, x) in enumerate(((0, 0), (0, 12), (12, 0), (12, 12))):  # at 16 px a smile is no pixel: say it louder
            images[:, y : y + 4, x : x + 4] = 255 * source["attributes"][:, k, None, None, None]
        file["images"] = images
        for name in ("labels", "split", "attributes"):
            file[name] = source[name]
        file.attrs["attributes"] = json.dumps(source["attribute_names"].tolist())
        file.attrs["classes"] = json.dumps(source["classes"].tolist())
        file.attrs["task"] = "phantom-faces"
    return folder / "dataset.h5"


@pytest.fixture(scope="session")
def helpers(tmp_path_factory):
    """Untrained auxiliary networks, written with gates of which one is failed."""
    folder = tmp_path_factory.mktemp("helpers")
    arguments = {
        "colouriser": {"bins": [[5.0, 5.0], [-15.0, 25.0]], "width": 4},
        "texture": {"classes": 4, "widths": [4, 4, 4, 4, 4]},
        "oracle": {"classes": 4, "attributes": 4, "width": 4}, "identity": {"classes": 4, "width": 4},
        "editor": {"attributes": 4, "width": 4, "blocks": 1},
    }  # fmt: skip
    for name, given in arguments.items():
        torch.manual_seed(1)
        network = load(HELPERS[name].network)(**given)
        save_weights(
            folder / f"{name}.safetensors", network.state_dict(), {"auxiliary": name, "arguments": network.arguments}
        )
        entry = {"gate": f"{name} gate", "value": 0.5, "threshold": 1.0, "at_most": False, "note": ""}
        write_json(folder / f"{name}.json", {"network": name, "gates": [entry | {"passed": name != "editor"}]})
    return folder


@pytest.fixture(scope="session")
def data(faces):
    return read_task(faces, attributes=True)


@pytest.fixture(scope="session")
def batch(data) -> tuple[Tensor, Tensor, list[int]]:
    """8 test images, whether red exceeds blue in them (as labels of MeanColour), their rows."""
    rows = data.rows(2)[:8]
    images = to_batch(data, rows, torch.device("cpu"))
    return images, MeanColour()(images).argmax(1), rows.tolist()


@pytest.fixture(scope="session")
def toys() -> SimpleNamespace:
    return SimpleNamespace(MeanColour=MeanColour, HintPainter=HintPainter, Blend=Blend, SIZE=SIZE)
