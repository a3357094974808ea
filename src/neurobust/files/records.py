"""How this package reads and writes a record of JSON and a bundle of arrays: typed, or one line that says why not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
import numpy as np

from neurobust.core.errors import InputError
from neurobust.core.io import NPZ_ERRORS, read_json, read_parquet, replacing, write_json

if TYPE_CHECKING:
    import pandas as pd
    from _typeshed import DataclassInstance

T = TypeVar("T")
Kind = TypeVar("Kind", bound="DataclassInstance")


def as_record(path: Path, found: Any, kind: type[T], what: str) -> T:
    """What a file says of itself as an object of a type; InputError where it is not `what`."""
    try:
        return msgspec.convert(found, kind)
    except msgspec.ValidationError as error:
        raise InputError(f"{path}: not {what} ({error}); delete it and run again") from error


def read_record(path: Path, kind: type[T], what: str) -> T:
    """A JSON file as an object of a type; InputError where it is not `what`, as in "a list of checks"."""
    return as_record(path, read_json(path), kind, what)


def read_table(path: Path, kind: type[T], what: str, columns: Iterable[str]) -> tuple[pd.DataFrame, T]:
    """A parquet file as its rows and what it says of them; InputError where it is not `what` or lacks a column."""
    frame, attrs = read_parquet(path)
    record = as_record(path, attrs, kind, what)
    if missing := set(columns) - set(frame.columns):
        raise InputError(f"{path}: not {what} (no {min(missing)}); delete it and run again")
    return frame, record


def write_record(path: Path, record: Any) -> None:
    """Write a typed object, or a list of them, as JSON, atomically."""
    write_json(path, msgspec.to_builtins(record))


def attributes_of(record: msgspec.Struct) -> dict[str, Any]:
    """A record as the attributes of a parquet file: JSON types, without what is None."""
    return {name: value for name, value in msgspec.to_builtins(record).items() if value is not None}


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write named arrays as npz, atomically."""
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]  # its stub takes the values for `allow_pickle`


def read_arrays(path: Path, names: Iterable[str]) -> dict[str, np.ndarray]:
    """The arrays of an npz file by name; InputError where it cannot be read or lacks one of `names`."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except NPZ_ERRORS as error:
        raise InputError(f"{path}: not a readable file of arrays ({error}); delete it and run again") from error
    if missing := sorted(set(names) - set(arrays)):
        raise InputError(f"{path}: no array '{missing[0]}' (has {sorted(arrays)}); delete it and run again")
    return arrays


def write_fields(path: Path, found: DataclassInstance) -> None:
    """Write a dataclass of arrays as npz, a field by its name, atomically."""
    write_arrays(path, {field.name: getattr(found, field.name) for field in fields(found)})


def read_fields(path: Path, kind: type[Kind]) -> Kind:
    """A dataclass of arrays from its npz file; InputError where the file is not that."""
    names = [field.name for field in fields(kind)]
    arrays = read_arrays(path, names)
    return kind(**{name: arrays[name] for name in names})
