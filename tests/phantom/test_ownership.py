"""Whose a root is: the phantom never replaces what somebody else has there, nor another study's phantom."""

from __future__ import annotations

import copy
import hashlib
import shutil
from pathlib import Path

import pytest
import yaml
from msgspec.structs import replace
from snakemake.utils import update_config

from neurobust.core.errors import InputError
from neurobust.core.settings import read
from neurobust.nsd import layout
from neurobust.phantom import build, ownership
from neurobust.phantom import plant as module
from neurobust.phantom.outputs import phantom_files
from neurobust.phantom.ownership import Planter, claim, foreign_file, read_marker
from neurobust.phantom.settings import Phantom
from neurobust.study.mirror import Mirror
from neurobust.study.read import read_study

DESIGN = "nsddata/experiments/nsd/nsd_expdesign.mat"
MASK = "nsddata/ppdata/subj01/func1pt8mm/brainmask.nii.gz"


def put(root: Path, name: str) -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("mine")
    return path


@pytest.mark.parametrize(
    "name",
    [DESIGN, "nsddata_betas/ppdata/x.nii.gz", "coco/annotations_trainval2017.zip", "tasks/phantom-scenes.npz",
     "neurobust/manifest.jsonl", "nsddata_rawdata/x"],
)  # fmt: skip
def test_what_somebody_has_there_is_named(tmp_path, name):
    root = tmp_path / "root"
    path = put(root, name)
    with pytest.raises(InputError, match="this pipeline has not planted") as caught:
        claim(root, tmp_path / "results", "a")
    text = str(caught.value)
    assert text.startswith(f"config.data.root: {root} holds {path}, ") and "\n" not in text
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == [path], "nothing is changed"


def test_other_things_and_empty_folders_are_in_nobodys_way(tmp_path):
    put(tmp_path, "notes.txt")
    put(tmp_path, "tasks.md")
    (tmp_path / "nsddata/ppdata").mkdir(parents=True)
    assert foreign_file(tmp_path) is None and foreign_file(tmp_path / "absent") is None
    assert foreign_file(put(tmp_path, "file")) == tmp_path / "file"


def test_links_into_a_mirror_are_followed(tmp_path):
    real = put(tmp_path / "real", "ppdata/subj01/x.nii.gz")
    (tmp_path / "root/nsddata").mkdir(parents=True)
    (tmp_path / "root/nsddata/ppdata").symlink_to(tmp_path / "real/ppdata")
    assert foreign_file(tmp_path / "root").samefile(real)


def test_two_studies_share_a_phantom_or_have_their_own(tmp_path):
    root, a, b = tmp_path / "root", tmp_path / "results/a", tmp_path / "results/b"
    claim(root, a, "one")
    claim(root, a, "other")  # alone on its root, a study may change its phantom
    assert read_marker(root).digest == "other"
    with pytest.raises(InputError, match="own") as caught:
        claim(root, b, "one")
    text = str(caught.value)
    assert "the phantom other of the study in " in text and str(a) in text and "this study's is one" in text
    assert "\n" not in text and not b.exists()
    claim(root, b, "other")
    for study in (a, b):
        with pytest.raises(InputError, match=r"a data\.root of its own"):
            claim(root, study, "third")
    shutil.rmtree(b)  # nothing of it is left that could be made again from other data
    claim(root, a, "third")
    assert read_marker(root).studies == (layout.study_id(root, a),)
    shutil.rmtree(a)
    with pytest.raises(InputError, match=rf"of a study whose results are gone, .* remove {root}, or give"):
        claim(root, b, "other")


def test_two_checkouts_share_a_phantom_only_if_their_code_plants_the_same(tmp_path):
    root = tmp_path / "root"

    def by(folder, code, study="a"):
        claim(root, tmp_path / folder / "results" / study, "one", Planter(tmp_path / folder, lambda: code))

    by("here", "old")
    by("there", "old", "b")
    by("here", "old", "c")
    before = read_marker(root)
    for folder, other in (("here", "there/results/b"), ("there", "here/results/a")):
        with pytest.raises(InputError, match="another version of this pipeline planted") as caught:
            by(folder, "new")
        text = str(caught.value)
        assert f"planted for the study in {tmp_path / other}; bring both to one version and remove {root}, or " in text
        assert text.startswith("config.data.root: ") and "\n" not in text and read_marker(root) == before
    shutil.rmtree(tmp_path / "there")
    by("here", "new")  # studies of one folder have one code, which plants again for all of them
    marker = read_marker(root)
    assert marker.code == "new" and marker.folders == dict.fromkeys(marker.studies, "../here")
    shutil.rmtree(tmp_path / "here")
    with pytest.raises(InputError, match=rf"planted for a study whose results are gone; remove {root}, or give"):
        by("elsewhere", "newer")
    by("elsewhere", "new")
    claim(root, tmp_path / "elsewhere/results/a", "one")  # nobody asks about the code
    assert read_marker(root).code == "new"


def test_a_marker_of_earlier_versions_knows_no_code(tmp_path):
    claim(tmp_path / "root", tmp_path / "here/results", "one")
    claim(tmp_path / "root", tmp_path / "there/results", "one", Planter(tmp_path / "there", lambda: "any"))
    assert read_marker(tmp_path / "root").code == "any"


def test_the_code_that_plants_is_that_of_the_scripts_which_write_there(project, tmp_path):
    """One of them in another checkout is another code; what they do not import is none of it."""
    study = read_study(yaml.safe_load((project / "tests/slurm/tiny.yaml").read_text()))

    def code(changed):
        home = tmp_path / changed
        shutil.copytree(project / "workflow/scripts", home / "workflow/scripts")
        with (home / f"workflow/scripts/nsd/{changed}.py").open("a") as file:
            file.write("# changed\n")
        return Mirror(study, home).planter.code()

    here = Mirror(study, project).planter.code()
    assert code("extract_roi") == here
    assert len({here, code("make_phantom"), code("make_scenes"), code("make_faces")}) == 4


