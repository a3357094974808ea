"""The tiny study on the cluster, and what it gives without one."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import study as tiny


@pytest.fixture
def study(tmp_path, cluster):
    return tiny.Study(tmp_path, cluster)


@pytest.fixture(scope="session")
def local_folder(once, whole_cluster):
    """The tiny study after a run on this machine without SLURM."""

    def run(folder):
        study = tiny.Study(folder, whole_cluster)
        status, output = study.run("--profile", "profiles/local", "--cores", "2", "--quiet", "rules", "--", "all")
        assert status == 0, output[-5000:]

    return once("local", run)


@pytest.fixture(scope="session")
def local_numbers(local_folder):
    """What the tiny study gives on this machine without SLURM."""
    return tiny.numbers(local_folder)
