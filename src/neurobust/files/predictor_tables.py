"""`predictors/{predictor}/{roi}/seed{seed}/`: `voxels.parquet`, how well a predictor predicts, a row per voxel;
`metrics.json`, its summary; and `maps/`, the voxels in the subject's volume."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct, field

from neurobust.core.errors import InputError
from neurobust.core.io import Provenance, read_parquet, write_parquet
from neurobust.files.records import write_record

if TYPE_CHECKING:
    import pandas as pd


# Percent of variance below which nothing is divided by a voxel's noise ceiling: at 1 % a chance r of .3 would read 3.0.
LEAST_CEILING = 5.0
RESAMPLES = 1000  # of a voxel's test images, for its interval and again for its permutation null
FALSE_DISCOVERIES = 0.05  # of the voxels that are called predicted, the share that may be so by chance
Summary = dict[str, float | int | None]
ReadVoxels = Callable[[Path], "pd.DataFrame"]  # `read_voxels`, or one that keeps what it has read


class PredictorMetrics(Struct, frozen=True):
    """Medians and counts over all voxels and by subject, a record of training per epoch or step, and how many
    parameters the predictor has."""

    over_all: Summary = field(name="all")
    subjects: dict[str, Summary]
    history: list[Any]
    parameters: int
    provenance: Provenance


def predictor_folder(results: Path | str, predictor: str, roi: str, seed: int | str) -> Path:
    """Where the predictor of an ROI keeps its files."""
    return Path(results) / "predictors" / predictor / roi / f"seed{seed}"


def voxels_path(results: Path | str, predictor: str, roi: str, seed: int | str) -> Path:
    """Where a predictor's voxels lie."""
    return predictor_folder(results, predictor, roi, seed) / "voxels.parquet"


def predictor_metrics_path(results: Path | str, predictor: str, roi: str, seed: int | str) -> Path:
    """Where a predictor's metrics lie."""
    return predictor_folder(results, predictor, roi, seed) / "metrics.json"


def map_path(results: Path | str, predictor: str, roi: str, seed: int | str, subject: str, measure: str) -> Path:
    """Where a measure of a subject's voxels lies as a volume."""
    return predictor_folder(results, predictor, roi, seed) / "maps" / f"{subject}_{measure}.nii.gz"


def write_predictor_metrics(path: Path, metrics: PredictorMetrics) -> None:
    """Write the metrics of one predictor, atomically."""
    write_record(path, metrics)


def write_voxels(path: Path, frame: pd.DataFrame, provenance: Provenance) -> None:
    """Write one row per voxel, atomically."""
    write_parquet(path, frame, {"provenance": provenance})


def are_predicted(voxels: pd.DataFrame) -> pd.Series[bool]:
    """Which voxels of such a table are called predicted: above the permutation null, corrected for their number."""
    return voxels["p_fdr"] <= FALSE_DISCOVERIES


def read_voxels(path: Path) -> pd.DataFrame:
    """One row per voxel: subject, r, noise_ceiling (percent), r_normalised and more."""
    if not path.exists():
        raise InputError(f"{path}: missing; run the pipeline for this predictor, or take its ROI out of the study")
    return read_parquet(path)[0]
