"""Entry point of the scope predictor: the predictor of one ROI, a table per analysis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from neurobust.core.training import pick_device
from neurobust.explain.bench import Job, explain
from neurobust.explain.measured import SubjectFiles, by_roi, named
from neurobust.explain.predictor_bench import PredictorBench
from neurobust.explain.registry import read_analyses
from neurobust.files.predictor_tables import read_voxels
from neurobust.files.prf_maps import MAPS
from neurobust.predictors.target import load_target


@dataclass(frozen=True)
class PredictorFiles:
    """The files of a predictor: weights, `voxels.parquet`, its ROI's responses and images by subject, those of other
    ROIs where an analysis needs them, what the stimuli show, and each subject's maps of pRFs, where these are known."""

    model: Path
    voxels: Path
    measured: Mapping[str, Sequence[SubjectFiles]]
    labels: Path | None = None
    prf_maps: Sequence[Sequence[Path]] = ()


class PredictorInputs(Protocol):
    """The inputs of the rule: paths, responses ROI by ROI and subject by subject; labels and maps of pRFs (subject by
    subject, three each) where they are known."""

    model: str
    voxels: str
    responses: Sequence[str]
    stimuli: Sequence[str]
    labels: Sequence[str]
    prfs: Sequence[str]


def predictor_files(rois: Sequence[str], inputs: PredictorInputs) -> PredictorFiles:
    """The files of a predictor, with the responses of these ROIs."""
    labels = Path(inputs.labels[0]) if inputs.labels else None
    measured = by_roi(rois, inputs.responses, inputs.stimuli)
    maps = [[Path(path) for path in inputs.prfs[k : k + len(MAPS)]] for k in range(0, len(inputs.prfs), len(MAPS))]
    return PredictorFiles(Path(inputs.model), Path(inputs.voxels), measured, labels, maps)


def explain_predictor(
    files: PredictorFiles, roi: str, analyses: Mapping[str, Any], most: int, seed: int, folder: Path,
    image_batch: int = 64,
) -> None:  # fmt: skip
    """Make some analyses (name -> settings) of an ROI's predictor on at most `most` held-out stimuli; write each into
    `folder`. Values that are undefined are missing. `image_batch` bounds the memory."""
    device = pick_device()
    target = load_target([files.model]).to(device)
    bench = PredictorBench(
        target=target, side=target.sizes[0], roi=roi, voxels=read_voxels(files.voxels), files=files.measured, seed=seed,
        device=device, most=most, labels=files.labels, prf_maps=files.prf_maps,
        image_batch=image_batch,
    )  # fmt: skip
    inputs = {"model": files.model, "voxels": files.voxels, **named(files.measured)}
    for number, maps in enumerate(files.prf_maps):
        inputs |= {f"prf {name} {number}": path for name, path in zip(MAPS, maps, strict=True)}
    if files.labels is not None:
        inputs["labels"] = files.labels
    shown = tuple(int(number) for number in bench.held_out.nsd_id)
    explain(bench, read_analyses(analyses), Job(folder, inputs, seed, shown))
