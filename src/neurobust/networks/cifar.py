"""CIFAR-10 and CIFAR-100 from their official Python archives, unpacked, without trusting the pickles in them."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np

from neurobust.core.errors import InputError
from neurobust.core.io import provenance
from neurobust.networks.source import (
    BLOCK,
    TEST,
    TRAIN,
    VALIDATION,
    Source,
    options_of,
    required_source,
    stratified_split,
)

SIDE = 32  # pixels
# Everything that an array in a pickle needs, under the names of old and new numpy.
ALLOWED = {
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("_codecs", "encode"),
}


class ArrayUnpickler(pickle.Unpickler):
    """An unpickler of plain containers and numpy arrays; any other name in a file is refused before it is looked up."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ALLOWED:
            raise pickle.UnpicklingError(f"refuses {module}.{name}")
        if name == "_reconstruct":
            return np.ndarray.__reduce__(np.empty(0))[0]
        return super().find_class(module, name)


def read_pickle(path: Path) -> dict[bytes, Any]:
    """The dictionary in a CIFAR file, its keys as bytes. Raises InputError for a file that is none or wants code."""
    try:
        with path.open("rb") as file:
            found = ArrayUnpickler(file, encoding="bytes").load()
    except (OSError, EOFError, ValueError, TypeError, AttributeError, IndexError, pickle.UnpicklingError) as error:
        raise InputError(f"{path}: not a readable CIFAR file ({error}); unpack the official archive again") from error
    if not isinstance(found, dict):
        raise InputError(f"{path}: holds a {type(found).__name__}, not CIFAR's dictionary; unpack the archive again")
    return found


def read_cifar10(spec: dict[str, Any], source: Path | None) -> Source:
    """The folder `cifar-10-batches-py`: data_batch_1..5 for training and validation, test_batch for the test."""
    files = [f"data_batch_{k}" for k in range(1, 6)]
    return _read("cifar10", spec, source, files, "test_batch", "batches.meta", b"labels", b"label_names")


def read_cifar100(spec: dict[str, Any], source: Path | None) -> Source:
    """The folder `cifar-100-python`: train for training and validation, test for the test; the 100 fine labels."""
    return _read("cifar100", spec, source, ["train"], "test", "meta", b"fine_labels", b"fine_label_names")


def _read(
    kind: str,
    spec: dict[str, Any],
    source: Path | None,
    train: list[str],
    test: str,
    meta: str,
    key: bytes,
    names: bytes,
) -> Source:
    options = options_of(kind, spec, validation=0.1, seed=0)
    root = required_source(source, kind, "the unpacked folder of the official Python archive")
    images, labels, split = [], [], []
    for name, part in (*((name, TRAIN) for name in train), (test, TEST)):
        pixels, found = _read_batch(root / name, key)
        images.append(pixels)
        labels.append(found)
        split.append(np.full(len(found), part, np.uint8))
    images, labels, split = np.concatenate(images), np.concatenate(labels), np.concatenate(split)
    classes = [name.decode("ascii") for name in _entry(read_pickle(root / meta), names, root / meta)]
    rows = split == TRAIN
    shares = (1 - options["validation"], options["validation"])
    split[rows] = np.array([TRAIN, VALIDATION])[
        stratified_split(labels[rows], shares, options["seed"], kind, "validation")
    ]
    blocks = (images[start : start + BLOCK] for start in range(0, len(images), BLOCK))
    paths = {name: root / name for name in (*train, test, meta)}
    return Source(labels, split, classes, (SIDE, SIDE), blocks, lambda: provenance(paths))


def _read_batch(path: Path, key: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 (N, 32, 32, 3) and labels (N,): stored as N rows of a red, a green and a blue plane."""
    batch = read_pickle(path)
    data, labels = np.asarray(_entry(batch, b"data", path)), np.asarray(_entry(batch, key, path), np.int64)
    if data.dtype != np.uint8 or data.shape != (len(labels), 3 * SIDE * SIDE):
        raise InputError(
            f"{path}: data are {data.dtype} {data.shape} for {len(labels)} labels; unpack the archive again"
        )
    return data.reshape(-1, 3, SIDE, SIDE).transpose(0, 2, 3, 1), labels


def _entry(batch: dict[bytes, Any], key: bytes, path: Path) -> Any:
    if key not in batch:
        raise InputError(f"{path}: no entry '{key.decode()}'; this is not the archive that the task reads")
    return batch[key]
