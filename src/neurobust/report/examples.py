"""Example images: the clean image, what each attack made of it, and the difference, amplified, as inline PNGs."""

from __future__ import annotations

import base64
import io
import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from neurobust.core.errors import InputError
from neurobust.report.study import Network, Study, attack_settings, format_budget, is_control

SHOWN = 2  # images per network
LARGEST = 160  # pixels: larger images are thinned to about this size, which a page shows anyway


def png_data(image: np.ndarray) -> str:
    """An (H, W, 3) image in [0, 1] as a PNG data address."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)).save(buffer, format="PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def amplify(difference: np.ndarray) -> tuple[np.ndarray, int]:
    """A perturbation around mid-grey, and its factor: the largest power of two that clips nothing (at most 128)."""
    peak = float(np.abs(difference).max())
    if peak == 0:
        return np.full(difference.shape, 0.5), 1
    factor = 2 ** min(7, max(0, math.floor(math.log2(0.5 / peak)))) if peak < 0.5 else 1
    return 0.5 + np.clip(factor * difference, -0.5, 0.5), factor


def network_of(path: Path) -> Network:
    """The network that an examples file belongs to, read off its path."""
    task, architecture, condition, seed = path.parts[-5:-1]
    if not (seed.startswith("seed") and seed[4:].isdigit()):
        raise InputError(f"{path}: not <task>/<architecture>/<condition>/seed<n>/examples.npz; pass the pipeline's own")
    return Network(task, architecture, condition, int(seed[4:]))


def example_grids(study: Study, paths: list[Path]) -> list[dict[str, Any]]:
    """Grids for the page: per task and architecture the first seed of `none` and of the first guided condition."""
    found: dict[tuple[str, str], dict[str, Path]] = {}
    order = list(study["conditions"])
    for path in sorted((Path(path) for path in paths), key=lambda path: network_of(path).seed):
        network = network_of(path)
        if network.condition in order and network.task in study["tasks"] and path.exists():
            found.setdefault(network[:2], {}).setdefault(network.condition, path)
    grids = []
    for (task, architecture), by_condition in sorted(found.items(), key=lambda item: study["tasks"].index(item[0][0])):
        guided = [name for name in order if name in by_condition and name != "none" and not is_control(study, name)]
        for condition in [name for name in ("none", *guided[:1]) if name in by_condition]:
            grid = read_grid(study, by_condition[condition])
            names = {"task": task, "architecture": architecture, "condition": condition}
            grids.append(grid | names | {"seed": network_of(by_condition[condition]).seed})
    return grids


def read_grid(study: Study, path: Path) -> dict[str, Any]:
    """One network's grid: `attacks` (labels) and `rows`, each with a clean image and a cell per attack."""
    settings = attack_settings(study)
    network = network_of(path)
    classes = class_names(study, network.task)
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not a readable examples file ({error}); delete it and run again") from error
    attacks = [name for name in settings if f"adversarial/{name}" in arrays]
    rows = []
    for index in range(min(SHOWN, len(arrays["image"]))):
        clean, label = arrays["clean"][index], int(arrays["label"][index])
        name = classes[label] if label < len(classes) else f"class {label}"
        cells = []
        for attack in attacks:
            adversarial, budget = arrays[f"adversarial/{attack}"][index], arrays.get(f"budget/{attack}")
            size = float(np.atleast_1d(budget)[min(index, np.size(budget) - 1)]) if budget is not None else math.nan
            cells.append(example_cell(clean, adversarial, size, settings[attack].get("unit", "")))
        rows.append(
            {"image": int(arrays["image"][index]), "label": name, "clean": png_data(thin(clean)), "cells": cells}
        )
    return {"attacks": [settings[name].get("label", name) for name in attacks], "rows": rows}


def example_cell(clean: np.ndarray, adversarial: np.ndarray, budget: float, unit: str) -> dict[str, Any]:
    """One attack on one image: two pictures and a caption, or the reason why there are none."""
    if not np.isfinite(adversarial).all():
        return {"reason": "not found"}
    if np.array_equal(clean, adversarial):
        return {"reason": "wrong already"}
    difference, factor = amplify(thin(adversarial).astype(float) - thin(clean))
    size = format_budget(budget, unit) if math.isfinite(budget) else ""
    caption = f"{size} · ×{factor}" if size else f"×{factor}"
    pictures = {"adversarial": png_data(thin(adversarial)), "difference": png_data(difference)}
    return pictures | {"caption": caption, "reason": ""}


def thin(image: np.ndarray) -> np.ndarray:
    """Every k-th pixel of a large image: exact pixels, no interpolation that would blur a perturbation."""
    step = max(1, round(max(image.shape[:2]) / LARGEST))
    return image[::step, ::step]


def class_names(study: Study, task: str) -> list[str]:
    """The task's class names, from its dataset; empty where the dataset is not at hand."""
    import h5py

    path = Path(study["root"]) / "networks" / task / "dataset.h5"
    if not path.exists():
        return []
    with h5py.File(path, "r") as file:
        return [str(name) for name in json.loads(file.attrs.get("classes", "[]"))]
