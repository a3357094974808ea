"""Where the mass of fields on maps lies: their centre and size."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from neurobust.files.prf_maps import STIMULUS_DEGREES


def centre_and_size(parts: Iterable[tuple[Tensor, Tensor]]) -> np.ndarray:
    """(V, 3) of x (right), y (up) and standard deviation, in degrees, of masses that are added up over maps.

    parts: a map's masses (V, side, side), rows first, and where its cells look (side,), in half frames from the middle.
    NaN for a voxel without mass.
    """
    moments = []
    for mass, axis in parts:
        rows, columns, axis = mass.double().sum(2), mass.double().sum(1), axis.double()
        moments.append(torch.stack([columns.sum(1), columns @ axis, rows @ axis, columns @ axis**2, rows @ axis**2], 1))
    whole = torch.stack(moments).sum(0).numpy()
    total = whole[:, :1]
    x, y, xx, yy = np.divide(whole[:, 1:], total, out=np.full((len(total), 4), np.nan), where=total > 1e-9).T
    size = np.sqrt(np.maximum((xx - x * x + yy - y * y) / 2, 0))
    return np.stack([x, -y, size], 1) * STIMULUS_DEGREES / 2
