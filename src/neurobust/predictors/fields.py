"""Where a voxel of a fitted predictor looks: centre and size of its pooling field, beside the measured pRF maps."""

from __future__ import annotations

import numpy as np
import torch

from neurobust.predictors.evaluate import pearson
from neurobust.predictors.gnet import GNet, field_centres

STIMULUS_DEGREES = 8.4  # width of an NSD stimulus


def pooling_fields(model: GNet, subject: str) -> np.ndarray:
    """Centre and size of each voxel's field: (V, 3) of x (right), y (up) and standard deviation, in degrees.

    A field starts uniform and training raises it where the voxel looks, so its moments are those of what lies above
    the uniform value: with the uniform part left in, every centre would be drawn to that of the screen. The fields of
    the maps are added up in proportion to the feature weights (sum |w|) that read them. NaN where all are uniform.
    The size of a wide field is a little too small, as its tails lie below the uniform value.
    """
    readout = model.readouts[subject]
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


def prf_fields(angle: np.ndarray, eccentricity: np.ndarray, size: np.ndarray) -> np.ndarray:
    """NSD's pRF maps as (V, 3) of x, y and size in degrees.

    `angle` is in degrees, 0 to the right and 90 up; the others are in degrees of visual angle.
    """
    radians = np.radians(angle)
    return np.stack([eccentricity * np.cos(radians), eccentricity * np.sin(radians), size], 1)


def compare_fields(fields: np.ndarray, prf: np.ndarray) -> dict[str, float | int | None]:
    """How fields (V, 3) agree with pRFs (V, 3), both x, y, size in degrees, over the voxels that have both.

    Medians of the distance of centres (degrees) and of the ratio of sizes; correlations of x, y, eccentricity, size.
    """
    both = np.isfinite(fields).all(1) & np.isfinite(prf).all(1)
    a, b = fields[both], prf[both]
    if len(a) < 3:
        return {"voxels": len(a), "centre_error": None, "size_ratio": None} | dict.fromkeys(
            ("r_x", "r_y", "r_eccentricity", "r_size")
        )
    columns = [np.column_stack([f, np.hypot(f[:, 0], f[:, 1])]) for f in (a, b)]
    r_x, r_y, r_size, r_eccentricity = (float(value) for value in pearson(*columns))
    return {
        "voxels": len(a),
        "centre_error": float(np.median(np.hypot(*(a - b)[:, :2].T))),
        "size_ratio": float(np.median(a[:, 2] / np.maximum(b[:, 2], 1e-6))),
        "r_x": r_x, "r_y": r_y, "r_eccentricity": r_eccentricity, "r_size": r_size,
    }  # fmt: skip
