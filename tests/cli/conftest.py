"""The command `neurobust` in a process of its own, from this checkout or from an unpacked wheel."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from neurobust.cli import launch
from neurobust.cli.main import main

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


@pytest.fixture
def became(monkeypatch):
    """The command lines that would have taken this process's place, less Snakemake's own words."""
    lines = []

    def become(name, words):
        assert words[:4] == [name, "-P", "-m", "neurobust.cli.snakemake"]
        lines.append(words[4:])
        raise SystemExit(0)

    monkeypatch.setattr(launch.os, "execvp", become)
    return lines


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder to work in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def begin():
    """`begin(*words)`: a small study of digits, as `neurobust init` writes it; the exit status."""
    usual = ["init", "mine", "--nsd", "phantom", "--rois", "V1", "--tasks", "digits", "--no-cluster"]
    return lambda *words: main([*usual, *words])


@pytest.fixture
def terminal(monkeypatch):
    """Somebody at a terminal, who gives these answers in turn; the questions that were asked."""
    answers, asked = [], []

    def ask(question):
        asked.append(question)
        return answers.pop(0)

    monkeypatch.setattr("sys.stdin", SimpleNamespace(isatty=lambda: True))
    monkeypatch.setattr("builtins.input", ask)
    return SimpleNamespace(answers=answers, asked=asked)


@pytest.fixture
def fill():
    """Makes files with something in them."""

    def make(*paths):
        for path in map(Path, paths):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("x")

    return make
