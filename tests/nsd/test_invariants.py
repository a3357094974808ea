"""The 23 alignment invariants of NSD, each a check of the pipeline on files whose content is known.

`test_mistakes` plants mistakes that these checks must catch.
"""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.io
from msgspec.structs import replace

from neurobust.core.errors import InputError
from neurobust.core.settings import read as read_settings
from neurobust.nsd import (
    betas,
    coco,
    ctab,
    extract,
    held_out,
    labelled,
    layout,
    mirror_checks,
    noise,
    responses,
    rois,
    stimuli,
    tables,
    volumes,
)
from neurobust.nsd import design as design_module
from neurobust.nsd.mirror import Mirror
from neurobust.nsd.settings import ROI, Data, StudySplits
from neurobust.phantom import files

SESSIONS = {"subj01": 5, "subj02": 4}
TRIALS, SHARED, FEWEST = 30, 20, 4
V1 = ROI(atlas="prf-visualrois", labels=("V1v", "V1d", "V2v", "V2d", "V3v", "V3d"))
SPLITS = StudySplits(test="shared", validation=0.2, seed=0, zscore="all", min_sessions=FEWEST)
ODD = ROI(atlas="floc-places", labels=("OPA",))  # holds the voxels without data, see `world`


class World:
    """The tiny NSD that a check looks at, and a folder to write to."""

    def __init__(self, tiny, folder: Path):
        self.tiny, self.root, self.folder, self.count = tiny, tiny.root, folder, 0

    def copy(self) -> Path:
        """From now on a copy, for mistakes in files."""
        self.root = self.folder / "bucket"
        shutil.copytree(self.tiny.root, self.root)
        return self.root

    @property
    def mirror(self) -> Mirror:
        subjects = {subject: {"sessions": count} for subject, count in SESSIONS.items()}
        given = {"source": "phantom", "root": str(self.root), "format": "nii.gz", "subjects": subjects}
        return Mirror(read_settings(Data, given, "data"))

    def ids(self, subject: str) -> np.ndarray:
        """nsd id of each run trial, from what was planted and not by the pipeline."""
        return self.tiny.design.nsd_ids(int(subject[-1]), SESSIONS[subject])

    def betas(self, subject: str) -> dict[str, np.ndarray]:
        self.count += 1
        path = self.folder / str(self.count) / "betas.h5"
        paths = [layout.session(self.root, subject, n) for n in range(1, SESSIONS[subject] + 1)]
        extract.extract_betas(self.root, subject, SESSIONS[subject], paths, path)
        self.last = path
        return read(path)

    def roi(self, subject: str, spec=V1, **splits) -> dict[str, np.ndarray]:
        self.betas(subject)
        path = self.last.with_name("roi.h5")
        responses.extract_roi(self.root, self.last, subject, "roi", spec, replace(SPLITS, **splits), path)
        return read(path)


def read(path: Path) -> dict[str, np.ndarray]:
    with h5py.File(path) as file:
        return {name: file[name][()] for name in file}


@pytest.fixture
def world(tiny, tmp_path):
    return World(tiny, tmp_path)


# The invariants


def check_01(world):
    """masterordering: each image three times, counted from 0 inside."""
    found = design_module.load_design(world.root).ordering
    raw = scipy.io.loadmat(layout.expdesign(world.root))["masterordering"].ravel().astype(int)
    assert found.tolist() == [value - 1 for value in raw.tolist()]
    assert Counter(found.tolist()) == dict.fromkeys(range(60), 3)


def check_02(world):
    """subjectim begins with the sorted shared images; the others are each one subject's."""
    design = design_module.load_design(world.root)
    shared = world.tiny.design.sharedix[0] - 1
    assert design.shared.tolist() == sorted(shared.tolist())
    assert all(row[:SHARED].tolist() == shared.tolist() for row in design.images)
    own = design.images[:, SHARED:].ravel().tolist()
    assert sorted([*own, *shared.tolist()]) == list(range(design.pool))


