"""A task's corrupted test images, made once, and which of them a network still classifies."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import torch

from neurobust.attacks.corruptions.registry import choose_types, corrupt
from neurobust.attacks.corruptions.tables import SCORED, SEVERITIES
from neurobust.attacks.images import choose_images, exact_kernels
from neurobust.core.errors import InputError
from neurobust.core.io import canonical_json, memmap_dataset, provenance, replacing, write_parquet
from neurobust.core.progress import Progress
from neurobust.core.training import pick_device


def make_corruptions(dataset: Path, settings: dict[str, Any], output: Path) -> None:
    """Corrupt the first `images` images of the list that attacks work through, and write them as docs/design.md says.

    settings: `set` (cifar or imagenet), `types` (scored, all or names), `images`. The file has `images` uint8 (types,
    severities, images, S, S, 3), a chunk per image, and `image` int64 (images,), the rows in dataset.h5.
    """
    kinds = choose_types(settings["types"])
    chosen, _, task = choose_images(dataset, settings["images"])
    pixels = memmap_dataset(dataset, "images")
    shape = pixels.shape[1:]
    record = provenance({"dataset": dataset}, params=settings)
    record["versions"] = {name: version(name) for name in ("numpy", "scipy", "pillow")}
    progress = Progress(len(kinds) * len(chosen), "corruptions")
    with replacing(output) as temporary, h5py.File(temporary, "w") as file:
        corrupted = file.create_dataset(
            "images", (len(kinds), len(SEVERITIES), len(chosen), *shape), np.uint8, chunks=(1, 1, 1, *shape),
            compression="gzip", compression_opts=1,
        )  # fmt: skip
        file["image"] = chosen
        file.attrs["types"], file.attrs["severities"] = canonical_json(kinds), canonical_json(SEVERITIES)
        file.attrs["set"], file.attrs["task"] = settings["set"], task
        file.attrs["provenance"] = canonical_json(record)
        for place, kind in enumerate(kinds):
            for index, row in enumerate(chosen):
                for severity in SEVERITIES:
                    image = corrupt(pixels[row], kind, severity, settings["set"], row)
                    corrupted[place, severity - 1, index] = image
                progress.step()


def corrupt_network(
    dataset: Path, model: Path, corruptions: Path, output: Path, names: dict[str, Any], image_batch: int = 256
) -> None:
    """Classify a task's corrupted images and write one row per (image, corruption, severity).

    Columns: image, corruption, severity, clean_correct, correct. `names`: task, architecture, condition and seed, for
    the file's attributes. `image_batch` images are classified at once. Raises InputError where the corrupted images are
    not of this dataset.
    """
    from neurobust.networks.architectures import load_network

    record = provenance({"dataset": dataset, "model": model, "corruptions": corruptions})
    device = pick_device()
    network = load_network(model).to(device)
    pixels = memmap_dataset(dataset, "images")
    with h5py.File(corruptions, "r") as file, exact_kernels():
        kinds, rows, images = json.loads(file.attrs["types"]), file["image"][:], file["images"]
        source = json.loads(file.attrs["provenance"])["inputs"]["dataset"]
        if source["sha256"] != record["inputs"]["dataset"]["sha256"]:
            raise InputError(f"{corruptions}: made of other images than {dataset}; delete it and run again")
        with h5py.File(dataset, "r") as task:
            labels = task["labels"][:][rows]
        clean = classify(network, np.stack([pixels[row] for row in rows]), image_batch, device) == labels
        correct = np.empty((len(kinds), len(SEVERITIES), len(rows)), dtype=bool)
        progress = Progress(len(kinds), "corrupted images")
        for place in range(len(kinds)):
            for severity in range(len(SEVERITIES)):
                correct[place, severity] = classify(network, images[place, severity], image_batch, device) == labels
            progress.step()
        attrs = {**names, "set": file.attrs["set"], "types": kinds, "scored": [k for k in kinds if k in SCORED]}
    index = pd.MultiIndex.from_product([kinds, SEVERITIES, rows], names=["corruption", "severity", "image"])
    frame = index.to_frame(index=False)[["image", "corruption", "severity"]]
    frame["clean_correct"] = np.tile(clean, len(kinds) * len(SEVERITIES))
    frame["correct"] = correct.ravel()
    versions = {name: version(name) for name in ("torch", "numpy")}
    write_parquet(output, frame, attrs | {"versions": versions, "provenance": record})


def classify(network: torch.nn.Module, images: np.ndarray, image_batch: int, device: torch.device) -> np.ndarray:
    """The classes (n,) that a network gives to images uint8 (n, H, W, 3)."""
    found = []
    with torch.no_grad():
        for start in range(0, len(images), image_batch):
            part = torch.from_numpy(images[start : start + image_batch]).to(device)
            found.append(network(part.permute(0, 3, 1, 2).float().div(255)).argmax(1).cpu())
    return torch.cat(found).numpy()
