"""A package outside `src` adds an attack, a loss, a control, a task and a predictor, each in one file."""

import json
import os
import subprocess
import sys

import pytest
import yaml

from neurobust.core.io import read_parquet

NAMES = ("black-frame", "cosine", "reversed", "stripes", "mean-colour")
pytestmark = pytest.mark.slow


@pytest.fixture
def environment(project, monkeypatch):
    """The package is installed, as far as Python can see."""
    paths = [str(project / "tests/outside"), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))


@pytest.fixture
def study(project, tmp_path):
    config = yaml.safe_load((project / "tests/slurm/tiny.yaml").read_text())
    config["predictors"]["colour"] = {"kind": "mean-colour", "input_size": 64}
    config["tasks"] = {"stripes": {"kind": "stripes", "training": {"epochs": 2}}}
    config["conditions"] = {
        "none": {"weight": 0.5},
        "V1": {"target": ["V1"], "predictor": "colour", "loss": "cosine", "weight": 0.5},
        "V1-reversed": {"target": ["V1"], "predictor": "colour", "loss": "cosine", "weight": 0.5,
                        "control": "reversed"},
    }  # fmt: skip
    frame = {"method": "black-frame", "budgets": [0, 0.1, 0.3], "darkness": 1, "label": "black frame"}
    config["attacks"] = {**config["attacks"], "frame": frame}
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(config, sort_keys=False))
    return path


BETWEEN = "# --- between the two ---\n"
BOTH = f"""
import runpy, sys
for name, end in (("schema", {BETWEEN!r}), ("reference", "")):
    sys.argv = [name]
    runpy.run_module(f"neurobust.study.{{name}}", run_name="__main__")
    print(end, end="")
"""


def test_schema_and_reference_know_all_five(environment):
    """As `python -m` runs both modules, here in one process."""
    done = subprocess.run([sys.executable, "-c", BOTH], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    schema, reference = done.stdout.split(BETWEEN)
    for name in NAMES:
        assert name in schema and f"`{name}`" in reference.replace("kind: ", "`").replace("method: ", "`"), name
    assert "how black the frame is" in schema and "this file" in reference


def test_a_fault_in_its_settings_is_one_line(environment, study, snakemake, tmp_path):
    study.write_text(study.read_text().replace("darkness: 1", "darkness: 2"))
    done = snakemake("-n", "--configfile", study, "--", "all", directory=tmp_path, check=False)
    line = next(row for row, text in enumerate(study.read_text().splitlines(), 1) if "darkness" in text)
    assert done.returncode and f"{study}:{line}: attacks.frame.darkness: 2" in done.text


def test_plan_workflow_engine_and_report_know_all_five(environment, study, snakemake, project, tmp_path):
    profile = ("--configfile", study, "--profile", project / "profiles/local", "--cores", "2")
    assert "attack" in snakemake(*profile, "--", "plan", directory=tmp_path).text
    snakemake(*profile, "--", "all", directory=tmp_path)
    root = tmp_path / "results/tiny"
    for condition in ("none", "V1", "V1-reversed"):
        frame, attrs = read_parquet(root / f"attacks/stripes/small/{condition}/seed0/frame.parquet")
        assert attrs["norm"] == "frame" and set(frame.budget) == {0, 0.1, 0.3}
    metrics = json.loads((root / "networks/stripes/small/V1/seed0/metrics.json").read_text())
    assert metrics["provenance"]["params"]["condition"]["loss"] == "cosine"
    page = "".join(path.read_text() for path in sorted(root.glob("report/*.html")))
    assert "black frame" in page and "of the side" in page and "V1-reversed" in page
    assert json.loads((root / "predictors/colour/V1/seed0/metrics.json").read_text())["all"]["median_r"] is not None
    again = snakemake(*profile, "-n", "--", "all", directory=tmp_path).text
    assert "Nothing to be done" in again
