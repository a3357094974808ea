"""Example images: the clean image, what each attack made of it, and the difference, amplified, as inline PNGs."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Mapping

import numpy as np

from neurobust.core.reference_range import BASELINE
from neurobust.files.dataset import dataset_path, read_dataset
from neurobust.files.examples import examples_path, read_examples
from neurobust.report.blocks import Row
from neurobust.report.guided import in_order
from neurobust.report.shown import ShownAttack, format_budget
from neurobust.study.model import NetworkName, Study

SHOWN = 2  # images per network
LARGEST = 160  # pixels: larger images are thinned to about this size, which a page shows anyway


def png_data(image: np.ndarray) -> str:
    """An (H, W, 3) image in [0, 1] as a PNG data address."""
    return png_address(np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8))


def png_address(pixels: np.ndarray, optimize: bool = False) -> str:
    """Pixels (H, W, 3 or 4), uint8, as a PNG data address."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG", optimize=optimize)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def amplify(difference: np.ndarray) -> tuple[np.ndarray, int]:
    """A perturbation around mid-grey, and its factor: the largest power of two that clips nothing (at most 128)."""
    peak = float(np.abs(difference).max())
    if peak == 0:
        return np.full(difference.shape, 0.5), 1
    factor = 2 ** min(7, max(0, math.floor(math.log2(0.5 / peak)))) if peak < 0.5 else 1
    return 0.5 + np.clip(factor * difference, -0.5, 0.5), factor


def example_grids(study: Study, attacks: Mapping[str, ShownAttack]) -> list[Row]:
    """Grids for the page: per task and architecture the first seed of `none` and of the first guided condition.

    Networks without examples are left out.
    """
    found: dict[tuple[str, str], dict[str, NetworkName]] = {}
    for network in sorted(study.networks(), key=lambda network: network.seed):
        if examples_path(study.root, network.path).exists():
            found.setdefault(network[:2], {}).setdefault(network.condition, network)
    grids = []
    for (task, architecture), networks in found.items():
        order = in_order(study.conditions, networks)
        guided = [name for name in order if name != BASELINE and not study.conditions[name].control]
        for name in (BASELINE, *guided[:1]):
            if name in networks:
                names = {"task": task, "architecture": architecture, "condition": name, "seed": networks[name].seed}
                grids.append(read_grid(study, attacks, networks[name]) | names)
    return grids


def read_grid(study: Study, attacks: Mapping[str, ShownAttack], network: NetworkName) -> Row:
    """One network's grid: `attacks` (labels) and `rows`, each with a clean image and a cell per attack."""
    examples = read_examples(examples_path(study.root, network.path))
    classes = ClassNames(study, network.task)
    shown = [attack for name, attack in attacks.items() if name in examples.adversarial]
    rows = []
    for index in range(min(SHOWN, len(examples.image))):
        clean = examples.clean[index]
        cells = [
            example_cell(
                clean, examples.adversarial[attack.name][index], float(examples.budget[attack.name][index]), attack.unit
            )
            for attack in shown
        ]
        label = classes.name(int(examples.label[index]))
        rows.append(
            {"image": int(examples.image[index]), "label": label, "clean": png_data(thin(clean)), "cells": cells}
        )
    return {"attacks": [attack.label for attack in shown], "rows": rows}


def example_cell(clean: np.ndarray, adversarial: np.ndarray, budget: float, unit: str) -> Row:
    """One attack on one image: two pictures and a caption, or the reason why there are none."""
    if not np.isfinite(adversarial).all():
        return {"reason": "not found"}
    if np.array_equal(clean, adversarial):
        return {"reason": "wrong already"}
    return changed_cell(clean, adversarial, format_budget(budget, unit) if math.isfinite(budget) else "")


def changed_cell(clean: np.ndarray, changed: np.ndarray, note: str) -> Row:
    """A picture, its difference to the clean one, amplified, and a note that ends in the factor."""
    difference, factor = amplify(thin(changed).astype(float) - thin(clean))
    note = f"{note} · ×{factor}" if note else f"×{factor}"
    return {"picture": png_data(thin(changed)), "difference": png_data(difference), "note": note}


def thin(image: np.ndarray) -> np.ndarray:
    """Every k-th pixel of a large image: exact pixels, no interpolation that would blur a perturbation."""
    step = max(1, round(max(image.shape[:2]) / LARGEST))
    return image[::step, ::step]


class ClassNames:
    """What a task's labels are called; by number where its dataset is missing."""

    def __init__(self, study: Study, task: str):
        path = dataset_path(study.root, task)
        self.names = read_dataset(path).classes if path.exists() else []

    def name(self, label: int) -> str:
        """One label's name."""
        return self.names[label] if label < len(self.names) else f"class {label}"
