"""What a feature's unit and offset must not change: how well it predicts."""

import numpy as np
import pytest
import torch

from neurobust.core.correlation import pearson
from neurobust.core.errors import InputError
from neurobust.predictors import features as features_module
from neurobust.predictors.features import Pixels
from neurobust.predictors.fit_fwrf import fit_fwrf
from neurobust.predictors.fit_ridge import fit_ridge
from neurobust.predictors.fitting import FitContext
from neurobust.predictors.predict import predict_subject
from neurobust.predictors.ridge import standardisation

RIDGE = {"kind": "ridge", "input_size": 48, "features": "pixels", "folds": 3, "map_size": 2, "alphas": [0.1, 10]}
FIELDS = {"kind": "gabor-fwrf", "input_size": 48, "map_size": 2, "frequencies": [4], "orientations": 1,
          "field_sizes": [1.0, 2.0], "field_spacing": 1.0, "alphas": [0.1, 10.0]}  # fmt: skip


def rescaled(scale, offset, constant=False):
    """Pixels in another unit; with `constant` also a channel that is the same everywhere."""

    class Rescaled(Pixels):
        def __init__(self, input_size, map_size, **others):
            super().__init__(input_size, map_size)
            self.channels = [3 + constant]

        def forward(self, images):
            (maps,) = super().forward(images)
            maps = torch.cat([maps, torch.ones_like(maps[:, :1])], 1) if constant else maps
            return [maps * scale + offset]

    return Rescaled


def score(data, kind, read, monkeypatch, features):
    """r (V,) on the test images of ridge on pixels, or of fwRF on pixels in the place of Gabor energy."""
    monkeypatch.setitem(features_module.FEATURES, "pixels", features)
    monkeypatch.setitem(features_module.FEATURES, "gabor", features)
    fit, settings = (fit_ridge, RIDGE) if kind == "ridge" else (fit_fwrf, FIELDS)
    fitted = fit(read(settings), FitContext([data], 0))
    rows = data.rows_of(2)
    return pearson(predict_subject(fitted.model, data, 2, 100, torch.device("cpu")), data.responses[rows])


@pytest.mark.parametrize("kind", ["ridge", "fwrf"])
@pytest.mark.parametrize(("scale", "offset"), [(1, 300), (2e5, 0), (1e-8, 0), (2e5, 2e6)])
def test_a_feature_predicts_alike_in_every_unit(subject_maker, read, monkeypatch, kind, scale, offset):
    data = subject_maker(images=200)
    plain = score(data, kind, read, monkeypatch, rescaled(1, 0))
    assert np.median(plain) > 0.7
    moved = score(data, kind, read, monkeypatch, rescaled(scale, offset))
    assert np.abs(moved - plain).max() < 0.02, (moved, plain)
    with_constant = score(data, kind, read, monkeypatch, rescaled(scale, offset, constant=True))
    assert np.abs(with_constant - plain).max() < 0.02, "a channel that is the same everywhere says nothing"


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_features_that_are_not_finite_are_refused(subject, read, monkeypatch, value):
    with pytest.raises(InputError, match="features of subj01's images: map 0 of 1 is not finite"):
        score(subject, "ridge", read, monkeypatch, rescaled(1, value))


def test_constant_columns_are_standardised_to_0():
    x = torch.stack([torch.linspace(0, 1, 50), torch.full((50,), 0.1), torch.zeros(50)], 1) * 1e-9
    mean, std = standardisation(x)
    scaled = (x - mean) / std
    assert scaled[:, 0].std() == pytest.approx(1, abs=1e-5) and not scaled[:, 1:].any()
