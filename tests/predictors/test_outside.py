"""A kind that another package registers in one file by an entry point, from its settings to a frozen target."""

from importlib.metadata import EntryPoint, EntryPoints

import numpy as np
import pytest
import torch

from neurobust.core import places
from neurobust.core.errors import InputError
from neurobust.core.io import read_parquet
from neurobust.predictors import registry, target
from neurobust.predictors.train import Outputs, train_predictor

OUTSIDE = '''
from typing import Annotated, ClassVar

import numpy as np
import torch
from torch import nn

from neurobust.core.settings import Positive, about
from neurobust.files.pixels import to_pixels
from neurobust.predictors.description import Predictor
from neurobust.predictors.fitting import Fitted
from neurobust.predictors.model import ResponseModel


class Brightness(Predictor, frozen=True, kw_only=True):
    """A line through the mean brightness."""

    fit: ClassVar[str] = "outside_predictor:fit"
    build: ClassVar[str] = "outside_predictor:Line"
    source: ClassVar[str] = "this test"

    gain: Annotated[Positive, about("of the line")] = 1.0

    def passes(self):
        return 1.0


class Line(ResponseModel):
    def __init__(self, voxels, input_size, gain):
        super().__init__()
        self.voxels, self.input_size, self.gain = dict(voxels), input_size, gain
        self.bias = nn.Parameter(torch.zeros(sum(voxels.values())))

    def forward(self, images):
        return self.gain * images.mean((1, 2, 3))[:, None] + self.bias


def fit(settings, context):
    config = {"voxels": context.voxels, "input_size": context.input_size, "gain": settings.gain}
    model = Line(**config)
    with torch.no_grad():
        model.bias.copy_(torch.from_numpy(np.concatenate([data.responses.mean(0) for data in context.subjects])))
    return Fitted(model.eval(), config, [{"epoch": 0, "validation_r": 0.0}])
'''


@pytest.fixture
def outside(tmp_path, monkeypatch):
    """The kind `brightness`, registered as an installed package would."""
    (tmp_path / "outside_predictor.py").write_text(OUTSIDE)
    monkeypatch.syspath_prepend(tmp_path)
    entry = EntryPoint("brightness", "outside_predictor:Brightness", "neurobust.predictors")
    monkeypatch.setattr(places, "registered", lambda: EntryPoints([entry]))
    found = places.Places(registry.PREDICTORS._own, "neurobust.predictors")
    for module in (registry, target):
        monkeypatch.setattr(module, "PREDICTORS", found)


def test_a_kind_of_another_package_is_read_fitted_and_loaded(outside, subject_maker, write_subject, tmp_path):
    settings = registry.read_predictor("mine", {"kind": "brightness", "input_size": 48})
    with pytest.raises(InputError, match=r"predictors.mine.gain: -1: expected a number > 0"):
        registry.read_predictor("mine", {"kind": "brightness", "input_size": 48, "gain": -1})
    assert registry.predictor_modules("brightness") == registry.reader_modules(["brightness"]) == ["outside_predictor"]
    data = subject_maker()
    roi, stimuli = write_subject(data)
    outputs = Outputs(tmp_path / "model.safetensors", tmp_path / "metrics.json", tmp_path / "voxels.parquet")
    train_predictor([roi], [stimuli], settings, 0, outputs)
    table, attrs = read_parquet(outputs.voxels)
    assert len(table) == 5 and np.isnan(table["field_x"]).all()
    assert attrs["provenance"]["params"] == {
        "kind": "brightness", "input_size": 48, "shuffle_pairing": False, "gain": 1.0,
    }  # fmt: skip
    model = target.load_target([outputs.model])
    images = torch.rand(2, 3, 32, 32)
    assert model.dimensions == 5 and model(images).shape == (2, 5) and torch.isfinite(model(images)).all()
