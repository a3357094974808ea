"""A cluster for all tests, and what the tiny study gives without one."""

import shutil
import sys
import tempfile
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import cluster as slurm
import study as tiny


@pytest.fixture(scope="session")
def cluster():
    """Two nodes with two GPUs each; where SLURM is not installed the tests are skipped by name."""
    if missing := slurm.missing_programs():
        pytest.skip(f"no SLURM: {', '.join(missing)} missing; as root: apt-get install {slurm.PACKAGES}")
    folder = Path(tempfile.mkdtemp(prefix="sl-", dir="/tmp"))  # short: a socket's path ends at 107 characters
    cluster = slurm.Cluster(folder)
    try:
        cluster.up()
        yield cluster
    finally:
        cluster.down()
        shutil.rmtree(folder)


@pytest.fixture
def study(tmp_path, cluster):
    return tiny.Study(tmp_path, cluster)


@pytest.fixture(scope="session")
def local_numbers(tmp_path_factory, cluster):
    """What the tiny study gives on this machine without SLURM."""
    study = tiny.Study(tmp_path_factory.mktemp("local"), cluster)
    status, output = study.run("--profile", "profiles/local", "--cores", "2", "--quiet", "rules", "--", "all")
    assert status == 0, output[-5000:]
    return tiny.numbers(study.folder)
