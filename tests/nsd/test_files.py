"""The files that nsd writes: what is written comes back, and a file that lacks something is one clear error."""

from __future__ import annotations

from dataclasses import fields, replace

import h5py
import numpy as np
import pytest

from neurobust.core.errors import InputError
from neurobust.files.betas import CHUNK_VOXELS, BetasIndex, betas_path, open_betas, write_betas
from neurobust.files.lookup import find_rows
from neurobust.files.roi import DATASETS, RoiFile, read_roi, roi_path, write_roi
from neurobust.files.stimuli import read_stimuli, stimuli_path, write_stimuli

AFFINE = np.diag([1.8, 1.8, 1.8, 1.0])


def make_roi(trials: bool = True) -> RoiFile:
    rng = np.random.default_rng(0)
    values = lambda *shape: rng.normal(size=shape).astype(np.float32)  # noqa: E731
    return RoiFile(
        subject="subj01", roi="V1", atlas="prf-visualrois", labels=("V1v", "V1d"), affine=AFFINE, shape=(5, 7, 4),
        responses=values(6, 3), n_repeats=np.array([1, 2, 3, 3, 1, 2], np.int16), nsd_id=np.arange(6) * 4,
        split=np.array([0, 0, 1, 0, 2, 2], np.uint8), single_trials=values(3, 3),
        single_trial_nsd_id=np.array([16, 20, 20]), ncsnr=values(3), ncsnr_file=values(3), noise_ceiling=values(3),
        voxel_index=np.array([3, 17, 90]), provenance={"neurobust": "0"},
        trials=values(9, 3) if trials else None, trial_nsd_id=np.arange(9) if trials else None,
    )  # fmt: skip


def same(a, b) -> bool:
    pairs = [(getattr(a, field.name), getattr(b, field.name)) for field in fields(a)]
    return all(np.array_equal(x, y) if isinstance(x, np.ndarray) else x == y for x, y in pairs)


@pytest.mark.parametrize("trials", [True, False])
def test_an_roi_comes_back_and_its_bytes_with_it(tmp_path, trials):
    path, again = tmp_path / "V1.h5", tmp_path / "again.h5"
    write_roi(path, make_roi(trials))
    found = read_roi(path)
    assert same(found, make_roi(trials))
    write_roi(again, found)
    assert path.read_bytes() == again.read_bytes()
    assert same(read_roi(path, trials=False), replace(found, trials=None, trial_nsd_id=None))


@pytest.mark.parametrize("name", DATASETS)
def test_a_part_that_an_roi_lacks_is_named(tmp_path, name):
    path = tmp_path / "V1.h5"
    write_roi(path, make_roi())
    with h5py.File(path, "a") as file:
        del file[name]
    if name in ("trials", "trial_nsd_id"):
        assert getattr(read_roi(path), name) is None
        return
    with pytest.raises(InputError, match=rf"V1.h5: no dataset '{name}' \(has .*delete the file and run again"):
        read_roi(path)


def test_a_broken_roi_file_is_one_line(tmp_path):
    path = tmp_path / "V1.h5"
    write_roi(path, make_roi())
    with h5py.File(path, "a") as file:
        del file.attrs["atlas"]
    with pytest.raises(InputError, match="no attribute 'atlas'"):
        read_roi(path)
    path.write_bytes(b"torn")
    with pytest.raises(InputError, match="not a readable ROI file"):
        read_roi(path)


def write_some_betas(path, voxels: int):
    """Two sessions of 6 trials; the betas, and how often the provenance was asked for before all were written."""
    betas = np.random.default_rng(1).integers(-999, 999, (12, voxels)).astype(np.int16)
    session = np.repeat(np.array([1, 2], np.int16), 6)
    index = BetasIndex("subj02", (9, 9, 9), AFFINE, np.arange(voxels) * 2, np.arange(12) % 5, session)
    written = []

    def sessions():
        for number in (1, 2):
            yield betas[session == number]
            written.append(number)

    write_betas(path, index, sessions(), lambda: {"sessions": list(written)})
    return betas, index


def test_columns_of_betas_are_read_across_chunks(tmp_path):
    betas, index = write_some_betas(tmp_path / "betas.h5", 2 * CHUNK_VOXELS + 5)
    columns = np.array([0, CHUNK_VOXELS - 1, CHUNK_VOXELS, 2 * CHUNK_VOXELS, 2 * CHUNK_VOXELS + 4])
    with open_betas(tmp_path / "betas.h5") as found:
        np.testing.assert_array_equal(found.columns(columns), betas[:, columns])
        assert found.columns(np.array([], int)).shape == (12, 0)
        assert (found.subject, found.shape) == ("subj02", (9, 9, 9))
        for name in ("voxel_index", "nsd_id", "session", "affine"):
            np.testing.assert_array_equal(getattr(found, name), getattr(index, name))
    with h5py.File(tmp_path / "betas.h5") as file:
        assert file.attrs["provenance"] == '{"sessions":[1,2]}', "it is asked for when every session is written"


@pytest.mark.parametrize("part", ["voxel_index", "betas", "subject", "shape"])
def test_betas_without_a_part(tmp_path, part):
    path = tmp_path / "betas.h5"
    write_some_betas(path, 3)
    with h5py.File(path, "a") as file:
        del (file if part in file else file.attrs)[part]
    with pytest.raises(InputError, match=r"betas.h5: lacks a part"), open_betas(path):
        pass


def test_stimuli_are_mapped_and_found_by_their_ids(tmp_path):
    images = np.random.default_rng(2).integers(0, 256, (5, 8, 8, 3), np.uint8)
    path, ids = tmp_path / "8.h5", np.array([2, 3, 5, 7, 11])
    write_stimuli(path, ids, 8, (images[start : start + 2] for start in (0, 2, 4)), lambda: {"made": "here"})
    found = read_stimuli(path)
    assert isinstance(found.images, np.memmap) and found.side == 8
    np.testing.assert_array_equal(found.images, images)
    np.testing.assert_array_equal(found.nsd_id, ids)
    assert found.rows(np.array([11, 2, 5]), of=tmp_path / "V1.h5").tolist() == [4, 0, 2]
    for absent in (1, 4, 12):
        with pytest.raises(InputError, match=rf"8.h5: no picture for nsd_id {absent} of .*V1.h5; delete both"):
            found.rows(np.array([2, absent]), of=tmp_path / "V1.h5")


def test_broken_stimuli_are_one_line(tmp_path):
    path = tmp_path / "8.h5"
    with h5py.File(path, "w") as file:
        file["images"] = np.zeros((2, 8, 8, 3), np.uint8)
    with pytest.raises(InputError, match="no dataset 'nsd_id'"):
        read_stimuli(path)
    with h5py.File(path, "a") as file:
        file["nsd_id"] = np.arange(3)
    with pytest.raises(InputError, match="2 images but 3 ids"):
        read_stimuli(path)
    path.write_bytes(b"torn")
    with pytest.raises(InputError, match="not a readable file of stimuli"):
        read_stimuli(path)


def test_rows_are_found_and_what_is_absent_is_told():
    rows, found = find_rows(np.array([4, 1, 9, 0]), np.array([1, 4, 6]))
    assert found.tolist() == [True, True, False, False]
    assert rows[found].tolist() == [1, 0]


def test_paths(tmp_path):
    assert roi_path(tmp_path, "subj01", "V1") == tmp_path / "cortex/subj01/V1.h5"
    assert betas_path(tmp_path, "subj01") == tmp_path / "cortex/subj01/betas.h5"
    assert stimuli_path(tmp_path, "subj01", 64) == tmp_path / "stimuli/subj01/64.h5"
