"""Fixtures that several rooms share: the project's folder, snakemake, and one run of the demo."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def project():
    return PROJECT


def run_snakemake(*arguments, directory, check=True, timeout=1800):
    """Run snakemake on this project in `directory`; the finished process with its output as text."""
    command = [sys.executable, "-m", "snakemake", "-s", str(PROJECT / "Snakefile"), "--directory", str(directory)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GIT_PYTHON_REFRESH": "quiet"}
    done = subprocess.run(
        [*command, *map(str, arguments)], capture_output=True, text=True, timeout=timeout, env=environment
    )
    done.text = done.stdout + done.stderr
    assert not check or done.returncode == 0, done.text[-5000:]
    return done


@pytest.fixture(scope="session")
def snakemake():
    return run_snakemake


@pytest.fixture(scope="session")
def demo(tmp_path_factory):
    """The demo, run once for all tests that look at its results: the folder that it was run in.

    NEUROBUST_DEMO names a folder where it has been run already (for work on the tests themselves).
    """
    if "NEUROBUST_DEMO" in os.environ:
        return Path(os.environ["NEUROBUST_DEMO"])
    folder = tmp_path_factory.mktemp("demo")
    run_snakemake(
        "--configfile", PROJECT / "config/demo.yaml", "--profile", PROJECT / "profiles/local", "--cores", "2",
        "--quiet", "rules", "--", "demo", directory=folder,
    )  # fmt: skip
    return folder
