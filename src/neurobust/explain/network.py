"""Entry point of the stage: one network, one table of measures."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd
import torch

from neurobust.core.io import provenance
from neurobust.core.places import load
from neurobust.core.settings import written
from neurobust.core.training import pick_device
from neurobust.explain.description import Analysis
from neurobust.explain.registry import ANALYSES
from neurobust.explain.view import View
from neurobust.files.dataset import read_dataset
from neurobust.files.inside import COLUMNS, InsideRecord, write_inside
from neurobust.files.pixels import to_pixels
from neurobust.networks.architectures import load_network
from neurobust.predictors.target import load_target

Row = dict[str, str | float | None]


def explain_network(
    dataset: Path, model: Path, predictors: Mapping[str, Path], n_images: int, seed: int, output: Path,
    image_batch: int = 64,
) -> None:  # fmt: skip
    """Measure one network on test images and write one row per measure: measure, roi, value, unit.

    predictors: ROI -> weights. The images are those that the attacks look at: the same for every network of a task, and
    their rows in the dataset stand in the file's attribute `images`. Values that are undefined (no image classified
    correctly) are missing. `image_batch` bounds the memory.
    """
    device = pick_device()
    task = read_dataset(dataset)
    chosen = np.sort(task.examined(n_images))
    images, labels = to_pixels(task.images[chosen], device), torch.from_numpy(task.labels[chosen]).to(device)
    network = load_network(model).to(device)
    view = View(network, network.features, images, labels, image_batch)
    table = pd.DataFrame(measured(view, predictors), columns=list(COLUMNS))
    table["value"] = table["value"].astype(float).fillna(math.nan)
    inputs = {"dataset": dataset, "model": model, **{f"predictor {roi}": path for roi, path in predictors.items()}}
    record = provenance(inputs, {name: written(ANALYSES[name]()) for name in ANALYSES})
    write_inside(output, table, InsideRecord(seed, len(chosen), chosen.tolist(), record))


def measured(view: View, predictors: Mapping[str, Path]) -> Iterator[Row]:
    """The rows of the table: every registered analysis, in the registry's order; those that need predictors last, ROI
    by ROI, so that one predictor is held at a time."""
    analyses = [ANALYSES[name]() for name in ANALYSES]
    for analysis in analyses:
        if "predictors" not in analysis.needs:
            yield row_of(analysis, "", function_of(analysis)(view, analysis))
    compared = [analysis for analysis in analyses if "predictors" in analysis.needs]
    for roi, path in predictors.items() if compared else ():
        responses = view.over_images(load_target([path]).to(view.images.device))
        for analysis in compared:
            yield row_of(analysis, roi, function_of(analysis)(view, analysis, responses))


def function_of(analysis: Analysis) -> Callable[..., float | None]:
    """What computes an analysis."""
    return cast(Callable[..., float | None], load(analysis.run))


def row_of(analysis: Analysis, roi: str, value: float | None) -> Row:
    """One row of the table."""
    return {"measure": analysis.measure, "roi": roi, "value": value, "unit": analysis.unit}
