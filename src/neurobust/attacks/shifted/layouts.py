"""Shifted test sets read from their official layouts: folders of ImageNet's classes, and the arrays of CIFAR-10-C.

ImageNet-C          {corruption}/{1 to 5}/{wnid}/*.JPEG, below the set's folder or one folder further down
ImageNet-R, -A      {wnid}/*, of 200 classes each; -Sketch: of all
Stylized-ImageNet   val/{wnid}/*.png
CIFAR-10-C          {corruption}.npy uint8 (50000, 32, 32, 3), the test images five times over, by severity;
                    labels.npy (50000,)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from neurobust.attacks.corruptions.registry import CORRUPTIONS, SEVERITIES
from neurobust.attacks.shifted.settings import ShiftedSet
from neurobust.core.errors import InputError
from neurobust.core.image_files import BLOCK, ImageFiles, images_in
from neurobust.core.io import Provenance, provenance
from neurobust.core.names import one_of
from neurobust.core.seeding import numpy_rng
from neurobust.files.dataset import Dataset

UNCORRUPTED = ("", (0,))  # the one type, and its one severity, of a set without corruptions


@dataclass(frozen=True)
class Found:
    """What a set holds for a task: n images under each type at each severity, in this order.

    types: names of corruptions, or one empty name; severities; labels int64 (n,), classes of the task; classes int64
    (k,): those that the set shows, drawn or not; blocks: uint8 (m, S, S, 3), all images in order; provenance: called
    once the blocks are drawn.
    """

    types: tuple[str, ...]
    severities: tuple[int, ...]
    labels: np.ndarray
    classes: np.ndarray
    blocks: Iterator[np.ndarray]
    provenance: Callable[[], Provenance]


def read_shifted(settings: ShiftedSet, data: Dataset, resize: int | None) -> Found:
    """The images of a set that show a task's classes; resize: of the shorter side before the task's centre crop.

    Raises InputError for a folder that is not there or is not in the official layout of the set.
    """
    root = Path(settings.source)
    if not root.is_dir():
        raise InputError(f"{root}: no such folder; give that of {settings.kind} as `source`")
    read = read_arrays if settings.layout.task == "cifar10" else read_folders
    return read(settings, data, root, resize)


def read_folders(settings: ShiftedSet, data: Dataset, root: Path, resize: int | None) -> Found:
    """A set of image files in class folders."""
    layout = settings.layout
    base = root / layout.part
    places = corrupted_folders(base, settings) if layout.corrupted else {UNCORRUPTED[0]: base}
    severities = SEVERITIES if layout.corrupted else UNCORRUPTED[1]
    levels = [place / str(severity) if severity else place for place in places.values() for severity in severities]
    names, labels = class_files(levels[0], settings, data)
    chosen = drawn(settings, len(names))
    files = [level / names[index] for level in levels for index in chosen]
    images = ImageFiles(files, root, data.side, None if layout.cropped else resize)
    return Found(tuple(places), severities, labels[chosen], np.unique(labels), images.blocks(), images.provenance)


def corrupted_folders(base: Path, settings: ShiftedSet) -> dict[str, Path]:
    """Corruption -> the folder with its five severities, in the order of our own corruptions, others behind them."""
    found: dict[str, Path] = {}
    for way in ("*/[1-5]", "*/*/[1-5]"):
        for place in sorted({path.parent for path in base.glob(way) if path.is_dir()}):
            if place.name in found:
                raise InputError(f"{place}: {found[place.name]} is of the same corruption; keep one of the two")
            found[place.name] = place
    places = {name: found[name] for name in picked(found, settings, base, "folder of severities 1 to 5")}
    for place in places.values():
        for severity in SEVERITIES:
            if not (place / str(severity)).is_dir():
                raise InputError(f"{place / str(severity)}: no such folder; complete {settings.kind}")
    return places


def picked(found: Iterable[str], settings: ShiftedSet, base: Path, what: str) -> list[str]:
    """Those of the corruptions found that the settings name (default: all), in the order of our own."""
    found = list(found)
    if not found:
        raise InputError(f"{base}: no {what}; give the folder of {settings.kind} as `source`")
    for name in settings.types or ():
        if name not in found:
            raise InputError(f"{base}: has no corruption '{name}'; name some of {one_of(name, found)} in `types`")
    wanted = settings.types or found
    return [name for name in (*CORRUPTIONS, *sorted(set(found) - {*CORRUPTIONS})) if name in wanted]


def class_files(place: Path, settings: ShiftedSet, data: Dataset) -> tuple[list[Path], np.ndarray]:
    """The images of a task's classes below one folder, relative to it, by class and name; and their labels (n,)."""
    if not data.folders:
        raise InputError(f"{data.path}: does not say which folder each class has; delete it and prepare it again")
    names: list[Path] = []
    labels: list[int] = []
    for label, folder in enumerate(data.folders):
        files = images_in(place / folder)
        if not files and not settings.layout.subset:
            raise InputError(f"{place / folder}: no images of the class '{folder}'; complete {settings.kind}")
        names += [path.relative_to(place) for path in files]
        labels += [label] * len(files)
    if len(set(labels)) < 2:
        raise InputError(
            f"{place}: has images of {len(set(labels))} of the {len(data.folders)} classes of the task '{data.task}', "
            f"by the names of their folders; give the folder of {settings.kind} as `source`"
        )
    return names, np.array(labels, np.int64)


