"""Faults: whatever is killed, whatever is full, the same command again ends with the same results."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from neurobust.core.seeding import numpy_rng

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "slurm"))
from study import PROJECT, numbers

pytestmark = [pytest.mark.slow, pytest.mark.minutes]
EXECUTORS = ("warm", "local")
NETWORK = "results/tiny/networks/digits/small/none/seed0/model.safetensors"
# More of them by NEUROBUST_KILLS=30.
KILLS = int(os.environ.get("NEUROBUST_KILLS", "2"))


def tiny(executor):
    """The options that run the tiny study by an executor."""
    config = ("--configfile", PROJECT / "tests/slurm/tiny.yaml", "--profile", PROJECT / "profiles/local")
    return (*config, "--cores", "2", "--executor", executor)


@pytest.fixture(params=EXECUTORS)
def executor(request):
    return request.param


@pytest.fixture(scope="module")
def undisturbed(snakemake, once):
    """The numbers of a run that nothing happened to. Its jobs are forks; below each executor is compared with it."""
    return numbers(once("undisturbed", lambda folder: snakemake(*tiny("warm"), "--", "all", directory=folder)))


def start(folder, executor, *words):
    """The tiny study, or a target of it after `--`, in the background, in a process group of its own."""
    command = [sys.executable, "-m", "snakemake", "-s", PROJECT / "Snakefile", "--directory", folder]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GIT_PYTHON_REFRESH": "quiet"}
    with (folder / "out").open("ab") as out:
        words = list(map(str, [*command, *tiny(executor), *(words or ("--", "all"))]))
        return subprocess.Popen(words, stdout=out, stderr=out, env=environment, start_new_session=True)


def members(group):
    """pid -> (parent, command line) of the processes of a group that run."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            state, parent, its_group = (entry / "stat").read_text().rsplit(")", 1)[1].split()[:3]
            if int(its_group) == group and state != "Z":
                words = (entry / "cmdline").read_bytes().decode(errors="replace")
                found[int(entry.name)] = (int(parent), words)
        except OSError:
            continue
    return found


def jobs(group):
    """The pids of scripts: started on their own, or forked from a worker."""
    processes = members(group)
    return [*(pid for pid, (_, words) in processes.items() if "/.snakemake/scripts/" in words), *forks(processes)]


def forks(processes):
    """The pids of those whose parent is a worker."""
    workers = {pid for pid, (_, words) in processes.items() if "neurobust.core.warm" in words}
    return [pid for pid, (parent, _) in processes.items() if parent in workers]


def wait_until_gone(group):
    end = time.monotonic() + 120  # a worker that is still importing ends when it has
    while left := members(group):
        assert time.monotonic() < end, f"processes stay behind: {left}"
        time.sleep(0.1)


def test_killed_at_random_moments_the_results_are_the_same(snakemake, undisturbed, executor, tmp_path):
    """SIGKILL in turn to the driver with all its jobs, and to one job alone; forks finish what it has left."""
    rng = numpy_rng("tests", "faults", "kills")
    killed = 0
    while killed < KILLS:
        driver = start(tmp_path, executor)
        end = time.monotonic() + rng.uniform(3, 20)
        while time.monotonic() < end and driver.poll() is None:
            time.sleep(0.1)
        if driver.poll() is None:
            running = jobs(driver.pid)
            if killed % 2 and running:
                os.kill(running[0], signal.SIGKILL)
                time.sleep(2)
            os.killpg(driver.pid, signal.SIGKILL)
            killed += 1
        else:  # it was over before: again from the start
            assert driver.returncode == 0 and numbers(tmp_path) == undisturbed
            shutil.rmtree(tmp_path / "results")
        driver.wait()
        wait_until_gone(driver.pid)
        snakemake(*tiny(executor), "--unlock", directory=tmp_path)
    snakemake(*tiny("warm"), "--", "all", directory=tmp_path)
    assert numbers(tmp_path) == undisturbed


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_no_process_outlives_a_driver_that_runs_warm_jobs(number, tmp_path):
    """SIGKILL to the driver alone; SIGINT to all, as Ctrl-C in a terminal gives it. The worker has torch in it."""
    driver = start(tmp_path, "warm", "--warm-preload", "torch", "--", NETWORK)
    end = time.monotonic() + 600  # its first job starts in the plain way, until the worker is ready
    while not forks(members(driver.pid)):
        assert driver.poll() is None and time.monotonic() < end, (tmp_path / "out").read_text()[-3000:]
        time.sleep(0.1)
    if number == signal.SIGKILL:
        driver.kill()
    else:
        os.killpg(driver.pid, number)
    assert driver.wait(60) != 0
    wait_until_gone(driver.pid)


@pytest.fixture
def disk(tmp_path):
    """A small file system at `results`; call it to mount it again with other options."""
    folder = tmp_path / "results"
    folder.mkdir()

    def mount(options):
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
        return subprocess.run(command, capture_output=True).returncode == 0

    if not mount("size=1600k"):
        pytest.skip("no file system can be mounted here")
    yield mount
    subprocess.run(["umount", str(folder)], check=True)


def errors(text):
    return [line for line in text.splitlines() if line.startswith("neurobust: error:")]


def test_a_full_disk_is_one_clear_error_and_loses_nothing(
    snakemake_started, snakemake, undisturbed, disk, executor, tmp_path
):
    failed = snakemake_started(*tiny(executor), "--", NETWORK, directory=tmp_path, check=False)
    assert failed.returncode != 0
    assert len(errors(failed.text)) == 1 and "No space left on device" in errors(failed.text)[0], failed.text[-3000:]
    log = (tmp_path / "logs/tiny/train_network/digits/small/none/seed0.log").read_text()
    assert "Traceback" not in log and "No space left on device" in log
    dataset = tmp_path / "results/tiny/networks/digits/dataset.h5"
    made = dataset.stat().st_mtime_ns
    assert not list((tmp_path / "results").rglob("*.tmp")), "half a file is left"

    assert disk("remount,size=1g")
    snakemake(*tiny("warm"), "--", NETWORK, directory=tmp_path)
    assert dataset.stat().st_mtime_ns == made, "what was finished is not done again"
    assert numbers(tmp_path)[NETWORK] == undisturbed[NETWORK]


def test_a_read_only_results_folder_is_one_clear_error(snakemake_started, disk, executor, tmp_path):
    assert disk("remount,ro")
    failed = snakemake_started(*tiny(executor), "--", NETWORK, directory=tmp_path, check=False)
    assert failed.returncode != 0
    assert "Read-only file system" in failed.text
    assert "Traceback" not in failed.text, failed.text[-3000:]
