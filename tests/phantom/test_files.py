"""The files of the phantom have the names, shapes, dtypes and headers of the real bucket."""

from __future__ import annotations

import gzip

import h5py
import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import scipy.io

from neurobust.nsd import layout
from neurobust.phantom import files
from neurobust.phantom.design import Sizes, make_design, responses_table, stim_info
from neurobust.phantom.labels import ATLASES, SURFACE_ATLASES

GRID = (9, 11, 8)


@pytest.fixture(scope="module")
def design():
    return make_design(Sizes(15, 45, 6, 30), seed=1)


def test_session_header_is_that_of_the_real_files(tmp_path):
    betas = np.random.default_rng(0).normal(0, 2, (*GRID, 12))
    files.write_session(tmp_path, "subj01", 7, betas)
    path = tmp_path / "nsddata_betas/ppdata/subj01/func1pt8mm/betas_fithrf_GLMdenoise_RR/betas_session07.nii.gz"
    image = nib.load(path)
    header = image.header
    assert np.asanyarray(image.dataobj).dtype == np.int16  # the header asks for no scaling
    assert image.shape == (*GRID, 12)
    np.testing.assert_allclose(image.affine, nib.affines.from_matvec(np.eye(3) * 1.8, [-7.2, -9.0, -6.3]), atol=1e-6)
    assert nib.aff2axcodes(image.affine) == ("R", "A", "S")
    np.testing.assert_allclose(header.get_zooms(), [1.8, 1.8, 1.8, 4 / 3], rtol=1e-6)
    assert (int(header["sform_code"]), int(header["qform_code"]), int(header["xyzt_units"])) == (1, 0, 0)
    raw = gzip.decompress(path.read_bytes())
    assert raw[:4] == (348).to_bytes(4, "little")
    assert raw[344:348] == b"n+1\0"
    assert np.frombuffer(raw, "<f4", 3, 108).tolist() == [352, 0, 0]  # vox_offset, scl_slope, scl_inter
    assert np.frombuffer(raw, "<f4", 1, 76) == 0  # pixdim[0]
    assert len(raw) == 352 + 2 * 9 * 11 * 8 * 12
    np.testing.assert_array_equal(image.dataobj, np.rint(betas * 300))


def test_hdf5_twin(tmp_path):
    betas = np.random.default_rng(0).normal(0, 2, (*GRID, 12))
    files.write_session(tmp_path, "subj01", 7, betas)
    nifti = np.asanyarray(nib.load(layout.session(tmp_path, "subj01", 7)).dataobj)
    with h5py.File(layout.session(tmp_path, "subj01", 7, "hdf5")) as file:
        stored = file["betas"]
        assert (stored.shape, stored.dtype, stored.chunks) == ((12, 8, 11, 9), np.int16, (12, 1, 1, 1))
        assert stored.compression is None
        np.testing.assert_array_equal(stored[:].transpose(3, 2, 1, 0), nifti)


def test_betas_are_rounded_and_saturated():
    percent = np.array([0.005, -0.005, 0.0017, 109.3, -120.0, 500.0])
    assert files.to_int16(percent).tolist() == [2, -2, 1, 32767, -32768, 32767]
    stored = np.array([5], np.int16)
    assert files.to_int16(stored) is stored


def test_volumes(tmp_path):
    volume = np.random.default_rng(0).random(GRID)
    expected = {
        "ncsnr": (layout.ncsnr(tmp_path, "subj01"), np.float32),
        "meanbeta_session02": (layout.ncsnr(tmp_path, "subj01").with_name("meanbeta_session02.nii.gz"), np.float32),
        "valid": (layout.valid(tmp_path, "subj01"), np.float32),
        "valid_session02": (layout.valid(tmp_path, "subj01").with_name("valid_session02.nii.gz"), np.int16),
        "brainmask": (layout.brainmask(tmp_path, "subj01"), np.int16),
    }
    for name, (path, dtype) in expected.items():
        files.write_volume(tmp_path, "subj01", name, volume)
        image = nib.load(path)
        assert np.asanyarray(image.dataobj).dtype == dtype
        np.testing.assert_array_equal(image.dataobj, volume.astype(dtype))
    with pytest.raises(KeyError):
        files.write_volume(tmp_path, "subj01", "snr", volume)


@pytest.mark.parametrize("atlas", ["Kastner2015", "thalamus"])
def test_rois(tmp_path, atlas):
    surface = atlas in SURFACE_ATLASES
    lh, rh = np.full(GRID, -1.0 if surface else 0), np.full(GRID, -1.0 if surface else 0)
    lh[:4, 2], lh[1, 2, 3] = 0, 2
    rh[4:, 2], rh[6, 2, 3] = 0, 5
    files.write_roi(tmp_path, "subj01", atlas, lh, rh)
    folder = tmp_path / "nsddata/ppdata/subj01/func1pt8mm/roi"
    merged = np.asanyarray(nib.load(folder / f"{atlas}.nii.gz").dataobj)
    assert merged.dtype == (np.float64 if surface else np.int16)
    assert (merged[1, 2, 3], merged[6, 2, 3]) == (2, 5)
    assert set(np.unique(merged)) == ({-1, 0, 2, 5} if surface else {0, 2, 5})
    assert (merged[:, 2] >= 0).all()
    for side, volume in (("lh", lh), ("rh", rh)):
        image = nib.load(folder / f"{side}.{atlas}.nii.gz")
        np.testing.assert_array_equal(image.dataobj, volume)
        assert image.header["pixdim"][4] == 1
    assert merged.max() == 5  # a sum of the hemispheres would shift the labels by one


