"""Preflight: what passes, what fails, and that a failure says what to do."""

import json
import os
import stat

import pytest
import yaml

from neurobust.core.errors import InputError
from neurobust.study import preflight
from neurobust.study.claims import with_claims
from neurobust.study.read import read_study


@pytest.fixture
def commands(tmp_path, monkeypatch):
    """Commands of SLURM that print a text, or fail without one."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    def install(**texts):
        for name, text in texts.items():
            path = folder / name
            path.write_text("#!/bin/sh\nexit 1\n" if text is None else f"#!/bin/sh\necho '{text}'\n")
            path.chmod(path.stat().st_mode | stat.S_IXUSR)

    return install


def test_status_command(commands):
    assert preflight.check_status_command(None, 0)["passed"]
    commands(squeue="1|RUNNING", scontrol="MinJobAge               = 300 sec", sacct=None)
    assert preflight.check_status_command("squeue", 20)["passed"]
    short = preflight.check_status_command("squeue", 101)
    assert not short["passed"] and "forgets a finished job after 300 s" in short["note"] and "sacct" in short["note"]
    absent = preflight.check_status_command("sacct", 20)
    assert not absent["passed"] and "slurm-status-command: squeue" in absent["note"]
    commands(squeue=None)
    assert not preflight.check_status_command("squeue", 20)["passed"]
    commands(squeue="", scontrol="nothing of the kind")
    assert "MinJobAge" in preflight.check_status_command("squeue", 20)["note"]


def test_disk(tmp_path):
    there = preflight.check_disk(tmp_path / "not/yet/there", 1)
    assert there["passed"]
    full = preflight.check_disk(tmp_path, 1e18)
    assert not full["passed"] and "needs about 1000000000.0 GB" in full["note"]


def test_writing(tmp_path):
    assert preflight.check_writing(tmp_path / "results")["passed"]
    assert not list(tmp_path.iterdir()), "nothing is left behind"
    if os.path.ismount("/proc"):
        assert not preflight.check_writing(preflight.Path("/proc/x"))["passed"]


def test_paths(tmp_path, monkeypatch, project):
    config = yaml.safe_load((project / "tests/study/plain.yaml").read_text())
    config["tasks"]["photos"] = {"kind": "image-folder", "source": "photos", "training": {"epochs": 1}}
    config["predictors"]["b"] = {**config["predictors"]["gnet"], "prefilter": "weights/alexnet.pth"}
    config = with_claims(config, project)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    passed = {row["name"]: row["passed"] for row in preflight.check_paths(read_study(config))}
    assert passed == {"data": True, "task photos": True, "config.predictors.b.prefilter": False}


def test_versions(tmp_path):
    lock = tmp_path / "lock"
    lock.write_text("numpy==0.1 \\\n    --hash=x\nTorch==0.0.1\n# torchvision==9\nsnakemake[reports]==1.2\n")
    assert preflight.locked_versions(lock) == {"numpy": "0.1", "torch": "0.0.1", "snakemake": "1.2"}
    rows = {row["name"]: row for row in preflight.check_versions(lock)}
    assert not rows["numpy"]["passed"] and "the lock says 0.1" in rows["numpy"]["note"]
    assert rows["torchvision"]["passed"], "what the lock does not name is not compared"


def test_the_projects_own_lock_is_met(project):
    rows = preflight.check_versions(project / "envs/requirements.lock")
    assert [row["name"] for row in rows if not row["passed"]] == []


def test_gpu(monkeypatch):
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert preflight.check_gpu(wanted=False)["passed"]
    absent = preflight.check_gpu(wanted=True)
    assert not absent["passed"] and "CUDA_VISIBLE_DEVICES=1" in absent["note"] and "`gpu: 1`" in absent["note"]


def test_the_table_is_printed_and_a_failure_is_one_line(tmp_path, capsys):
    machine, output = tmp_path / "machine.json", tmp_path / "table.txt"
    machine.write_text(json.dumps([preflight.check("disk", True, "ok")]))
    preflight.check_cluster(machine, None, 0, output)
    assert output.read_text() in capsys.readouterr().out
    machine.write_text(json.dumps([preflight.check("GPU", False, "none; ask for one")]))
    with pytest.raises(InputError, match="preflight: GPU failed"):
        preflight.check_cluster(machine, None, 0, output)
    assert "FAIL  GPU             none; ask for one" in capsys.readouterr().out
