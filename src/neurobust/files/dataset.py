"""`networks/{task}/dataset.h5`: the labelled images of a task, written once and memory-mapped from then on."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from neurobust.core.errors import InputError
from neurobust.core.io import Provenance, canonical_json, memmap_dataset, replacing
from neurobust.core.seeding import numpy_rng
from neurobust.core.unreadable import unreadable
from neurobust.files.splits import TEST, TRAIN, VALIDATION, rows_of

TWINS = ("cue", "random_cue", "conflict")  # arrays of a task whose images bear a cue


@dataclass(frozen=True)
class Twins:
    """The cue of a task's images, and the same images with other cues.

    cue: int64 (N,), the class whose cue each image bears; random_cue, conflict: uint8 (N, H, W, 3), the images with the
    cue of a class drawn without a look at the label, and with that of a class that is not the label: `conflict_cue`,
    int64 (N,), where it is known.
    """

    cue: np.ndarray
    random_cue: np.ndarray
    conflict: np.ndarray
    conflict_cue: np.ndarray | None = None


@dataclass(frozen=True)
class Source:
    """What a task reader finds: labels (N,), split (N,), class names, and blocks of uint8 images in the same order.

    `provenance` is called once the blocks are drawn, so that a reader may digest files while it decodes them.
    `attributes` (N, A) are yes-or-no properties of the images beside their labels, `attribute_names` what they are.
    twins: where the images bear a cue, the same images with other cues. folders: where each class has one, its name.
    masks: bool (N, H, W), where each image shows its object, if that is known.
    """

    labels: np.ndarray
    split: np.ndarray
    classes: list[str]
    size: tuple[int, int]
    blocks: Iterator[np.ndarray]
    provenance: Callable[[], Provenance]
    attributes: np.ndarray | None = None
    attribute_names: tuple[str, ...] = ()
    twins: Twins | None = None
    folders: tuple[str, ...] = ()
    masks: np.ndarray | None = None


@dataclass(frozen=True)
class Dataset:
    """A task: images uint8 (N, H, W, 3), memory-mapped; labels int64 (N,); split (N,); names of the classes.

    attributes: float32 (N, A) of 0 and 1, A = 0 for a task without any. cue, random_cue, conflict, conflict_cue: as
    `Twins` has them, the images memory-mapped; None for a task without a cue. folders: the class folders (of ImageNet:
    wnids), by class; empty for a task of another kind. masks: uint8 (N, H, W) of 0 and 1, memory-mapped, or None.
    """

    path: Path
    task: str
    images: np.ndarray
    labels: np.ndarray
    split: np.ndarray
    classes: list[str]
    attributes: np.ndarray
    attribute_names: list[str]
    cue: np.ndarray | None = None
    random_cue: np.ndarray | None = None
    conflict: np.ndarray | None = None
    folders: tuple[str, ...] = ()
    conflict_cue: np.ndarray | None = None
    masks: np.ndarray | None = None

    @property
    def side(self) -> int:
        """Side of the images in pixels."""
        return int(self.images.shape[1])

    @property
    def categories(self) -> np.ndarray:
        """Bool (N, classes): what each image shows, its class."""
        shown: np.ndarray = self.labels[:, None] == np.arange(len(self.classes))
        return shown

    def rows(self, split: int, most: int | None = None) -> np.ndarray:
        """Ascending rows of one split (TRAIN, VALIDATION or TEST), at most the first `most`."""
        return rows_of(self.split, split, most)

    def held_out(self, most: int | None = None) -> np.ndarray:
        """Rows of the validation images, or of the test images of a task that has none."""
        rows = self.rows(VALIDATION, most)
        return rows if len(rows) else self.rows(TEST, most)

    def examined(self, count: int) -> np.ndarray:
        """Rows (count,) of the test images that attacks and analyses look at.

        Their order is drawn from the task's name alone: every network of a task meets the same images, and more images
        continue the same list. Raises InputError where the task has fewer.
        """
        rows = self.rows(TEST)
        if not 0 < count <= len(rows):
            raise InputError(
                f"{self.path}: {count} test images to look at, but there are {len(rows)}; lower `attack_images`"
            )
        return numpy_rng("attacks", "images", self.task).permutation(rows)[:count].astype(np.int64)

    def shown(self, most: int) -> np.ndarray:
        """Rows (n,) of up to `most` training images, in a fixed order drawn from the task's name."""
        rows = self.rows(TRAIN)
        return numpy_rng("attacks", "training images", self.task).permutation(rows)[:most].astype(np.int64)


def dataset_path(results: Path | str, task: str) -> Path:
    """Where a task's images lie."""
    return Path(results) / "networks" / task / "dataset.h5"


