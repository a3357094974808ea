"""Ctrl-C is one line, wherever it comes: while the command is imported, while it checks, while rules are read."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from neurobust.core.interrupted import LINE

PROJECT = Path(__file__).resolve().parents[2]
# A process that gets SIGINT when it comes to import a module. What a shell starts in the background ignores that
# signal, and so would the tests' children: the command would then really run.
HIT = """
import os, signal, sys

signal.signal(signal.SIGINT, signal.default_int_handler)

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Finder())
"""
STARTS = {
    "neurobust": "from neurobust.cli.start import start; sys.exit(start())",
    "become": "from neurobust.cli.snakemake import start; sys.exit(start())",
    "snakemake": "from snakemake.cli import main; main()",
}


def interrupted(start, module, *words, folder):
    """(status, stderr) of a command that is interrupted at an import."""
    code = HIT.format(module=module) + STARTS[start]
    environment = os.environ | {"GIT_PYTHON_REFRESH": "quiet", "PYTHONPATH": str(PROJECT / "src")}
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, words)], cwd=folder, env=environment, capture_output=True, text=True
    )
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    ("start", "module", "words"),
    [
        ("neurobust", "neurobust.cli.main", ["check"]),
        ("neurobust", "argparse", ["check"]),
        ("neurobust", "neurobust.study.read", ["check", "config/demo.yaml"]),
        ("neurobust", "yaml", ["run", "-c", "config/demo.yaml"]),
        ("become", "snakemake.cli", ["--version"]),
    ],
    ids=["import", "import of Python's own", "check", "run", "snakemake"],
)
def test_ctrl_c_is_one_line(start, module, words, project):
    status, said = interrupted(start, module, *words, folder=project)
    assert status in (130, -signal.SIGINT)
    assert said == f"\n{LINE}\n"


def test_nothing_is_imported_before_ctrl_c_is_caught(project):
    """What the first file of the command imports at its top would be nobody's to catch."""
    code = "import sys; before = set(sys.modules); import neurobust.cli.start; print(sorted(set(sys.modules) - before))"
    environment = os.environ | {"PYTHONPATH": str(project / "src")}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['neurobust', 'neurobust.cli', 'neurobust.cli.start']"


def test_ctrl_c_while_rules_are_read_is_one_line(project, tmp_path):
    """Plain Snakemake, interrupted when the rules come to import the border."""
    words = ["-n", "-s", project / "Snakefile", "--directory", tmp_path, "--configfile", project / "config/demo.yaml"]
    status, said = interrupted("snakemake", "neurobust.study.border", *words, folder=tmp_path)
    assert status in (130, -signal.SIGINT), said
    assert said.endswith(f"\n{LINE}\n") and "Traceback" not in said and len(said.splitlines()) <= 4, said
