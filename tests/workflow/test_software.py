"""The environments that a job may run in: conda's (`--sdm conda`), and the recipes of containers."""

import os
import re
import sys

import pytest
import yaml

# What of conda Snakemake asks for. An environment is a venv that sees the packages of the Python of these tests but not
# neurobust; pip's lines are read as pip reads a requirements file, and every file that they name must be there.
CONDA = """#!{python}
import json, os, re, shlex, subprocess, sys
from pathlib import Path

import yaml

words = sys.argv[1:]
if words == ["--version"]:
    print("conda 25.9.1")
elif words == ["info", "--json"]:
    print(json.dumps({{"conda_prefix": "{base}", "platform": "linux-64"}}))
elif words[0] == "clean":
    pass
elif words[:2] == ["config", "--get"]:
    print(json.dumps({{"get": {{"channel_priority": "strict"}}}}))
elif words[:2] == ["env", "create"]:
    file, prefix = (Path(words[words.index(name) + 1]) for name in ("--file", "--prefix"))
    given = yaml.safe_load(file.read_text())
    assert given["channels"] == ["conda-forge"]
    (pip,) = [entry["pip"] for entry in given["dependencies"] if isinstance(entry, dict)]
    for line in pip:
        filled = re.sub(r"\\$\\{{([A-Z0-9_]+)\\}}", lambda match: os.environ[match[1]], line)
        option, name = shlex.split(filled)
        assert option == "-r" and "torch==" in Path(file.parent, name).read_text()
    subprocess.run(["{python}", "-m", "venv", "--without-pip", prefix], check=True)
    (site,) = prefix.glob("lib/python*/site-packages")
    for path in {paths!r}:
        for entry in Path(path).iterdir():
            if "neurobust" not in entry.name and entry.suffix != ".pth":
                (site / entry.name).symlink_to(entry)
else:
    sys.exit(f"conda: not expected: {{words}}")
"""


@pytest.fixture
def conda(tmp_path, monkeypatch):
    """A stand-in for conda, first on the path."""
    base = tmp_path / "conda"
    (base / "bin").mkdir(parents=True)
    paths = [path for path in sys.path if path.endswith("site-packages")]
    (base / "bin/conda").write_text(CONDA.format(python=sys.executable, base=base, paths=paths))
    (base / "bin/conda").chmod(0o755)
    (base / "bin/activate").write_text('export PATH="$1/bin:$PATH" PYTHONPATH=\n')
    monkeypatch.setenv("PATH", f"{base}/bin:{os.environ['PATH']}")


@pytest.mark.slow
def test_a_job_runs_in_the_conda_environment_which_holds_the_package(conda, project, snakemake, tmp_path):
    """By a stand-in: conda itself is not asked for. The job is `plan`."""
    config = ("--configfile", project / "tests/slurm/tiny.yaml", "--cores", "1", "--sdm", "conda")
    text = snakemake(*config, "--", "plan", directory=tmp_path).text
    assert "Study tiny: " in text and re.search(r"Environment for .*neurobust\.yaml created", text)
    (package,) = (tmp_path / ".snakemake/conda").glob("*/lib/python*/site-packages/neurobust")
    assert package.resolve() == project / "src/neurobust"


def copied_by_docker(text):
    """(source, target) of every file or folder that a Dockerfile copies."""
    for line in re.findall(r"(?m)^COPY (.+)$", text):
        *sources, target = line.split()
        for source in sources:
            yield source, target + source if target.endswith("/") else target


def copied_by_apptainer(text):
    return [tuple(line.split()) for line in re.search(r"%files\n(.+?)\n\n", text, re.S)[1].splitlines()]


def test_containers_copy_what_is_there_and_install_as_make_does(project):
    """Neither is built here: their files, their commands and each other are compared."""
    docker = (project / "envs/Dockerfile").read_text()
    apptainer = (project / "envs/neurobust.def").read_text()
    copies = list(copied_by_docker(docker))
    assert sorted(copies) == sorted(copied_by_apptainer(apptainer))
    for source, target in copies:
        assert (project / source).exists(), source
        assert target == f"/opt/neurobust/{source}", "what is installed has the layout of the checkout"
    setup = (project / "setup.py").read_text()
    carried = re.search(r"PIPELINE = \((.+)\)", setup)[1].replace('"', "").split(", ")
    assert {*carried, "src", "setup.py", "pyproject.toml"} <= {source for source, _ in copies}
    ignored = (project / "envs/Dockerfile.dockerignore").read_text().splitlines()
    assert {line[1:] for line in ignored if line.startswith("!")} == {source.split("/")[0] for source, _ in copies}
    for words in (
        "pip install --no-cache-dir --requirement /opt/neurobust/envs/requirements.lock",
        "pip install --no-cache-dir --no-deps --no-build-isolation /opt/neurobust && rm -rf /opt/neurobust",
        "GIT_PYTHON_REFRESH=quiet",
        "PYTHONNOUSERSITE=1",
    ):
        assert words in docker and words in apptainer
    (base,) = re.findall(r"(?m)^FROM (\S+)$", docker)
    assert f"Bootstrap: docker\nFrom: {base}\n" in apptainer and base.startswith("python:3.11-")
    assert "unset PYTHONPATH PYTHONHOME" in apptainer, "what the host sets would take the place of what is installed"
    assert "--user" in docker and "HOME=/tmp USER=neurobust" in docker, "results are the user's, who has no name there"
    locked = (project / "envs/requirements.lock").read_text()
    assert re.search(r"(?m)^setuptools==", locked), "the package is built without a network"


def test_the_catalog_reads_what_the_workflow_offers(project):
    usage = yaml.safe_load((project / ".snakemake-workflow-catalog.yml").read_text())["usage"]
    assert usage["software-stack-deployment"]["conda"] is True and usage["report"] is True
    flag, profile = usage["mandatory-flags"]["flags"].split()
    assert flag == "--profile" and (project / profile / "config.yaml").is_file()
    assert (project / "config/README.md").is_file(), "the catalog shows it"


def test_the_conda_environment_has_the_python_that_the_package_needs(project):
    given = yaml.safe_load((project / "envs/neurobust.yaml").read_text())
    wanted = re.search(r'requires-python = ">=([\d.]+)"', (project / "pyproject.toml").read_text())[1]
    assert given["dependencies"][0] == f"python={wanted}"
