"""The executor that starts jobs warm: the same from both, one warning where it cannot, and groups of SLURM jobs."""

import os
import re
import subprocess
import sys

import pytest

SNAKEFILE = """
from neurobust.core.warm_groups import take_part

take_part(workflow)

rule all:
    input: expand("{n}.txt", n=range(4))

rule write:
    output: "{n}.txt"
    log: "{n}.log"
    benchmark: "{n}.tsv"
    params: ["x y", 2.5]
    threads: 2
    script: "write.py"
"""
SCRIPT = """
import os, sys, json
text = [snakemake.input, snakemake.output, snakemake.params, snakemake.wildcards, snakemake.threads, snakemake.log]
given = [str(dict(part.items()) or list(part)) if hasattr(part, "items") else part for part in text]
given += [snakemake.rule, snakemake.config, os.environ["OMP_NUM_THREADS"], os.path.basename(__file__), os.getcwd()]
open(snakemake.output[0], "w").write(json.dumps(given))
open(snakemake.log[0], "w").write(str("decimal" in sys.modules))
"""


@pytest.fixture
def toy(tmp_path):
    """Run a small workflow in a folder of this name; the finished process."""

    def toy(*arguments, script=SCRIPT, folder="my folder"):
        place = tmp_path / folder
        place.mkdir(exist_ok=True)
        (place / "Snakefile").write_text(SNAKEFILE)
        (place / "write.py").write_text(script)
        command = [sys.executable, "-m", "snakemake", "--cores", "4", "--config", "key=1", *arguments]
        done = subprocess.run(command, cwd=place, capture_output=True, text=True, timeout=120)
        done.text, done.folder = done.stdout + done.stderr, place
        return done

    return toy


WARM = ("--executor", "warm", "--warm-preload", "decimal")


def outputs(done):
    return {path.name: path.read_text() for path in sorted(done.folder.glob("*.txt"))}


def test_scripts_get_the_same_from_both_executors(toy):
    warm = toy(*WARM)
    first, costs = outputs(warm), [path.read_text().splitlines() for path in warm.folder.glob("*.tsv")]
    plain = toy("--executor", "local", "--forceall")
    assert warm.returncode == plain.returncode == 0, warm.text + plain.text
    assert len(first) == 4 and first == outputs(plain)
    after = [path.read_text().splitlines()[0] for path in plain.folder.glob("*.tsv")]
    assert [lines[0] for lines in costs] == after and len(after) == 4 and after[0].startswith("s\th:m:s\tmax_rss")


def test_a_failing_script_fails_its_job_and_loses_its_outputs(toy):
    done = toy(*WARM, "--keep-going", script=SCRIPT + "\nif snakemake.wildcards.n == '2': sys.exit(3)")
    assert done.returncode != 0
    assert "non-zero exit status 3" in done.text and "Traceback" not in done.text
    assert set(outputs(done)) == {"0.txt", "1.txt", "3.txt"}


SLOW = "import time; time.sleep(1)\n" + SCRIPT


def test_a_worker_that_cannot_start_is_one_warning_and_the_jobs_run(toy):
    done = toy("--executor", "warm", "--warm-preload", "no_such_module", "--cores", "1", script=SLOW)
    assert done.returncode == 0, done.text
    assert done.text.count("jobs start in the plain way") == 1
    assert len(outputs(done)) == 4


KILLER = """
import signal, time
worker = open(f"/proc/{os.getppid()}/cmdline").read()
if "neurobust.core.warm" in worker and not os.path.exists("shot"):
    open("shot", "w").close()
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(60)
"""


def test_a_worker_that_is_lost_fails_its_job_and_the_rest_runs(toy):
    done = toy(*WARM, "--cores", "1", "--retries", "1", script=SLOW + KILLER)
    assert done.returncode == 0, done.text
    assert (done.folder / "shot").exists() and "non-zero exit status -9" in done.text
    assert done.text.count("jobs start in the plain way") == 1
    assert len(outputs(done)) == 4


def test_jobs_start_warm_once_the_worker_is_ready(toy):
    done = toy(*WARM, "--cores", "2", script=SLOW)
    logs = [path.read_text() for path in sorted(done.folder.glob("*.log"))]
    assert "True" in logs, "later jobs find what the worker imported"


