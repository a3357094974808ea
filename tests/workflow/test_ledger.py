"""The claims ledger in the workflow: what a file says is a parameter of the report, and its faults are one line."""

import yaml


def dry_run(snakemake, project, folder, **changes):
    config = yaml.safe_load((project / "config/demo.yaml").read_text()) | changes
    (folder / "study.yaml").write_text(yaml.safe_dump(config))
    arguments = ("-n", "-p", "--configfile", folder / "study.yaml", "--", "report")
    return snakemake(*arguments, directory=folder, check=False)


def test_a_fault_in_the_ledger_is_one_line_with_file_line_and_key(snakemake, project, tmp_path):
    (tmp_path / "mine.yaml").write_text("a:\n  says: x\n  source: y\n  ordr: [V1, V2, LO]\n")
    done = dry_run(snakemake, project, tmp_path, claims="mine.yaml")
    assert done.returncode != 0 and "Traceback" not in done.text
    assert "mine.yaml:4: a: unknown key 'ordr'; known keys are says, source, contrasts" in done.text
    done = dry_run(snakemake, project, tmp_path, claims="nowhere.yaml")
    assert done.returncode != 0 and "nowhere.yaml: missing: the file of claims" in done.text


def test_a_ledger_is_looked_for_beside_the_results_and_then_in_the_project(snakemake, project, tmp_path):
    """The demo's own is found wherever it is run; a file of that name in the folder goes first."""
    assert dry_run(snakemake, project, tmp_path).returncode == 0
    (tmp_path / "config").mkdir()
    (tmp_path / "config/claims.yaml").write_text("a: 3\n")
    done = dry_run(snakemake, project, tmp_path)
    assert done.returncode != 0 and "config/claims.yaml:1: a: 3: expected a mapping" in done.text


def test_a_file_that_is_named_and_that_no_rule_makes_stops_a_dry_run(snakemake, project, tmp_path):
    """Snakemake itself would leave the job out where its outputs are there, and say `Nothing to be done`."""
    config = yaml.safe_load((project / "config/demo.yaml").read_text())
    gnet = config["predictors"]["gnet"]
    done = dry_run(snakemake, project, tmp_path, predictors={"gnet": {**gnet, "prefilter": "gabr"}})
    assert done.returncode != 0 and "Traceback" not in done.text
    assert "predictors.gnet.prefilter: 'gabr': no such file" in done.text and "nearest: gabor" in done.text
    condition = {**config["conditions"]["LO"], "control": "features", "features": {"weights": "/nope.pth"}}
    done = dry_run(snakemake, project, tmp_path, conditions={**config["conditions"], "LO-features": condition})
    assert done.returncode != 0 and "conditions.LO-features.features.weights: '/nope.pth': no such file" in done.text
    fetched = {**gnet, "prefilter": f"{tmp_path}/alexnet-owt-7be5be79.pth", "prefilter_channels": [64, 192]}
    done = dry_run(snakemake, project, tmp_path, predictors={"gnet": fetched}, attack_images=400)
    assert done.returncode == 0 and "download_alexnet" in done.text
    assert "study.yaml:" in done.text and "attack_images: 400: the task phantom-scenes has at most 300" in done.text


def test_every_fault_is_named_at_once(snakemake, project, tmp_path):
    done = dry_run(snakemake, project, tmp_path, seeds=[10**30], attack_images=0)
    assert done.returncode != 0 and "Nothing to be done" not in done.text
    assert "seeds.0: 1000000000000000000000000000000: expected" in done.text
    assert "attack_images: 0: expected" in done.text
