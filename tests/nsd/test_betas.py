"""Session files: both formats give the betas of the right voxels in the right order, and damage is one clear error."""

from __future__ import annotations

import gzip
import shutil

import h5py
import numpy as np
import pytest

from neurobust.core.errors import InputError
from neurobust.nsd import header, layout
from neurobust.nsd.betas import check_place, read_session
from neurobust.nsd.volumes import Grid
from neurobust.phantom import files

TRIALS = 30


def some_voxels(shape, count=60):
    """Ascending C-order indices, the first and the last voxel among them."""
    rng = np.random.default_rng(0)
    size = int(np.prod(shape))
    return np.unique(np.r_[0, rng.choice(size, count, replace=False), size - 1])


@pytest.mark.parametrize("subject", ["subj01", "subj02"])
@pytest.mark.parametrize("suffix", ["nii.gz", "hdf5"])
@pytest.mark.parametrize("plain_gzip", [False, True])
def test_columns_are_the_voxels_of_the_c_order_index(tiny, subject, suffix, plain_gzip, monkeypatch):
    if plain_gzip:
        monkeypatch.setattr(header, "open_gzip", gzip.open)
    volume = tiny.betas[subject][..., TRIALS : 2 * TRIALS]
    shape = volume.shape[:3]
    voxels = some_voxels(shape)
    found = read_session(layout.session(tiny.root, subject, 2, suffix), voxels, shape, TRIALS)
    assert found.dtype == np.int16
    for column, voxel in enumerate(voxels):
        x, rest = divmod(int(voxel), shape[1] * shape[2])
        y, z = divmod(rest, shape[2])
        np.testing.assert_array_equal(found[:, column], volume[x, y, z])


def test_hdf5_is_the_reversed_nifti(tiny):
    volume = tiny.betas["subj01"][..., :TRIALS]
    with h5py.File(layout.session(tiny.root, "subj01", 1, "hdf5")) as file:
        stored = file["betas"]
        assert stored.shape == (TRIALS, 8, 11, 9)
        assert stored.chunks == (TRIALS, 1, 1, 1)
        assert stored[4, 2, 7, 3] == volume[3, 7, 2, 4]


def test_hdf5_of_another_chunking_reads_the_same(tiny, tmp_path):
    volume = tiny.betas["subj02"][..., :TRIALS]
    path = tmp_path / "betas_session01.hdf5"
    with h5py.File(path, "w") as file:
        file["betas"] = volume.transpose(3, 2, 1, 0)
    voxels = some_voxels(volume.shape[:3])
    expected = volume.reshape(-1, TRIALS)[voxels].T
    np.testing.assert_array_equal(read_session(path, voxels, volume.shape[:3], TRIALS), expected)


def test_big_endian_nifti_reads_the_same(tmp_path):
    import nibabel as nib

    volume = np.random.default_rng(1).integers(-999, 999, (3, 4, 5, 6)).astype(np.int16)
    header = nib.Nifti1Header(endianness=">")
    header.set_data_dtype(np.int16)
    path = tmp_path / "betas_session01.nii.gz"
    nib.Nifti1Image(volume, np.eye(4), header).to_filename(path)
    assert gzip.decompress(path.read_bytes())[:4] == (348).to_bytes(4, "big")
    found = read_session(path, np.arange(60), (3, 4, 5), 6)
    np.testing.assert_array_equal(found, volume.reshape(60, 6).T)


def test_saturated_betas_pass(tiny):
    shape = tiny.betas["subj01"].shape[:3]
    voxel = np.ravel_multi_index((3, 3, 3), shape)
    found = read_session(layout.session(tiny.root, "subj01", 1), np.array([voxel]), shape, TRIALS)
    assert found.max() == 32767
    assert found.min() == -32768


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip_checksum(path):
    data = bytearray(path.read_bytes())
    data[-6] ^= 0xFF
    path.write_bytes(bytes(data))


def cut_at_a_whole_volume(path):
    content = gzip.decompress(path.read_bytes())
    path.write_bytes(gzip.compress(content[: len(content) - 9 * 11 * 8 * 2]))


def append_a_volume(path):
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()) + bytes(9 * 11 * 8 * 2)))


def scale(path):
    content = bytearray(gzip.decompress(path.read_bytes()))
    content[112:116] = np.float32(0.5).tobytes()  # scl_slope
    path.write_bytes(gzip.compress(bytes(content)))