def write_dataset(path: Path, task: str, source: Source, params: Mapping[str, object]) -> None:
    """Write what a task reader found; `params` are the settings that made it, for the provenance.

    Raises InputError where its parts do not fit together.
    """
    import h5py

    check_labels(source.labels, source.split, source.classes, f"task '{task}'")
    with replacing(path) as temporary, h5py.File(temporary, "w") as file:
        images = file.create_dataset("images", (len(source.labels), *source.size, 3), np.uint8)
        row = 0
        for block in source.blocks:
            images[row : row + len(block)] = block
            row += len(block)
        if row != len(source.labels):
            raise InputError(f"task '{task}': {row} images for {len(source.labels)} labels; prepare the source again")
        file["labels"] = source.labels.astype(np.int64)
        file["split"] = source.split.astype(np.uint8)
        if source.attributes is not None:
            file["attributes"] = source.attributes.astype(np.uint8)
            file.attrs["attributes"] = json.dumps(source.attribute_names)
        if source.twins is not None:
            check_twins(source.twins, images.shape, source.classes, f"task '{task}'")
            file["cue"] = source.twins.cue.astype(np.int64)
            file["random_cue"], file["conflict"] = source.twins.random_cue, source.twins.conflict
            if source.twins.conflict_cue is not None:
                file["conflict_cue"] = source.twins.conflict_cue.astype(np.int64)
        if source.masks is not None:
            check_masks(source.masks, images.shape, f"task '{task}'")
            file["masks"] = source.masks.astype(np.uint8)
        file.attrs["classes"] = json.dumps(source.classes)
        if source.folders:
            file.attrs["folders"] = json.dumps(source.folders)
        file.attrs["task"] = task
        file.attrs["provenance"] = canonical_json({**source.provenance(), "params": params})


def read_dataset(path: Path) -> Dataset:
    """Open a `dataset.h5`; raises InputError if it cannot be read or its parts do not belong together."""
    import h5py

    path = Path(path)
    try:
        with h5py.File(path, "r") as file:
            labels, split = file["labels"][:].astype(np.int64), file["split"][:]
            task, classes = str(file.attrs["task"]), json.loads(file.attrs["classes"])
            found = file["attributes"][:] if "attributes" in file else np.zeros((len(labels), 0))
            names = json.loads(file.attrs.get("attributes", "[]"))
            folders = tuple(json.loads(file.attrs.get("folders", "[]")))
            there = [name for name in TWINS if name in file]
            cue = file["cue"][:].astype(np.int64) if "cue" in there else None
            conflict_cue = file["conflict_cue"][:].astype(np.int64) if "conflict_cue" in file else None
            masked = "masks" in file
    except (OSError, KeyError) as error:
        raise unreadable(path, error, "not a readable task dataset; delete it and prepare it again") from error
    images = memmap_dataset(path, "images")
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] != 3:
        raise InputError(f"{path}: images are {images.dtype} {images.shape}, not uint8 (N, H, W, 3); prepare it again")
    if len(images) != len(labels):
        raise InputError(f"{path}: {len(images)} images but {len(labels)} labels; delete it and prepare it again")
    check_labels(labels, split, classes, str(path))
    masks = memmap_dataset(path, "masks") if masked else None
    if masks is not None:
        check_masks(masks, images.shape, str(path))
    kept = found.astype(np.float32)
    data = Dataset(path, task, images, labels, split, classes, kept, names, folders=folders, masks=masks)
    if not there:
        return data
    if cue is None or len(there) < len(TWINS):
        lacking = next(name for name in TWINS if name not in there)
        raise InputError(f"{path}: has '{there[0]}' but no '{lacking}'; delete it and prepare it again")
    twins = Twins(cue, memmap_dataset(path, "random_cue"), memmap_dataset(path, "conflict"), conflict_cue)
    check_twins(twins, images.shape, classes, str(path))
    return replace(data, **vars(twins))


def check_twins(twins: Twins, shape: Sequence[int], classes: Sequence[str], where: str) -> None:
    """Raise InputError unless there is a cue, of one of the classes, and two twins for every image (`shape`)."""
    for name in ("random_cue", "conflict"):
        found = getattr(twins, name)
        if found.dtype != np.uint8 or found.shape != tuple(shape):
            raise InputError(
                f"{where}: {name} is {found.dtype} {found.shape}, not uint8 {tuple(shape)}; prepare it again"
            )
    for name, cue in (("cue", twins.cue), ("conflict_cue", twins.conflict_cue)):
        if cue is not None and (cue.shape != (shape[0],) or cue.min() < 0 or cue.max() >= len(classes)):
            raise InputError(
                f"{where}: {name} is not one of {len(classes)} classes for each of {shape[0]} images; prepare it again"
            )


def check_masks(masks: np.ndarray, shape: Sequence[int], where: str) -> None:
    """Raise InputError unless there is a mask for every image (`shape`)."""
    if masks.dtype not in (np.bool_, np.uint8) or masks.shape != tuple(shape[:3]):
        raise InputError(
            f"{where}: masks are {masks.dtype} {masks.shape}, not bool {tuple(shape[:3])}; prepare it again"
        )


def check_labels(labels: np.ndarray, split: np.ndarray, classes: Sequence[str], where: str) -> None:
    """Raise InputError unless labels, split and classes fit together and there is something to train and to test on."""
    if len(labels) != len(split):
        raise InputError(f"{where}: {len(labels)} labels but {len(split)} split entries; prepare the source again")
    if len(classes) < 2:
        raise InputError(f"{where}: {len(classes)} classes; a task needs at least 2")
    for name, part in (("train", TRAIN), ("test", TEST)):
        if not (split == part).any():
            raise InputError(f"{where}: no {name} images (split {part}); prepare the source again")
    if labels.min() < 0 or labels.max() >= len(classes):
        raise InputError(
            f"{where}: labels span {labels.min()}..{labels.max()} but there are {len(classes)} classes; "
            "prepare it again"
        )
    if split.max() > TEST:
        raise InputError(
            f"{where}: split has the value {split.max()}; only 0 train, 1 validation and 2 test are known; "
            "prepare it again"
        )
