"""The download rules, run by snakemake against the S3 server: what is fetched, deleted, and never fetched again."""

from __future__ import annotations

import os
import re
import shutil

import h5py
import pytest
import yaml

from neurobust.core.settings import read
from neurobust.files.prf_maps import MAPS
from neurobust.nsd import layout, manifest
from neurobust.nsd.settings import Data

RULES = ("--scheduler", "greedy", "--rerun-triggers", "mtime", "params", "input", "software-env", "--quiet", "progress")


@pytest.fixture
def study(bucket, tiny, project, tmp_path):
    """A folder and a config of a study on the tiny NSD in the bucket; (config, run)."""
    bucket.put_tree(tiny.root, "nsddata/**/*")
    bucket.put_tree(tiny.root, "nsddata_stimuli/**/*")
    bucket.put_tree(tiny.root, "nsddata_betas/**/*.nii.gz")
    config = yaml.safe_load((project / "config/config.yaml").read_text())
    config["data"] |= {"endpoint": bucket.proxy.endpoint, "accept_terms": True, "root": "resources/nsd"}
    config["data"]["subjects"] = {"subj01": {"sessions": 3}}
    config["rois"] = {
        "V1": {"atlas": "prf-visualrois", "labels": ["V1v", "V1d"]},
        "LO": {"atlas": "Kastner2015", "labels": ["LO1", "LO2"]},
    }
    config["conditions"] = {"none": {"weight": 0.9}}
    config["splits"]["test"] = "shared"
    return config


@pytest.fixture
def run(study, snakemake, tmp_path):
    def run(*targets, check=True):
        (tmp_path / "config.yaml").write_text(yaml.safe_dump(study))
        return snakemake("--configfile", tmp_path / "config.yaml", "--cores", "2", *RULES, "--", *targets,
                         directory=tmp_path, check=check)  # fmt: skip

    return run


def fetched(bucket) -> set[str]:
    """Keys of which bytes were asked for."""
    paths = [path.split("?")[0].removeprefix(f"/{layout.BUCKET}/") for method, path in bucket.proxy.requests]
    return {path for path in paths if path.startswith("nsddata")}


def jobs(done) -> list[str]:
    """What snakemake ran."""
    return re.findall(r"(?m)^Job \d+: (.+)$", done.text)


@pytest.mark.slow
def test_download_extract_delete(bucket, tiny, study, run, tmp_path):
    root = tmp_path / "resources/nsd"
    # Some files are there already, which spares the test their jobs.
    shutil.copytree(tiny.root / "nsddata/ppdata", root / "nsddata/ppdata", ignore=shutil.ignore_patterns("lh.stre*"))
    study["data"]["accept_terms"] = False
    os.environ.pop("NSD_ACCEPT_TERMS", None)
    refused = run("results/cortex/subj01/V1.h5", check=False)
    assert refused.returncode != 0
    assert refused.text.count("neurobust: error: the Natural Scenes Dataset is fetched only for those") == 1
    assert fetched(bucket) == set()

    study["data"]["accept_terms"] = True
    run("results/cortex/subj01/V1.h5", "results/stimuli/subj01/8.h5")
    assert {key for key in fetched(bucket) if "ppdata" in key and "betas" not in key} == {
        "nsddata/ppdata/subj01/func1pt8mm/roi/lh.streams.nii.gz"
    }
    sessions = manifest.session_files(root, "subj01", 3, "nii.gz")
    keys = {manifest.key_of(root, path) for path in sessions}
    assert keys <= fetched(bucket)
    assert not any(path.exists() for path in sessions), "sessions are deleted once they are extracted"
    assert keys <= set(manifest.read_records(root)), "but their hashes are known"
    assert not layout.stimuli(root).exists()
    with h5py.File(tmp_path / "results/cortex/subj01/betas.h5") as file:
        voxels = file["voxel_index"][()]
        volume = tiny.betas["subj01"].reshape(-1, 150)
        assert (file["betas"][()] == volume[voxels, :90].T).all()

    # Another ROI, another server and a run some day later: what is there is not fetched again.
    bucket.proxy.requests = []
    study["rois"]["FFA"] = {"atlas": "floc-faces", "labels": ["FFA-1", "FFA-2"], "plus": [study["rois"]["LO"]]}
    study["data"]["region"] = "eu-west-1"
    added = run("results/cortex/subj01/LO.h5", "results/cortex/subj01/FFA.h5")
    assert all("ctab" in key for key in fetched(bucket))
    bucket.proxy.requests = []
    again = run("results/cortex/subj01/V1.h5", "results/cortex/subj01/FFA.h5", "results/stimuli/subj01/8.h5")
    assert jobs(again) == [] != jobs(added)
    assert bucket.proxy.requests == []


@pytest.mark.slow
def test_a_mirror_of_the_users_own_is_used_and_kept(bucket, tiny, study, run, tmp_path):
    root = tmp_path / "resources/nsd"
    shutil.copytree(tiny.root, root)
    run("results/cortex/subj01/V1.h5")
    assert bucket.proxy.requests == []
    assert all(path.exists() for path in manifest.session_files(root, "subj01", 3, "nii.gz"))


def test_the_real_study_resolves_on_a_clean_clone(snakemake, project, tmp_path):
    """Every input of the nsd stage is made by some rule; and the rules fetch exactly what the manifest lists."""
    targets = ["results/cortex/subj06/TO.h5", "results/stimuli/subj06/227.h5"]
    done = snakemake(
        "--configfile", project / "config/config.yaml", "-n", *RULES[:-2], "--", *targets, directory=tmp_path
    )
    data = yaml.safe_load((project / "config/config.yaml").read_text())["data"]
    asked = {line.split("fetching ")[1] for line in done.text.splitlines() if "fetching nsddata" in line}
    data["subjects"] = {"subj06": data["subjects"]["subj06"]}
    groups = manifest.study_files(read(Data, data, "data"))
    keys = {manifest.key_of(data["root"], path) for path in groups["tables and labels"] + groups["betas"]}
    assert len([key for key in asked if "betas_session" in key]) == 32
    assert asked <= keys
    left = {key.rpartition("/")[2] for key in keys - asked}
    ctabs = {name for name in left if name.endswith(".ctab")}
    doctors = {
        "nsd_stim_info_merged.csv",
        "responses.tsv",
        "valid.nii.gz",
        "ncsnr_split1.nii.gz",
        "ncsnr_split2.nii.gz",
    } | {f"prf_{name}.nii.gz" for name in MAPS}  # explain's, which was not asked for
    assert left - ctabs == doctors
    assert "fetching the images that subj06 saw" in done.text
    assert not (tmp_path / "resources").exists()
