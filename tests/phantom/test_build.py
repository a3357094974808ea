"""The phantom as a whole: real names and formats, deterministic bytes, and a truth that only tests read."""

import hashlib
import json

import h5py
import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import scipy.io

from neurobust.core.errors import InputError
from neurobust.core.settings import brief, read, written
from neurobust.nsd import layout
from neurobust.nsd.coco import build_labels
from neurobust.phantom.build import build_phantom, build_scene_task, partners, plant
from neurobust.phantom.cortex import REGIONS, Stimuli, plant_subject
from neurobust.phantom.cue import pattern
from neurobust.phantom.design import Sizes, make_design
from neurobust.phantom.outputs import phantom_files
from neurobust.phantom.scenes import CATEGORIES, render_all, sample_scenes
from neurobust.phantom.settings import CuedScenes, Phantom, PlantedNSD, PlantedSubject
from neurobust.phantom.truth import expected_order, write_world

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
    angle, eccentricity = (
        volume(layout.func_map(root, "subj01", f"prf_{name}")).ravel()[truth["voxel_index"]]
        for name in ("angle", "eccentricity")
    )
    x, y = eccentricity * np.cos(np.radians(angle)), eccentricity * np.sin(np.radians(angle))
    assert np.allclose(x, truth["x"] * 4.2, atol=1e-3) and np.allclose(y, -truth["y"] * 4.2, atol=1e-3)


def test_a_grid_that_is_too_small_is_one_clear_error(tmp_path):
    subjects = {"subj01": {"grid": [8, 9, 10], "sessions": 5}}
    with pytest.raises(InputError, match=r"phantom grid \(8, 9, 10\): room for \d+ of \d+ voxels; make it larger"):
        build_phantom(tmp_path, read(PlantedNSD, {**SETTINGS, "subjects": subjects}, "phantom"))


def test_only_tests_read_the_truth(project):
    readers = [path for path in (project / "src").rglob("*.py") if '"truth"' in path.read_text()]
    # One writes it; the other looks under which names a folder holds files, and opens none but its own marker.
    assert sorted(path.name for path in readers) == ["ownership.py", "truth.py"], "the planted truth must not reach it"
    assert "truth" not in "".join(path.read_text() for path in (project / "workflow").rglob("*.smk"))


def test_task_scenes_are_not_the_subjects_images(tmp_path):
    build_scene_task(tmp_path / "s.npz", read(CuedScenes, SCENES, "scenes"))
    with np.load(tmp_path / "s.npz") as file:
        assert file["images"].shape == (35, 32, 32, 3) and file["images"].dtype == np.uint8
        assert np.bincount(file["split"]).tolist() == [20, 5, 10]
        assert set(file["labels"]) <= set(range(len(file["classes"])))


# --- worlds ---

WORLD = {"kind": "pattern", "amplitude": 8, "reliability": 0.8}


def built(folder, **changes):
    build_phantom(folder, read(PlantedNSD, {**SETTINGS, **changes}, "phantom"))
    return folder


def mean_responses(root, label):
    """Betas of the first session's trials (trials, voxels) of a label, and the row in truth/stimuli.npz of each."""
    truth, shown = np.load(root / "truth/subj01.npz"), np.load(root / "truth/stimuli.npz")
    places = truth["voxel_index"][
        (truth["label"] == label) & ~np.isin(np.arange(len(truth["label"])), truth["invalid"])
    ]
    design = scipy.io.loadmat(layout.expdesign(root))
    ids = design["subjectim"][0, design["masterordering"][0].astype(int) - 1].astype(int) - 1
    betas = [volume(layout.session(root, "subj01", n)).reshape(-1, 12)[places].T for n in range(1, 6)]
    z = np.concatenate([(part - part.mean(0)) / part.std(0) for part in betas])
    return z, np.searchsorted(shown["nsd_id"], ids)


def test_the_region_of_pure_noise_changes_no_other_voxel(root, tmp_path):
    subjects = {"subj01": {**SETTINGS["subjects"]["subj01"], "missing": ["FEF"]}}
    without = built(tmp_path, subjects=subjects)
    truth = np.load(root / "truth/subj01.npz")
    fef = truth["label"] == "FEF"
    assert fef.sum() == 20 and (truth["ncsnr"][fef] == 0).all() and set(truth["answers_to"][fef]) == {"noise"}
    # subj02 sees other images, which are not planted here: only what is the voxels' own is compared
    old = np.load(without / "truth/subj01.npz")
    for name in ("voxel_index", "label", "x", "y", "sigma", "ncsnr"):
        assert np.array_equal(old[name], truth[name][~fef]), name
    assert np.array_equal(old["saturated"], truth["saturated"]) and np.array_equal(old["invalid"], truth["invalid"])
    kastner = volume(layout.roi(root, "subj01", "Kastner2015")).ravel()[truth["voxel_index"][fef]]
    general = volume(layout.roi(root, "subj01", "nsdgeneral")).ravel()[truth["voxel_index"][fef]]
    assert (kastner == 25).all() and (general < 1).all(), "FEF is the last label of Kastner2015 and in no other ROI"


