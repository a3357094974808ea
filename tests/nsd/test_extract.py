"""Entry points: betas.h5 and the ROI files, and that a wrong input leaves no output."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import h5py
import numpy as np
import pytest
from msgspec.structs import replace

from neurobust.core.errors import InputError
from neurobust.core.settings import read as read_settings
from neurobust.core.settings import written
from neurobust.nsd import layout
from neurobust.nsd.extract import extract_betas, order_sessions
from neurobust.nsd.responses import extract_roi
from neurobust.nsd.settings import ROI, StudySplits
from neurobust.phantom import files

V1 = ROI(atlas="prf-visualrois", labels=("V1v", "V1d", "V2v", "V2d", "V3v", "V3d"))
SPLITS = StudySplits(test="shared", validation=0.2, seed=0, zscore="all")


@pytest.fixture(scope="module")
def extracted(tiny, tmp_path_factory):
    """betas.h5 of both subjects, from .nii.gz and from .hdf5."""
    folder = tmp_path_factory.mktemp("cortex")
    paths = {}
    for subject, sessions in (("subj01", 5), ("subj02", 4)):
        for suffix in ("nii.gz", "hdf5"):
            path = paths[subject, suffix] = folder / subject / suffix / "betas.h5"
            extract_betas(tiny.root, subject, sessions, tiny.session_paths(subject, suffix), path)
    return paths


def read(path) -> tuple[dict, dict]:
    with h5py.File(path) as file:
        return {name: file[name][()] for name in file}, dict(file.attrs)


def nothing_left(folder: Path) -> bool:
    return not folder.exists() or not any(folder.iterdir())


@pytest.mark.parametrize("subject", ["subj01", "subj02"])
def test_betas_file(tiny, extracted, subject):
    arrays, attrs = read(extracted[subject, "nii.gz"])
    volume = tiny.betas[subject]
    assert set(arrays) == {"betas", "voxel_index", "nsd_id", "session"}
    assert [arrays[n].dtype for n in ("betas", "voxel_index", "nsd_id", "session")] == ["i2", "i8", "i8", "i2"]
    assert (np.diff(arrays["voxel_index"]) > 0).all()
    # Row 30 (s - 1) + j is trial j of session s, column k is the voxel at index k.
    expected = volume.reshape(-1, volume.shape[3])[arrays["voxel_index"]].T
    np.testing.assert_array_equal(arrays["betas"], expected)
    np.testing.assert_array_equal(arrays["nsd_id"], tiny.design.nsd_ids(int(subject[-1]), volume.shape[3] // 30))
    np.testing.assert_array_equal(arrays["session"], np.arange(volume.shape[3]) // 30 + 1)
    assert tuple(attrs["shape"]) == volume.shape[:3]
    np.testing.assert_allclose(attrs["affine"][:3, 3], [-(n - 1) * 0.9 for n in volume.shape[:3]], atol=1e-5)
    record = json.loads(attrs["provenance"])
    assert record["inputs"]["session02"]["file"] == "betas_session02.nii.gz"
    assert len(record["inputs"]) == volume.shape[3] // 30 + 2 + 39


def test_twins_give_identical_files(tiny, extracted, tmp_path):
    for subject in ("subj01", "subj02"):
        first, second = read(extracted[subject, "nii.gz"]), read(extracted[subject, "hdf5"])
        for name in first[0]:
            np.testing.assert_array_equal(first[0][name], second[0][name])
        assert first[1]["sha256"] == second[1]["sha256"]
        written = []
        for suffix in ("nii.gz", "hdf5"):
            path = tmp_path / subject / suffix / "V1.h5"
            extract_roi(tiny.root, extracted[subject, suffix], subject, "V1", V1, SPLITS, path)
            written.append(path.read_bytes())
        assert written[0] == written[1]


@pytest.mark.parametrize("workers", [2, 9])
def test_sessions_side_by_side(tiny, extracted, tmp_path, workers, monkeypatch):
    """The later sessions are done first; the file is the same."""
    import time

    from neurobust.nsd import extract

    def slow_at_first(path, *arguments):
        time.sleep(0.05 * (5 - layout.session_number(path)))
        return read_session(path, *arguments)

    read_session = extract.read_session
    monkeypatch.setattr(extract, "read_session", slow_at_first)
    path = tmp_path / "betas.h5"
    extract_betas(tiny.root, "subj01", 5, tiny.session_paths("subj01"), path, workers=workers)
    assert path.read_bytes() == extracted["subj01", "nii.gz"].read_bytes()


def test_same_inputs_same_bytes(tiny, extracted, tmp_path):
    again = tmp_path / "betas.h5"
    extract_betas(tiny.root, "subj02", 4, tiny.session_paths("subj02"), again)
    assert again.read_bytes() == extracted["subj02", "nii.gz"].read_bytes()


def slow_roi(volume, voxels, ids, fit=None):
    """Responses by loops: z-score in each session of 30, then the mean over an image's valid trials."""
    images = sorted(set(ids.tolist()))
    out = np.zeros((len(images), len(voxels)))
    scores = np.full((len(ids), len(voxels)), np.nan)
    fit = np.ones(len(ids), bool) if fit is None else fit
    for column, voxel in enumerate(voxels):
        for start in range(0, len(ids), 30):
            x = volume.reshape(-1, len(ids))[voxel, start : start + 30].astype(float)
            known = x[fit[start : start + 30]]
            if known.std() > 0:
                scores[start : start + 30, column] = (x - known.mean()) / known.std(ddof=1)
        for row, image in enumerate(images):
            values = scores[ids == image, column]
            values = values[~np.isnan(values)]
            out[row, column] = values.mean() if len(values) else 0
    return np.array(images), out, scores


