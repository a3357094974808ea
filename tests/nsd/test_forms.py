"""Copies as labs have them: NaN for -1, uncompressed volumes, a colour table with a BOM, a design saved as v7.3."""

from __future__ import annotations

import gzip
import shutil
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
import scipy.io
import yaml

from neurobust.core.errors import InputError
from neurobust.core.settings import read
from neurobust.nsd import layout, manifest, plan, verify, volumes
from neurobust.nsd.ctab import read_ctab
from neurobust.nsd.design import load_design, read_design
from neurobust.nsd.extract import extract_betas
from neurobust.nsd.labelled import label_volumes, labelled_voxels
from neurobust.nsd.mirror import Mirror
from neurobust.nsd.mirror_checks import check_atlases, check_sessions
from neurobust.nsd.responses import extract_roi
from neurobust.nsd.settings import ROI, Data, StudySplits
from neurobust.phantom import files
from neurobust.study import mirror as study_mirror
from neurobust.study.read import read_study

SPLITS = StudySplits(test="shared", validation=0.2, seed=0, zscore="all")
LO = ROI(atlas="Kastner2015", labels=("LO1", "LO2", "V1v", "V1d"), within="nsdgeneral")


def data_of(root, **changes):
    subjects = {"subj01": {"sessions": 5}, "subj02": {"sessions": 4}}
    given = {"source": "nsd", "root": str(root), "format": "nii.gz", "subjects": subjects}
    return read(Data, given | changes, "data")


def made(root, paths, folder):
    """betas.h5 and an ROI's file as arrays."""
    extract_betas(root, "subj01", 5, paths, folder / "betas.h5")
    extract_roi(root, folder / "betas.h5", "subj01", "LO", LO, SPLITS, folder / "LO.h5")
    found = {}
    for name in ("betas.h5", "LO.h5"):
        with h5py.File(folder / name) as file:
            found |= {f"{name}/{key}": file[key][()] for key in file}
    return found


@pytest.fixture(scope="module")
def expected(tiny, tmp_path_factory):
    return made(tiny.root, tiny.session_paths("subj01"), tmp_path_factory.mktemp("as published"))


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)


# --- NaN for -1 ---


def with_nan(path):
    """The volume as a copy has it that knows no -1; int16 volumes have 0 there, and become floats."""
    labels = volumes.read_array(path)[1].astype(np.float32)
    outside = labels == -1 if (labels == -1).any() else labels == 0
    files.write_nifti(path, np.where(outside, np.float32("nan"), labels))


def test_nan_in_place_of_every_minus_one_is_read(copied, expected, tmp_path):
    for subject in ("subj01", "subj02"):
        for path in label_volumes(copied.root, subject).values():
            with_nan(path)
    grid = volumes.read_grid(copied.root, "subj01")
    streams = volumes.read_labels(layout.roi(copied.root, "subj01", "streams"), grid)
    lh, rh = copied.labels["subj01", "streams"]
    np.testing.assert_array_equal(streams, np.where(lh != -1, lh, rh))
    np.testing.assert_array_equal(labelled_voxels(copied.root, "subj01", grid), expected["betas.h5/voxel_index"])
    assert_same(made(copied.root, copied.session_paths("subj01"), tmp_path), expected)
    assert check_atlases(Mirror(data_of(copied.root))).startswith("13 atlases")


def test_nan_beside_minus_one_is_a_damaged_volume(copied):
    path = layout.roi(copied.root, "subj01", "streams")
    labels = volumes.read_array(path)[1].copy()
    labels[4, 4, 3] = np.nan
    files.write_nifti(path, labels)
    with pytest.raises(InputError, match=r"streams.nii.gz: nan is not a label \(-1, 0, 1, 2, ...\); delete it"):
        volumes.read_labels(path, volumes.read_grid(copied.root, "subj01"))


# --- uncompressed volumes ---


def decompress(path):
    """x.nii in place of x.nii.gz."""
    plain = path.with_suffix("")
    plain.write_bytes(gzip.decompress(path.read_bytes()))
    path.unlink()
    return plain


@pytest.fixture
def plain(copied):
    """The tiny NSD with every volume and every session uncompressed."""
    for path in copied.root.rglob("*.nii.gz"):
        decompress(path)
    return copied


def test_uncompressed_volumes_are_read(plain, expected, tmp_path, project):
    """From the files that the rules name, which are those that are there."""
    root = plain.root
    config = yaml.safe_load((project / "config/config.yaml").read_text())
    config["data"] |= {"root": str(root), "subjects": {"subj01": {"sessions": 5}}}
    config["rois"] = {"V1": {"atlas": "prf-visualrois", "labels": ["V1v"]}}
    config["conditions"] = {"none": {"weight": 0.9}}
    rules, wildcards = study_mirror.Mirror(read_study(config)), SimpleNamespace(subject="subj01", roi="V1")
    named = [*rules.session_files(wildcards), *rules.label_files(wildcards), *rules.roi_files(wildcards)]
    assert not [path for path in named if path.endswith(".nii.gz")]
    assert sum(path.endswith(".nii") for path in named) == 5 + 39 + 3
    assert_same(made(root, plain.session_paths("subj01"), tmp_path), expected)


