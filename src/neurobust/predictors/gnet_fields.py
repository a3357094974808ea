"""Where a voxel of a fitted G-net looks: centre and size of its pooling field."""

from __future__ import annotations

import numpy as np
import torch

from neurobust.predictors.field_moments import centre_and_size
from neurobust.predictors.gnet import GNet, field_centres


def pooling_fields(model: GNet, subject: str) -> np.ndarray:
    """Centre and size of each voxel's field: (V, 3) of x (right), y (up) and standard deviation, in degrees.

    A field starts uniform and training raises it where the voxel looks, so its moments are those of what lies above
    the uniform value: with the uniform part left in, every centre would be drawn to that of the screen. The fields of
    the maps are added up in proportion to the feature weights (sum |w|) that read them. NaN where all are uniform.
    The size of a wide field is a little too small, as its tails lie below the uniform value.
    """
    readout = model.readout(subject)
    split = readout.weight.shape[1] // 2
    with torch.no_grad():
        shares = torch.stack([readout.weight[:, :split].abs().sum(1), readout.weight[:, split:].abs().sum(1)], 1)
        shares = shares / shares.sum(1, keepdim=True).clamp_min(1e-12)
        parts = []
        for k, (field, axis) in enumerate(zip(readout.fields, field_centres(model.input_size), strict=True)):
            raised = (field.double().softmax(1) - 1 / field.shape[1]).clamp_min(0)
            parts.append((shares[:, k, None, None] * raised.reshape(-1, len(axis), len(axis)), axis))
    return centre_and_size(parts)