def make_float(path):
    files.write_nifti(path, np.zeros((9, 11, 8, TRIALS), np.float32))


def widen(path):
    files.write_nifti(path, np.zeros((9, 11, 8, TRIALS), np.int32))


def transpose(path):
    files.write_nifti(path, np.zeros((8, 11, 9, TRIALS), np.int16))


def drop_trials(path):
    files.write_nifti(path, np.zeros((9, 11, 8, TRIALS - 1), np.int16))


def make_text(path):
    path.write_bytes(b"<html>403 Forbidden</html>")


def make_gzipped_text(path):
    path.write_bytes(gzip.compress(b"<html>403 Forbidden</html>" * 50))


DAMAGE = [
    (cut, "truncated or damaged"),
    (flip_checksum, "truncated or damaged"),
    (cut_at_a_whole_volume, "truncated or damaged"),
    (append_a_volume, "longer than its header says"),
    (scale, "scaled by 0.5"),
    (make_float, "float32 is not int16"),
    (widen, "int32 is not int16"),
    (transpose, r"\(8, 11, 9, 30\) is not the expected"),
    (drop_trials, r"\(9, 11, 8, 29\) is not the expected"),
    (make_text, "truncated or damaged"),
    (make_gzipped_text, "not a single-file NIfTI-1"),
]


@pytest.mark.parametrize("plain_gzip", [False, True])
@pytest.mark.parametrize(("damage", "message"), DAMAGE, ids=[damage.__name__ for damage, _ in DAMAGE])
def test_damaged_nifti_is_one_line(tiny, tmp_path, damage, message, plain_gzip, monkeypatch):
    if plain_gzip:
        monkeypatch.setattr(header, "open_gzip", gzip.open)
    path = tmp_path / "betas_session01.nii.gz"
    shutil.copy(layout.session(tiny.root, "subj01", 1), path)
    damage(path)
    with pytest.raises(InputError, match=message) as caught:
        read_session(path, some_voxels((9, 11, 8)), (9, 11, 8), TRIALS)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_damaged_hdf5_is_one_line(tiny, tmp_path):
    path = tmp_path / "betas_session01.hdf5"
    voxels, shape = some_voxels((9, 11, 8)), (9, 11, 8)
    shutil.copy(layout.session(tiny.root, "subj01", 1, "hdf5"), path)
    cut(path)
    with pytest.raises(InputError, match="truncated or damaged"):
        read_session(path, voxels, shape, TRIALS)
    with h5py.File(path, "w") as file:
        file["betas"] = np.zeros((TRIALS, *shape), np.int16)  # not reversed
    with pytest.raises(InputError, match="is not the expected"):
        read_session(path, voxels, shape, TRIALS)
    with h5py.File(path, "w") as file:
        file["beta"] = np.zeros(3)
    with pytest.raises(InputError, match="no dataset 'betas'"):
        read_session(path, voxels, shape, TRIALS)


def test_missing_or_strange_file(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_session(tmp_path / "betas_session01.nii.gz", np.arange(3), (9, 11, 8), TRIALS)
    (tmp_path / "betas_session01.mat").write_bytes(b"")
    with pytest.raises(InputError, match="only"):
        read_session(tmp_path / "betas_session01.mat", np.arange(3), (9, 11, 8), TRIALS)


@pytest.mark.parametrize("space", ["func1pt8mm", "func1mm"])
@pytest.mark.parametrize("name", ["betas_session01.nii.gz", "betas_session01.nii"])
def test_betas_out_of_place_name_their_space(tmp_path, space, name):
    """Compressed or not: an uncompressed copy went unlooked at."""
    import nibabel as nib

    shape, affine = (4, 5, 6), np.diag([1.0, 1.0, 1.0, 1.0])
    grid = Grid(shape, affine, np.arange(120), space)
    moved = affine.copy()
    moved[0, 3] = 2
    nib.Nifti1Image(np.zeros((*shape, 2), np.int16), moved).to_filename(tmp_path / name)
    with pytest.raises(InputError, match=rf"subj01: its affine places it \[2.0, 0.0, 0.0\].*; use betas of {space} as"):
        check_place(tmp_path / name, "subj01", grid)
    nib.Nifti1Image(np.zeros((*shape, 2), np.int16), affine).to_filename(tmp_path / name)
    check_place(tmp_path / name, "subj01", grid)
