"""Several studies and people on one mirror: nobody's file is replaced, deleted or fetched twice by somebody else."""

from __future__ import annotations

import errno
import multiprocessing
import os
import shutil
import signal
import threading
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
import yaml

from neurobust.core.errors import InputError
from neurobust.files.betas import betas_path
from neurobust.nsd import bucket as bucket_module
from neurobust.nsd import download as module
from neurobust.nsd import layout, manifest, studies
from neurobust.nsd.download import download
from neurobust.nsd.fetch_stimuli import fetch_stimuli
from neurobust.nsd.settings import Data, Sessions
from neurobust.phantom import files

MASK = "nsddata/ppdata/subj01/func1pt8mm/mean.nii.gz"
SLOW = 0.1  # s that the slowed verification takes
RACES = 20  # in either order
RULES = ("--scheduler", "greedy", "--rerun-triggers", "mtime", "params", "input", "software-env", "--quiet", "progress")


def lying(root: Path) -> list[str]:
    return sorted(p.name for p in root.rglob("*") if p.is_file() and p.name != "manifest.jsonl")


# --- two at once ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("slow", ["first", "second"])
def test_two_that_fetch_one_file_both_have_it(bucket, tmp_path, content, slow, monkeypatch):
    """Twenty races each: the window between the last byte and the verified file is where one used to lose."""
    bucket.put(MASK, content)
    verify = module.verify

    def slowed(key, path):
        if threading.current_thread().name == slow:
            time.sleep(SLOW)
        return verify(key, path)

    monkeypatch.setattr(module, "verify", slowed)
    for race in range(RACES):
        root, ends = tmp_path / f"root{race}", {}

        def fetch(root=root, ends=ends):
            name = threading.current_thread().name
            try:
                ends[name] = download(bucket.source, root, root / MASK)["sha256"]
            except Exception as error:
                ends[name] = error

        threads = [threading.Thread(target=fetch, name=name) for name in ("first", "second")]
        threads[0].start()
        time.sleep(race * SLOW / RACES * 1.2)
        threads[1].start()
        for thread in threads:
            thread.join()
        assert ends["first"] == ends["second"], ends
        assert (root / MASK).read_bytes() == content
        assert lying(root) == ["mean.nii.gz"]
        assert len((root / "neurobust/manifest.jsonl").read_text().splitlines()) == 1, "fetched once"


def fetch_and_hang(endpoint: str, root: Path) -> None:
    module.verify = lambda key, path: time.sleep(60)
    download(bucket_module.Source(endpoint), root, root / MASK)


def test_who_waits_for_one_that_is_killed_takes_over(bucket, tmp_path, content):
    bucket.put(MASK, content)
    holder = multiprocessing.get_context("fork").Process(
        target=fetch_and_hang, args=(bucket.proxy.endpoint, tmp_path / "root")
    )
    holder.start()
    part = tmp_path / "root" / f"{MASK}.part"
    while not (part.exists() and part.read_bytes() == content):
        time.sleep(0.01)
    ends = []
    waiting = threading.Thread(
        target=lambda: ends.append(download(bucket.source, tmp_path / "root", tmp_path / "root" / MASK))
    )
    waiting.start()
    time.sleep(0.3)
    assert waiting.is_alive(), "it waits and does not give up"
    os.kill(holder.pid, signal.SIGKILL)
    holder.join()
    waiting.join(10)
    assert (tmp_path / "root" / MASK).read_bytes() == content
    assert len(ends) == 1 and lying(tmp_path / "root") == ["mean.nii.gz"]


# --- what somebody copied there -------------------------------------------------------------------------------------


def test_a_file_that_somebody_copied_there_is_used_and_not_replaced(bucket, tmp_path, content):
    bucket.put(MASK, content)
    files.write_nifti(tmp_path / MASK, np.ones((4, 5, 6), np.float32))
    mine = (tmp_path / MASK).read_bytes()
    found = download(bucket.source, tmp_path, tmp_path / MASK)
    assert (tmp_path / MASK).read_bytes() == mine and found["facts"]["shape"] == [4, 5, 6]
    assert manifest.read_records(tmp_path) == {} and bucket.proxy.requests == []


