"""Tasks: labelled images to classify, each written once as `dataset.h5` and memory-mapped from then on."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from neurobust import __version__
from neurobust.core.errors import InputError
from neurobust.core.io import canonical_json, memmap_dataset, provenance, replacing
from neurobust.networks.cifar import read_cifar10, read_cifar100
from neurobust.networks.photos import read_celeba_attributes, read_celeba_identity, read_tiny_imagenet
from neurobust.networks.source import (
    BLOCK,
    TEST,
    TRAIN,
    ImageFiles,
    Source,
    options_of,
    required_source,
    stratified_split,
)

IMAGE_SUFFIXES = {".jpeg", ".jpg", ".png", ".bmp", ".webp"}


@dataclass(frozen=True)
class Dataset:
    """A `dataset.h5`: images uint8 (N, H, W, 3), memory-mapped; labels int64 (N,), split uint8 (N,), class names."""

    images: np.ndarray
    labels: np.ndarray
    split: np.ndarray
    classes: list[str]

    def rows(self, split: int) -> np.ndarray:
        """Ascending rows of one split (TRAIN, VALIDATION or TEST)."""
        return np.flatnonzero(self.split == split)


def prepare_task(task: str, spec: Mapping[str, Any], output: Path, source: Path | None = None) -> None:
    """Write the `dataset.h5` of a task: images uint8 contiguous, labels, split, and attrs classes, task, provenance.

    Faces also have `attributes` uint8 (N, A), 0 or 1, and an attr of that name that lists what they are.

    `spec` holds the reader's own keys, and `kind` (a name of TASKS) where it is not the task's name. `source` is the
    file or folder that the reader wants, if any. Raises InputError for an unknown name or key, or a broken source.
    """
    import h5py

    spec = dict(spec)
    kind = spec.pop("kind", task)
    if kind not in TASKS:
        raise InputError(f"task '{task}': kind '{kind}' is not known; choose one of {', '.join(TASKS)}")
    found = TASKS[kind](spec, source)
    check_labels(found.labels, found.split, found.classes, f"task '{task}'")
    with replacing(output) as temporary, h5py.File(temporary, "w") as file:
        images = file.create_dataset("images", (len(found.labels), *found.size, 3), np.uint8)
        row = 0
        for block in found.blocks:
            images[row : row + len(block)] = block
            row += len(block)
        if row != len(found.labels):
            raise InputError(f"task '{task}': {row} images for {len(found.labels)} labels; prepare the source again")
        file["labels"] = found.labels.astype(np.int64)
        file["split"] = found.split.astype(np.uint8)
        if found.attributes is not None:
            file["attributes"] = found.attributes.astype(np.uint8)
            file.attrs["attributes"] = json.dumps(found.attribute_names)
        file.attrs["classes"] = json.dumps(found.classes)
        file.attrs["task"] = task
        file.attrs["provenance"] = canonical_json({**found.provenance(), "params": {**spec, "kind": kind}})


def load_dataset(path: Path) -> Dataset:
    """Open a `dataset.h5`; raises InputError if its parts do not belong together."""
    import h5py

    try:
        with h5py.File(path, "r") as file:
            labels, split = file["labels"][:].astype(np.int64), file["split"][:]
            classes = json.loads(file.attrs["classes"])
    except (OSError, KeyError) as error:
        raise InputError(f"{path}: not a readable task dataset ({error}); delete it and prepare it again") from error
    images = memmap_dataset(path, "images")
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] != 3:
        raise InputError(f"{path}: images are {images.dtype} {images.shape}, not uint8 (N, H, W, 3); prepare it again")
    if len(images) != len(labels):
        raise InputError(f"{path}: {len(images)} images but {len(labels)} labels; delete it and prepare it again")
    check_labels(labels, split, classes, str(path))
    return Dataset(images, labels, split, classes)


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
        raise InputError(f"{where}: labels span {labels.min()}..{labels.max()} but there are {len(classes)} classes")
    if split.max() > TEST:
        raise InputError(f"{where}: split has the value {split.max()}; only 0 train, 1 validation and 2 test are known")


def _read_digits(spec: dict[str, Any], source: Path | None) -> Source:
    """scikit-learn's 1797 handwritten digits (8 x 8, 0..16) as RGB; 70 / 10 / 20 % per class."""
    from sklearn.datasets import load_digits

    options = options_of("digits", spec, image_size=32, seed=0)
    size = options["image_size"]
    digits = load_digits()
    gray = np.rint(digits.images * (255 / 16)).astype(np.uint8)
    images = np.stack([np.asarray(_pil(image).resize((size, size), _bilinear())) for image in gray])
    labels = digits.target.astype(np.int64)
    return Source(
        labels=labels,
        split=stratified_split(labels, (0.7, 0.1, 0.2), options["seed"], "digits", "split"),
        classes=[str(digit) for digit in range(10)],
        size=(size, size),
        blocks=iter([np.repeat(images[..., None], 3, axis=-1)]),
        provenance=lambda: {"neurobust": __version__, "inputs": {"digits": {"file": "sklearn.datasets.load_digits"}}},
    )


