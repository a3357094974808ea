"""The rules of semantic attacks: one job per network and attack, auxiliary networks once per task, none unasked."""

import re

import pytest
import yaml


def jobs(text):
    """Job counts per rule from a dry-run's table."""
    table = text.rsplit("Job stats:", 1)[1].split("total")[0]
    return {name: int(count) for name, count in re.findall(r"(?m)^(\w+)\s+(\d+)$", table)}


@pytest.fixture(scope="module")
def study(project):
    return yaml.safe_load((project / "config/semantic.yaml").read_text())


def test_the_semantic_study_resolves(snakemake, project, tmp_path):
    config = ("--configfile", project / "config/semantic.yaml")
    counts = jobs(snakemake("-n", *config, "--", "all", directory=tmp_path).text)
    assert counts["train_helper"] == 5
    assert counts["train_network"] == 9 and counts["lend_semantic"] == 5 * 3
    assert counts["attack_semantic"] == counts["transfer_semantic"] == 3 * 9 + 2 * 3  # two meet `none` alone
    assert counts["tabulate_semantic"] == counts["write_index"] == 1
    assert counts["attack_verification"] == counts["train_network"] and counts["tabulate_verification"] == 1


def test_verification_alone_trains_what_it_reads(snakemake, study, tmp_path):
    alone = {name: study["semantic"][name] for name in ("images", "networks", "verification")}
    (tmp_path / "study.yaml").write_text(yaml.safe_dump({**study, "semantic": alone}))
    target = "results/semantic/report/index.html"
    counts = jobs(snakemake("-n", "--configfile", tmp_path / "study.yaml", "--", target, directory=tmp_path).text)
    assert counts["train_helper"] == 3 and counts["attack_verification"] == 9
    assert "attack_semantic" not in counts and "tabulate_semantic" not in counts


def test_auxiliary_networks_know_no_network_under_attack(snakemake, project, study, tmp_path):
    """Whatever the conditions and seeds are, an auxiliary network asks for its task's images and nothing else."""
    (tmp_path / "study.yaml").write_text(yaml.safe_dump({**study, "seeds": [0, 1]}))
    target = "results/semantic/attacks/phantom-faces/auxiliary/editor.safetensors"
    text = snakemake("-n", "--configfile", tmp_path / "study.yaml", "--", target, directory=tmp_path).text
    assert jobs(text) == {"make_faces": 1, "prepare_task": 1, "train_helper": 2}