def test_a_copy_that_is_not_whole_is_one_line_and_stays(bucket, tmp_path, content):
    bucket.put(MASK, content)
    (tmp_path / MASK).parent.mkdir(parents=True)
    (tmp_path / MASK).write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match=r"mean.nii.gz: was not fetched by this pipeline and is not whole") as caught:
        download(bucket.source, tmp_path, tmp_path / MASK)
    assert "\n" not in str(caught.value)
    assert (tmp_path / MASK).read_bytes() == content[: len(content) // 2]


@pytest.mark.parametrize("links", [True, False], ids=["links", "a file system without links"])
def test_a_file_that_comes_while_it_is_fetched_is_not_replaced(bucket, tmp_path, content, monkeypatch, links):
    """Somebody copies the file there after the download has begun, before it has its name."""
    bucket.put(MASK, content)
    verify, mine = module.verify, tmp_path / "mine" / MASK
    files.write_nifti(mine, np.ones((4, 5, 6), np.float32))

    def slowed(key, path):
        if path.name.endswith(".part"):
            shutil.copy(mine, tmp_path / MASK)
        return verify(key, path)

    def refuse(*_):
        raise PermissionError(errno.EPERM, "no links here")

    monkeypatch.setattr(module, "verify", slowed)
    if not links:
        monkeypatch.setattr(os, "link", refuse)
    found = download(bucket.source, tmp_path, tmp_path / MASK, "study")
    assert (tmp_path / MASK).read_bytes() == mine.read_bytes() and found["facts"]["shape"] == [4, 5, 6]
    assert lying((tmp_path / MASK).parent) == ["mean.nii.gz"]
    assert not manifest.is_fetched(manifest.read_records(tmp_path)[MASK], tmp_path / MASK)


def test_a_folder_that_leads_to_what_is_somebody_elses_is_one_line_with_the_way_out(
    bucket, tmp_path, content, monkeypatch
):
    """A root of one's own with a link to a lab's folder that can only be read, in which the file is missing."""
    bucket.put(MASK, content)
    real = os.open

    def refuse(path, *arguments, **options):
        if str(path).endswith(".part.lock"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return real(path, *arguments, **options)

    (tmp_path / "theirs").mkdir()
    (tmp_path / "nsd/nsddata").mkdir(parents=True)
    (tmp_path / "nsd/nsddata/ppdata").symlink_to(tmp_path / "theirs")
    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(InputError, match=r"mean.nii.gz: missing, and nothing can be written there .*data\.cache"):
        download(bucket.source, tmp_path / "nsd", tmp_path / "nsd" / MASK)


def test_a_file_system_without_links_has_the_file(bucket, tmp_path, content, monkeypatch):
    bucket.put(MASK, content)
    monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(PermissionError(errno.EPERM, "no links here")))
    record = download(bucket.source, tmp_path, tmp_path / MASK)
    assert (tmp_path / MASK).read_bytes() == content and manifest.is_fetched(record, tmp_path / MASK)


def test_images_of_a_study_of_more_sessions_stay(bucket, tiny, tmp_path):
    """The file of a subject's images serves studies of few sessions too; it only ever grows."""
    bucket.put_tree(tiny.root, "nsddata_stimuli/**/*")
    files.write_expdesign(tmp_path, tiny.design)
    output = layout.subject_stimuli(tmp_path, "subj01")
    seen = {n: np.unique(tiny.design.nsd_ids(1, n)) for n in (1, 3)}

    def ids(sessions):
        fetch_stimuli(bucket.server, tmp_path, "subj01", sessions, output)
        with h5py.File(output) as file:
            return file["nsd_id"][()].tolist()

    assert ids(1) == seen[1].tolist()
    assert ids(3) == seen[3].tolist() == ids(1)


# --- through Snakemake ----------------------------------------------------------------------------------------------


@pytest.fixture
def lab(bucket, tiny, project, snakemake, tmp_path):
    """`lab(name, *targets, **data)` runs a study of its own, with its own folder, on the mirror `tmp_path / "nsd"`."""
    for pattern in ("nsddata/**/*", "nsddata_stimuli/**/*", "nsddata_betas/**/*.nii.gz"):
        bucket.put_tree(tiny.root, pattern)
    study = yaml.safe_load((project / "config/config.yaml").read_text())
    study["rois"] = {"V1": {"atlas": "prf-visualrois", "labels": ["V1v", "V1d"]}}
    study["conditions"] = {"none": {"weight": 0.9}}
    study["splits"]["test"] = "shared"
    study["data"] |= {"endpoint": bucket.proxy.endpoint, "accept_terms": True, "root": str(tmp_path / "nsd")}
    study["data"]["subjects"] = {"subj01": {"sessions": 2}}

    def run(name, *targets, check=True, options=(), **data):
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        (folder / "config.yaml").write_text(yaml.safe_dump({**study, "data": study["data"] | data}))
        config = ("--configfile", folder / "config.yaml", "--cores", "1", *options, *RULES)
        return snakemake(*config, "--", *targets, directory=folder, check=check)

    return run


@pytest.fixture
def root(tmp_path, tiny):
    """The mirror with its small files, which spares a test their jobs."""
    shutil.copytree(tiny.root / "nsddata", tmp_path / "nsd/nsddata")
    return tmp_path / "nsd"


BETAS = "results/cortex/subj01/betas.h5"


def there(root: Path) -> list[int]:
    return [n for n in (1, 2) if layout.session(root, "subj01", n).exists()]


@pytest.mark.slow
def test_two_studies_that_start_together_both_end_well(bucket, lab, root, tiny):
    """Twice the same files, at 50 kB a second: each waits for what the other is at."""
    bucket.proxy.rate = 50_000
    sessions = [layout.session(root, "subj01", n) for n in (1, 2)]
    done = {}
    threads = [
        threading.Thread(target=lambda name=name: done.update({name: lab(name, *sessions, check=False)}))
        for name in ("a", "b")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [done[name].returncode for name in ("a", "b")] == [0, 0], done["a"].text + done["b"].text
    for path in sessions:
        assert path.read_bytes() == (tiny.root / path.relative_to(root)).read_bytes()
    assert len((root / "neurobust/manifest.jsonl").read_text().splitlines()) == 2


@pytest.mark.slow
def test_sessions_that_a_study_keeps_survive_one_that_does_not(lab, root, tmp_path):
    lab("keeps", BETAS, keep_betas=True)
    assert there(root) == [1, 2]
    lab("default", BETAS)
    assert there(root) == [1, 2]
    assert "keeps them" in (tmp_path / "default/logs/extract_betas/subj01.log").read_text()


@pytest.mark.slow
def test_sessions_that_were_copied_by_hand_survive_those_that_were_fetched(lab, root, tiny, tmp_path):
    """Also where one of that name had been fetched, extracted and deleted before; and at --delete-all-output."""
    lab("default", BETAS)
    assert there(root) == []
    mine = layout.session(root, "subj01", 1)
    mine.parent.mkdir(parents=True, exist_ok=True)
    mine.write_bytes(layout.session(tiny.root, "subj01", 1).read_bytes())
    (tmp_path / "default" / BETAS).unlink()
    lab("default", BETAS)
    assert there(root) == [1], "session 2 was fetched for this"
    lab("default", BETAS, options=["--delete-all-output"])
    assert there(root) == [1] and layout.expdesign(root).exists() and not (tmp_path / "default" / BETAS).exists()


def test_a_failed_job_leaves_the_file_that_another_study_has_put_there(bucket, lab, root):
    """It comes while the job runs, which then fails: Snakemake removes the outputs of failed jobs."""
    path = root / MASK
    other = b"verified by another study"

    def arrive(request):
        if "mean.nii.gz" in request and not path.exists():
            path.write_bytes(other)

    bucket.proxy.on_request = arrive
    done = lab("mine", path, check=False)  # not in the bucket
    assert done.returncode != 0 and "not in the bucket's listing" in done.text
    assert path.read_bytes() == other


def test_a_file_that_came_before_its_job_began_stays(bucket, lab, root):
    """Snakemake removes the outputs of a job before it runs."""
    keys = [f"nsddata_betas/ppdata/subj01/func1pt8mm/{layout.BETA_VERSION}/betas_session0{n}.nii.gz" for n in (1, 2)]
    arrived = {}

    def arrive(request):
        asked = [key for key in keys if key.rpartition("/")[2] in request]
        for other in set(keys) - set(asked) if asked and not arrived else ():
            files.write_nifti(root / other, np.ones((4, 5, 6, 7), np.int16))
            arrived[other] = (root / other).read_bytes()

    bucket.proxy.on_request = arrive
    lab("mine", *(root / key for key in keys))
    assert len(arrived) == 1
    for key, content in arrived.items():
        assert (root / key).read_bytes() == content


# --- who may delete what --------------------------------------------------------------------------------------------


@pytest.fixture
def mirror(bucket, tiny, tmp_path):
    """`mirror(name, keep)`: a study enters the mirror `tmp_path / "nsd"`; its results."""
    bucket.put_tree(tiny.root, "nsddata_betas/**/*.nii.gz")

    def enter(name, keep=False, subjects=("subj01",), form="nii.gz"):
        sections = {subject: Sessions(sessions=2) for subject in subjects}
        root = str(tmp_path / "nsd")
        data = Data(source="nsd", root=root, format=form, keep_betas=keep, subjects=sections)
        studies.enter(data, tmp_path / name)
        return tmp_path / name

    return enter


def fetch_sessions(bucket, root, results):
    study = layout.study_id(root, results) if results else None
    paths = [layout.session(root, "subj01", n) for n in (1, 2)]
    for path in paths:
        download(bucket.source, root, path, study)
    return paths


def test_who_fetched_deletes_once_nobody_needs_them(bucket, mirror, tmp_path):
    root, mine = tmp_path / "nsd", mirror("mine")
    paths = fetch_sessions(bucket, root, mine)
    keeper = mirror("keeper", keep=True)
    assert studies.release(root, mine, "subj01", paths) == []
    mirror("keeper", keep=False)
    assert studies.release(root, mine, "subj01", paths) == [], "the other has not read them yet"
    betas_path(keeper, "subj01").parent.mkdir(parents=True)
    betas_path(keeper, "subj01").touch()
    mirror("of-others", subjects=("subj02",), keep=True)
    twins = mirror("of-the-twins", form="hdf5", keep=True)
    assert studies.release(root, mine, "subj01", paths) == [], "it would read these, as the twins are not there"
    betas_path(twins, "subj01").parent.mkdir(parents=True)
    betas_path(twins, "subj01").touch()
    shutil.rmtree(mirror("gone"))
    assert studies.release(root, keeper, "subj01", paths) == [], "it has not fetched them"
    assert studies.release(root, mine, "subj01", paths) == paths
    assert there(root) == []


@pytest.mark.parametrize(
    "how",
    ["by hand", "over a fetched one", "into a fetched one", "over a deleted one", "fetched before studies had names"],
)
def test_what_is_not_the_file_that_it_fetched_is_not_deleted(bucket, mirror, tiny, tmp_path, how):
    root, mine = tmp_path / "nsd", mirror("mine")
    paths = [layout.session(root, "subj01", n) for n in (1, 2)]
    if how != "by hand":
        fetch_sessions(bucket, root, None if "before" in how else mine)
    if how == "over a deleted one":
        kept = [path.rename(path.with_name(f"{path.name}.kept")) for path in paths]
        fetch_sessions(bucket, root, mine)
        assert studies.release(root, mine, "subj01", paths) == paths
        for path, copy in zip(paths, kept, strict=True):
            copy.rename(path)
    if how == "into a fetched one":  # as `cp` does: the same inode, and here the same size
        for path in paths:
            path.write_bytes(path.read_bytes()[::-1])
            os.utime(path, times=(path.stat().st_mtime + 7200,) * 2)
    if how in ("by hand", "over a fetched one"):
        for path in paths:
            path.parent.mkdir(parents=True, exist_ok=True)
            copy = path.with_name("copy")
            copy.write_bytes(layout.session(tiny.root, "subj01", 1).read_bytes())
            copy.replace(path)
    assert studies.release(root, mine, "subj01", paths) == []
    assert there(root) == [1, 2]


def test_what_was_only_touched_is_still_what_was_fetched(bucket, mirror, tmp_path):
    """By Snakemake at the end of a job, or by `--touch` days later."""
    root, mine = tmp_path / "nsd", mirror("mine")
    paths = fetch_sessions(bucket, root, mine)
    for path, later in zip(paths, (30, 7200), strict=True):
        os.utime(path, times=(path.stat().st_mtime + later,) * 2)
    assert studies.release(root, mine, "subj01", paths) == paths


def test_a_study_that_never_entered_deletes_nothing(bucket, mirror, tmp_path):
    root = tmp_path / "nsd"
    paths = fetch_sessions(bucket, root, tmp_path / "mine")
    assert studies.release(root, tmp_path / "mine", "subj01", paths) == []
    mirror("other")
    assert studies.release(root, tmp_path / "mine", "subj01", paths) == []


def test_broken_notes_are_one_line(mirror, tmp_path):
    mirror("mine")
    layout.studies(tmp_path / "nsd").write_text("[]")
    with pytest.raises(InputError, match=r"studies.json: not the notes of studies; delete it"):
        mirror("mine")
