"""Where a voxel of a fitted G-net looks: centre and size of its pooling field."""

from __future__ import annotations

import numpy as np
import torch

from neurobust.predictors.description import STIMULUS_DEGREES
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
        moments = torch.zeros(len(shares), 5, dtype=torch.float64)
        for k, (field, axis) in enumerate(zip(readout.fields, field_centres(model.input_size), strict=True)):
            raised = (field.double().softmax(1) - 1 / field.shape[1]).clamp_min(0)
            mass = shares[:, k, None, None] * raised.reshape(-1, len(axis), len(axis))  # voxel, y, x
            axis = axis.double()
            rows, columns = mass.sum(2), mass.sum(1)
            moments += torch.stack([columns.sum(1), columns @ axis, rows @ axis, columns @ axis**2, rows @ axis**2], 1)
    total = moments[:, :1].numpy()
    x, y, xx, yy = np.divide(moments[:, 1:].numpy(), total, out=np.full((len(total), 4), np.nan), where=total > 1e-9).T
    size = np.sqrt(np.maximum((xx - x * x + yy - y * y) / 2, 0))
    return np.stack([x, -y, size], 1) * STIMULUS_DEGREES / 2
