"""A published test set as a task's networks are shown it, made once."""

from __future__ import annotations

from pathlib import Path

from neurobust.attacks.shifted.layouts import read_shifted
from neurobust.attacks.shifted.settings import ShiftedSet
from neurobust.core.io import Provenance, provenance
from neurobust.core.settings import written
from neurobust.files.dataset import read_dataset
from neurobust.files.shifted import ShiftedImages, write_shifted


def prepare_shifted(dataset: Path, settings: ShiftedSet, resize: int | None, output: Path) -> None:
    """Read the images of a task's classes from the set's own layout, and write them at the task's size.

    resize: the shorter side before the centre crop, where the set is not cropped. Raises InputError for a folder that
    is not the set, or is not complete.
    """
    data = read_dataset(dataset)
    found = read_shifted(settings, data, resize)
    about = ShiftedImages(data.task, settings.kind, found.types, found.severities, found.labels, found.classes)

    def record() -> Provenance:
        made = provenance({"dataset": dataset}, params={**written(settings), "resize": resize})
        own = found.provenance()
        return {**made, "inputs": {**made["inputs"], **own["inputs"]}}

    write_shifted(output, about, data.side, found.blocks, record)
