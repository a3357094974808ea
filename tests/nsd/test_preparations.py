"""Betas b1, b2 and b3, and volumes of 1 mm: each by its key, from its own folder, with its own ncsnr."""

from __future__ import annotations

import json

import h5py
import nibabel as nib
import numpy as np
import pytest
import yaml

from neurobust.core.errors import InputError
from neurobust.core.settings import read
from neurobust.files.betas import open_betas
from neurobust.nsd import golden, layout, manifest, studies
from neurobust.nsd.extract import extract_betas
from neurobust.nsd.layout import Preparation
from neurobust.nsd.mirror import Mirror, Skip
from neurobust.nsd.mirror_checks import check_grids, check_sessions
from neurobust.nsd.responses import extract_roi
from neurobust.nsd.settings import IMAGE_BYTES, ROI, Data, StudySplits
from neurobust.phantom import files
from neurobust.phantom.design import Sizes, make_design
from neurobust.study import jobs
from neurobust.study.read import read_study

SPLITS = StudySplits(test="shared", validation=0.2, seed=0, zscore="all")
OPA = ROI(atlas="floc-places", labels=("OPA",))
FINE, TRIALS, SESSIONS = (13, 15, 12), 30, 2
FOLDERS = {"b1": "betas_assumehrf", "b2": "betas_fithrf", "b3": "betas_fithrf_GLMdenoise_RR"}


def data_of(root, source="nsd", **changes):
    given = {"source": source, "root": str(root), "format": "nii.gz", "subjects": {"subj01": {"sessions": SESSIONS}}}
    return read(Data, given | changes, "data")


def write(path, values, side):
    """A volume as NSD's files are: centred, `side` mm."""
    affine = np.diag([side, side, side, 1.0])
    affine[:3, 3] = [-(n - 1) / 2 * side for n in values.shape[:3]]
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.Nifti1Image(values, affine).to_filename(path)


@pytest.fixture
def mirror(copied):
    """The tiny NSD with betas of every version, on its own grid and on a finer one; what each holds."""
    rng, planted = np.random.default_rng(1), {}
    for version in ("b1", "b2", "b3"):
        for space, grid in (("func1pt8mm", (9, 11, 8)), ("func1mm", FINE)):
            prepared, side = Preparation(space, version), {"func1pt8mm": 1.8, "func1mm": 1.0}[space]
            betas = rng.integers(-900, 900, (*grid, TRIALS * SESSIONS)).astype(np.int16)
            ratio = rng.random(grid).astype(np.float32)
            planted[space, version] = betas, ratio
            for number in (1, 2):
                path = layout.session(copied.root, "subj01", number, prepared=prepared)
                write(path, betas[..., (number - 1) * TRIALS : number * TRIALS], side)
            write(layout.ncsnr(copied.root, "subj01", prepared), ratio, side)
    write(layout.valid(copied.root, "subj01"), np.ones((9, 11, 8), np.float32), 1.8)
    inside = np.zeros(FINE, np.int16)
    inside[1:-1, 1:-1, 1:-1] = 1
    write(layout.brainmask(copied.root, "subj01", "func1mm"), inside, 1.0)
    write(layout.valid(copied.root, "subj01", "func1mm"), inside.astype(np.float32), 1.0)
    for atlas in layout.ATLASES:
        labels = np.where(rng.random(FINE) < 0.3, 1.0, -1.0)
        for side in (None, "lh", "rh"):
            write(layout.roi(copied.root, "subj01", atlas, side, "func1mm"), labels, 1.0)
    return copied.root, planted


