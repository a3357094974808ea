"""Copies of NSD as labs have them: whole or in part, read-only, linked, packed again, with a wrong clock. No server."""

from __future__ import annotations

import errno
import gzip
import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from neurobust.core.errors import InputError
from neurobust.core.settings import read
from neurobust.files.prf_maps import MAPS
from neurobust.nsd import layout, manifest, studies
from neurobust.nsd.download import download
from neurobust.nsd.fetch_stimuli import fetch_stimuli
from neurobust.nsd.layout import Copies
from neurobust.nsd.plan import plan
from neurobust.nsd.settings import Data
from neurobust.phantom import files
from neurobust.study.mirror import Mirror as StudyMirror
from neurobust.study.read import read_study

RULES = ("--scheduler", "greedy", "--rerun-triggers", "mtime", "params", "input", "software-env", "--quiet", "progress")
BETAS, V1, IMAGES = "results/cortex/subj01/betas.h5", "results/cortex/subj01/V1.h5", "results/stimuli/subj01/8.h5"
NOWHERE = "http://127.0.0.1:9"  # no server answers there


@pytest.fixture
def study(project, snakemake, tmp_path, monkeypatch):
    """`study(*targets, **data)`: run a study of two sessions of subj01, for which no terms were accepted."""
    monkeypatch.delenv("NSD_ACCEPT_TERMS", raising=False)
    config = yaml.safe_load((project / "config/config.yaml").read_text())
    config["rois"] = {"V1": {"atlas": "prf-visualrois", "labels": ["V1v", "V1d"]}}
    config["conditions"] = {"none": {"weight": 0.9}}
    config["splits"]["test"] = "shared"
    config["data"] |= {"endpoint": NOWHERE, "root": str(tmp_path / "nsd"), "subjects": {"subj01": {"sessions": 2}}}

    def run(*targets, check=True, **data):
        (tmp_path / "config.yaml").write_text(yaml.safe_dump({**config, "data": config["data"] | data}))
        options = ("--configfile", tmp_path / "config.yaml", "--cores", "2", *RULES)
        return snakemake(*options, "--", *targets, directory=tmp_path, check=check)

    return run


@pytest.fixture
def read_only():
    """`read_only(folder)`: from now on nobody can write there."""
    mounted, changed = [], []

    def protect(folder: Path) -> Path:
        done = subprocess.run(["mount", "--bind", "-o", "ro", str(folder), str(folder)], capture_output=True)
        if done.returncode == 0:
            mounted.append(folder)
        else:
            changed.append([folder, *(path for path in folder.rglob("*") if path.is_dir())])
            for path in changed[-1]:
                path.chmod(0o555)
        if os.access(folder, os.W_OK):
            pytest.skip("a read-only folder needs a mount, or a user that is not root")
        return folder

    yield protect
    for folder in mounted:
        subprocess.run(["umount", str(folder)], check=True)
    for path in [path for paths in changed for path in paths]:
        path.chmod(0o755)


