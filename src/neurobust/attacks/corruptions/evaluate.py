"""Which of a task's corrupted images a network still classifies."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from neurobust.attacks.classify import classify
from neurobust.attacks.corruptions.registry import SCORED, SEVERITIES
from neurobust.attacks.images import exact_kernels
from neurobust.core.errors import InputError
from neurobust.core.io import provenance
from neurobust.core.progress import Progress
from neurobust.core.training import pick_device
from neurobust.files.corruption_table import CorruptionRecord, write_corruption_table
from neurobust.files.corruptions import open_corruptions
from neurobust.files.dataset import read_dataset
from neurobust.networks.architectures import load_network


def corrupt_network(
    dataset: Path, model: Path, corruptions: Path, output: Path, names: Mapping[str, Any], image_batch: int = 256
) -> None:
    """Classify a task's corrupted images and write one row per (image, corruption, severity).

    Columns: image, corruption, severity, clean_correct, correct. `names`: task, architecture, condition and seed, for
    the file's attributes. `image_batch` images are classified at once. Raises InputError where the corrupted images are
    not of this dataset.
    """
    record = provenance({"dataset": dataset, "model": model, "corruptions": corruptions})
    device, data = pick_device(), read_dataset(dataset)
    network = load_network(model).to(device)
    with open_corruptions(corruptions) as file, exact_kernels():
        kinds, rows, images, strengths = list(file.types), file.image, file.images, file.set
        if file.provenance["inputs"]["dataset"]["sha256"] != record["inputs"]["dataset"]["sha256"]:
            raise InputError(f"{corruptions}: made of other images than {dataset}; delete it and run again")
        labels = data.labels[rows]
        clean = classify(network, np.stack([data.images[row] for row in rows]), image_batch, device) == labels
        correct = np.empty((len(kinds), len(SEVERITIES), len(rows)), dtype=bool)
        progress = Progress(len(kinds), "corrupted images")
        for place in range(len(kinds)):
            for severity in range(len(SEVERITIES)):
                correct[place, severity] = classify(network, images[place, severity], image_batch, device) == labels
            progress.step()
    index = pd.MultiIndex.from_product([kinds, SEVERITIES, rows], names=["corruption", "severity", "image"])
    frame = index.to_frame(index=False)[["image", "corruption", "severity"]]
    frame["clean_correct"] = np.tile(clean, len(kinds) * len(SEVERITIES))
    frame["correct"] = correct.ravel()
    versions = {name: version(name) for name in ("torch", "numpy")}
    scored = [kind for kind in kinds if kind in SCORED]
    found = CorruptionRecord(**names, set=strengths, types=kinds, scored=scored, versions=versions, provenance=record)
    write_corruption_table(output, frame, found)