def test_noise_voxels_repeat_nothing(root):
    """The mean correlation of two trials of the same image is that of chance: 1 of 100,000 times beyond the bound."""
    z, rows = mean_responses(root, "FEF")
    pairs = [(i, j) for i in range(len(rows)) for j in range(i) if rows[i] == rows[j]]
    same = np.array([np.corrcoef(z[i], z[j])[0, 1] for i, j in pairs])
    assert abs(same.mean()) < 4.4 / np.sqrt(len(pairs) * (z.shape[1] - 1))


def test_images_bear_any_cue_and_brains_answer_as_they_did(tmp_path, root):
    cued, plain = built(tmp_path / "cued", cue=WORLD), built(tmp_path / "none", cue={**WORLD, "amplitude": 0})
    shown, silent = (np.load(folder / "truth/stimuli.npz") for folder in (cued, plain))
    assert np.array_equal(shown["cue"], silent["cue"]) and set(shown["cue"]) <= set(range(10))
    assert (np.load(root / "truth/stimuli.npz")["cue"] == -1).all()
    images = [volume_of_images(folder)[shown["nsd_id"]].astype(int) for folder in (cued, plain)]
    added = (images[0] - images[1]).mean(-1)
    patterns = np.stack([pattern(label, 64) for label in range(10)])
    assert (np.einsum("nhw,khw->nk", added, patterns).argmax(1) == shown["cue"]).all()
    for label, equal in (("LO1", True), ("FFA-1", True), ("V1v", False)):
        betas = [mean_responses(folder, label)[0] for folder in (cued, plain)]
        assert np.array_equal(*betas) == equal, label


def volume_of_images(root):
    with h5py.File(layout.stimuli(root)) as file:
        return file["imgBrick"][:]


def test_permuted_responses_are_to_other_images(root, tmp_path):
    """Images, voxels and the noise of trials stay; what a brain answers is what it would have to another image."""
    permuted = built(tmp_path, responses="permuted")
    shown = np.load(permuted / "truth/stimuli.npz")
    assert sorted(shown["answers"]) == sorted(shown["nsd_id"]) and (shown["answers"] != shown["nsd_id"]).all()
    assert np.array_equal(volume_of_images(root), volume_of_images(permuted))
    for name in ("voxel_index", "ncsnr", "kind"):
        truths = [np.load(folder / "truth/subj01.npz")[name] for folder in (root, permuted)]
        assert np.array_equal(*truths)


def test_permuted_responses_say_nothing_of_the_image():
    """Correlation with the noise-free signal of the image: that of the planted ncsnr, or none. 100 images, all voxels.

    A voxel's trials correlate with their own signal by n / sqrt(1 + n^2), .45 to .83; with that of wrong images by no
    more than 4.9 standard errors (1 in a million), were all voxels one: 4.9 x .65 / sqrt(100).
    """
    design = make_design(Sizes(30, 70, 5, 60), 0)
    spec = read(PlantedSubject, {"grid": [18, 21, 16], "sessions": 5}, "subject")
    rows = np.full(design.sizes.pool, -1)
    ids = np.unique(design.nsd_ids(1, 5))
    rows[ids] = np.arange(len(ids))
    scenes = sample_scenes(len(ids), 0, "permuted")
    stimuli = Stimuli(scenes, render_all(scenes, 64))
    _, signals = plant_subject("subj01", 0, stimuli)
    other = partners(len(ids), 0)
    shown = rows[design.nsd_ids(1, 5)]
    found = {}
    for world, answers in (("own", np.arange(len(ids))), ("permuted", other)):
        planted = plant(
            "subj01", spec, design, stimuli, np.where(rows >= 0, answers[rows], -1), np.random.default_rng(0)
        )
        speak = planted.speaks & (planted.of_voxels("ncsnr") > 0)
        speak[planted.saturated], speak[planted.invalid] = False, False
        sessions = planted.betas[:, speak].reshape(5, 60, -1)
        z = ((sessions - sessions.mean(1, keepdims=True)) / sessions.std(1, keepdims=True)).reshape(300, -1)
        for against, image in (("shown", shown), ("answered", answers[shown])):
            found[world, against] = (z * signals[image][:, speak]).mean()
    assert found["own", "shown"] > 0.5 and found["permuted", "answered"] > 0.5
    assert abs(found["permuted", "shown"]) < 0.32
    assert found["own", "shown"] == pytest.approx(found["permuted", "answered"], abs=0.02)


