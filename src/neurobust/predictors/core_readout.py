"""A fitted core with its readout, rebuilt from a file, and where its voxels look."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from neurobust.predictors.cores import GNetMaps, TimmMaps
from neurobust.predictors.feature_base import CoreMaps
from neurobust.predictors.features import network_maps
from neurobust.predictors.fwrf import FwRF, chosen_fields
from neurobust.predictors.linear import PooledLinear
from neurobust.predictors.model import Arguments, ResponseModel
from neurobust.predictors.trained_readouts import Attention, Factorised, factorised_fields

# By the `name` of their settings.
CORES: Mapping[str, Callable[..., CoreMaps]] = {"network": network_maps, "timm": TimmMaps, "gnet": GNetMaps}
READOUTS: Mapping[str, Callable[..., ResponseModel]] = {
    "ridge": PooledLinear, "banded-ridge": PooledLinear, "fwrf": FwRF, "factorised": Factorised, "attention": Attention,
}  # fmt: skip


def build_core(readout: str, input_size: int, features: Arguments, **arguments: Any) -> ResponseModel:
    """A predictor of kind `core` from the arguments that its file keeps; its weights come after."""
    name, rest = features["name"], {key: value for key, value in features.items() if key != "name"}
    core = CORES[name](input_size=input_size, **rest)
    return READOUTS[readout](input_size=input_size, features=core, **arguments)


def looks(model: ResponseModel, subject: str) -> np.ndarray | None:
    """Where each voxel of a subject looks, (V, 3) of x (right), y (up) and size in degrees; None where the readout
    cannot say."""
    if isinstance(model, FwRF):
        return chosen_fields(model, subject)
    return factorised_fields(model, subject) if isinstance(model, Factorised) else None
