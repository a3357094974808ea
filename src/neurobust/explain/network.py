"""Entry point of the stage: one network, one table of measures."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import torch

from neurobust.core.io import memmap_dataset, provenance, write_parquet
from neurobust.core.seeding import numpy_rng
from neurobust.core.similarity import debiased_cka
from neurobust.core.training import pick_device
from neurobust.explain.measures import linear_distance, low_frequency_share, margin_gradients, participation_ratio
from neurobust.networks.architectures import load_network
from neurobust.predictors.target import load_target

TEST = 2


def explain_network(
    dataset: Path, model: Path, predictors: dict[str, Path], n_images: int, seed: int, output: Path,
    image_batch: int = 64,
) -> None:  # fmt: skip
    """Measure one network on test images and write one row per measure: measure, roi, value, unit.

    predictors: ROI -> weights. The images are the same for every network of a task. Values that are undefined (no image
    classified correctly) are missing. `image_batch` bounds the memory.
    """
    device = pick_device()
    images, labels = choose_test_images(dataset, n_images)
    images, labels = images.to(device), labels.to(device)
    network = load_network(model).to(device)
    batches = [slice(start, start + image_batch) for start in range(0, len(images), image_batch)]
    with torch.inference_mode():
        features = torch.cat([network.features(images[rows]) for rows in batches])
    margin, gradient = margin_gradients(network, images, labels, image_batch)
    rows: list[dict[str, Any]] = [
        {"measure": "linear distance to the boundary", "value": linear_distance(margin, gradient), "unit": "L2"},
        {"measure": "low-frequency share of input gradient", "value": low_frequency_share(gradient.cpu()), "unit": ""},
        {"measure": "effective dimensionality", "value": participation_ratio(features), "unit": "dimensions"},
    ]
    for roi, path in predictors.items():
        target = load_target([path]).to(device)
        with torch.inference_mode():
            responses = torch.cat([target(images[rows]) for rows in batches])
            similarity = float(debiased_cka(features.double(), responses.double()))
        rows.append({"measure": "similarity to predictor", "roi": roi, "value": similarity, "unit": "debiased CKA"})
    table = pd.DataFrame(rows, columns=["measure", "roi", "value", "unit"])
    table["value"] = table["value"].astype(float).fillna(math.nan)
    table["roi"] = table["roi"].fillna("")
    inputs = {"dataset": dataset, "model": model, **{f"predictor {roi}": path for roi, path in predictors.items()}}
    write_parquet(output, table, {"seed": seed, "n_images": len(images), "provenance": provenance(inputs)})


def choose_test_images(dataset: Path, n_images: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Up to `n_images` test images (n, 3, H, W) in [0, 1] with their labels, the same for every network of a task."""
    with h5py.File(dataset, "r") as file:
        split, labels, task = file["split"][()], file["labels"][()], str(file.attrs["task"])
    rows = np.sort(numpy_rng("explained images", task).permutation(np.flatnonzero(split == TEST))[:n_images])
    pixels = torch.from_numpy(memmap_dataset(dataset, "images")[rows])
    return pixels.permute(0, 3, 1, 2).float().div_(255), torch.from_numpy(labels[rows].astype(np.int64))
