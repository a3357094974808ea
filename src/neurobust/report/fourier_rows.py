"""The Fourier maps of a study's networks, as rows: the mean error over seeds at each frequency."""

from __future__ import annotations

import numpy as np

from neurobust.files.explained import arrays_path, network_analysis_path, read_explained_arrays
from neurobust.report.blocks import Row
from neurobust.study.model import Study

ANALYSIS = "fourier"


def fourier_rows(study: Study) -> list[Row]:
    """A row per condition and frequency, means over seeds; nothing of maps that were not made.

    Frequencies are cycles per image, down and across; a map lists them ascending, its middle one being 0.
    """
    maps: dict[tuple[str, str, str], list[np.ndarray]] = {}
    places: dict[tuple[str, str, str], np.ndarray] = {}
    for network in study.networks():
        path = network_analysis_path(study.root, network.path, ANALYSIS)
        if not arrays_path(path).exists():
            continue
        found = read_explained_arrays(path)
        key = (network.task, network.architecture, network.condition)
        if "error" in found:
            maps.setdefault(key, []).append(found["error"])
            places[key] = found["reach"]
    rows: list[Row] = []
    for key, errors in maps.items():
        mean = np.mean(errors, 0)
        down, across = (axis_of(int(first), count) for first, count in zip(places[key], mean.shape, strict=True))
        names = dict(zip(("task", "architecture", "condition"), key, strict=True))
        rows += [
            names | {"down": u, "across": v, "error": float(mean[i, j]), "n_seeds": len(errors)}
            for i, u in enumerate(down) for j, v in enumerate(across)
        ]  # fmt: skip
    return rows


def axis_of(first: int, count: int) -> list[int]:
    """Frequencies of a map along one axis: evenly spaced, from `first`, with 0 among them."""
    step = max(1, -first // (count // 2)) if count > 1 else 1
    return [first + step * k for k in range(count)]
