"""`networks/{network}/metrics.json`: how well a network was trained."""

from __future__ import annotations

import math
from pathlib import Path

from msgspec import Struct

from neurobust.core.errors import InputError
from neurobust.core.io import Provenance
from neurobust.files.records import read_record, write_record

NUMBERS = ("clean_accuracy", "train_accuracy", "alignment", "seconds")  # that the report shows


class NetworkMetrics(Struct, frozen=True, kw_only=True):
    """Whose metrics they are; shares of images named correctly, correlation and CKA of the features with the target,
    seconds of training, None where it was not measured; how deep the layers lie that the neural loss acts on, 0 to 1;
    how many dimensions the target and how many images each split has."""

    task: str | None = None
    architecture: str | None = None
    condition: str | None = None
    seed: int | None = None
    clean_accuracy: float | None = None
    train_accuracy: float | None = None
    validation_accuracy: float | None = None
    alignment: float | None = None
    alignment_cka: float | None = None
    layer_depth: float | None = None
    target_dim: int | None = None
    n_train: int | None = None
    n_test: int | None = None
    seconds: float | None = None
    provenance: Provenance | None = None

    def numbers(self) -> dict[str, float]:
        """NUMBERS by name, NaN where one was not measured."""
        found = {name: getattr(self, name) for name in NUMBERS}
        return {name: math.nan if value is None else value for name, value in found.items()}


def metrics_path(results: Path | str, network: str) -> Path:
    """Where a network's metrics lie; network: its names as a path (`NetworkName.path`)."""
    return Path(results) / "networks" / network / "metrics.json"


def write_metrics(path: Path, metrics: NetworkMetrics) -> None:
    """Write the metrics of one network, atomically."""
    write_record(path, metrics)


def read_metrics(path: Path) -> NetworkMetrics:
    """The metrics of one network; InputError where they are missing or no such record."""
    if not path.exists():
        raise InputError(f"{path}: missing; run the pipeline for this network, or take it out of the study")
    return read_record(path, NetworkMetrics, "the metrics of a network")
