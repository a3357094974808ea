"""Photographs in official layouts: Tiny ImageNet and CelebA."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from neurobust.core.errors import InputError
from neurobust.networks.source import (
    TEST,
    TRAIN,
    VALIDATION,
    ImageFiles,
    Source,
    options_of,
    required_source,
    stratified_split,
)

CELEBA_FOLDERS = ("", "Anno", "Eval", "Img", "img_align_celeba")


def read_tiny_imagenet(spec: dict[str, Any], source: Path | None) -> Source:
    """The folder `tiny-imagenet-200`: train/{wnid}/images, of which a share is the validation; its `val` is the test.

    Classes are those of wnids.txt in alphabetical order, named by words.txt.
    """
    options = options_of("tiny-imagenet", spec, image_size=64, validation=0.05, seed=0)
    root = required_source(source, "tiny-imagenet", "the unpacked folder tiny-imagenet-200")
    folders = sorted(_lines(root / "wnids.txt"))
    words = dict(line.split("\t", 1) for line in _lines(root / "words.txt") if "\t" in line)
    files, labels, split = [], [], []
    for label, folder in enumerate(folders):
        found = sorted((root / "train" / folder / "images").glob("*.JPEG"))
        if not found:
            raise InputError(f"{root / 'train' / folder / 'images'}: no images; unpack the archive again")
        files += found
        labels += [label] * len(found)
    order = stratified_split(
        np.array(labels), (1 - options["validation"], options["validation"]), options["seed"], "tiny-imagenet"
    )
    split += [(TRAIN, VALIDATION)[part] for part in order]
    table = root / "val" / "val_annotations.txt"
    for line in _lines(table):
        name, wnid = line.split("\t")[:2]
        if wnid not in folders:
            raise InputError(f"{table}: '{wnid}' of {name} is not in wnids.txt; unpack the archive again")
        files.append(root / "val" / "images" / name)
        labels.append(folders.index(wnid))
        split.append(TEST)
    images = ImageFiles(files, root, options["image_size"])
    names = [words.get(folder, folder).split(",")[0].strip() for folder in folders]
    return _source(images, labels, split, names)


def read_celeba_identity(spec: dict[str, Any], source: Path | None) -> Source:
    """Who is shown, among the `identities` with the most images of at least `min_images`; 70 / 10 / 20 % of each.

    The official partition has other people in each part, so it cannot serve here. The 40 attributes are kept as well.
    """
    options = options_of("celeba-identity", spec, image_size=64, identities=100, min_images=20, seed=0)
    root = required_source(source, "celeba-identity", "the folder of CelebA (img_align_celeba and its text files)")
    table = _celeba_file(root, "identity_CelebA.txt")
    owner = dict(_pairs(table))
    people, counts = np.unique(list(owner.values()), return_counts=True)
    order = sorted(range(len(people)), key=lambda k: (-counts[k], int(people[k])))
    chosen = [str(people[k]) for k in order if counts[k] >= options["min_images"]][: options["identities"]]
    if len(chosen) < 2:
        raise InputError(f"{table}: {len(chosen)} people have {options['min_images']} images; lower `min_images`")
    classes = sorted(chosen, key=int)
    files = sorted(name for name, person in owner.items() if person in set(chosen))
    labels = np.array([classes.index(owner[name]) for name in files])
    split = stratified_split(labels, (0.7, 0.1, 0.2), options["seed"], "celeba-identity")
    return _celeba_source(root, files, labels, split, classes, options["image_size"])


def read_celeba_attributes(spec: dict[str, Any], source: Path | None) -> Source:
    """Whether a face has one `attribute` (default Smiling), in the official partition; all 40 attributes are kept."""
    options = options_of("celeba-attributes", spec, image_size=64, attribute="Smiling")
    root = required_source(source, "celeba-attributes", "the folder of CelebA (img_align_celeba and its text files)")
    names, values = _read_attributes(root)
    attribute = options["attribute"]
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
    return _celeba_source(root, files, labels, split, [f"not {attribute}", attribute], options["image_size"])


def _celeba_source(root: Path, files: list[str], labels: Any, split: Any, classes: list[str], size: int) -> Source:
    names, values = _read_attributes(root)
    folder = _celeba_file(root, "img_align_celeba")
    images = ImageFiles([folder / name for name in files], root, size)
    return _source(images, labels, split, classes, np.array([values[name] for name in files], np.uint8), tuple(names))


def _source(images: ImageFiles, labels: Any, split: Any, classes: list[str], *attributes: Any) -> Source:
    labels, split = np.asarray(labels, np.int64), np.asarray(split, np.uint8)
    return Source(labels, split, classes, (images.size,) * 2, images.blocks(), images.provenance, *attributes)


def _celeba_file(root: Path, name: str) -> Path:
    """A file or folder of CelebA, flat or in the folders of the official download."""
    found = next((root / folder / name for folder in CELEBA_FOLDERS if (root / folder / name).exists()), None)
    if found is None:
        raise InputError(f"{root / name}: does not exist, nor in Anno, Eval or Img; complete the folder of CelebA")
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
    pairs = [tuple(line.split()) for line in _lines(table)]
    wrong = next((pair for pair in pairs if len(pair) != 2 or not pair[1].isdigit()), None)
    if wrong is not None:
        raise InputError(f"{table}: '{' '.join(wrong)}' is not an image and a number; download the file again")
    return pairs


def _lines(path: Path) -> list[str]:
    try:
        return [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({error}); complete the folder") from error
