"""The tasks that the phantom renders: scenes, and faces with attributes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from neurobust.core.errors import InputError
from neurobust.core.image_files import BLOCK
from neurobust.core.io import NPZ_ERRORS, provenance
from neurobust.files.dataset import TWINS, Source, Twins
from neurobust.networks.description import Task
from neurobust.networks.tasks.reading import required_source


def twins_of(file: Any) -> Twins:
    """The twins in an opened .npz file."""
    cue, random_cue, conflict = (file[name] for name in TWINS)
    return Twins(cue, random_cue, conflict, file.get("conflict_cue"))


def read(settings: Task, source: Path | None) -> Source:
    """An .npz of the phantom: images (N, H, W, 3) uint8, labels, split and classes; of faces also their attributes.

    The labels of faces are identities; `attributes` are (N, A), `attribute_names` what they are. Scenes that bear a cue
    come with their twins, those of objects with their masks.
    """
    path = required_source(source, settings.kind, "the .npz file that the phantom writes")
    try:
        with np.load(path, allow_pickle=False) as file:
            images, labels, split = file["images"], file["labels"], file["split"]
            classes = [str(name) for name in file["classes"]]
            attributes = file.get("attributes")
            names = tuple(str(name) for name in file["attribute_names"]) if attributes is not None else ()
            twins = twins_of(file) if "cue" in file else None
            masks = file.get("mask")
    except NPZ_ERRORS as error:
        raise InputError(f"{path}: not a readable phantom task ({error}); delete it and build the phantom") from error
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] != 3:
        raise InputError(f"{path}: images are {images.dtype} {images.shape}, not uint8 (N, H, W, 3)")
    return Source(
        labels=labels,
        split=split,
        classes=classes,
        size=images.shape[1:3],
        blocks=(images[start : start + BLOCK] for start in range(0, len(images), BLOCK)),
        provenance=lambda: provenance({settings.kind.removeprefix("phantom-"): path}),  # digested after the reading
        attributes=attributes,
        attribute_names=names,
        twins=twins,
        masks=masks,
    )