def check_03(world):
    """nsd id = subjectim[subject - 1, masterordering[t] - 1] - 1; subjects agree exactly on shared images."""
    design = design_module.load_design(world.root)
    raw = scipy.io.loadmat(layout.expdesign(world.root))
    ordering, images = raw["masterordering"].ravel().astype(int), raw["subjectim"].astype(int)
    for subject, count in SESSIONS.items():
        expected = [images[int(subject[-1]) - 1, number - 1] - 1 for number in ordering[: count * TRIALS]]
        assert design.nsd_ids(subject, count).tolist() == expected
    same = design.nsd_ids("subj01", 4) == design.nsd_ids("subj02", 4)
    assert same.tolist() == (ordering[: 4 * TRIALS] <= SHARED).tolist()


def check_04(world):
    """Odd runs have the extra trial: run starts are 0, 3, 5, 8, ... here as they are 0, 63, 125, 188, ... there."""
    lengths = design_module.load_design(world.root).run_lengths
    assert np.r_[0, np.cumsum(lengths[0])[:-1]].tolist() == [0, 3, 5, 8, 10, 13, 15, 18, 20, 23, 25, 28]
    assert (lengths.sum(1) == TRIALS).all()
    mirror_checks.check_runs(world.mirror)


def check_05(world):
    """basiccnt is a recount within each session."""
    mirror_checks.check_counts(world.mirror)
    counts = design_module.load_design(world.root).recount()
    ordering = world.tiny.design.masterordering[0]
    for session in range(6):
        recount = Counter(Counter(ordering[session * TRIALS : (session + 1) * TRIALS].tolist()).values())
        assert counts[:, session].tolist() == [recount[1], recount[2], recount[3]]


def check_06(world):
    """The table of stimuli: ids from 0, planned trials from 1, of which those never run do not count."""
    design, info = design_module.load_design(world.root), tables.read_stim_info(layout.stim_info(world.root))
    assert tables.stim_info_problem(info, design) is None
    for subject, count in SESSIONS.items():
        planned = info[[f"subject{int(subject[-1])}_rep{r}" for r in range(3)]].to_numpy()
        assert (planned > count * TRIALS).any()
        run = ((planned > 0) & (planned <= count * TRIALS)).sum(1)
        images, counts, _ = design_module.repeats_table(design.nsd_ids(subject, count))
        assert images.tolist() == np.flatnonzero(run).tolist()
        assert counts.tolist() == run[run > 0].tolist()


def check_07(world):
    """Behaviour: a row for every run trial, those without an answer too, in the order of the betas."""
    design = design_module.load_design(world.root)
    for subject, count in SESSIONS.items():
        table = tables.read_behaviour(layout.responses(world.root, subject))
        assert tables.behaviour_problem(table, design, subject, count) is None
        assert len(table) == count * TRIALS and (table["MISSINGDATA"] == 1).any()
        assert (table["73KID"] - 1).tolist() == world.ids(subject).tolist()


def check_08(world):
    """h5[t, z, y, x] == nii[x, y, z, t], on grids with three different lengths."""
    rng = np.random.default_rng(0)
    for subject, volume in world.tiny.betas.items():
        shape = volume.shape[:3]
        places = np.stack([rng.integers(1, n - 1, 40) for n in shape])
        index = np.ravel_multi_index(tuple(places), shape)
        expected = volume[places[0], places[1], places[2], TRIALS : 2 * TRIALS].T
        for suffix in ("nii.gz", "hdf5"):
            path = layout.session(world.root, subject, 2, suffix)
            np.testing.assert_array_equal(betas.read_session(path, index, shape, TRIALS), expected)


def check_09(world):
    """Betas stay what the bucket has, percent x 300 as int16; a session that was divided already is refused."""
    if world.root == world.tiny.root:
        world.copy()
    volume, found = world.tiny.betas["subj02"], world.betas("subj02")
    assert found["betas"].dtype == np.int16
    np.testing.assert_array_equal(found["betas"], volume.reshape(-1, volume.shape[3])[found["voxel_index"]].T)
    files.write_nifti(layout.session(world.root, "subj02", 1), (volume[..., :TRIALS] / 300).astype(np.float32))
    with pytest.raises(InputError, match="float32 is not int16"):
        world.betas("subj02")


