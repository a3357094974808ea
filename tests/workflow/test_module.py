"""The pipeline as a module of another workflow, under a prefix and with rules of other names."""

import re

import pytest
import yaml

SNAKEFILE = """
configfile: "config.yaml"


module neurobust:
    snakefile: "{project}/Snakefile"
    config: config["robustness"]
    prefix: "brains"


use rule * from neurobust as brains_*


rule all:
    default_target: True
    input:
        "summary.html",


rule summary:
    input:
        "brains/{page}",
    output:
        "summary.html",
    shell:
        "cp {{input}} {{output}}"
"""


@pytest.fixture
def outer(project, snakemake, tmp_path):
    """Snakemake on another workflow, which uses this one for a tiny study."""
    study = yaml.safe_load((project / "tests/slurm/tiny.yaml").read_text()) | {"claims": "config/claims.yaml"}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({"robustness": study}, sort_keys=False))
    (tmp_path / "Snakefile").write_text(SNAKEFILE.format(project=project, page="results/tiny/report/index.html"))

    def run(*arguments, **options):
        return snakemake("-s", tmp_path / "Snakefile", *arguments, directory=tmp_path, **options).text

    return run


def test_another_workflow_asks_for_our_report(outer):
    text = outer("--dry-run", "--quiet", "rules")
    assert re.search(r"(?m)^brains_train_network +2$", text) and re.search(r"(?m)^summary +1$", text)
    files = [line.split("\t")[0] for line in outer("--summary").splitlines() if line.endswith("pending")]
    assert len(files) > 100 and all(file.startswith("brains/") for file in files if file != "summary.html")


@pytest.mark.slow
def test_jobs_find_the_data_under_the_prefix(outer, tmp_path):
    """From the phantom's planting to one ROI and the task's images: by rules whose parameters name folders."""
    targets = ["brains/results/tiny/cortex/subj01/V1.h5", "brains/results/tiny/networks/digits/dataset.h5"]
    outer("--cores", "1", "--quiet", "rules", "--", *targets)
    assert all((tmp_path / target).exists() for target in targets)
    assert (tmp_path / "brains/resources/phantom/nsddata/experiments/nsd/nsd_expdesign.mat").exists()
    assert not (tmp_path / "resources").exists()
