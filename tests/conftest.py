"""Fixtures that several rooms share: the project's folder, snakemake, and what is made once for all test processes.

Tests may run in several processes at once. The demo, which takes minutes, runs beside the others from the start; the
tests that look at it come last.
"""

import gc
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import pytest
from filelock import FileLock

from neurobust.core.warm import NoWorker

sys.path.insert(0, str(Path(__file__).parent / "slurm"))
sys.path.insert(0, str(Path(__file__).parent / "forks"))
import cluster as slurm
import forks

PROJECT = Path(__file__).resolve().parents[1]
SHARED = "NEUROBUST_SHARED"  # the folder of what is made once, as an environment variable for all test processes
DEMO = "NEUROBUST_DEMO"  # a folder in which the demo has been run already, for work on the tests themselves


# --- the processes of one test run ----------------------------------------------------------------------------------


def pytest_configure(config):
    if SHARED not in os.environ:
        os.environ[SHARED] = tempfile.mkdtemp(prefix="neurobust-tests-")
        config.owns_shared = True


def pytest_unconfigure(config):
    if getattr(config, "owns_shared", False):
        folder = Path(os.environ.pop(SHARED))
        if (folder / "cluster.made").exists():
            slurm.Cluster(folder / "cluster").down()
        if (pid := folder / "demo.pid").exists() and not (folder / "demo.status").exists():
            os.killpg(int(pid.read_text()), signal.SIGKILL)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    """Of the millions of objects that come with the imports none is garbage: no collection looks through them."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items):
    """What takes long comes first and what looks at the demo last; what starts Snakemake is marked."""
    for item in items:
        if {"snakemake", "demo"} & set(item.fixturenames) or item.path.parts[-2] == "workflow":
            item.add_marker("snakemake")
    marks = ("minutes", "slow")
    items.sort(key=lambda item: ("demo" in item.fixturenames, *(not item.get_closest_marker(mark) for mark in marks)))


def pytest_collection_finish(session):
    if (
        os.environ.get("PYTEST_XDIST_WORKER", "gw0") == "gw0"
        and not session.config.option.collectonly
        and DEMO not in os.environ
        and any("demo" in item.fixturenames for item in session.items)
    ):
        start_demo(Path(os.environ[SHARED]))


# --- snakemake ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def project():
    return PROJECT


def command(*arguments, directory, project=PROJECT):
    """(words, environment) of snakemake on this project, or a copy of it, in `directory`."""
    words = [sys.executable, "-m", "snakemake", "-s", project / "Snakefile", "--directory", directory, *arguments]
    environment = {
        "OMP_NUM_THREADS": "1",
        "GIT_PYTHON_REFRESH": "quiet",
        "PYTHONPATH": os.pathsep.join([str(project / "src"), os.environ.get("PYTHONPATH", "")]),
    }
    return list(map(str, words)), os.environ | environment


def run_snakemake(*arguments, directory, check=True, timeout=1800, project=PROJECT):
    """Run snakemake on this project, or a copy of it, in `directory`; the finished process with its output as text."""
    words, environment = command(*arguments, directory=directory, project=project)
    done = subprocess.run(words, capture_output=True, text=True, timeout=timeout, env=environment)
    return looked_at(done, check)


def looked_at(done, check):
    done.text = done.stdout + done.stderr
    assert not check or done.returncode == 0, done.text[-5000:]
    return done


@pytest.fixture(scope="session")
def snakemake_started():
    """Snakemake as a process that is started anew, and its jobs by the executor that the command names, or `local`."""
    return run_snakemake


@pytest.fixture(scope="session")
def snakemake(snakemake_started):
    """The same command in a fork of a process that has Snakemake imported, and so its jobs where it names no executor.

    One on another project is started anew. Each PYTHONPATH has its own worker.
    """
    workers = {}

    def run(*arguments, directory, check=True, timeout=1800, project=PROJECT):
        if project == PROJECT:
            words, environment = command(*arguments, directory=directory)
            if not {"--executor", "--profile"} & set(map(str, arguments)):
                words[3:3] = ["--executor", "warm"]
            path = environment["PYTHONPATH"]
            if path not in workers:
                workers[path] = forks.Forks(environment)
            try:
                return looked_at(workers[path].run(words[3:], environment, timeout), check)
            except NoWorker:
                pass
        return snakemake_started(*arguments, directory=directory, check=check, timeout=timeout, project=project)

    yield run
    for worker in workers.values():
        worker.close()


# --- what a GPU would wait for ---------------------------------------------------------------------------------------


@pytest.fixture
def answers():
    """`with answers() as asked:` counts in `asked.count` what would make the host wait for a GPU: numbers that are read
    from tensors, and rows that are chosen by a mask."""
    from torch import bool as mask
    from torch.utils._python_dispatch import TorchDispatchMode

    class Answers(TorchDispatchMode):
        def __init__(self):
            super().__init__()
            self.count = 0

        def __torch_dispatch__(self, function, types, arguments=(), options=None):
            name = function.overloadpacket.__name__
            rows = arguments[1] if name in ("index", "index_put", "index_put_") else ()
            self.count += name in ("_local_scalar_dense", "nonzero", "equal", "masked_select", "is_nonzero")
            self.count += any(part is not None and part.dtype == mask for part in rows)
            return function(*arguments, **(options or {}))

    return Answers


# --- made once ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def once():
    """`once(name, make)`: a folder that `make(folder)` fills, in one of the test processes alone."""
    shared = Path(os.environ[SHARED])

    def once(name, make):
        folder, made = shared / name, shared / f"{name}.made"
        with FileLock(shared / f"{name}.lock"):
            if not made.exists():
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
                make(folder)
                made.touch()
        return folder

    return once


@pytest.fixture(scope="session")
def count_jobs(once, snakemake):
    """`count_jobs(name, configs, target)`: jobs per rule of a dry run, where the data that users bring lie."""

    def count(name, configs, target="all"):
        def run(folder):
            for brought in ("imagenet", "cifar-10-batches-py"):
                (folder / "resources" / brought).mkdir(parents=True)
            files = [PROJECT / path for path in configs]
            options = ("--configfile", *files, "-n", "--quiet", "rules", "--", target)
            (folder / "text").write_text(snakemake(*options, directory=folder).text)

        text = (once(f"dry-run-{name}", run) / "text").read_text()
        table = text[text.index("Job stats:") :]
        return Counter({rule: int(jobs) for rule, jobs in re.findall(r"(?m)^(\w+) +(\d+)$", table)})

    return count


@pytest.fixture(scope="session")
def whole_cluster(once):
    """Two nodes with four GPUs each, for all test processes; without SLURM the tests are skipped by name."""
    if missing := slurm.missing_programs():
        pytest.skip(f"no SLURM: {', '.join(missing)} missing; as root: apt-get install {slurm.PACKAGES}")
    folder = once("cluster", lambda folder: slurm.Cluster(folder).up())
    cluster = slurm.Cluster(folder)
    cluster.write_files()
    return cluster


@pytest.fixture
def cluster(request, whole_cluster):
    """The cluster, beside other tests; one of its own for a test that is marked `alone`, since it kills daemons."""
    if not request.node.get_closest_marker("alone"):
        yield whole_cluster
        return
    with tempfile.TemporaryDirectory(prefix="sl-", dir="/tmp") as folder:  # short: a socket's path ends at 107 letters
        cluster = slurm.Cluster(folder)
        try:
            cluster.up()
            yield cluster
        finally:
            cluster.down()


def start_demo(shared):
    """Run the demo in the background; its exit status ends in `demo.status`."""
    folder = shared / "demo"
    folder.mkdir()
    words, environment = command(
        "--configfile", PROJECT / "config/demo.yaml", "--profile", PROJECT / "profiles/local", "--cores", "2",
        "--quiet", "rules", "--", "demo", directory=folder,
    )  # fmt: skip
    script = '"$@"; echo $? > "$0.new"; mv "$0.new" "$0"'
    with (shared / "demo.log").open("wb") as log:
        process = subprocess.Popen(
            ["sh", "-c", script, str(shared / "demo.status"), *words],
            stdout=log, stderr=log, env=environment, start_new_session=True,
        )  # fmt: skip
    (shared / "demo.pid").write_text(str(process.pid))


@pytest.fixture(scope="session")
def demo():
    """The demo, run once for all tests that look at its results: the folder that it was run in."""
    if DEMO in os.environ:
        return Path(os.environ[DEMO])
    shared = Path(os.environ[SHARED])
    status, log = shared / "demo.status", shared / "demo.log"
    slurm.wait_until("the demo is done", status.exists, 3600)
    assert status.read_text().strip() == "0", log.read_text()[-5000:]
    return shared / "demo"
