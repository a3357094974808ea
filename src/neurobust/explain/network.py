"""Entry point of the scope network: one network, a table per analysis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from neurobust.core.training import pick_device
from neurobust.explain.bench import Job, explain
from neurobust.explain.measured import by_roi, named
from neurobust.explain.network_bench import Compared, NetworkBench
from neurobust.explain.registry import read_analyses
from neurobust.files.dataset import read_dataset
from neurobust.networks.architectures import load_network


def explain_network(
    dataset: Path, model: Path, compared: Compared, analyses: Mapping[str, Any], n_images: int, seed: int,
    folder: Path, image_batch: int = 64,
) -> None:  # fmt: skip
    """Make some analyses (name -> settings) of one network on test images; write each into `folder`.

    The images are those that the attacks look at: the same for every network of a task, and their rows in the dataset
    stand in each file's attribute `images`. Values that are undefined are missing. `image_batch` bounds the memory.
    """
    device = pick_device()
    task = read_dataset(dataset)
    rows = np.sort(task.examined(n_images))
    bench = NetworkBench(load_network(model).to(device), task, rows, compared, seed, device, image_batch)
    inputs = {"dataset": dataset, "model": model, **files_of(compared)}
    explain(bench, read_analyses(analyses), Job(folder, inputs, seed, tuple(rows.tolist())))


class NetworkInputs(Protocol):
    """The inputs of the rule: paths, ROI by ROI and subject by subject; none where no analysis needs them."""

    predictors: Sequence[str]
    responses: Sequence[str]
    stimuli: Sequence[str]
    examples: Sequence[str]
    transfer: Sequence[str]
    minimal: Sequence[str]


def compared_files(rois: Sequence[str], inputs: NetworkInputs) -> Compared:
    """What a network is compared with, of these ROIs."""
    predictors = dict(zip(rois, map(Path, inputs.predictors), strict=True)) if inputs.predictors else {}
    examples, transfer = (Path(paths[0]) if paths else None for paths in (inputs.examples, inputs.transfer))
    responses, minimal = by_roi(rois, inputs.responses, inputs.stimuli), tuple(map(Path, inputs.minimal))
    return Compared(predictors, responses, examples, transfer, minimal)


def files_of(compared: Compared) -> dict[str, Path]:
    """The files that a network is compared with, by what they are, for the provenance."""
    found = {f"predictor {roi}": path for roi, path in compared.predictors.items()}
    stored = {"examples": compared.examples, "transfer": compared.transfer}
    found |= {f"attack {path.stem}": path for path in compared.minimal}
    return found | named(compared.responses) | {name: path for name, path in stored.items() if path is not None}