def _read_phantom_scenes(spec: dict[str, Any], source: Path | None) -> Source:
    """The phantom's rendered scenes: an .npz with images (N, H, W, 3) uint8, labels, split and classes."""
    return _read_phantom("phantom-scenes", spec, source)


def _read_phantom_faces(spec: dict[str, Any], source: Path | None) -> Source:
    """The phantom's rendered faces: as the scenes, labels being identities, with attributes (N, A) and their names."""
    return _read_phantom("phantom-faces", spec, source)


def _read_phantom(kind: str, spec: dict[str, Any], source: Path | None) -> Source:
    options_of(kind, spec)
    source = required_source(source, kind, "the .npz file that the phantom writes")
    try:
        with np.load(source, allow_pickle=False) as file:
            images, labels, split = file["images"], file["labels"], file["split"]
            classes = [str(name) for name in file["classes"]]
            attributes = file.get("attributes")
            names = tuple(str(name) for name in file["attribute_names"]) if attributes is not None else ()
    except (OSError, KeyError, ValueError) as error:
        raise InputError(f"{source}: not a readable phantom task ({error}); delete it and build the phantom") from error
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] != 3:
        raise InputError(f"{source}: images are {images.dtype} {images.shape}, not uint8 (N, H, W, 3)")
    blocks = (images[start : start + BLOCK] for start in range(0, len(images), BLOCK))
    record = lambda: provenance({kind.removeprefix("phantom-"): source})  # noqa: E731 (digested after the reading)
    return Source(labels, split, classes, images.shape[1:3], blocks, record, attributes, names)


def _read_image_folder(spec: dict[str, Any], source: Path | None) -> Source:
    """A folder `root/{train,val}/{class folder}/*`: its `val` is the test split, part of its `train` the validation.

    Shorter side resized (bilinear), centre cropped to `image_size`. `classes`: "imagenet50", the path of a list
    (`folder name` per line), or absent for every folder of `train`. The class index is the order of the folder names.
    """
    options = options_of("image-folder", spec, image_size=224, resize=None, classes=None, validation=0.05, seed=0)
    root = required_source(source, "image-folder", "the folder that holds train and val")
    folders = _class_list(options["classes"], root)
    files, labels, split = [], [], []
    for part, index in (("train", TRAIN), ("val", TEST)):
        for label, folder in enumerate(folders):
            found = sorted(p for p in (root / part / folder).glob("*") if p.suffix.lower() in IMAGE_SUFFIXES)
            if not found:
                raise InputError(f"{root / part / folder}: no images; complete the folder or leave the class out")
            files += found
            labels += [label] * len(found)
            split += [index] * len(found)
    labels, split = np.array(labels, np.int64), np.array(split, np.uint8)
    train = split == TRAIN
    share = options["validation"]
    split[train] = stratified_split(labels[train], (1 - share, share), options["seed"], "image-folder", "validation")
    size = options["image_size"]
    images = ImageFiles(files, root, size, options["resize"])
    return Source(labels, split, list(folders.values()), (size, size), images.blocks(), images.provenance)


def _class_list(classes: str | None, root: Path) -> dict[str, str]:
    """Folder name -> class name, in the order of the folder names."""
    if classes is None:
        names = sorted(path.name for path in (root / "train").glob("*") if path.is_dir())
        return {name: name for name in names}
    if classes == "imagenet50":
        text = resources.files("neurobust.networks").joinpath("imagenet50.txt").read_text(encoding="utf-8")
    else:
        try:
            text = Path(classes).read_text(encoding="utf-8")
        except OSError as error:
            raise InputError(
                f"{classes}: class list cannot be read ({error.strerror}); give 'imagenet50' or a file"
            ) from error
    pairs = [line.split(maxsplit=1) for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return {pair[0]: pair[-1].strip() for pair in sorted(pairs)}


def _pil(image: np.ndarray):
    from PIL import Image

    return Image.fromarray(image)


def _bilinear():
    from PIL import Image

    return Image.Resampling.BILINEAR


# kind -> reader(spec, source). A new kind is one function and one entry.
TASKS: dict[str, Callable[[dict[str, Any], Path | None], Source]] = {
    "digits": _read_digits,
    "phantom-scenes": _read_phantom_scenes,
    "phantom-faces": _read_phantom_faces,
    "image-folder": _read_image_folder,
    "cifar10": read_cifar10,
    "cifar100": read_cifar100,
    "tiny-imagenet": read_tiny_imagenet,
    "celeba-identity": read_celeba_identity,
    "celeba-attributes": read_celeba_attributes,
}
