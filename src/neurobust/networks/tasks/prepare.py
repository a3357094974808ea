"""Preparing a task: what its reader finds, written once as the `dataset.h5` that is memory-mapped from then on."""

from __future__ import annotations

from pathlib import Path

from neurobust.core.settings import written
from neurobust.files.dataset import write_dataset
from neurobust.networks.description import Task, load_function


def prepare_task(task: str, settings: Task, output: Path, source: Path | None = None) -> None:
    """Write the `dataset.h5` of a task: images, labels, split, attributes where it has any, and its provenance.

    `source` is the file or folder that the reader of its kind wants, if any. Raises InputError for a broken source.
    """
    found = load_function(settings.reader)(settings, source)
    write_dataset(output, task, found, written(settings))
