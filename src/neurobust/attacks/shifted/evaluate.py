"""Which images of a published test set a network still classifies."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from neurobust.attacks.classify import classify
from neurobust.attacks.corruptions.registry import SCORED
from neurobust.attacks.images import exact_kernels
from neurobust.core.errors import InputError
from neurobust.core.io import provenance
from neurobust.core.progress import Progress
from neurobust.core.training import pick_device
from neurobust.files.dataset import Dataset, read_dataset
from neurobust.files.shifted import open_shifted
from neurobust.files.shifted_table import ShiftedRecord, write_shifted_table
from neurobust.files.splits import TEST
from neurobust.networks.architectures import load_network


def classify_shifted(
    dataset: Path, model: Path, shifted: Path, output: Path, names: Mapping[str, Any], image_batch: int = 256
) -> None:
    """Classify a set and write one row per (image, corruption, severity): image, label, corruption, severity, correct.

    The network chooses among the classes that the set shows, as the sets with some of ImageNet's classes are scored,
    on the set and on the task's own test images of these classes, with which it is compared. `names`: task,
    architecture, condition and seed. Raises InputError where the set was made for another dataset.
    """
    record = provenance({"dataset": dataset, "model": model, "shifted": shifted})
    device, data = pick_device(), read_dataset(dataset)
    network = load_network(model).to(device)
    with open_shifted(shifted) as file, exact_kernels():
        if file.provenance["inputs"]["dataset"]["sha256"] != record["inputs"]["dataset"]["sha256"]:
            raise InputError(f"{shifted}: made for other images than {dataset}; delete it and run again")
        kinds, labels, severities = list(file.types), file.labels, list(file.severities)
        classes = file.classes
        rows = unshifted(data, classes, len(labels))
        given = classify(network, np.stack([data.images[row] for row in rows]), image_batch, device, classes)
        clean = given == data.labels[rows]
        correct = np.empty((len(kinds), len(severities), len(labels)), dtype=bool)
        progress = Progress(len(kinds) * len(severities), "shifted images")
        for place in np.ndindex(correct.shape[:2]):
            for start in range(0, len(labels), image_batch):
                part = slice(start, start + image_batch)
                found = classify(network, file.images[(*place, part)], image_batch, device, classes)
                correct[(*place, part)] = found == labels[part]
            progress.step()
        index = pd.MultiIndex.from_product(
            [kinds, severities, range(len(labels))], names=["corruption", "severity", "image"]
        )
        frame = index.to_frame(index=False)[["image", "corruption", "severity"]]
        frame["label"], frame["correct"] = np.tile(labels, len(kinds) * len(severities)), correct.ravel()
        write_shifted_table(
            output,
            frame,
            ShiftedRecord(
                **names, kind=file.kind, scored=[kind for kind in kinds if not kind or kind in SCORED],
                classes=classes.tolist(), clean_accuracy=float(clean.mean()), n_clean=len(rows),
                versions={name: version(name) for name in ("torch", "numpy")}, provenance=record,
            ),
        )  # fmt: skip


def unshifted(data: Dataset, classes: np.ndarray, most: int) -> np.ndarray:
    """Rows of up to `most` test images of some classes, in the order in which attacks meet them."""
    rows = data.examined(len(data.rows(TEST)))
    rows = rows[np.isin(data.labels[rows], classes)][:most]
    if not len(rows):
        raise InputError(f"{data.path}: no test images of the classes that the set shows; complete the task's images")
    return rows