@pytest.mark.parametrize("space", ["func1pt8mm", "func1mm"])
@pytest.mark.parametrize("version", ["b1", "b2", "b3"])
def test_each_is_read_from_its_own_files(mirror, tmp_path, space, version):
    root, planted = mirror
    volume, ratio = planted[space, version]
    data = data_of(root, betas=version, space=space)
    paths = manifest.session_files(root, "subj01", SESSIONS, "nii.gz", data.prepared)
    assert {path.parent.parts[-2:] for path in paths} == {(space, FOLDERS[version])}
    betas, output = tmp_path / "betas.h5", tmp_path / "OPA.h5"
    extract_betas(root, "subj01", SESSIONS, paths, betas)
    with open_betas(betas) as found:
        assert (found.space, found.version, found.shape) == (space, version, volume.shape[:3])
        np.testing.assert_array_equal(found.betas[()], volume.reshape(-1, volume.shape[3])[found.voxel_index].T)
    extract_roi(root, betas, "subj01", "OPA", OPA, SPLITS, output)
    with h5py.File(output) as file:
        voxels = file["voxel_index"][()]
        assert len(voxels) > 5 and tuple(file.attrs["shape"]) == volume.shape[:3]
        np.testing.assert_allclose(file["ncsnr_file"][()], ratio.ravel()[voxels], rtol=1e-6)
        record = json.loads(file.attrs["provenance"])
    assert (record["params"]["space"], record["params"]["version"]) == (space, version)
    checked = Mirror(data)
    assert check_grids(checked) == f"subj01 {volume.shape[:3]}" and check_sessions(checked).startswith("2 of 2")


def test_every_file_of_a_study_follows_its_keys(tmp_path):
    """No path of the default is left among those of another preparation."""
    data = data_of(tmp_path, betas="b1", space="func1mm")
    paths = [path.as_posix() for group in manifest.study_files(data).values() for path in group]
    assert not [path for path in paths if "func1pt8mm" in path or "fithrf" in path]
    assert sum("/func1mm/roi/" in path for path in paths) == 39
    assert sum("/func1mm/betas_assumehrf/" in path for path in paths) == SESSIONS + 3
    assert data_of(tmp_path).prepared == Preparation("func1pt8mm", "b3"), "what papers use"


def test_sessions_of_two_preparations_are_no_study(mirror, tmp_path):
    root, _ = mirror
    paths = [layout.session(root, "subj01", n, prepared=Preparation(version=v)) for n, v in ((1, "b2"), (2, "b3"))]
    with pytest.raises(InputError, match="sessions of two preparations; give those of one"):
        extract_betas(root, "subj01", SESSIONS, paths, tmp_path / "betas.h5")
    elsewhere = tmp_path / "some/folder/betas_session01.nii.gz"
    with pytest.raises(InputError, match="lies in no folder of betas such as func1pt8mm/betas_fithrf_GLMdenoise_RR"):
        extract_betas(root, "subj01", 1, [elsewhere], tmp_path / "betas.h5")


def test_betas_of_an_earlier_copy_are_those_that_it_knew(mirror, tmp_path):
    """They say no preparation, and their sessions may be deleted."""
    root, _ = mirror
    betas = tmp_path / "betas.h5"
    extract_betas(root, "subj01", SESSIONS, manifest.session_files(root, "subj01", SESSIONS, "nii.gz"), betas)
    with h5py.File(betas, "a") as file:
        del file.attrs["space"], file.attrs["version"]
    extract_roi(root, betas, "subj01", "OPA", OPA, SPLITS, tmp_path / "OPA.h5")
    with h5py.File(betas, "a") as file:
        file.attrs["version"] = "b9"
    with pytest.raises(InputError, match=r"betas.h5: holds betas of \('func1pt8mm', 'b9'\), no preparation of NSD's"):
        extract_roi(root, betas, "subj01", "OPA", OPA, SPLITS, tmp_path / "none.h5")


def test_a_study_of_other_betas_holds_no_session_of_these(copied, tmp_path):
    """Whose sessions may be deleted: a study that reads b2 needs none of b3."""
    paths = [layout.session(copied.root, "subj01", number) for number in (1, 2)]
    for name, changes in (("mine", {}), ("other", {"betas": "b2", "keep_betas": True})):
        studies.enter(data_of(copied.root, **changes), tmp_path / name)
    for path in paths:
        key, mine = manifest.key_of(copied.root, path), layout.study_id(copied.root, tmp_path / "mine")
        manifest.add_record(copied.root, {"key": key, "study": mine, **manifest.identity(path)})
    assert studies.release(copied.root, tmp_path / "mine", "subj01", paths) == paths


def test_golden_numbers_are_asked_of_the_files_that_they_are_of(mirror):
    root, _ = mirror
    with pytest.raises(Skip, match="known for b3 in func1pt8mm only"):
        golden.check_ncsnr(Mirror(data_of(root, betas="b2")))
    for check in (golden.check_grids, golden.check_voxels):
        with pytest.raises(Skip, match="known for func1pt8mm only"):
            check(Mirror(data_of(root, space="func1mm")))


