"""Photographs in official layouts: Tiny ImageNet and CelebA."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from neurobust.core.errors import InputError
from neurobust.core.image_files import ImageFiles
from neurobust.files.dataset import Source
from neurobust.files.splits import TEST, TRAIN, VALIDATION
from neurobust.networks.tasks.photos_settings import CelebaAttributes, CelebaIdentity, TinyImageNet
from neurobust.networks.tasks.reading import required_source, stratified_split

CELEBA_FOLDERS = ("", "Anno", "Eval", "Img", "img_align_celeba")


def read_tiny_imagenet(settings: TinyImageNet, source: Path | None) -> Source:
    """The folder `tiny-imagenet-200`: train/{wnid}/images, of which a share is the validation; its `val` is the test.

    Classes are those of wnids.txt in alphabetical order, named by words.txt.
    """
    root = required_source(source, settings.kind, settings.brings)
    folders = sorted(_lines(root / "wnids.txt"))
    words = dict(line.split("\t", 1) for line in _lines(root / "words.txt") if "\t" in line)
    files: list[Path] = []
    labels: list[int] = []
    for label, folder in enumerate(folders):
        found = sorted((root / "train" / folder / "images").glob("*.JPEG"))
        if not found:
            raise InputError(f"{root / 'train' / folder / 'images'}: no images; unpack the archive again")
        files += found
        labels += [label] * len(found)
    shares = (1 - settings.validation, settings.validation)
    order = stratified_split(np.array(labels), shares, settings.seed, "tiny-imagenet")
    split = [(TRAIN, VALIDATION)[part] for part in order]
    table = root / "val" / "val_annotations.txt"
    for line in _lines(table):
        name, wnid = line.split("\t")[:2]
        if wnid not in folders:
            raise InputError(f"{table}: '{wnid}' of {name} is not in wnids.txt; unpack the archive again")
        files.append(root / "val" / "images" / name)
        labels.append(folders.index(wnid))
        split.append(TEST)
    images = ImageFiles(files, root, settings.image_size)
    names = [words.get(folder, folder).split(",")[0].strip() for folder in folders]
    return _source(images, labels, split, names)


def read_celeba_identity(settings: CelebaIdentity, source: Path | None) -> Source:
    """Who is shown, among the `identities` with the most images of at least `min_images`; 70 / 10 / 20 % of each.

    The official partition has other people in each part, so it cannot serve here. The 40 attributes are kept as well.
    """
    root = required_source(source, settings.kind, settings.brings)
    table = _celeba_file(root, "identity_CelebA.txt")
    owner = dict(_pairs(table))
    people, counts = np.unique(list(owner.values()), return_counts=True)
    order = sorted(range(len(people)), key=lambda k: (-counts[k], int(people[k])))
    chosen = [str(people[k]) for k in order if counts[k] >= settings.min_images][: settings.identities]
    if len(chosen) < 2:
        raise InputError(f"{table}: {len(chosen)} people have {settings.min_images} images; lower `min_images`")
    classes = sorted(chosen, key=int)
    files = sorted(name for name, person in owner.items() if person in set(chosen))
    labels = np.array([classes.index(owner[name]) for name in files])
    split = stratified_split(labels, (0.7, 0.1, 0.2), settings.seed, "celeba-identity")
    return _celeba_source(root, files, labels, split, classes, settings.image_size)


def read_celeba_attributes(settings: CelebaAttributes, source: Path | None) -> Source:
    """Whether a face has one `attribute` (default Smiling), in the official partition; all 40 attributes are kept."""
    root = required_source(source, settings.kind, settings.brings)
    names, values = _read_attributes(root)
    attribute = settings.attribute
    if attribute not in names:
        raise InputError(f"task kind 'celeba-attributes': attribute '{attribute}' is not one of {', '.join(names)}")
    table = _celeba_file(root, "list_eval_partition.txt")
    partition = dict(_pairs(table))
    files = sorted(partition)
    absent = next((name for name in files if name not in values), None)
    if absent is not None:
        raise InputError(f"{table}: '{absent}' is not in list_attr_celeba.txt; download both files again")
    labels = np.array([values[name][names.index(attribute)] for name in files])
    split = np.array([int(partition[name]) for name in files], np.uint8)
    return _celeba_source(root, files, labels, split, [f"not {attribute}", attribute], settings.image_size)


def _celeba_source(
    root: Path, files: list[str], labels: np.ndarray, split: np.ndarray, classes: list[str], size: int
) -> Source:
    names, values = _read_attributes(root)
    folder = _celeba_file(root, "img_align_celeba")
    images = ImageFiles([folder / name for name in files], root, size)
    attributes = np.array([values[name] for name in files], np.uint8)
    return replace(_source(images, labels, split, classes), attributes=attributes, attribute_names=tuple(names))


def _source(images: ImageFiles, labels: Any, split: Any, classes: list[str]) -> Source:
    return Source(
        labels=np.asarray(labels, np.int64),
        split=np.asarray(split, np.uint8),
        classes=classes,
        size=(images.size, images.size),
        blocks=images.blocks(),
        provenance=images.provenance,
    )


def _celeba_file(root: Path, name: str) -> Path:
    """A file or folder of CelebA, flat or in the folders of the official download."""
    found = next((root / folder / name for folder in CELEBA_FOLDERS if (root / folder / name).exists()), None)
    if found is None:
        raise InputError(f"{root / name}: does not exist there or in Anno, Eval or Img; complete the folder of CelebA")
    inner = found / name
    return inner if inner.exists() else found


def _read_attributes(root: Path) -> tuple[list[str], dict[str, list[int]]]:
    """Names of the attributes, and 0 or 1 for each by image; the file has a count, the names, then -1 and 1."""
    table = _celeba_file(root, "list_attr_celeba.txt")
    lines = _lines(table)
    names = lines[1].split() if len(lines) > 1 else []
    values = {}
    for line in lines[2:]:
        name, *marks = line.split()
        if len(marks) != len(names) or set(marks) - {"-1", "1"}:
            raise InputError(f"{table}: '{name}' does not have {len(names)} values of -1 or 1; download the file again")
        values[name] = [int(mark == "1") for mark in marks]
    return names, values


def _pairs(table: Path) -> list[tuple[str, str]]:
    """The lines of a table of images and numbers."""
    pairs = []
    for line in _lines(table):
        name, _, number = line.partition(" ")
        if not number.strip().isdigit():
            raise InputError(f"{table}: '{line.strip()}' is not an image and a number; download the file again")
        pairs.append((name, number.strip()))
    return pairs


def _lines(path: Path) -> list[str]:
    try:
        return [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({error}); complete the folder") from error