def read_arrays(settings: ShiftedSet, data: Dataset, root: Path, resize: int | None) -> Found:
    """CIFAR-10-C's arrays; `resize` has no meaning for them."""
    files = {path.stem: path for path in sorted(root.glob("*.npy")) if path.stem != "labels"}
    types = picked(files, settings, root, ".npy file of a corruption")
    labels = array(root / "labels.npy")
    levels, counts = len(SEVERITIES), labels.ndim == 1 and labels.dtype.kind in "iu"
    each = labels.reshape(levels, -1) if counts and len(labels) % levels == 0 else None
    if each is None or not each.size or (each != each[0]).any() or each.min() < 0 or each.max() >= len(data.classes):
        raise InputError(
            f"{root / 'labels.npy'}: {labels.dtype} {labels.shape} are not the labels of {data.task}'s test images "
            "five times over; unpack the official archive again"
        )
    arrays = {name: array(files[name]) for name in types}
    for name, images in arrays.items():
        if images.dtype != np.uint8 or images.shape != (len(labels), data.side, data.side, 3):
            raise InputError(
                f"{files[name]}: {images.dtype} {images.shape}, not uint8 {(len(labels), data.side, data.side, 3)} as "
                "labels.npy and the task have it; unpack the official archive again"
            )
    chosen = drawn(settings, each.shape[1])
    shown, classes = each[0][chosen].astype(np.int64), np.arange(len(data.classes))
    paths = {name: files[name] for name in types} | {"labels": root / "labels.npy"}
    blocks = (
        images[level * each.shape[1] + part]
        for images in arrays.values()
        for level in range(levels)
        for part in np.split(chosen, range(BLOCK, len(chosen), BLOCK))
    )
    return Found(tuple(types), SEVERITIES, shown, classes, blocks, lambda: provenance(paths))


def array(path: Path) -> np.ndarray:
    """An array of a .npy file, memory-mapped; InputError for one that cannot be read. Nothing is unpickled."""
    try:
        found: np.ndarray = np.lib.format.open_memmap(path, mode="r")
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not a readable array ({error}); unpack the official archive again") from error
    return found


def drawn(settings: ShiftedSet, count: int) -> np.ndarray:
    """Which of `count` images are shown, ascending: drawn from the set's name alone, so that every task's network, type
    and severity meets the same; more of them hold the fewer."""
    order = numpy_rng("shifted", settings.kind).permutation(count)
    return np.sort(order[: settings.images])
