"""A task's `dataset.h5` as semantic attacks and their auxiliary networks need it."""

from __future__ import annotations

from pathlib import Path

from neurobust.attacks.semantic.description import HALVED
from neurobust.core.errors import InputError
from neurobust.files.dataset import Dataset, read_dataset


def read_task(path: Path, attributes: bool = False) -> Dataset:
    """Read a task; raises InputError for images that the networks cannot halve three times.

    With `attributes`, a task without any is an InputError too.
    """
    data = read_dataset(path)
    if attributes and not data.attribute_names:
        raise InputError(
            f"{path}: task '{data.task}' has no attributes to edit; name a task of faces in "
            "`semantic.semanticadv.tasks`"
        )
    if data.images.shape[1] % HALVED or data.images.shape[2] != data.images.shape[1]:
        raise InputError(
            f"{path}: images of {data.images.shape[1:3]} px; semantic attacks need squares of a multiple of {HALVED}"
        )
    return data
