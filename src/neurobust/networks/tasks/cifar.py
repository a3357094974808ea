"""CIFAR-10 and CIFAR-100 from their official Python archives, unpacked, without trusting the pickles in them."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from neurobust.core.errors import InputError
from neurobust.core.image_files import BLOCK
from neurobust.core.io import provenance
from neurobust.files.dataset import Source
from neurobust.files.splits import TEST, TRAIN, VALIDATION
from neurobust.networks.tasks.cifar_settings import SIDE, Cifar, Cifar10, Cifar100
from neurobust.networks.tasks.reading import required_source, stratified_split

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
        """The object of a name that an array needs; UnpicklingError for any other."""
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


@dataclass(frozen=True)
class Layout:
    """Files of an archive: training, test and meta data; and the keys of the labels and of their names."""

    train: tuple[str, ...]
    test: str
    meta: str
    labels: bytes
    names: bytes


def read_cifar10(settings: Cifar10, source: Path | None) -> Source:
    """The folder `cifar-10-batches-py`: data_batch_1..5 for training and validation, test_batch for the test."""
    train = tuple(f"data_batch_{k}" for k in range(1, 6))
    return _read(settings, source, Layout(train, "test_batch", "batches.meta", b"labels", b"label_names"))


def read_cifar100(settings: Cifar100, source: Path | None) -> Source:
    """The folder `cifar-100-python`: train for training and validation, test for the test; the 100 fine labels."""
    return _read(settings, source, Layout(("train",), "test", "meta", b"fine_labels", b"fine_label_names"))


def _read(settings: Cifar, source: Path | None, layout: Layout) -> Source:
    root = required_source(source, settings.kind, settings.brings)
    parts = [(*_read_batch(root / name, layout.labels), TRAIN) for name in layout.train]
    parts.append((*_read_batch(root / layout.test, layout.labels), TEST))
    images = np.concatenate([pixels for pixels, _, _ in parts])
    labels = np.concatenate([found for _, found, _ in parts])
    split = np.concatenate([np.full(len(found), part, np.uint8) for _, found, part in parts])
    meta = root / layout.meta
    classes = [name.decode("ascii") for name in _entry(read_pickle(meta), layout.names, meta)]
    rows = split == TRAIN
    shares = (1 - settings.validation, settings.validation)
    chosen = stratified_split(labels[rows], shares, settings.seed, settings.kind, "validation")
    split[rows] = np.array([TRAIN, VALIDATION])[chosen]
    blocks = (images[start : start + BLOCK] for start in range(0, len(images), BLOCK))
    paths = {name: root / name for name in (*layout.train, layout.test, layout.meta)}
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
