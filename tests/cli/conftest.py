"""The command `neurobust` in a process of its own, from this checkout or from an unpacked wheel."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
BUILT_FROM = ("src", "workflow", "config", "profiles", "envs", "Snakefile", "pyproject.toml", "setup.py",
              "README.md", "LICENSE")  # fmt: skip


def run(*words, directory, packages=PROJECT / "src", check=True, stdin="", timeout=600, **variables):
    """(status, stdout, stderr) of the command `neurobust` in a folder, with the package that lies in `packages`."""
    environment = {"PYTHONPATH": str(packages), "OMP_NUM_THREADS": "1", "GIT_PYTHON_REFRESH": "quiet", **variables}
    done = subprocess.run(
        [sys.executable, "-m", "neurobust", *map(str, words)], cwd=directory, env=os.environ | environment,
        input=stdin, capture_output=True, text=True, timeout=timeout,
    )  # fmt: skip
    assert not check or done.returncode == 0, (done.stdout + done.stderr)[-5000:]
    return done.returncode, done.stdout, done.stderr


@pytest.fixture(scope="session")
def neurobust():
    return run


def build(folder):
    """Build the wheel from a copy of the checkout, by its own backend and without a network, and unpack it."""
    tree = folder / "tree"
    tree.mkdir()
    for name in BUILT_FROM:
        source = PROJECT / name
        ignore = shutil.ignore_patterns("__pycache__", "*.egg-info")
        shutil.copytree(source, tree / name, ignore=ignore) if source.is_dir() else shutil.copy(source, tree)
    code = "import sys, setuptools.build_meta as backend; backend.build_wheel(sys.argv[1])"
    done = subprocess.run([sys.executable, "-c", code, str(folder)], cwd=tree, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-5000:]
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    shutil.rmtree(tree)


@pytest.fixture(scope="session")
def wheel(once):
    """The folder of an unpacked wheel, as a Python path."""
    return once("wheel", build) / "site"