def test_ctabs(tmp_path):
    files.write_ctabs(tmp_path, "subj01")
    labels = tmp_path / "nsddata/freesurfer/subj01/label"
    assert len(list(labels.iterdir())) == 11
    assert (tmp_path / "nsddata/templates/MTL.ctab").exists()
    lines = (labels / "Kastner2015.mgz.ctab").read_text().splitlines()
    assert lines[0] == "0 Unknown"
    assert lines[1].startswith("1 V1v\t ")
    assert lines[1] != lines[1].rstrip()
    assert [line.split()[1] for line in lines] == ["Unknown", *ATLASES["Kastner2015"]]
    assert (labels / "prf-visualrois.mgz.ctab").read_text().splitlines()[7] == "7 hV4"


def test_label_counts_and_some_known_ids():
    counts = {"Kastner2015": 25, "HCP_MMP1": 180, "nsdgeneral": 1, "corticalsulc": 28, "streams": 7, "floc-faces": 5,
              "floc-words": 5, "prf-visualrois": 7, "prf-eccrois": 5, "floc-places": 3, "floc-bodies": 4, "MTL": 10,
              "thalamus": 5}  # fmt: skip
    assert {atlas: len(names) for atlas, names in ATLASES.items()} == counts
    assert all(len(set(names)) == len(names) for names in ATLASES.values())
    assert set(ATLASES) == set(layout.ATLASES)
    hcp = {name: i for i, name in enumerate(ATLASES["HCP_MMP1"], start=1)}
    known = {"V1": 1, "4": 8, "RSC": 14, "LO1": 20, "44": 74, "TE2p": 136, "p24": 180}
    assert {name: hcp[name] for name in known} == known
    assert ATLASES["Kastner2015"].index("LO1") + 1 == 15


def test_tables(tmp_path, design):
    files.write_expdesign(tmp_path, design)
    files.write_stim_info(tmp_path, stim_info(design))
    files.write_responses(tmp_path, "subj06", responses_table(design, 6, 4, seed=0))
    raw = scipy.io.loadmat(tmp_path / "nsddata/experiments/nsd/nsd_expdesign.mat")
    assert {n: raw[n].shape for n in raw if n[0] != "_"} == {
        "masterordering": (1, 180), "subjectim": (8, 60), "sharedix": (1, 15), "basiccnt": (3, 6),
        "stimpattern": (6, 12, 75),
    }  # fmt: skip
    np.testing.assert_array_equal(raw["masterordering"], design.masterordering)
    info = pd.read_csv(tmp_path / "nsddata/experiments/nsd/nsd_stim_info_merged.csv")
    assert info.shape == (375, 41)
    assert info.columns[0] == "Unnamed: 0"
    assert info["shared1000"].dtype == bool
    text = (tmp_path / "nsddata/ppdata/subj06/behav/responses.tsv").read_text()
    assert text.splitlines()[0].startswith("SUBJECT\tSESSION\tRUN\tTRIAL\t73KID\t10KID\tTIME\tISOLD")
    assert "NaN" in text
    behaviour = pd.read_csv(layout.responses(tmp_path, "subj06"), sep="\t")
    pd.testing.assert_frame_equal(behaviour, responses_table(design, 6, 4, seed=0), check_dtype=False)


def test_stimuli_from_a_generator(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (5, 6, 6, 3), np.uint8)
    files.write_stimuli(tmp_path, (image for image in images), n_images=5)
    with h5py.File(tmp_path / "nsddata_stimuli/stimuli/nsd/nsd_stimuli.hdf5") as file:
        assert file["imgBrick"].chunks is None
        np.testing.assert_array_equal(file["imgBrick"], images)
    files.write_stimuli(tmp_path, images, contiguous=False)
    with h5py.File(layout.stimuli(tmp_path)) as file:
        assert file["imgBrick"].chunks == (1, 6, 6, 3)
        np.testing.assert_array_equal(file["imgBrick"], images)


def test_same_contents_same_bytes(tmp_path, design, monkeypatch):
    import time

    written = []
    for clock in (1e9, 1.7e9):
        monkeypatch.setattr(time, "time", lambda clock=clock: clock)
        monkeypatch.setattr(time, "asctime", lambda *_, clock=clock: str(clock))
        root = tmp_path / str(clock)
        files.write_expdesign(root, design)
        files.write_session(root, "subj01", 1, np.ones((*GRID, 3)))
        files.write_stimuli(root, np.zeros((2, 4, 4, 3), np.uint8))
        written.append([path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()])
    assert len(written[0]) == 4
    assert written[0] == written[1]
