"""A second study meanwhile: two studies of one folder share their data and nothing else; both may run at once."""

import csv

import pytest
import yaml

from neurobust.study.paths import Paths
from neurobust.study.read import read_study

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(project, tmp_path_factory):
    """A folder with two studies on one phantom: of other seeds and numbers of attacked images."""
    folder = tmp_path_factory.mktemp("two")
    study = yaml.safe_load((project / "tests/slurm/tiny.yaml").read_text())
    for name, change in (("a", {}), ("b", {"seeds": [7], "attack_images": 8})):
        given = {**study, "study": name, "results": f"results/{name}", **change}
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(given, sort_keys=False))
    return folder


def run(snakemake, folder, name, *words, check=True):
    options = ("--configfile", folder / f"{name}.yaml", "--cores", "1", "--scheduler", "greedy")
    return snakemake(*options, *words, directory=folder, check=check)


@pytest.fixture(scope="module")
def files(folder, snakemake):
    """Study -> its outputs, as Snakemake lists them."""
    found = {}
    for name in ("a", "b"):
        text = run(snakemake, folder, name, "--summary", "--", "all").stdout
        rows = list(csv.DictReader(text[text.index("output_file\t") :].splitlines(), delimiter="\t"))
        found[name] = {row["output_file"] for row in rows}
    return found


def test_they_share_no_file_but_those_of_the_phantom(files, folder):
    for name in ("a", "b"):
        own = {path for path in files[name] if not path.startswith("resources/phantom/")}
        assert len(own) > 10 and all(path.startswith(f"results/{name}/") for path in own), own
        assert Paths(read_study(yaml.safe_load((folder / f"{name}.yaml").read_text()))).logs == f"logs/{name}"
    shared = files["a"] & files["b"]
    assert shared and all(path.startswith("resources/phantom/") for path in shared)


def test_one_runs_while_the_other_holds_its_lock(files, folder, snakemake):
    """Once the phantom stands there: what is left to make of the first, and all that it reads, is locked by it."""
    locks = folder / ".snakemake/locks"
    locks.mkdir(parents=True, exist_ok=True)
    outputs = files["a"]
    made = {path for path in outputs if path.startswith("resources/phantom/")}
    (locks / "0.input.lock").write_text("\n".join(sorted(outputs)) + "\n")
    (locks / "0.output.lock").write_text("\n".join(sorted({*(outputs - made), "results/a/preflight/plan.txt"})) + "\n")
    run(snakemake, folder, "b", "--", "results/b/preflight/plan.txt")
    assert "Study b" in (folder / "results/b/preflight/plan.txt").read_text()
    assert sorted(path.name for path in locks.iterdir()) == ["0.input.lock", "0.output.lock"], "Snakemake removes all"
    refused = run(snakemake, folder, "a", "--", "results/a/preflight/plan.txt", check=False)
    assert refused.returncode != 0 and "cannot be locked" in refused.text
    run(snakemake, folder, "b", "--unlock")
    assert not locks.exists() or not list(locks.iterdir()), "all that were left, where somebody asks for it"