def test_the_compressed_file_goes_before_its_copy(copied):
    path = layout.brainmask(copied.root, "subj01")
    plain = path.with_suffix("")
    plain.write_bytes(b"")
    assert layout.brainmask(copied.root, "subj01") == path
    path.unlink()
    assert layout.brainmask(copied.root, "subj01") == plain
    plain.unlink()
    assert layout.brainmask(copied.root, "subj01") == path, "the name in the bucket, for what is fetched"


def test_what_is_there_uncompressed_is_not_fetched(plain, monkeypatch):
    """Its key is that of the compressed file, and `plan` counts it as present; the doctor looks at it."""
    root, data = plain.root, data_of(plain.root)
    paths = [path for paths in manifest.study_files(data).values() for path in paths]
    sessions = [path for path in paths if "betas_session" in path.name]
    assert {path.suffix for path in sessions} == {".nii"}
    keys = {manifest.key_of(root, path) for path in sessions}
    assert len(keys) == 9 and all(key.endswith(".nii.gz") for key in keys)
    listed = lambda source, folder, paths: {path: SimpleNamespace(size=7) for path in paths}  # noqa: E731
    monkeypatch.setattr(plan, "list_files", listed)
    betas = next(line for line in plan.plan(data).splitlines() if line.startswith("betas"))
    assert betas.split() == ["betas", "9", "63", "B", "63", "B"]
    assert check_sessions(Mirror(data)).startswith("9 of 9 sessions")


@pytest.mark.parametrize("change", [lambda raw: raw[:-500], lambda raw: raw + b"x", lambda raw: raw[:100]])
def test_a_damaged_uncompressed_session_is_one_line(copied, tmp_path, change):
    path = decompress(layout.session(copied.root, "subj01", 3))
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(InputError, match=r"betas_session03.nii: ") as caught:
        extract_betas(copied.root, "subj01", 5, copied.session_paths("subj01"), tmp_path / "betas.h5")
    assert "\n" not in str(caught.value) and not (tmp_path / "betas.h5").exists()


def test_an_uncompressed_file_under_a_compressed_name_is_told_from_a_damaged_one(copied, tmp_path):
    path = layout.session(copied.root, "subj01", 3)
    path.write_bytes(gzip.decompress(path.read_bytes()))
    told = r"betas_session03.nii.gz: not compressed, whatever its name says; rename it to betas_session03.nii, or gzip"
    with pytest.raises(InputError, match=told):
        extract_betas(copied.root, "subj01", 5, copied.session_paths("subj01"), tmp_path / "betas.h5")
    with pytest.raises(InputError, match=told):
        verify.verify(manifest.key_of(copied.root, path), path)


# --- a colour table with a BOM ---


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_a_colour_table_with_a_bom(copied, ending):
    path = layout.ctab(copied.root, "subj01", "Kastner2015")
    table, text = read_ctab(path), path.read_text()
    path.write_bytes(b"\xef\xbb\xbf" + text.replace("\n", ending).encode())
    assert read_ctab(path) == table and next(iter(table)) == "Unknown"
    assert verify.verify(manifest.key_of(copied.root, path), path) == {"labels": len(table)}
    path.write_bytes(text.encode("utf-16"))
    with pytest.raises(InputError, match=r"Kastner2015.mgz.ctab: not a text in UTF-8; copy it from the bucket again"):
        read_ctab(path)


# --- a design saved as v7.3 ---


def save_v73(path, variables):
    """As MATLAB writes v7.3: HDF5 behind a header of 512 bytes, each array with its axes in reverse."""
    path.unlink()
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, values in variables.items():
            file[name] = np.asarray(values, np.float64).T
            file[name].attrs["MATLAB_class"] = np.bytes_("double")
        file.create_group("#refs#")
    with path.open("rb+") as file:
        file.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM")


def test_a_design_saved_as_v73(copied, tmp_path):
    path, before = layout.expdesign(copied.root), load_design(copied.root)
    variables = {name: values for name, values in scipy.io.loadmat(path).items() if not name.startswith("__")}
    save_v73(path, variables)
    with pytest.raises(NotImplementedError, match="HDF reader"):
        scipy.io.loadmat(path)
    after, dtypes = read_design(path)
    for name in ("ordering", "images", "shared", "run_lengths", "counts"):
        np.testing.assert_array_equal(getattr(after, name), getattr(before, name), err_msg=name)
    assert after.trials_per_session == 30 and set(dtypes.values()) == {"float64"}
    for damage, message in ((lambda v: v.pop("sharedix"), "no variable 'sharedix'"),
                            (lambda v: v.update(subjectim=v["subjectim"].T), "are not those of a design")):  # fmt: skip
        broken = dict(variables)
        damage(broken)
        save_v73(path, broken)
        with pytest.raises(InputError, match=message):
            read_design(path)
    shutil.copy(path, tmp_path / "half.mat")
    (tmp_path / "half.mat").write_bytes(path.read_bytes()[:3000])
    with pytest.raises(InputError, match=r"half.mat: not a readable .mat file") as caught:
        read_design(tmp_path / "half.mat")
    assert "\n" not in str(caught.value)
