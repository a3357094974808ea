"""A wheel is enough: a study is begun in an empty folder, checked, priced and run without a checkout."""

import json
import os
import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml

from neurobust.core.settings import read
from neurobust.nsd import layout
from neurobust.nsd.settings import Data
from neurobust.phantom.build import build_phantom
from neurobust.phantom.settings import Phantom

PIPELINE = ("Snakefile", "workflow", "config", "profiles", "envs")


def test_the_wheel_carries_every_file_of_the_pipeline(wheel, project):
    carried = wheel / "neurobust/pipeline"
    for name in PIPELINE:
        source = project / name
        files = [source] if source.is_file() else [path for path in source.rglob("*") if path.is_file()]
        files = [path for path in files if "__pycache__" not in path.parts and not path.name.startswith(".")]
        assert files
        for path in files:
            assert (carried / path.relative_to(project)).read_bytes() == path.read_bytes(), path
    (points,) = wheel.glob("*.dist-info/entry_points.txt")
    assert "neurobust = neurobust.cli.start:start" in points.read_text()
    assert not list(carried.rglob("__pycache__"))


@pytest.mark.snakemake
def test_a_study_runs_from_a_wheel_in_an_empty_folder(wheel, neurobust, tmp_path):
    """begun, checked, priced, and a dry run; nothing of the checkout is on the path."""

    def command(*words, **options):
        return neurobust(*words, directory=tmp_path, packages=wheel, **options)

    command("init", "mine", "--nsd", "phantom", "--rois", "V1,FFA", "--tasks", "phantom-scenes,digits", "--no-cluster")
    assert [path.name for path in tmp_path.iterdir()] == ["config.yaml"]
    assert "the study mine can run: 36 networks; 0 warnings" in command("check")[1]
    _, table, said = command("plan")
    assert "Study mine: " in table and "FFA" in table
    assert f"--snakefile {wheel}/neurobust/pipeline/Snakefile --configfile config.yaml" in said
    assert f"--profile {wheel}/neurobust/pipeline/profiles/local" in said
    _, table, said = command("run", "--dry-run", "--", "--quiet", "rules")
    assert re.search(r"train_network +36\n", table) and re.search(r"write_roi_page +2\n", table)
    _, table, said = command("run", "--dry-run", "--roi", "FFA", "--", "--quiet", "rules")
    assert "-- results/mine/report/roi/FFA.html" in said
    assert re.search(r"train_network +24\n", table) and "write_index" not in table


# What a user would make smaller to see it run within a minute.
TINY = {
    "predictor_seeds": [0],
    "seeds": [0],
    "attack_images": 8,
    "attacks": {"pgd-linf": {"steps": 3}, "pgd-l2": {"steps": 3}, "hue": {"grid": 3}},
    "predictors": {"gnet": {
        "input_size": 64, "prefilter": "gabor", "prefilter_channels": [8, 8], "trunk_width": 4, "epochs": 1,
    }},
    "tasks": {"digits": {"architectures": ["small"], "conditions": ["none", "V1"], "training": {"epochs": 1}}},
    "architectures": {"small": {"stem": "imagenet", "pretrained": False}},
}  # fmt: skip


def plant_mirror(folder):
    """A mirror of NSD as somebody else has it: the tiny phantom's files without what says whose they are."""
    study = yaml.safe_load((Path(__file__).parents[1] / "slurm/tiny.yaml").read_text())
    sessions = read(Data, study["data"], "data").sessions
    build_phantom(folder, read(Phantom, study["phantom"], "phantom").planted(sessions))
    for own in ("truth", "coco", "tasks", layout.OWN):
        shutil.rmtree(folder / own, ignore_errors=True)


def state(folder):
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
@pytest.mark.snakemake
def test_the_first_hour(wheel, neurobust, tmp_path):
    """From a wheel in an empty folder: begun for a mirror, checked, priced, one ROI's page, its state, and away."""
    mirror, folder = tmp_path / "our copy of NSD", tmp_path / "study"
    plant_mirror(mirror)
    before = state(mirror)
    folder.mkdir()

    def command(*words, **options):
        return neurobust(*words, directory=folder, packages=wheel, **options)

    started = os.times()
    command("init", "first", "--nsd", mirror, "--rois", "V1", "--tasks", "digits", "--no-cluster")
    begun = yaml.safe_load((folder / "config.yaml").read_text())
    assert begun["data"]["root"] == str(mirror) and begun["data"]["keep_betas"] is True
    assert begun["data"]["subjects"] == {"subj01": {"sessions": 3}} and begun["data"]["stimuli"] == "all"
    (folder / "tiny.yaml").write_text(yaml.safe_dump(TINY))
    study = ("-c", "config.yaml", "-c", "tiny.yaml")
    assert "the study first can run: 2 networks" in command("check", "config.yaml", "tiny.yaml")[1]
    assert "Study first: " in command("plan", *study)[1]
    command("run", *study, "--roi", "V1", "--cores", "2")
    page = folder / "results/first/report/roi/V1.html"
    assert "<html" in page.read_text() and not (folder / "results/first/report/index.html").exists()
    for file in (folder / "results/first").rglob("*.h5"):
        os.utime(file)  # as a copy does
    _, said, again = command("run", *study, "--roi", "V1")
    assert "Nothing to be done" in said + again
    status, _, said = command("report", *study, check=False)
    assert status == 1 and "run the pipeline up to its report first" in said
    assert "results/first/networks/" in command("clean", *study, "--yes")[1]
    assert not (folder / "results/first").exists() and not (folder / "logs/first").exists()
    now = state(mirror)
    assert {path: now[path] for path in before} == before, "nothing of the mirror was touched"
    ended = os.times()
    print(f"CPU seconds: {sum(ended[2:4]) - sum(started[2:4]):.0f}")


@pytest.mark.slow
@pytest.mark.snakemake
def test_a_second_study_on_the_same_mirror_meanwhile(neurobust, tmp_path):
    """Both begun by `init`, both at the extraction of their ROI at the same time: each has its own."""
    mirror, done = tmp_path / "our copy of NSD", {}
    plant_mirror(mirror)
    before = state(mirror)

    def study(name, roi):
        folder = tmp_path / name
        folder.mkdir()
        neurobust("init", name, "--nsd", mirror, "--rois", roi, "--tasks", "digits", "--no-cluster", directory=folder)
        target = f"results/{name}/cortex/subj01/{roi}.h5"
        options = ("--cores", "1", "--", "--executor", "local", "--scheduler", "greedy")
        done[name] = neurobust("run", target, *options, directory=folder, check=False)
        return folder / target

    with ThreadPoolExecutor(2) as both:
        files = list(both.map(study, ("first", "second"), ("V1", "LO")))
    assert [status for status, _, _ in done.values()] == [0, 0], done
    assert all(path.exists() for path in files)
    betas = [path.with_name("betas.h5").read_bytes() for path in files]
    assert betas[0] == betas[1], "from the same sessions"
    now = state(mirror)
    assert {path: now[path] for path in before} == before, "nothing of the mirror was touched"
    notes = json.loads(layout.studies(mirror).read_text())
    assert len(notes) == 2, "each is known there"