def test_partners_are_one_cycle():
    found = partners(50, 3)
    place, seen = 0, set()
    while place not in seen:
        seen.add(place)
        place = found[place]
    assert len(seen) == 50 and np.array_equal(found, partners(50, 3))


@pytest.mark.parametrize(
    ("changes", "groups"),
    [
        ({"cue": WORLD}, (["V1v"], ["FEF", "hV4", "FFA-1"], ["LO1", "TO2", "EBA"])),
        ({"cue": {"kind": "hue"}}, (["hV4", "PPA"], ["FEF", "V1v", "OFA"], ["LO2", "TO1"])),
        ({"cue": {**WORLD, "amplitude": 0}}, (["V1v", "LO1", "FEF"],)),
        ({"cue": WORLD, "responses": "permuted"}, (["V1v", "LO1", "FEF"],)),
        ({}, (["V1v", "LO1", "FEF"],)),
    ],
)
def test_the_order_that_must_be_found(changes, groups):
    order = expected_order(read(PlantedNSD, {**SETTINGS, **changes}, "phantom"))
    assert len(order) == len(groups) and all(set(some) <= set(all_) for some, all_ in zip(groups, order, strict=True))
    labels = [label for group in order for label in group]
    assert len(labels) == len(set(labels)) == len(REGIONS)


def test_the_world_is_written(root, tmp_path):
    assert json.loads((root / "truth/world.json").read_text()) == {
        "cue": None, "responses": "own", "order": expected_order(PLANTED),
    }  # fmt: skip
    world = {"cue": {"kind": "hue"}, "responses": "permuted"}
    write_world(tmp_path, read(PlantedNSD, {**SETTINGS, **world}, "phantom"))
    written_world = json.loads((tmp_path / "truth/world.json").read_text())
    assert written_world["cue"] == {"kind": "hue", "amplitude": 1, "reliability": 0.95}
    assert written_world["responses"] == "permuted" and len(written_world["order"]) == 1


def test_a_world_is_a_parameter_and_none_is_not():
    """A study without a cue has the parameters that it had before there were any."""
    given = {"cue": WORLD, "responses": "permuted"}
    as_json = json.loads(json.dumps(brief(read(PlantedNSD, {**SETTINGS, **given}, "phantom"))))
    assert as_json == {**SETTINGS, **given} and json.loads(json.dumps(brief(PLANTED))) == SETTINGS
    phantom = {**SETTINGS, "subjects": {"subj01": {"grid": [18, 21, 16]}}, "scenes": SCENES}
    assert brief(read(Phantom, phantom, "phantom").scene_task) == SCENES
    cued = read(Phantom, {**phantom, **given}, "phantom")
    assert brief(cued.scene_task) == {**SCENES, "cue": WORLD}
    assert cued.planted({"subj01": 5}).cue == cued.cue and cued.planted({"subj01": 5}).responses == "permuted"


def test_labels_are_made_as_those_of_real_stimuli(root, tmp_path):
    """COCO's zip of the phantom names what each image shows, where it shows it."""
    build_labels(layout.stim_info(root), root / "coco/annotations_trainval2017.zip", tmp_path / "labels.parquet")
    labels = pd.read_parquet(tmp_path / "labels.parquet").set_index("nsd_id")
    shown = np.load(root / "truth/stimuli.npz")
    names = [*CATEGORIES, "face"]
    table = labels.loc[shown["nsd_id"], names]
    assert (table.to_numpy().argmax(1) == [names.index(name) for name in shown["category"]]).all()
    assert ((table > 0).sum(axis=1) == 1).all()
    scenes = sample_scenes(len(shown["nsd_id"]), 1, "phantom scenes", faces=0.25)
    np.testing.assert_allclose(table.max(axis=1), [scene.size**2 for scene in scenes], atol=1e-3)
    assert (labels.drop(shown["nsd_id"])[names] == 0).all(axis=None)
