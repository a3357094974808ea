"""Files: written under a temporary name and renamed, so that a reader never meets half a file."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import secrets
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from neurobust import __version__
from neurobust.core.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

READ_ONLY = (errno.EACCES, errno.EPERM, errno.EROFS)  # why nothing can be written somewhere
PARQUET_KEY = b"neurobust"
# What numpy raises of a file that is no npz or a damaged one: empty, cut off, another kind of file, flipped bits.
NPZ_ERRORS = (OSError, EOFError, KeyError, TypeError, ValueError, NotImplementedError, zipfile.BadZipFile, zlib.error)


class InputFile(TypedDict, total=False):
    """A file that something was made from: its name, and SHA-256 in hex of its bytes, or of what was read of it. Of a
    folder of images its name, their count, and SHA-256 of them all."""

    file: str
    count: int
    sha256: str
    sha256_of_arrays: str
    sha256_of_rows: str


class Provenance(TypedDict, total=False):
    """How a file was made, as it lies in the file: version of the code, inputs, settings in JSON types, seed;
    versions of packages where they decide bytes."""

    neurobust: str
    inputs: dict[str, InputFile]
    params: Any
    seed: int
    versions: dict[str, str]


def canonical_json(value: Any) -> str:
    """`value` as JSON with sorted keys and no spaces: equal settings give equal strings."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def sha256_file(path: str | Path) -> str:
    """Hex SHA-256 of a file's bytes, read in constant memory."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def provenance(inputs: Mapping[str, str | Path], params: Any = None, seed: int | None = None) -> Provenance:
    """How a file was made: code version, parameters, seed, SHA-256 of each input. No clock, no host: reproducible."""
    record: Provenance = {"neurobust": __version__, "inputs": {}}
    for name, path in inputs.items():
        record["inputs"][name] = {"file": Path(path).name, "sha256": sha256_file(path)}
    if params is not None:
        record["params"] = params
    if seed is not None:
        record["seed"] = seed
    return record


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it to `path` on success, remove it on any failure.

    Its name is nobody else's: two threads, or processes with one number on two machines, may write one file.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        if error.filename == str(temporary):
            error.filename = str(path)  # what a reader of the message knows
        raise
    finally:
        temporary.unlink(missing_ok=True)


def unwritable(error: OSError) -> str:
    """One line for a file or folder that could not be made, and the way out."""
    where = error.filename if error.filename is not None else "a file"
    return f"{where}: cannot be written ({error.strerror or error}); make it writable, or name another folder"


def write_text(path: str | Path, text: str) -> None:
    """Write `text` as UTF-8, atomically."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | Path, value: Any) -> None:
    """Write `value` as indented JSON with sorted keys, atomically. NaN is refused: use None."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n")


def read_json(path: str | Path) -> Any:
    """Read a JSON file; a broken one is an InputError that names it."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not valid JSON ({error}); delete it and let the pipeline write it again") from error


def write_parquet(path: str | Path, frame: pd.DataFrame, attrs: Mapping[str, Any] | None = None) -> None:
    """Write a pandas `frame` without its index, atomically; `attrs` travel as JSON in the file's metadata."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.Table.from_pandas(frame, preserve_index=False)
    metadata = {**(table.schema.metadata or {}), PARQUET_KEY: canonical_json(dict(attrs or {})).encode()}
    with replacing(path) as temporary:
        pq.write_table(table.replace_schema_metadata(metadata), temporary, compression="zstd")


def read_parquet(path: str | Path) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Read a parquet file as (frame, attrs)."""
    table = parquet_table(path)
    return table.to_pandas(), parquet_attrs(table)


def read_parquet_columns(path: str | Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read a parquet file as (columns by name, attrs), without pandas: a third of its time for a small file.

    A missing number is NaN, a missing text None.
    """
    table = parquet_table(path)
    columns = zip(table.column_names, table.columns, strict=True)
    return {name: column.to_numpy() for name, column in columns}, parquet_attrs(table)


def parquet_table(path: str | Path) -> Any:
    """A parquet file as an Arrow table, read by one thread: the files are small, and many."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            return file.read(use_threads=False)
    except (pa.ArrowInvalid, OSError) as error:
        raise InputError(f"{path}: not a readable parquet file ({error}); delete it and run again") from error


def parquet_attrs(table: Any) -> dict[str, Any]:
    """What travels in a parquet file's metadata."""
    attrs: dict[str, Any] = json.loads((table.schema.metadata or {}).get(PARQUET_KEY, b"{}"))
    return attrs


def memmap_dataset(path: str | Path, name: str) -> np.memmap[Any, Any]:
    """Map a contiguous, unfiltered HDF5 dataset read-only into memory: no copy, shared by processes."""
    import h5py
    import numpy as np

    with h5py.File(path, "r") as file:
        if name not in file:
            raise InputError(f"{path}: no dataset '{name}' (has {sorted(file)}); delete the file and run again")
        dataset = file[name]
        offset = dataset.id.get_offset()
        if dataset.chunks is not None or offset is None:
            raise InputError(
                f"{path}: dataset '{name}' is chunked or empty and cannot be memory-mapped; delete the file, run again"
            )
        shape, dtype = dataset.shape, dataset.dtype
    return np.memmap(path, dtype=dtype, mode="r", offset=offset, shape=shape)


def save_weights(path: str | Path, tensors: Mapping[str, Any], config: Mapping[str, Any]) -> None:
    """Write a state dict as safetensors, atomically; `config` (what rebuilds the module) travels in its metadata."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    with replacing(path) as temporary:
        state = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        try:
            save_file(state, temporary, metadata={"neurobust": canonical_json(dict(config))})
        except SafetensorError as error:  # which says in words what the system said, such as a full disk
            found = re.search(r"os error (\d+)", str(error))
            if found is None:
                raise
            raise OSError(int(found[1]), os.strerror(int(found[1])), str(path)) from error


def load_weights(path: str | Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read (state dict, config) from a file of `save_weights`."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="pt") as file:
            config = json.loads((file.metadata() or {}).get("neurobust", "null"))
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(
            f"{path}: not a readable safetensors file ({error}); give another, or, if the pipeline wrote it, delete it "
            "and run again"
        ) from error
    if not isinstance(config, dict):
        raise InputError(f"{path}: carries no neurobust configuration; give a file that this pipeline has written")
    return state, config
