"""The phantom as a whole: real names and formats, deterministic bytes, and a truth that only tests read."""

import hashlib
import json

import nibabel as nib
import numpy as np
import pytest

from neurobust.core.errors import InputError
from neurobust.core.settings import read, written
from neurobust.nsd import layout
from neurobust.phantom.build import build_phantom, build_scene_task
from neurobust.phantom.outputs import phantom_files
from neurobust.phantom.settings import CuedScenes, Phantom, PlantedNSD

pytestmark = pytest.mark.slow

SETTINGS = {
    "seed": 1, "shared_images": 6, "unique_images": 14, "planned_sessions": 5, "trials_per_session": 12,
    "stimulus_size": 64, "faces": 0.25, "formats": ["nii.gz", "hdf5"],
    "subjects": {
        "subj01": {"grid": [18, 21, 16], "sessions": 5},
        "subj02": {"grid": [17, 20, 19], "sessions": 4, "missing": ["FFA-2", "EBA"]},
    },
}  # fmt: skip


PLANTED = read(PlantedNSD, SETTINGS, "phantom")
SCENES = {"seed": 1, "train": 20, "validation": 5, "test": 10, "size": 32}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("phantom")
    build_phantom(folder, PLANTED)
    return folder


def volume(path):
    return np.asanyarray(nib.load(path).dataobj)


def test_every_file_that_the_dag_wants_is_there(root):
    missing = [path for path in phantom_files(root, PLANTED) if not (root / path).exists()]
    assert not missing


def test_a_study_plants_its_own_subjects_with_their_sessions():
    sessions = {subject: spec["sessions"] for subject, spec in SETTINGS["subjects"].items()}
    brains = {
        subject: {key: value for key, value in spec.items() if key != "sessions"}
        for subject, spec in SETTINGS["subjects"].items()
    }
    phantom = read(Phantom, {**SETTINGS, "subjects": brains, "scenes": SCENES}, "phantom")
    assert phantom.planted(sessions) == PLANTED
    as_json = json.loads(json.dumps(written(phantom.planted(sessions))))
    assert as_json == SETTINGS  # what is not set is not written, so that the same study has the same parameters
    assert list(phantom.planted({"subj02": 3}).subjects) == ["subj02"]


def test_two_builds_are_byte_identical(root, tmp_path):
    build_phantom(tmp_path, PLANTED)
    for path in sorted(p for p in root.rglob("*") if p.is_file()):
        twin = tmp_path / path.relative_to(root)
        digests = [hashlib.sha256(p.read_bytes()).hexdigest() for p in (path, twin)]
        assert digests[0] == digests[1], path.relative_to(root)


@pytest.mark.parametrize("subject", ["subj01", "subj02"])
def test_labels_betas_and_truth_agree(root, subject):
    truth = np.load(root / f"truth/{subject}.npz")
    grid = tuple(SETTINGS["subjects"][subject]["grid"])
    mask = volume(layout.brainmask(root, subject)) != 0
    betas = volume(layout.session(root, subject, 1))
    assert betas.shape == (*grid, 12) and betas.dtype == np.int16
    assert (betas[~mask] == 0).all(), "outside the brain there is nothing"
    for atlas in ("prf-visualrois", "Kastner2015", "floc-faces"):
        names = [line.split()[1] for line in layout.ctab(root, subject, atlas).read_text().splitlines()]
        labels = volume(layout.roi(root, subject, atlas))
        for name in set(truth["label"][truth["atlas"] == atlas]):
            found = np.flatnonzero(labels.ravel() == names.index(name))
            assert set(truth["voxel_index"][(truth["label"] == name) & (truth["atlas"] == atlas)]) <= set(found)
    left = np.zeros(grid, bool)
    left[: grid[0] // 2] = True  # the grid runs from left to right
    sides = np.where(left.ravel()[truth["voxel_index"]], "lh", "rh")
    odd_middle = grid[0] % 2 and (truth["voxel_index"] // (grid[1] * grid[2]) == grid[0] // 2)
    assert ((sides == truth["hemisphere"]) | odd_middle).all()


def test_a_subject_lacks_what_it_lacks(root):
    faces = [line.split()[1] for line in layout.ctab(root, "subj02", "floc-faces").read_text().splitlines()]
    labels = volume(layout.roi(root, "subj02", "floc-faces"))
    assert (labels == faces.index("FFA-1")).any() and not (labels == faces.index("FFA-2")).any()
    assert not (volume(layout.roi(root, "subj02", "floc-bodies")) > 0).any()
    assert (volume(layout.roi(root, "subj01", "floc-bodies")) > 0).any()


def test_sessions_differ_in_gain_and_offset_and_some_voxels_are_special(root):
    truth = np.load(root / "truth/subj01.npz")
    sessions = np.stack([volume(layout.session(root, "subj01", n)).reshape(-1, 12) for n in range(1, 6)])
    plain = np.setdiff1d(np.arange(len(truth["voxel_index"])), np.r_[truth["saturated"], truth["invalid"]])
    values = sessions[:, truth["voxel_index"][plain]] / 300.0
    gain = np.median(values.std(2), 1)
    assert gain.max() / gain.min() > 1.2, "a missing per-session z-score would not show"
    assert (np.abs(sessions[:, truth["voxel_index"][truth["saturated"]]]) >= 32767).any()
    assert (sessions[1, truth["voxel_index"][truth["invalid"]]] == 0).all()
    assert (sessions[0, truth["voxel_index"][truth["invalid"]]] != 0).any()
    valid = volume(layout.valid(root, "subj01")).ravel()[truth["voxel_index"][truth["invalid"]]]
    assert np.allclose(valid, 0.8)


def test_prf_maps_hold_the_planted_fields(root):
    truth = np.load(root / "truth/subj01.npz")
    folder = layout.func_folder(root, "subj01")
    angle, eccentricity = (
        volume(folder / f"prf_{name}.nii.gz").ravel()[truth["voxel_index"]] for name in ("angle", "eccentricity")
    )
    x, y = eccentricity * np.cos(np.radians(angle)), eccentricity * np.sin(np.radians(angle))
    assert np.allclose(x, truth["x"] * 4.2, atol=1e-3) and np.allclose(y, -truth["y"] * 4.2, atol=1e-3)


def test_a_grid_that_is_too_small_is_one_clear_error(tmp_path):
    subjects = {"subj01": {"grid": [8, 9, 10], "sessions": 5}}
    with pytest.raises(InputError, match=r"phantom grid \(8, 9, 10\): room for \d+ of \d+ voxels; make it larger"):
        build_phantom(tmp_path, read(PlantedNSD, {**SETTINGS, "subjects": subjects}, "phantom"))


def test_only_tests_read_the_truth(project):
    readers = [path for path in (project / "src").rglob("*.py") if '"truth"' in path.read_text()]
    assert [path.name for path in readers] == ["build.py"], "the planted truth must not reach the pipeline"
    assert "truth" not in "".join(path.read_text() for path in (project / "workflow").rglob("*.smk"))


def test_task_scenes_are_not_the_subjects_images(tmp_path):
    build_scene_task(tmp_path / "s.npz", read(CuedScenes, SCENES, "scenes"))
    with np.load(tmp_path / "s.npz") as file:
        assert file["images"].shape == (35, 32, 32, 3) and file["images"].dtype == np.uint8
        assert np.bincount(file["split"]).tolist() == [20, 5, 10]
        assert set(file["labels"]) <= set(range(len(file["classes"])))
