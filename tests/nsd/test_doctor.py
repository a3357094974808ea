"""The doctor: passes a sound mirror, names what is wrong in an unsound one, and knows the real data's numbers."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from PIL import Image

from neurobust.core.settings import read
from neurobust.nsd import doctor, golden, layout, manifest, volumes
from neurobust.nsd import mirror as mirror_module
from neurobust.nsd.__main__ import main
from neurobust.nsd.settings import Data
from neurobust.phantom import files
from neurobust.phantom.build import published_ncsnr
from neurobust.phantom.design import Sizes, make_design

SUBJECTS = {"subj01": {"sessions": 5}, "subj02": {"sessions": 4}}


@pytest.fixture
def mirror(copied):
    """A mirror with all that the doctor looks at, and the ncsnr that its betas have."""
    for number, subject in enumerate(SUBJECTS, start=1):
        mask = volumes.read_volume(layout.brainmask(copied.root, subject))[0]
        files.write_volume(copied.root, subject, "valid", mask)
        betas = copied.betas[subject].reshape(mask.size, -1).T
        shown = copied.design.nsd_ids(number, SUBJECTS[subject]["sessions"])
        ncsnr = published_ncsnr(betas, shown, 30).reshape(mask.shape)
        files.write_volume(copied.root, subject, "ncsnr", ncsnr)
    return copied


def section(root, **settings):
    return {"source": "phantom", "root": str(root), "format": "nii.gz", "subjects": SUBJECTS, **settings}


def status(root, **settings):
    return {result.check: result for result in doctor.examine(read(Data, section(root, **settings), "data"))}


def test_a_sound_phantom_passes_and_skips_the_golden_part_by_name(mirror, capsys):
    assert main(["doctor", json.dumps(section(mirror.root))]) == 0
    text = capsys.readouterr().out
    lines = text.splitlines()
    assert sum(line.startswith("skip  golden: ") for line in lines) == len(golden.GOLDEN_CHECKS)
    assert not any(line.startswith("fail") for line in lines)
    assert lines[-1] == f"13 passed, 0 failed, {2 + len(golden.GOLDEN_CHECKS)} skipped"
    assert "surface atlases ['float64'], MTL and thalamus ['int16']" in text
    assert "(340, 12, 12, 3), contiguous" in text
    assert "trailing blanks in Kastner2015, thalamus" in text
    assert "masterordering float64" in text
    assert "subj02 FFA-2" in text  # a subject without an ROI is reported, and is no failure


def test_hdf5_twins_and_their_attributes(mirror):
    import h5py

    with h5py.File(layout.session(mirror.root, "subj02", 2, "hdf5"), "a") as file:
        file["betas"].attrs["units"] = "x300"
    found = status(mirror.root, format="hdf5")["open: sessions of betas"]
    assert found.status == "pass"
    assert found.detail.startswith("9 of 9 sessions") and found.detail.endswith("attributes: units")


def wrong_valid(root):
    files.write_nifti(layout.valid(root, "subj01"), np.zeros((8, 9, 11), np.float32))


def wrong_session(root):
    layout.session(root, "subj01", 3).write_bytes(layout.session(root, "subj02", 3).read_bytes())


def wrong_bilateral(root):
    path = layout.roi(root, "subj02", "thalamus")
    path.write_bytes(layout.roi(root, "subj02", "MTL").read_bytes())


def wrong_behaviour(root):
    path = layout.responses(root, "subj01")
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))


def gap_in_ctab(root):
    path = layout.ctab(root, "subj01", "streams")
    path.write_text("0 Unknown\n2 early\n")


def changed_file(root):
    key = manifest.key_of(root, layout.ncsnr(root, "subj01"))
    manifest.add_record(root, {"key": key, "size": 3, "etag": "x", "sha256": "x", "facts": {}})


@pytest.mark.parametrize(
    ("damage", "check", "words"),
    [
        (wrong_valid, "grids", "valid.nii.gz"),
        (wrong_session, "open: sessions of betas", "betas_session03.nii.gz of subj01 is [10, 9, 7, 30]"),
        (wrong_bilateral, "atlases", "subj02 thalamus"),
        (wrong_behaviour, "behaviour", "subj01: 149 rows, but 150 trials"),
        (gap_in_ctab, "atlases", "ctab ids are not 0, 1, 2"),
        (changed_file, "fetched files", "not as long as it was"),
        (lambda root: layout.stim_info(root).unlink(), "table of stimuli", "no such file"),
        (lambda root: layout.stimuli(root).write_bytes(b"x"), "open: layout of imgBrick", "not a readable HDF5"),
    ],
)
def test_what_is_wrong_fails_by_name(mirror, damage, check, words, capsys, monkeypatch):
    damage(mirror.root)
    results = status(mirror.root)
    assert results[check].status == "fail"
    assert words in results[check].detail
    monkeypatch.setattr(doctor, "examine", lambda data: list(results.values()))  # half a second each
    assert main(["doctor", json.dumps(section(mirror.root))]) == 1
    failed = {name for name, result in results.items() if result.status == "fail"}
    assert failed - {"betas in place and in order"} == {check}, "that one rests on several files"
    assert f"{len(failed)} failed" in capsys.readouterr().out


def test_pictures_are_compared(mirror):
    ids = mirror.design.sharedix[0] - 1
    for number, image in enumerate(ids.tolist(), start=1):
        stream = io.BytesIO()
        Image.fromarray(mirror.images[image]).save(stream, "PNG")
        path = layout.shared_png(mirror.root, number, image)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(stream.getvalue())
    assert status(mirror.root)["shared images"].detail == "20 pictures are the same in both"
    path.write_bytes(layout.shared_png(mirror.root, 1, int(ids[0])).read_bytes())
    assert path.name in status(mirror.root)["shared images"].detail


def test_facts_of_deleted_sessions_are_remembered(mirror):
    for subject, spec in SUBJECTS.items():
        for path in manifest.session_files(mirror.root, subject, spec["sessions"], "nii.gz"):
            shape = [*volumes.read_grid(mirror.root, subject).shape, 30]
            facts = {"shape": shape, "dtype": "int16"}
            key = manifest.key_of(mirror.root, path)
            manifest.add_record(mirror.root, {"key": key, "size": path.stat().st_size, "facts": facts})
            path.unlink()
    results = status(mirror.root)
    assert results["open: sessions of betas"].detail.startswith("9 of 9 sessions")
    assert results["fetched files"].status == "pass"


def test_golden_numbers_are_not_those_of_a_phantom(mirror):
    """On data that claim to be the real ones, every golden check that can fail does."""
    results = status(mirror.root, source="nsd")
    failed = {check for check, result in results.items() if result.status == "fail"}
    wrong = {f"golden: {name}" for name in ("trials", "runs", "repeats", "grids", "voxels of ROIs", "median ncsnr")}
    assert failed == wrong
    assert "not (30000, 8, 10000, 1000, 73000)" in results["golden: trials"].detail
    data = {"subj04": {"sessions": 31}}
    results = status(mirror.root, source="nsd", subjects=data)
    assert results["golden: sessions"].detail == "subj04 ran 30 sessions, but the config has 31"


def test_golden_numbers_on_data_that_have_them(mirror, monkeypatch):
    """The checks read the right files: planted numbers are found where the real ones will be."""
    root = mirror.root
    design = make_design(Sizes(1000, 9000, 40, 750), seed=0)
    files.write_expdesign(root, design)
    results = status(root, source="nsd", subjects={"subj01": {"sessions": 5}})
    assert results["golden: runs"].status == "pass"
    assert results["golden: runs"].detail == "750 trials a session in runs of 63 and 62"
    assert "10KID of the first trials" in results["golden: trials"].detail
    numbers, ids = design.masterordering[0], design.nsd_ids(1, 1)
    shared = np.flatnonzero(numbers[:750] <= 1000)[:10]
    counted = {
        n: tuple(int((np.bincount(numbers[: 750 * n], minlength=10001)[1:] >= k).sum()) for k in (1, 2, 3))
        for n in (40, 32, 30)
    }
    in_30 = np.bincount(numbers[:22500], minlength=10001)[1:1001]
    grid = volumes.read_grid(root, "subj01")
    planted = {
        "FIRST_IMAGES": tuple(numbers[:5].tolist()), "LAST_IMAGES": tuple(numbers[-5:].tolist()),
        "FIRST_IDS": {"subj02": tuple((design.nsd_ids(2, 1)[:5] + 1).tolist())},
        "SHARED_TRIALS": tuple(shared.tolist()), "SHARED_IDS": tuple(ids[shared].tolist()),
        "SHARED_RANGE": (int(design.sharedix.min()), int(design.sharedix.max())), "SEEN": counted,
        "SHARED_IN_30": tuple(int((in_30 >= k).sum()) for k in (1, 2, 3)),
        "GRIDS": {"subj01": (9, 11, 8)}, "SUBJ01_MASK": int(grid.mask.sum()),
    }  # fmt: skip
    for name, value in planted.items():
        monkeypatch.setattr(golden, name, value)
    lh, rh = mirror.labels["subj01", "prf-visualrois"]
    both = np.where(lh != -1, lh, rh)
    monkeypatch.setattr(golden, "SUBJ01_PRF", tuple(int((both == k).sum()) for k in range(-1, 8)))
    monkeypatch.setattr(golden, "VOXELS", {("prf-visualrois", ("V2v", "V2d")): (int(np.isin(both, (3, 4)).sum()),)})
    monkeypatch.setattr(golden, "CORTEX", {})
    labels, published = mirror.labels["subj01", "nsdgeneral"], volumes.read_volume(layout.ncsnr(root, "subj01"))[0]
    inside = np.where(labels[0] != -1, *labels) > 0
    files.write_volume(root, "subj01", "ncsnr", np.nan_to_num(published))
    monkeypatch.setattr(golden, "MEDIAN_NCSNR", (float(np.median(np.nan_to_num(published)[inside])),))
    results = status(root, source="nsd", subjects={"subj01": {"sessions": 5}})
    found = {check: result for check, result in results.items() if check.startswith("golden")}
    special = found.pop("golden: repeats")
    assert special.detail == f"images of the special set: {planted['SHARED_IN_30'][2]}, not 515"
    assert found.pop("golden: runs without answers").status == "skip"
    assert {result.status for result in found.values()} == {"pass"}, found


@pytest.mark.parametrize("text", ["no/such/file.yaml", "{"])
def test_a_bad_config_is_one_line(text, tmp_path, capsys, caplog):
    assert main(["plan", text, "--log", str(tmp_path / "log")]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_a_copy_without_the_atlases_that_nobody_uses_is_sound(mirror):
    """Nor are the real data's numbers of what is not there asked for."""
    for subject in SUBJECTS:
        for path in manifest.label_files(mirror.root, subject):
            if "prf-visualrois" not in path.name:
                path.unlink()
    found = status(mirror.root)
    assert found["atlases"].status == "pass" and found["atlases"].detail.startswith("1 atlases")
    assert {result.status for result in found.values()} == {"pass", "skip"}
    look = mirror_module.Mirror(read(Data, section(mirror.root, source="nsd"), "data"))
    with pytest.raises(mirror_module.Skip, match="subj01 has no nsdgeneral here"):
        golden.check_ncsnr(look)
