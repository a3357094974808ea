"""Faults: whatever is killed, whatever is full, the same command again ends with the same results."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from neurobust.seeding import numpy_rng

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "slurm"))
from study import PROJECT, numbers

pytestmark = pytest.mark.slow
TINY = ("--configfile", PROJECT / "tests/slurm/tiny.yaml", "--profile", PROJECT / "profiles/local", "--cores", "2")
NETWORK = "results/tiny/networks/digits/resnet18/none/seed0/model.safetensors"
# More of them by NEUROBUST_KILLS=30.
KILLS = int(os.environ.get("NEUROBUST_KILLS", "6"))


@pytest.fixture(scope="module")
def undisturbed(snakemake, tmp_path_factory):
    """The numbers of a run that nothing happened to."""
    folder = tmp_path_factory.mktemp("undisturbed")
    snakemake(*TINY, "--", "all", directory=folder)
    return numbers(folder)


def start(folder):
    """The tiny study in the background, in a process group of its own."""
    command = [
        sys.executable,
        "-m",
        "snakemake",
        "-s",
        PROJECT / "Snakefile",
        "--directory",
        folder,
        *TINY,
        "--",
        "all",
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GIT_PYTHON_REFRESH": "quiet"}
    with (folder / "out").open("ab") as out:
        words = list(map(str, command))
        return subprocess.Popen(words, stdout=out, stderr=out, env=environment, start_new_session=True)


def members(group):
    """The pids of a process group, with their command lines."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if os.getpgid(int(entry.name)) == group:
                found[int(entry.name)] = (entry / "cmdline").read_bytes().decode(errors="replace")
        except (OSError, ValueError):
            continue
    return found


def test_killed_at_random_moments_the_results_are_the_same(snakemake, undisturbed, tmp_path):
    """SIGKILL in turn to the driver with all its jobs, and to one job alone."""
    rng = numpy_rng("tests", "faults", "kills")
    killed = 0
    for turn in range(KILLS):
        driver = start(tmp_path)
        end = time.monotonic() + rng.uniform(3, 25)
        while time.monotonic() < end and driver.poll() is None:
            time.sleep(0.1)
        if driver.poll() is None:
            jobs = [pid for pid, words in members(driver.pid).items() if "/.snakemake/scripts/" in words]
            if turn % 2 and jobs:
                os.kill(jobs[0], signal.SIGKILL)
                time.sleep(2)
            os.killpg(driver.pid, signal.SIGKILL)
            killed += 1
        driver.wait()
        snakemake(*TINY, "--unlock", directory=tmp_path)
    assert killed >= KILLS / 2, "the study was over before it could be killed"
    snakemake(*TINY, "--", "all", directory=tmp_path)
    assert numbers(tmp_path) == undisturbed


@pytest.fixture
def disk(tmp_path):
    """A small file system at `results`; call it to mount it again with other options."""
    folder = tmp_path / "results"
    folder.mkdir()

    def mount(options):
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
        return subprocess.run(command, capture_output=True).returncode == 0

    if not mount("size=24m"):
        pytest.skip("no file system can be mounted here")
    yield mount
    subprocess.run(["umount", str(folder)], check=True)


def errors(text):
    return [line for line in text.splitlines() if line.startswith("neurobust: error:")]


def test_a_full_disk_is_one_clear_error_and_loses_nothing(snakemake, undisturbed, disk, tmp_path):
    failed = snakemake(*TINY, "--", NETWORK, directory=tmp_path, check=False)
    assert failed.returncode != 0
    assert len(errors(failed.text)) == 1 and "No space left on device" in errors(failed.text)[0], failed.text[-3000:]
    log = (tmp_path / "logs/tiny/train_network/digits/resnet18/none/seed0.log").read_text()
    assert "Traceback" not in log and "No space left on device" in log
    dataset = tmp_path / "results/tiny/networks/digits/dataset.h5"
    made = dataset.stat().st_mtime_ns
    assert not list((tmp_path / "results").rglob("*.tmp")), "half a file is left"

    assert disk("remount,size=1g")
    snakemake(*TINY, "--", NETWORK, directory=tmp_path)
    assert dataset.stat().st_mtime_ns == made, "what was finished is not done again"
    assert numbers(tmp_path)[NETWORK] == undisturbed[NETWORK]


def test_a_read_only_results_folder_is_one_clear_error(snakemake, disk, tmp_path):
    assert disk("remount,ro")
    failed = snakemake(*TINY, "--", NETWORK, directory=tmp_path, check=False)
    assert failed.returncode != 0
    assert "Read-only file system" in failed.text
    assert "Traceback" not in failed.text, failed.text[-3000:]