def check_10(world):
    """Column k of betas.h5 is voxel voxel_index[k], C-order in (X, Y, Z); vectors go back to their places."""
    for subject, volume in world.tiny.betas.items():
        arrays = world.betas(subject)
        labelled = np.zeros(volume.shape[:3], bool)
        for atlas in files.ATLASES:
            lh, rh = world.tiny.labels[subject, atlas]
            labelled |= (lh > 0) | (rh > 0)
        mask = np.asarray(volumes.read_volume(layout.brainmask(world.root, subject))[0], bool)
        assert arrays["voxel_index"].tolist() == np.flatnonzero((labelled & mask).ravel()).tolist()
        back = np.zeros(volume.shape[:3], np.int16)
        back.ravel()[arrays["voxel_index"]] = arrays["betas"][7]
        np.testing.assert_array_equal(back, np.where(labelled & mask, volume[..., 7], 0))


def check_11(world):
    """Row 30 (s - 1) + j is trial j of session s; a session that is missing is an error and not a shift."""
    names = [Path(f"betas_session{n}.nii.gz") for n in (10, 2, 1, 9, 3, 11, 4, 5, 6, 7, 8)]
    assert [layout.session_number(path) for path in extract.order_sessions(names, 11)] == list(range(1, 12))
    paths = [layout.session(world.root, "subj02", n) for n in (4, 1, 3, 2)]
    extract.extract_betas(world.root, "subj02", 4, paths, world.folder / "mixed.h5")
    arrays, volume = read(world.folder / "mixed.h5"), world.tiny.betas["subj02"]
    np.testing.assert_array_equal(arrays["betas"], volume.reshape(-1, 120)[arrays["voxel_index"]].T)
    assert arrays["session"].tolist() == [1 + row // TRIALS for row in range(120)]
    with pytest.raises(InputError, match="session 3 of 4 is missing"):
        extract.extract_betas(world.root, "subj02", 4, paths[:2] + paths[3:], world.folder / "holes.h5")


def check_12(world):
    """Inside is a label above 0; the hemispheres are merged, never added."""
    mirror_checks.check_atlases(world.mirror)
    for subject in SESSIONS:
        grid = volumes.read_grid(world.root, subject)
        lh, rh = world.tiny.labels[subject, "nsdgeneral"]
        merged = np.where(lh != -1, lh, rh).ravel()
        general = ROI(atlas="nsdgeneral", labels=("nsdgeneral",))
        found = rois.roi_voxels(world.root, subject, general, grid, np.ones(merged.size))
        assert found.tolist() == np.flatnonzero((merged == 1) & grid.mask).tolist()
        within = ROI(atlas="streams", labels=tuple(files.ATLASES["streams"]), within="nsdgeneral")
        left, right = world.tiny.labels[subject, "streams"]
        streams = np.where(left != -1, left, right).ravel()
        found = rois.roi_voxels(world.root, subject, within, grid, np.ones(merged.size))
        assert found.tolist() == np.flatnonzero((merged == 1) & (streams > 0) & grid.mask).tolist()


def check_13(world):
    """Every label has a name in its atlas' own table, whatever blanks follow and however many digits it has."""
    for atlas, names in files.ATLASES.items():
        path = layout.ctab(world.root, "subj01", atlas)
        assert ctab.read_ctab(path) == {"Unknown": 0} | {name: i for i, name in enumerate(names, start=1)}
    mirror_checks.check_atlases(world.mirror)
    grid, lo1 = volumes.read_grid(world.root, "subj01"), ROI(atlas="Kastner2015", labels=("LO1",))
    lh, rh = world.tiny.labels["subj01", "Kastner2015"]
    expected = np.flatnonzero((np.where(lh != -1, lh, rh) == 15).ravel() & grid.mask)
    found = rois.roi_voxels(world.root, "subj01", lo1, grid, np.ones(grid.mask.size))
    assert found.tolist() == expected.tolist()
    missing = ROI(atlas="floc-faces", labels=("FFA-2",))
    grid = volumes.read_grid(world.root, "subj02")
    assert len(rois.roi_voxels(world.root, "subj02", missing, grid, np.ones(grid.mask.size))) == 0


def check_14(world):
    """One grid: 1.8 mm, centred, axes to right, anterior and superior; labels and ncsnr lie on it."""
    for subject in SESSIONS:
        grid = volumes.read_grid(world.root, subject)
        for n, row in zip(grid.shape, grid.affine, strict=False):
            assert row[3] == pytest.approx(-(n - 1) / 2 * 1.8, abs=1e-4)
        np.testing.assert_allclose(grid.affine[:3, :3], np.diag([1.8, 1.8, 1.8]), atol=1e-5)
        volumes.read_ncsnr(layout.ncsnr(world.root, subject), grid)
        for path in labelled.label_volumes(world.root, subject).values():
            volumes.read_labels(path, grid)


def odd_voxels(world) -> dict[str, np.ndarray]:
    """An ROI file with a voxel that has no data in session 2, one that never has, and one that saturates."""
    if world.root == world.tiny.root:
        world.copy()
    lh, rh = np.full((9, 11, 8), -1.0), np.full((9, 11, 8), -1.0)
    lh[4, 4, 4], rh[5, 5, 4], lh[3, 3, 3] = 1, 1, 1
    files.write_roi(world.root, "subj01", "floc-places", lh, rh)
    return world.roi("subj01", ODD)


def check_15(world):
    """A session without data counts for nothing, no NaN comes out, and saturated betas are data."""
    arrays = odd_voxels(world)
    assert all(np.isfinite(arrays[name]).all() for name in ("responses", "single_trials", "ncsnr", "noise_ceiling"))
    index, ids = arrays["voxel_index"].tolist(), world.ids("subj01")
    places = ((4, 4, 4), (5, 5, 4), (3, 3, 3))
    once, never, loud = (index.index(np.ravel_multi_index(place, (9, 11, 8))) for place in places)
    assert not arrays["responses"][:, never].any() and arrays["ncsnr"][never] == 0
    for place, column in (((4, 4, 4), once), ((3, 3, 3), loud)):
        scores = zscores(world.tiny.betas["subj01"][place])
        for image, response in zip(arrays["nsd_id"], arrays["responses"][:, column], strict=True):
            values = scores[ids == image]
            values = values[~np.isnan(values)]
            assert response == pytest.approx(values.mean() if len(values) else 0, abs=1e-4)


def zscores(values: np.ndarray, fit: np.ndarray | None = None) -> np.ndarray:
    """z-scores of one voxel, session by session, by the formula."""
    out = np.full(len(values), np.nan)
    for start in range(0, len(values), TRIALS):
        rows = slice(start, start + TRIALS)
        session = values[rows].astype(float)
        known = session if fit is None else session[fit[rows]]
        deviation = np.sqrt(((known - known.mean()) ** 2).sum() / (len(known) - 1))
        if deviation > 0:
            out[rows] = (session - known.mean()) / deviation
    return out


def check_16(world):
    """z-scores per session with ddof 1; fitted on training trials only where that is asked for."""
    for mode in ("all", "train"):
        arrays, ids = world.roi("subj01", zscore=mode), world.ids("subj01")
        train = np.isin(ids, arrays["nsd_id"][arrays["split"] == 0])
        test = np.isin(ids, arrays["nsd_id"][arrays["split"] == 2])
        for column in (0, 3):
            voxel = world.tiny.betas["subj01"].reshape(-1, len(ids))[arrays["voxel_index"][column]]
            scores = zscores(voxel, train if mode == "train" else None)
            np.testing.assert_allclose(arrays["single_trials"][:, column], scores[test], atol=1e-4)


def check_17(world):
    """Repeats: run trials only, in their order, averaged over as many as there are."""
    arrays, ids = world.roi("subj02"), world.ids("subj02")
    recount = Counter(ids.tolist())
    assert arrays["nsd_id"].tolist() == sorted(recount)
    assert arrays["n_repeats"].tolist() == [recount[image] for image in sorted(recount)]
    assert set(recount.values()) == {1, 2, 3}
    scores = zscores(world.tiny.betas["subj02"].reshape(-1, len(ids))[arrays["voxel_index"][2]])
    expected = [scores[ids == image].mean() for image in sorted(recount)]
    np.testing.assert_allclose(arrays["responses"][:, 2], expected, atol=1e-4)
    _, _, table = responses.repeats_table(ids)
    assert all((np.diff(row[row >= 0]) > 0).all() for row in table)


def check_18(world):
    """The special set: shared images with three trials in the fewest sessions of any subject, one set for all."""
    recount = Counter(world.ids("subj02").tolist())
    expected = [image for image in (world.tiny.design.sharedix[0] - 1).tolist() if recount[image] == 3]
    assert 0 < len(expected) < SHARED
    for subject in SESSIONS:
        arrays = world.roi(subject, test="special")
        assert arrays["nsd_id"][arrays["split"] == 2].tolist() == expected
        assert (arrays["n_repeats"][arrays["split"] == 2] == 3).all()


def check_19(world):
    """An image has one split, whoever saw it; all its trials are there."""
    splits = {}
    for subject in SESSIONS:
        arrays = world.roi(subject)
        unseen = set(arrays["nsd_id"][arrays["split"] == 2].tolist())
        assert unseen == set((world.tiny.design.sharedix[0] - 1).tolist()) & set(world.ids(subject).tolist())
        assert set(arrays["single_trial_nsd_id"].tolist()) == unseen
        assert len(set(arrays["nsd_id"].tolist())) == len(arrays["nsd_id"])
        splits[subject] = dict(zip(arrays["nsd_id"].tolist(), arrays["split"].tolist(), strict=True))
        assert set(splits[subject].values()) == {0, 1, 2}
    draws = [held_out.image_splits(design_module.load_design(world.root), np.arange(n), SPLITS) for n in (340, 300)]
    assert draws[0][:300].tolist() == draws[1].tolist()  # an image's split does not depend on the others


def check_20(world):
    """ncsnr by the published algorithm, and ceilings for the repeats that there are."""
    arrays, ids = world.roi("subj01"), world.ids("subj01")
    recount = Counter(ids.tolist())
    for column in (0, 5):
        scores = zscores(world.tiny.betas["subj01"].reshape(-1, len(ids))[arrays["voxel_index"][column]])
        variances = [scores[ids == image].var(ddof=1) for image, count in recount.items() if count == 3]
        deviation = np.sqrt(np.mean(variances))
        assert arrays["ncsnr"][column] == pytest.approx(np.sqrt(max(0, 1 - deviation**2)) / deviation, rel=1e-4)
    counts = arrays["n_repeats"][arrays["split"] == 2]
    assert len(set(counts.tolist())) > 1
    k, s = np.mean(1 / counts), arrays["ncsnr"].astype(float)
    np.testing.assert_allclose(arrays["noise_ceiling"], 100 * s**2 / (s**2 + k), rtol=1e-4)
    assert noise.noise_ceiling(np.array(1.0), [0, 0, 4]) == pytest.approx(75)
    assert (np.diff([noise.noise_ceiling(np.array(0.7), [0] * (n - 1) + [1]) for n in (1, 2, 3)]) > 0).all()


def check_21(world):
    """A planted signal is there with the right images of the trials."""
    assert np.median(world.roi("subj01")["ncsnr"]) > 1.3  # planted: 2


def check_22(world):
    """The picture of trial t is imgBrick[nsd id of t]; PNG names count from 1."""
    path = world.folder / "stimuli.h5"
    stimuli.build_stimuli(world.root, "subj02", 4, 12, path)
    arrays = read(path)
    assert (np.diff(arrays["nsd_id"]) > 0).all()
    for trial in (0, 17, 119):
        row = arrays["nsd_id"].tolist().index(world.ids("subj02")[trial])
        np.testing.assert_array_equal(arrays["images"][row], world.tiny.images[world.ids("subj02")[trial]])
    assert layout.shared_png(Path(), 953, 69214).name == "shared0953_nsd69215.png"


def check_23(world):
    """cropBox is (top, bottom, left, right) in shares; a crop of the larger side leaves a square."""
    crop = coco.parse_crop("(0, 0, 0.1, 0.15)")
    assert crop == (0, 0, 0.1, 0.15)
    assert 640 * (1 - crop[2] - crop[3]) == pytest.approx(480)
    assert coco.crop_box((64, 0, 480, 480), crop, 640, 480) == pytest.approx((0, 0, 1, 1))
    assert coco.crop_box((160, 240, 48, 48), crop, 640, 480) == pytest.approx((0.2, 0.5, 0.3, 0.6))
    assert coco.crop_box((0, 0, 64, 480), crop, 640, 480) == pytest.approx((0, 0, 0, 1))  # cut off
    for text in pd.read_csv(layout.stim_info(world.root))["cropBox"]:
        assert sum(share == 0 for share in coco.parse_crop(text)) >= 2


INVARIANTS = {int(name[-2:]): check for name, check in dict(globals()).items() if name.startswith("check_")}


@pytest.mark.parametrize("number", sorted(INVARIANTS))
def test_the_pipeline_holds(world, number):
    INVARIANTS[number](world)