@pytest.mark.parametrize("subject", ["subj01", "subj02"])
@pytest.mark.parametrize("zscore", ["all", "train"])
@pytest.mark.parametrize("voxel_batch", [2048, 7])
def test_roi_file_against_loops(tiny, extracted, tmp_path, subject, zscore, voxel_batch):
    path = tmp_path / "V1.h5"
    splits = replace(SPLITS, zscore=zscore, trials="all")
    extract_roi(tiny.root, extracted[subject, "nii.gz"], subject, "V1", V1, splits, path, voxel_batch=voxel_batch)
    arrays, attrs = read(path)
    volume = tiny.betas[subject]
    ids = tiny.design.nsd_ids(int(subject[-1]), volume.shape[3] // 30)
    images, split = arrays["nsd_id"], arrays["split"]
    train_trials = np.isin(ids, images[split == 0])
    slow_images, responses, scores = slow_roi(
        volume, arrays["voxel_index"], ids, train_trials if zscore == "train" else None
    )
    np.testing.assert_array_equal(images, slow_images)
    np.testing.assert_allclose(arrays["responses"], responses, rtol=1e-4, atol=1e-5)
    assert arrays["n_repeats"].tolist() == [(ids == image).sum() for image in images]
    # Held-out images: all trials of the shared ones, and no trial of any other.
    shared = tiny.design.sharedix[0] - 1
    np.testing.assert_array_equal(split == 2, np.isin(images, shared))
    np.testing.assert_array_equal(arrays["single_trial_nsd_id"], ids[np.isin(ids, shared)])
    expected = np.nan_to_num(scores[np.isin(ids, shared)])
    np.testing.assert_allclose(arrays["single_trials"], expected, rtol=1e-4, atol=1e-5)
    # Asked for, the other trials are there too, in order of time; and they are no trial of a test image.
    np.testing.assert_array_equal(arrays["trial_nsd_id"], ids[~np.isin(ids, shared)])
    np.testing.assert_allclose(arrays["trials"], np.nan_to_num(scores[~np.isin(ids, shared)]), rtol=1e-4, atol=1e-5)
    k = np.mean(1 / arrays["n_repeats"][split == 2])
    s = arrays["ncsnr"].astype(float)
    np.testing.assert_allclose(arrays["noise_ceiling"], 100 * s**2 / (s**2 + k), rtol=1e-4)
    assert attrs["roi"] == "V1"
    assert json.loads(attrs["labels"]) == list(V1.labels)
    for name in ("responses", "single_trials", "ncsnr", "ncsnr_file", "noise_ceiling"):
        assert arrays[name].dtype == np.float32
        assert np.isfinite(arrays[name]).all()


def test_published_ncsnr_is_that_of_the_same_voxels(tiny, extracted, tmp_path):
    import nibabel as nib

    path = tmp_path / "V1.h5"
    extract_roi(tiny.root, extracted["subj01", "nii.gz"], "subj01", "V1", V1, SPLITS, path)
    arrays, _ = read(path)
    assert "trials" not in arrays
    published = nib.load(layout.ncsnr(tiny.root, "subj01")).get_fdata()
    places = zip(*np.unravel_index(arrays["voxel_index"], published.shape), strict=True)
    np.testing.assert_allclose(arrays["ncsnr_file"], [published[place] for place in places], rtol=1e-6)


def test_ncsnr_is_that_of_all_trials_whatever_the_zscore(tiny, extracted, tmp_path):
    found = []
    for zscore in ("all", "train"):
        path = tmp_path / f"{zscore}.h5"
        extract_roi(tiny.root, extracted["subj01", "nii.gz"], "subj01", "V1", V1, replace(SPLITS, zscore=zscore), path)
        found.append(read(path)[0])
    np.testing.assert_array_equal(found[0]["ncsnr"], found[1]["ncsnr"])
    assert (found[0]["responses"] != found[1]["responses"]).any()


def test_a_voxel_without_data_is_zero_and_has_no_ceiling(tiny, extracted, tmp_path, copied):
    """(5, 5, 4) is constant in every session: 0 everywhere, ncsnr 0, and no NaN."""
    lh, rh = (volume.copy() for volume in tiny.labels["subj01", "floc-places"])
    lh[4, 4, 4], rh[5, 5, 4], lh[5, 5, 4], rh[4, 4, 4] = -1, 1, -1, 1
    files.write_roi(copied.root, "subj01", "floc-places", lh, rh)
    betas, path = tmp_path / "betas.h5", tmp_path / "OPA.h5"
    extract_betas(copied.root, "subj01", 5, copied.session_paths("subj01"), betas)
    extract_roi(copied.root, betas, "subj01", "OPA", ROI(atlas="floc-places", labels=("OPA",)), SPLITS, path)
    arrays, _ = read(path)
    never = arrays["voxel_index"].tolist().index(np.ravel_multi_index((5, 5, 4), (9, 11, 8)))
    once = arrays["voxel_index"].tolist().index(np.ravel_multi_index((4, 4, 4), (9, 11, 8)))
    assert not arrays["responses"][:, never].any()
    assert arrays["ncsnr"][never] == arrays["noise_ceiling"][never] == 0
    assert arrays["responses"][:, once].std() > 0.3
    assert arrays["ncsnr"][once] > 0.5
    assert all(np.isfinite(arrays[name]).all() for name in ("responses", "single_trials"))


def test_planted_signal_is_lost_when_trials_shift_by_one(tiny, extracted, copied, tmp_path):
    """The whole path: with the right images voxels are reliable, one trial off they are not."""
    path, shifted = tmp_path / "V1.h5", tmp_path / "shifted.h5"
    extract_roi(tiny.root, extracted["subj01", "nii.gz"], "subj01", "V1", V1, SPLITS, path)
    volume = np.roll(tiny.betas["subj01"], 1, axis=3)
    for session in range(5):
        part = volume[..., session * 30 : (session + 1) * 30]
        files.write_session(copied.root, "subj01", session + 1, part, ("nii.gz",))
    extract_betas(copied.root, "subj01", 5, copied.session_paths("subj01"), tmp_path / "betas.h5")
    extract_roi(copied.root, tmp_path / "betas.h5", "subj01", "V1", V1, SPLITS, shifted)
    right, wrong = (np.median(read(p)[0]["ncsnr"]) for p in (path, shifted))
    assert right > 1.3  # planted: 2
    assert wrong < 0.5


def test_special_test_set_is_the_same_for_both_subjects(tiny, extracted, tmp_path):
    tests = []
    for subject in ("subj01", "subj02"):
        path = tmp_path / f"{subject}.h5"
        splits = replace(SPLITS, test="special", min_sessions=4)
        extract_roi(tiny.root, extracted[subject, "nii.gz"], subject, "V1", V1, splits, path)
        arrays, _ = read(path)
        test = arrays["split"] == 2
        assert (arrays["n_repeats"][test] == 3).all()
        s = arrays["ncsnr"].astype(float)
        np.testing.assert_allclose(arrays["noise_ceiling"], 100 * s**2 / (s**2 + 1 / 3), rtol=1e-4)
        tests.append(arrays["nsd_id"][test].tolist())
    assert tests[0] == tests[1]
    assert len(tests[0]) > 3


def test_a_missing_roi_has_no_voxels(tiny, extracted, tmp_path, caplog):
    path = tmp_path / "FFA2.h5"
    spec = ROI(atlas="floc-faces", labels=("FFA-2",))
    with caplog.at_level("WARNING", logger="neurobust"):
        extract_roi(tiny.root, extracted["subj02", "nii.gz"], "subj02", "FFA2", spec, SPLITS, path)
    assert "subj02: FFA2 has no voxels of floc-faces ['FFA-2']" in caplog.text
    arrays, _ = read(path)
    assert arrays["responses"].shape == (len(arrays["nsd_id"]), 0)
    assert arrays["single_trials"].shape == (len(arrays["single_trial_nsd_id"]), 0)
    extract_roi(tiny.root, extracted["subj01", "nii.gz"], "subj01", "FFA2", spec, SPLITS, path)
    assert read(path)[0]["responses"].shape[1] > 0


def test_a_new_roi_needs_no_session(copied, extracted, tmp_path):
    for path in copied.session_paths("subj01") + copied.session_paths("subj01", "hdf5"):
        path.unlink()
    path = tmp_path / "early.h5"
    spec = ROI(atlas="streams", labels=("early",), hemisphere="rh")
    extract_roi(copied.root, extracted["subj01", "nii.gz"], "subj01", "early", spec, SPLITS, path)
    assert read(path)[0]["responses"].shape[1] > 0


def test_sessions_are_ordered_by_number():
    names = [f"betas_session{n}.nii.gz" for n in (10, 9, 1, 2, 3, 11, 4, 5, 6, 7, 8)]
    assert sorted(names) != [f"betas_session{n}.nii.gz" for n in range(1, 12)]
    ordered = order_sessions([Path(name) for name in names], 11)
    numbers = [layout.session_number(path) for path in ordered]
    assert all(b == a + 1 for a, b in pairwise(numbers))


@pytest.mark.parametrize(
    ("numbers", "message"),
    [([1, 2, 3, 5], "session 4 of 5 is missing"), ([1, 2, 3, 4], "session 5 of 5 is missing"),
     ([1, 2, 3, 4, 5, 6], "are not 1 to 5"), ([1, 2, 2, 3, 4, 5], "are not 1 to 5"), ([], "session 1 of 5")],
)  # fmt: skip
def test_incomplete_sessions_leave_nothing(tiny, tmp_path, numbers, message):
    output = tmp_path / "out" / "betas.h5"
    paths = [layout.session(tiny.root, "subj01", number) for number in numbers]
    with pytest.raises(InputError, match=message):
        extract_betas(tiny.root, "subj01", 5, paths, output)
    assert nothing_left(output.parent)


def test_a_damaged_session_leaves_nothing(copied, tmp_path):
    output = tmp_path / "out" / "betas.h5"
    path = layout.session(copied.root, "subj01", 3)
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(InputError, match=r"betas_session03.nii.gz: truncated or damaged"):
        extract_betas(copied.root, "subj01", 5, copied.session_paths("subj01"), output)
    assert nothing_left(output.parent)
    with pytest.raises(InputError, match="not a session's betas"):
        extract_betas(copied.root, "subj01", 1, [Path("meanbeta.nii.gz")], output)


def test_sessions_of_another_subject_are_refused(tiny, tmp_path):
    output = tmp_path / "out" / "betas.h5"
    with pytest.raises(InputError, match="is it this subject's"):
        extract_betas(tiny.root, "subj02", 4, tiny.session_paths("subj01")[:4], output)
    assert nothing_left(output.parent)


@pytest.mark.parametrize(
    ("spec", "splits", "message"),
    [
        ({"labels": ["V1"]}, {}, r"no label 'V1'; it has V1v, V1d"),
        ({"atlas": "prf-visual"}, {}, r"rois.V1.atlas: 'prf-visual' is not known; choose one of HCP_MMP1, "),
        ({}, {"zscore": "test"}, r"splits.zscore"),
        ({}, {"trials": "none"}, r"splits.trials"),
        ({}, {"fold": 3}, r"splits: unknown key 'fold'"),
        ({}, {"test": "special"}, r"splits.min_sessions"),
        ({}, {"test": "none"}, r"splits.test"),
    ],
)
def test_wrong_settings_leave_nothing(tiny, extracted, tmp_path, spec, splits, message):
    output = tmp_path / "out" / "V1.h5"
    with pytest.raises(InputError, match=message) as caught:
        roi = read_settings(ROI, written(V1) | spec, "rois.V1")
        splits = read_settings(StudySplits, written(SPLITS) | splits, "splits")
        extract_roi(tiny.root, extracted["subj01", "nii.gz"], "subj01", "V1", roi, splits, output)
    assert "\n" not in str(caught.value)
    assert nothing_left(output.parent)


def test_labels_drawn_after_extraction_are_noticed(copied, extracted, tmp_path):
    lh, rh = np.full((9, 11, 8), -1.0), np.zeros((9, 11, 8))
    rh[1:8, 1:10, 1:7] = 1  # everything
    files.write_roi(copied.root, "subj01", "floc-places", lh, rh)
    output = tmp_path / "out" / "OPA.h5"
    spec = ROI(atlas="floc-places", labels=("OPA",))
    # Every voxel in the mask: some had no label in any atlas.
    with h5py.File(extracted["subj01", "nii.gz"]) as file:
        known = len(file["voxel_index"])
    if known == 7 * 9 * 6 - 6:
        pytest.fail("the fixture labels every voxel, so the test could not fail")
    with pytest.raises(InputError, match=r"betas.h5: lacks .* voxels of OPA"):
        extract_roi(copied.root, extracted["subj01", "nii.gz"], "subj01", "OPA", spec, SPLITS, output)
    assert nothing_left(output.parent)


def test_betas_of_another_subject_are_refused(tiny, extracted, tmp_path):
    output = tmp_path / "out" / "V1.h5"
    with pytest.raises(InputError, match=r"not of subj02"):
        extract_roi(tiny.root, extracted["subj01", "nii.gz"], "subj02", "V1", V1, SPLITS, output)
    with pytest.raises(InputError, match="not a readable betas file"):
        extract_roi(tiny.root, layout.brainmask(tiny.root, "subj01"), "subj01", "V1", V1, SPLITS, output)
    assert nothing_left(output.parent)


def test_betas_whose_voxels_lie_elsewhere_are_refused(tiny, extracted, tmp_path):
    """A brain mask extracts no session again when it changes: who cuts an ROI looks where it is placed."""
    betas, output = tmp_path / "betas.h5", tmp_path / "out" / "V1.h5"
    betas.write_bytes(extracted["subj01", "nii.gz"].read_bytes())
    with h5py.File(betas, "a") as file:
        affine = file.attrs["affine"]
        affine[0, 3] += 3.6
        file.attrs["affine"] = affine
    with pytest.raises(InputError, match=r"betas.h5: its voxels lie elsewhere than the brain mask's"):
        extract_roi(tiny.root, betas, "subj01", "V1", V1, SPLITS, output)
    assert nothing_left(output.parent)
