"""Files: whole or absent, the same bytes for the same content, one clear line where they are broken."""

import json

import h5py
import numpy as np
import pandas as pd
import pytest
import torch

from neurobust.core import io
from neurobust.core.errors import InputError


def test_what_cannot_be_written_is_named_as_the_reader_knows_it(tmp_path):
    target = tmp_path / "a.json"
    with pytest.raises(PermissionError) as said, io.replacing(target) as temporary:
        raise PermissionError(13, "Permission denied", str(temporary))
    assert said.value.filename == str(target)
    with pytest.raises(PermissionError) as said, io.replacing(target):
        raise PermissionError(13, "Permission denied", "another")
    assert said.value.filename == "another"


def test_replacing_leaves_nothing_behind_on_failure(tmp_path):
    target = tmp_path / "sub/result.txt"
    io.write_text(target, "old")
    with pytest.raises(RuntimeError), io.replacing(target) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert target.read_text() == "old"
    assert list(target.parent.iterdir()) == [target]


def test_equal_settings_give_equal_strings():
    assert io.canonical_json({"b": 1, "a": [1.0, None]}) == io.canonical_json({"a": [1.0, None], "b": 1})


def test_json_refuses_nan_and_names_a_broken_file(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        io.write_json(tmp_path / "x.json", {"r": float("nan")})
    assert not list(tmp_path.iterdir())
    (tmp_path / "x.json").write_text("{")
    with pytest.raises(InputError, match=r"x\.json: not valid JSON"):
        io.read_json(tmp_path / "x.json")


def test_parquet_round_trip_with_attributes(tmp_path):
    frame = pd.DataFrame({"a": [1, 2], "b": [0.5, np.nan]})
    io.write_parquet(tmp_path / "x.parquet", frame, {"seed": 3})
    back, attrs = io.read_parquet(tmp_path / "x.parquet")
    pd.testing.assert_frame_equal(back, frame)
    assert attrs == {"seed": 3}
    first = (tmp_path / "x.parquet").read_bytes()
    io.write_parquet(tmp_path / "x.parquet", frame, {"seed": 3})
    assert (tmp_path / "x.parquet").read_bytes() == first
    (tmp_path / "x.parquet").write_bytes(first[:50])
    with pytest.raises(InputError, match="not a readable parquet file"):
        io.read_parquet(tmp_path / "x.parquet")


def test_weights_round_trip_and_foreign_files(tmp_path):
    path = tmp_path / "w.safetensors"
    io.save_weights(path, {"w": torch.arange(6.0).reshape(2, 3).T}, {"kind": "x"})
    state, config = io.load_weights(path)
    assert torch.equal(state["w"], torch.arange(6.0).reshape(2, 3).T) and config == {"kind": "x"}
    from safetensors.torch import save_file

    save_file({"w": torch.zeros(1)}, path)
    with pytest.raises(InputError, match="no neurobust configuration"):
        io.load_weights(path)
    path.write_bytes(b"rubbish")
    with pytest.raises(InputError, match="not a readable safetensors file"):
        io.load_weights(path)


def test_memmap_reads_contiguous_data_and_refuses_the_rest(tmp_path):
    data = np.random.default_rng(0).integers(0, 255, (5, 4, 3), dtype=np.uint8)
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["plain"] = data
        file.create_dataset("packed", data=data, compression="gzip")
    mapped = io.memmap_dataset(tmp_path / "x.h5", "plain")
    assert isinstance(mapped, np.memmap) and np.array_equal(mapped, data)
    with pytest.raises(InputError, match="chunked"):
        io.memmap_dataset(tmp_path / "x.h5", "packed")
    with pytest.raises(InputError, match="no dataset 'other'"):
        io.memmap_dataset(tmp_path / "x.h5", "other")


def test_provenance_has_no_clock(tmp_path):
    (tmp_path / "in.txt").write_text("abc")
    record = io.provenance({"in": tmp_path / "in.txt"}, {"a": 1}, 7)
    assert record["inputs"]["in"]["sha256"].startswith("ba7816bf")
    assert record == io.provenance({"in": tmp_path / "in.txt"}, {"a": 1}, 7)
    json.dumps(record)