def test_the_local_profile_starts_jobs_warm(project):
    assert re.search(r"(?m)^executor: warm\b", (project / "profiles/local/config.yaml").read_text())


# --- several jobs in one SLURM job ----------------------------------------------------------------------------------

SRUN = """#!/bin/sh
echo "$*" >> "$CALLS"
case "$* $NO_STEP" in *warm_server*1) exit 3;; esac
while case "$1" in -*) true;; *) false;; esac; do shift; done
exec "$@"
"""
WHOSE = 'open(snakemake.log[0], "a").write(open(f"/proc/{os.getppid()}/cmdline").read().replace("\\0", " "))\n'
JOBSTEP = (
    "--executor", "slurm-jobstep", "--jobs", "1", "--mode", "remote", "--allowed-rules", "write",
    "--local-groupid", "7", "--no-hooks", "--nolock", "--keep-going",
)  # fmt: skip


@pytest.fixture
def slurm_job(toy, tmp_path, monkeypatch):
    """What the SLURM plugin starts inside a SLURM job of a group of jobs, with a stand-in for srun."""
    (tmp_path / "bin").mkdir()
    srun = tmp_path / "bin/srun"
    srun.write_text(SRUN)
    srun.chmod(0o755)
    (tmp_path / "temporary").mkdir()
    for name, value in {
        "PATH": f"{srun.parent}:{os.environ['PATH']}", "SLURM_JOB_ID": "1", "CALLS": str(tmp_path / "calls"),
        "TMPDIR": str(tmp_path / "temporary"),
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)

    def slurm_job(asked, *numbers, script=SCRIPT + WHOSE, folder="my folder"):
        monkeypatch.setenv("NEUROBUST_WARM_GROUPS", asked)
        (tmp_path / "calls").write_text("")
        done = toy(*JOBSTEP, "--target-jobs", *(f"write:n={n}" for n in numbers), script=script, folder=folder)
        done.calls = (tmp_path / "calls").read_text().splitlines()
        done.logs = [path.read_text() for path in sorted(done.folder.glob("*.log"))]
        assert not list((tmp_path / "temporary").iterdir()), "nothing is left of a worker"
        return done

    return slurm_job


def test_jobs_of_a_group_are_forks_of_one_worker(slurm_job):
    warm, plain = slurm_job("decimal", 0, 1, 2), slurm_job("", 0, 1, 2, folder="plain")
    assert warm.returncode == plain.returncode == 0, warm.text + plain.text
    assert [line.split()[0] for line in warm.calls] == ["--overlap", "-n1", "-n1", "-n1"]
    assert len(plain.calls) == 3
    assert len(warm.logs) == 3
    assert all("warm_server" in log for log in warm.logs) and not any("warm_server" in log for log in plain.logs)
    assert {name: text.replace("my folder", "plain") for name, text in outputs(warm).items()} == outputs(plain)
    for path in warm.folder.glob("*.tsv"):
        assert path.read_text().startswith("s\th:m:s\tmax_rss")


def test_one_job_alone_has_no_worker(slurm_job):
    done = slurm_job("decimal", 0)
    assert done.returncode == 0 and len(done.calls) == 1, done.text


def test_a_driver_inside_a_slurm_job_has_no_shared_worker(toy, slurm_job, tmp_path, monkeypatch):
    monkeypatch.setenv("NEUROBUST_WARM_GROUPS", "decimal")
    done = toy("--executor", "local")
    assert done.returncode == 0 and not (tmp_path / "calls").exists(), done.text


def test_a_group_whose_worker_cannot_start_runs_with_one_warning(slurm_job, monkeypatch):
    monkeypatch.setenv("NO_STEP", "1")
    done = slurm_job("decimal", 0, 1)
    assert done.returncode == 0, done.text
    assert done.text.count("jobs start in the plain way") == 1
    assert len(outputs(done)) == 2 and not any("warm_server" in log for log in done.logs)


def test_a_group_whose_worker_is_lost_fails_one_job_and_says_so_once(slurm_job):
    done = slurm_job("decimal", 0, 1, 2, script=SCRIPT + WHOSE + KILLER)
    assert done.returncode != 0
    assert "non-zero exit status -9" in done.text
    assert len(done.calls) == 4 and len(outputs(done)) == 2
    assert done.text.count("jobs start in the plain way") == 1