@pytest.mark.parametrize(("key", "value", "only"), [("betas", "b1", "b3"), ("space", "func1mm", "func1pt8mm")])
def test_the_phantom_is_planted_as_one_alone(project, key, value, only):
    config = yaml.safe_load((project / "config/demo.yaml").read_text())
    config["data"][key] = value
    with pytest.raises(
        InputError, match=f"config.data.{key}: '{value}': the phantom is planted as {only} alone; leave"
    ):
        read_study(config)


def test_a_study_of_another_preparation_fetches_it(snakemake, project, tmp_path):
    """The rules' own inputs: sessions, labels, mask and ncsnr, without one file of the default."""
    config = yaml.safe_load((project / "config/config.yaml").read_text())
    config["data"] |= {"betas": "b2", "space": "func1mm"}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    done = snakemake(
        "--configfile", tmp_path / "config.yaml", "-n", "--quiet", "progress", "--", "results/cortex/subj04/V1.h5",
        directory=tmp_path,
    )  # fmt: skip
    asked = [line.split("fetching ")[1] for line in done.text.splitlines() if "fetching nsddata" in line]
    assert sum("/func1mm/betas_fithrf/betas_session" in key for key in asked) == 30
    assert "nsddata_betas/ppdata/subj04/func1mm/betas_fithrf/ncsnr.nii.gz" in asked
    assert "nsddata/ppdata/subj04/func1mm/brainmask.nii.gz" in asked
    assert not [key for key in asked if "func1pt8mm" in key or "GLMdenoise" in key]


def test_the_named_splits_are_counted_on_the_real_design(tmp_path, monkeypatch):
    """The doctor's check of the numbers of papers: right counts pass, one image more does not."""
    files.write_expdesign(tmp_path, make_design(Sizes(1000, 9000, 40, 750), seed=0))
    mirror = Mirror(data_of(tmp_path))
    design = mirror.design
    counted = {subject: golden.algonauts_counts(design, subject) for subject in golden.ALGONAUTS}
    first = np.unique(design.trial_images(37))
    legacy = int((first >= 1000).sum()), int((first < 1000).sum())
    seen = {n: np.bincount(design.trial_images(n), minlength=10000) for n in (40, 32, 30)}
    monkeypatch.setattr(golden, "SEEN", {n: tuple(int((c >= k).sum()) for k in (1, 2, 3)) for n, c in seen.items()})
    shared = tuple(int((seen[30][:1000] >= k).sum()) for k in (1, 2, 3))
    monkeypatch.setattr(golden, "SHARED_IN_30", shared)
    monkeypatch.setattr(golden, "SPECIAL", shared[2])
    monkeypatch.setattr(golden, "ALGONAUTS", counted)
    monkeypatch.setattr(golden, "LEGACY", legacy)
    assert "legacy37 and algonauts" in golden.check_repeats(mirror)
    assert all(sum(counts) <= 10000 for counts in counted.values()) and sum(counted["subj01"]) == 10000
    monkeypatch.setattr(golden, "LEGACY", (legacy[0], legacy[1] + 1))
    with pytest.raises(InputError, match="images of legacy37 for training and testing"):
        golden.check_repeats(mirror)


def test_finer_volumes_are_priced_by_their_bytes(project):
    """Voxels of 1 mm are 5.8 times as many, on the way and on the disk; images are what they are."""
    config, found = yaml.safe_load((project / "config/config.yaml").read_text()), {}
    for space in ("func1pt8mm", "func1mm"):
        config["data"]["space"] = space
        study = read_study(config)
        betas = sum(job.output_bytes for job in jobs.study_jobs(study) if job.rule == "extract_betas")
        found[space] = jobs.download_bytes(study), betas
    images = 77240 * IMAGE_BYTES
    coarse, fine = found["func1pt8mm"], found["func1mm"]
    assert (fine[0] - images) / (coarse[0] - images) == pytest.approx(1.8**3)
    assert fine[1] / coarse[1] == pytest.approx(1.8**3)