def test_a_moved_checkout_is_the_same_study(tmp_path):
    claim(tmp_path / "here/resources/phantom", tmp_path / "here/results", "one")
    (tmp_path / "here").rename(tmp_path / "there")
    claim(tmp_path / "there/resources/phantom", tmp_path / "there/results", "two")


def test_a_real_study_does_not_take_a_phantom_for_a_mirror(tmp_path):
    ownership.refuse_planted(tmp_path)
    claim(tmp_path, tmp_path / "results", "one")
    with pytest.raises(InputError, match=r"planted with a phantom .* and no mirror of the bucket"):
        ownership.refuse_planted(tmp_path)


def test_shipped_studies_agree_about_the_roots_that_they_share(project):
    """Any of them may run after any other in one checkout."""
    shipped = [[path] for path in sorted((project / "config").glob("*.yaml")) if "calibration-" not in path.name]
    shipped += [[project / "config/calibration.yaml", path] for path in (project / "config").glob("calibration-*.yaml")]
    found = {}
    for paths in shipped:
        config = {}
        for path in paths:
            update_config(config, yaml.safe_load(path.read_text()))
        if "data" in config and config["data"].get("source") == "phantom":
            mirror = Mirror(read_study(config))
            found.setdefault(mirror.root, set()).add(mirror.digest)
    assert len(found) == 8
    assert all(len(digests) == 1 for digests in found.values()), found


# --- planting -------------------------------------------------------------------------------------------------------


def test_a_planting_that_fails_leaves_no_root_that_looks_whole(project, tmp_path, monkeypatch):
    study = yaml.safe_load((project / "tests/slurm/tiny.yaml").read_text())
    settings = read(Phantom, study["phantom"], "phantom").planted({"subj01": 3})
    outputs = [Path(path) for path in phantom_files(tmp_path, settings)]
    module.plant(tmp_path, settings, "code")
    first = tree(tmp_path)
    whole = read_marker(tmp_path).planted

    def fail(*_):
        raise OSError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(build, "write_annotations", fail)
        with pytest.raises(OSError, match="full"):
            module.plant(tmp_path, settings, "other code")
    assert read_marker(tmp_path).planted is None
    assert not all(path.exists() for path in outputs)
    module.plant(tmp_path, settings, "code")
    assert tree(tmp_path) == first and read_marker(tmp_path).planted == whole
    inode = outputs[0].stat().st_ino
    module.plant(tmp_path, settings, "code")
    assert outputs[0].stat().st_ino == inode, "just this phantom stands there"


# --- through Snakemake ----------------------------------------------------------------------------------------------


@pytest.fixture
def run(project, snakemake, tmp_path):
    """`run(results, **phantom)` plants the tiny study's phantom for a study with these results."""
    study = yaml.safe_load((project / "tests/slurm/tiny.yaml").read_text())
    root = tmp_path / "root"
    study["data"]["root"] = str(root)

    def run(results, *options, check=True, source="phantom", **phantom):
        config = copy.deepcopy(study)
        config["results"], config["data"]["source"] = f"results/{results}", source
        config["phantom"] |= phantom
        (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
        words = ("--configfile", tmp_path / "config.yaml", "--cores", "1", "--scheduler", "greedy", *options)
        return snakemake(*words, "--", root / MASK, directory=tmp_path, check=check)

    return run


def tree(root: Path) -> dict[str, str]:
    files = (path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_a_phantom_on_a_real_mirror_ends_before_any_job(run, tmp_path):
    root = tmp_path / "root"
    path = put(root, DESIGN)
    put(root, "nsddata/ppdata/subj05/func1pt8mm/brainmask.nii.gz")
    before = tree(root)
    for options in ((), ("-n",), ("--delete-all-output",)):
        done = run("a", *options, check=False)
        assert done.returncode != 0
        (line,) = [line for line in done.text.splitlines() if "data.root" in line]
        assert line.startswith(f"{tmp_path}/config.yaml:") and f"{root} holds {path}, " in line
        assert "Traceback" not in done.text and tree(root) == before
    assert not (tmp_path / "results").exists()


@pytest.mark.slow
def test_two_seeds_on_one_root_and_a_change_of_mind(run, tmp_path):
    root = tmp_path / "root"
    run("a")
    planted = tree(root)
    digest = read_marker(root).digest
    refused = run("b", check=False, seed=1)
    assert refused.returncode != 0 and f"{root} has the phantom {digest} of the study in" in refused.text
    assert tree(root) == planted
    assert "Nothing to be done" in run("a").text
    real = run("real", check=False, source="nsd")
    assert real.returncode != 0 and "no mirror of the bucket" in real.text
    marker = read_marker(root)
    study = layout.study_id(root, tmp_path / "results/a")
    assert marker.code and marker.folders == {study: ".."}
    ownership.write_marker(root, replace(marker, code="another", folders={study: "../../elsewhere"}))
    before = tree(root)
    other = run("b", check=False)
    assert other.returncode != 0 and "another version of this pipeline planted for the study in" in other.text
    assert f"{tmp_path}/config.yaml:" in other.text and "Traceback" not in other.text and tree(root) == before
    ownership.write_marker(root, marker)
    run("a", seed=1)
    assert tree(root)[DESIGN] != planted[DESIGN]
    assert read_marker(root).digest != digest