def lying(root: Path) -> dict[str, int]:
    return {str(path.relative_to(root)): path.stat().st_size for path in root.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_a_complete_copy_that_is_only_read_works_without_server_and_terms(tiny, study, read_only, tmp_path):
    """`stimuli: needed` took 67 s of retries here and failed, and accepted terms were a traceback."""
    root = tmp_path / "nsd"
    shutil.copytree(tiny.root, root)
    before = lying(read_only(root))
    study(V1, IMAGES, accept_terms=False)
    (tmp_path / IMAGES).unlink()
    study(IMAGES, accept_terms=True)
    assert lying(root) == before


@pytest.mark.slow
def test_a_partial_copy_of_links_in_the_other_format_works_too(tiny, study, tmp_path):
    """Only the volumes in use, only the hdf5 twins, and all of it links, as data managers make them."""
    store, linked, root = tmp_path / "store", tmp_path / "linked", tmp_path / "nsd"
    shutil.copytree(tiny.root, store)
    names = [path for path in store.rglob("*") if path.is_file()]
    used = ("prf-visualrois.nii.gz", "brainmask.nii.gz", "ncsnr.nii.gz", "prf-visualrois.mgz.ctab", "nsd_expdesign.mat")
    for path in names:
        if path.suffix == ".hdf5" or path.name in used:
            link = linked / path.relative_to(store)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(path)
    root.symlink_to(linked)
    study(V1, IMAGES)
    assert all(path.is_symlink() for path in linked.rglob("*") if path.is_file() and "neurobust" not in path.parts)
    # Which twin is read, and where it lies, makes no other betas.
    made = [(tmp_path / name).stat().st_mtime_ns for name in (BETAS, V1, IMAGES)]
    for number in (1, 2):
        layout.session(linked, "subj01", number, "hdf5").unlink()
        layout.session(linked, "subj01", number).symlink_to(layout.session(store, "subj01", number))
    root.rename(tmp_path / "moved")
    study(V1, IMAGES, root=str(tmp_path / "moved"), cache=str(tmp_path / "cache"))
    assert [(tmp_path / name).stat().st_mtime_ns for name in (BETAS, V1, IMAGES)] == made


@pytest.mark.slow
def test_what_a_copy_lacks_goes_into_the_cache(bucket, tiny, study, read_only, tmp_path):
    bucket.put_tree(tiny.root, "nsddata_betas/**/*.nii.gz")
    root, cache = tmp_path / "nsd", tmp_path / "cache"
    shutil.copytree(tiny.root / "nsddata", root / "nsddata")
    shutil.copytree(tiny.root / "nsddata_stimuli", root / "nsddata_stimuli")
    before = lying(read_only(root))
    asked = {"endpoint": bucket.proxy.endpoint, "accept_terms": True}
    refused = study(V1, check=False, **asked)
    assert refused.returncode != 0 and "Traceback" not in refused.text
    assert refused.text.count("neurobust: error: ") == 1
    assert "cannot be written (Read-only file system); name a folder of yours for them in data.cache" in refused.text
    study(V1, IMAGES, cache=str(cache), **asked)
    assert lying(root) == before
    there = {path.relative_to(cache).parts[0] for path in cache.rglob("*") if path.is_file()}
    assert there == {"neurobust", "nsddata_betas"}, "ncsnr was fetched, and notes are ours"
    assert not layout.session(cache, "subj01", 1).exists(), "sessions were fetched, extracted and deleted"
    records = manifest.read_records(cache)
    assert len([key for key in records if "session" in key]) == 2
    assert list(studies.read_studies(cache)) == [layout.study_id(cache, tmp_path / "results")]


@pytest.mark.slow
def test_files_packed_again_and_dates_in_the_future_cost_nothing(bucket, tiny, study, tmp_path):
    """Sessions that are gone are not fetched again for a label file with other bytes and the same labels; and a clock
    that was wrong where a file came from deletes no finished betas."""
    bucket.put_tree(tiny.root, "nsddata_betas/**/*.nii.gz")
    root, asked = tmp_path / "nsd", {"endpoint": bucket.proxy.endpoint, "accept_terms": True}
    shutil.copytree(tiny.root / "nsddata", root / "nsddata")
    future = time.time() + 3 * 86400
    for path in (
        layout.brainmask(root, "subj01"),
        layout.roi(root, "subj01", "prf-visualrois"),
        layout.expdesign(root),
    ):
        os.utime(path, (future, future))
    done = study(V1, **asked)
    assert "gets the date of" in done.text and "which lies in the future" in done.text
    assert not layout.session(root, "subj01", 1).exists()
    made = (tmp_path / BETAS).stat().st_mtime_ns
    for path in (root / "nsddata/ppdata/subj01/func1pt8mm").rglob("*.nii.gz"):
        content = gzip.decompress(path.read_bytes())
        path.write_bytes(gzip.compress(content, 1, mtime=1))
        os.utime(path, (future + 86400, future + 86400))
    bucket.proxy.requests = []
    study(V1, **asked)
    assert bucket.proxy.requests == []
    assert (tmp_path / BETAS).stat().st_mtime_ns == made


@pytest.mark.slow
def test_images_that_were_fetched_into_a_copy_that_is_only_read_serve_the_next_study(
    bucket, tiny, study, read_only, tmp_path
):
    """No server answers, no terms were accepted, and the cache gets no copy of 5 GB."""
    root, cache = tmp_path / "nsd", tmp_path / "cache"
    fetched(bucket, tiny, root, 2)
    before = lying(read_only(root))
    study(IMAGES, cache=str(cache))
    assert lying(root) == before
    assert not list(cache.rglob("*.hdf5"))


# --- where files lie ------------------------------------------------------------------------------------------------


def test_a_file_is_looked_for_in_the_root_and_goes_into_the_cache(tmp_path):
    both = Copies(tmp_path / "root", tmp_path / "cache")
    assert layout.brainmask(both, "subj01").is_relative_to(both.cache)
    mine = layout.brainmask(both.root, "subj01")
    mine.parent.mkdir(parents=True)
    mine.touch()
    assert layout.brainmask(both, "subj01") == mine
    assert layout.studies(both) == layout.studies(both.cache)
    key = "nsddata/ppdata/subj01/func1pt8mm/brainmask.nii.gz"
    assert manifest.key_of(both, mine) == manifest.key_of(both, both.cache / key) == key
    with pytest.raises(InputError, match=r"not inside the mirror .* data.root or data.cache"):
        manifest.key_of(both, tmp_path / key)


def fetched(bucket, tiny, root, sessions):
    """A root into which the images of subj01 were fetched, its design, and the path of the images."""
    bucket.put_tree(tiny.root, "nsddata_stimuli/**/*")
    files.write_expdesign(root, tiny.design)
    output = layout.subject_stimuli(root, "subj01")
    fetch_stimuli(bucket.server, root, "subj01", sessions, output)
    return output


def of_images(tmp_path, project, sessions):
    """The file that the images of subj01 are cut from, in a study with a cache."""
    config = yaml.safe_load((project / "config/config.yaml").read_text())
    config["data"] |= {"root": str(tmp_path / "nsd"), "cache": str(tmp_path / "cache")}
    config["data"]["subjects"] = {"subj01": {"sessions": sessions}}
    mirror = StudyMirror(read_study(config | {"claims": None}))
    return Path(mirror.stimuli(SimpleNamespace(subject="subj01")))


def test_images_of_a_read_root_are_used_if_they_are_of_enough_sessions(bucket, tiny, project, tmp_path):
    root, cache = tmp_path / "nsd", tmp_path / "cache"
    theirs, mine = fetched(bucket, tiny, root, 3), layout.subject_stimuli(cache, "subj01")
    assert of_images(tmp_path, project, 2) == of_images(tmp_path, project, 3) == theirs
    assert of_images(tmp_path, project, 4) == mine, "which is fetched"
    mine.parent.mkdir(parents=True)
    mine.touch()
    assert of_images(tmp_path, project, 2) == mine


def test_records_without_sessions_say_so_by_their_images(bucket, tiny, project, tmp_path):
    """Of 40 sessions all 10,000; of fewer at most 750 each."""
    theirs = fetched(bucket, tiny, tmp_path / "nsd", 3)
    notes = layout.records(tmp_path / "nsd")
    for images, sessions, used in ((10000, 40, True), (9999, 40, False), (1500, 2, True), (1499, 2, False)):
        record = {"key": f"neurobust/{theirs.name}", "facts": {"images": images}}
        notes.write_text(json.dumps(record) + "\n")
        assert (of_images(tmp_path, project, sessions) == theirs) == used


def test_images_that_no_record_knows_are_linked_and_not_fetched_again(bucket, tiny, tmp_path):
    theirs = fetched(bucket, tiny, tmp_path / "nsd", 3)
    layout.records(tmp_path / "nsd").unlink()
    both = Copies(tmp_path / "nsd", tmp_path / "cache")
    output = layout.subject_stimuli(both, "subj01")
    before = theirs.read_bytes()

    def nobody():
        raise AssertionError("no server is asked")

    fetch_stimuli(nobody, both, "subj01", 2, output)
    assert output.is_symlink() and output.resolve() == theirs
    fetch_stimuli(bucket.server, both, "subj01", 4, output)
    assert not output.is_symlink() and theirs.read_bytes() == before, "more are fetched beside it, not into it"


def test_of_a_session_the_twin_that_is_there(tmp_path):
    def touch(number, suffix):
        path = layout.session(tmp_path, "subj01", number, suffix)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()

    touch(1, "hdf5")
    touch(2, "hdf5")
    touch(2, "nii.gz")
    names = [path.name for path in manifest.session_files(tmp_path, "subj01", 3, "nii.gz")]
    assert names == ["betas_session01.hdf5", "betas_session02.nii.gz", "betas_session03.nii.gz"]


def test_volumes_of_other_atlases_are_of_use_where_they_are_there(tiny):
    assert len(manifest.label_files(tiny.root, "subj01", ())) == 39
    assert manifest.label_files(tiny.root / "nowhere", "subj01", ()) == []
    assert len(manifest.label_files(tiny.root / "nowhere", "subj01", ["streams"])) == 3


def test_a_plan_of_a_complete_copy_asks_no_server(tiny, copied):
    for subject in ("subj01", "subj02"):
        maps = [layout.prf(copied.root, subject, name) for name in MAPS]
        for path in [*manifest.doctor_files(copied.root, subject), *maps]:
            if not path.exists():
                shutil.copy(layout.brainmask(copied.root, subject), path)
    subjects = {"subj01": {"sessions": 5}, "subj02": {"sessions": 4}}
    given = {"source": "nsd", "root": str(copied.root), "format": "nii.gz", "subjects": subjects, "endpoint": NOWHERE}
    assert "files are there, nothing is fetched" in plan(read(Data, given, "data"))


def test_a_link_to_nothing_is_not_replaced(bucket, content, tmp_path):
    """As git-annex leaves one for a file that was not got yet."""
    key = "nsddata/ppdata/subj01/func1pt8mm/mean.nii.gz"
    bucket.put(key, content)
    (tmp_path / key).parent.mkdir(parents=True)
    (tmp_path / key).symlink_to(tmp_path / "annex/objects/x")
    with pytest.raises(InputError, match=r"mean.nii.gz: a link to .*annex/objects/x, which is not there"):
        download(bucket.source, tmp_path, tmp_path / key)
    assert (tmp_path / key).is_symlink() and bucket.proxy.requests == []


def test_a_mirror_that_became_read_only_keeps_its_sessions(tmp_path, monkeypatch):
    """Nothing fails after hours of extraction because the sessions cannot be deleted."""
    given = {"source": "nsd", "root": str(tmp_path), "format": "nii.gz", "subjects": {"subj01": {"sessions": 1}}}
    studies.enter(read(Data, given, "data"), tmp_path / "results")

    def refuse(*_):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(studies, "alone", refuse)
    assert studies.release(tmp_path, tmp_path / "results", "subj01", [layout.session(tmp_path, "subj01", 1)]) == []
