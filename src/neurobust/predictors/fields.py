"""Where a voxel of a fitted G-net looks: centre and size of its pooling field."""

from __future__ import annotations

import numpy as np
import torch

from neurobust.predictors.gnet import GNet, field_centres

STIMULUS_DEGREES = 8.4  # width of an NSD stimulus


def pooling_fields(model: GNet, subject: str) -> np.ndarray:
    """Centre and size of each voxel's field: (V, 3) of x (right), y (up) and standard deviation, in degrees.

    A voxel has one field per map; they are averaged in proportion to the feature weights (sum |w|) that read them.
    """
    readout = model.readouts[subject]
    split = readout.weight.shape[1] // 2
    with torch.no_grad():
        shares = torch.stack([readout.weight[:, :split].abs().sum(1), readout.weight[:, split:].abs().sum(1)], 1)
        shares = shares / shares.sum(1, keepdim=True).clamp_min(1e-12)
        moments = torch.zeros(len(shares), 4)
        for k, (field, axis) in enumerate(zip(readout.fields, field_centres(model.input_size), strict=True)):
            mass = field.softmax(1).reshape(-1, len(axis), len(axis))  # voxel, y, x
            mx, my = mass.sum(1) @ axis, mass.sum(2) @ axis
            xx, yy = mass.sum(1) @ axis**2, mass.sum(2) @ axis**2
            moments += shares[:, k : k + 1] * torch.stack([mx, my, xx, yy], 1)
    x, y, xx, yy = moments.T.double().numpy()
    size = np.sqrt(np.maximum((xx - x * x + yy - y * y) / 2, 0))
    return np.stack([x, -y, size], 1) * STIMULUS_DEGREES / 2
