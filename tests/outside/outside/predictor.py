"""A predictor: each voxel is a line through the mean colour of the image."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from neurobust.files.pixels import to_pixels
from neurobust.files.splits import TRAIN
from neurobust.predictors.description import Predictor
from neurobust.predictors.fitting import FitContext, Fitted
from neurobust.predictors.model import ResponseModel


class MeanColour(Predictor, kw_only=True):
    """Least squares on the mean of red, green and blue."""

    fit: ClassVar[str] = "outside.predictor:fit"
    build: ClassVar[str] = "outside.predictor:MeanColourModel"
    source: ClassVar[str] = "this file"

    def passes(self) -> float:
        """Every image is looked at once."""
        return 1.0


class MeanColourModel(ResponseModel):
    """Mean colour -> responses of all subjects' voxels."""

    def __init__(self, voxels: dict[str, int], input_size: int):
        super().__init__()
        self.voxels, self.input_size = voxels, input_size
        self.line = nn.Linear(3, sum(voxels.values()))

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, 3, S, S) in [0, 1] -> responses (N, V)."""
        return self.line(images.mean((2, 3)))


def fit(settings: MeanColour, context: FitContext) -> Fitted:
    """Solve each subject's voxels by least squares."""
    config = {"voxels": context.voxels, "input_size": context.input_size}
    model = MeanColourModel(**config)
    with torch.no_grad():
        for data in context.subjects:
            rows = data.rows_of(TRAIN)
            colours = to_pixels(data.images[data.row[rows]], torch.device("cpu")).mean((2, 3)).numpy()
            design = np.concatenate([colours, np.ones((len(rows), 1), np.float32)], 1)
            found = np.linalg.lstsq(design, data.responses[rows], rcond=None)[0]
            columns = model.columns(data.subject)
            model.line.weight[columns] = torch.from_numpy(found[:3].T.copy())
            model.line.bias[columns] = torch.from_numpy(found[3].copy())
    return Fitted(model.eval(), config, [])
