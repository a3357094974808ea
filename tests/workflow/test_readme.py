"""Every command of the README: snakemake's as dry-runs in a folder like the project's root, make's as recipes."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

README = (Path(__file__).parents[2] / "README.md").read_text()
# `snakemake --report` and `make run`, `make test` themselves are run whole: by test_demo and by continuous integration.
COMMANDS = sorted({c.split("#")[0].strip() for c in re.findall(r"(?m)(?:^|`)((?:snakemake|make) [^`\n]+)", README)})


def test_the_readme_has_its_commands():
    assert {"make run", "make test"} <= set(COMMANDS)
    assert any("--profile slurm" in command and "roi/LO.html" in command for command in COMMANDS)


@pytest.mark.parametrize("command", [command for command in COMMANDS if command.startswith("snakemake")])
def test_snakemake_commands_resolve(project, tmp_path, command):
    for name in ("Snakefile", "workflow", "config", "profiles", "slurm", "src", "envs"):
        (tmp_path / name).symlink_to(project / name)
    words = shlex.split(command)[1:]
    if "--report" in words:
        pytest.skip("run whole by test_demo")
    where = words.index("--") if "--" in words else len(words)
    words[where:where] = ["--dry-run"] if "-n" not in words else []
    environment = {**os.environ, "NSD_ACCEPT_TERMS": "yes"}
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", *words], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


@pytest.mark.parametrize("command", [command for command in COMMANDS if command.startswith("make")])
def test_make_targets_exist(project, command):
    words = shlex.split(command.split("&&")[0])
    done = subprocess.run(["make", "-n", *words[1:]], cwd=project, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
