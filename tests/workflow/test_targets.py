"""The DAG: every target of every config resolves, and nothing more is in it than its name says."""

import re

import pytest
import yaml

CONFIGS = ("demo", "config", "study-small")
TARGETS = ("all", "demo", "report")


def jobs(text):
    """Job counts per rule from a dry-run's table."""
    table = text.rsplit("Job stats:", 1)[1].split("total")[0] if "Job stats:" in text else ""
    counts = {name: int(count) for name, count in re.findall(r"(?m)^(\w+)\s+(\d+)$", table)}
    if "attack_uncued" in counts:  # attack_network on tasks without a cue
        counts["attack_network"] = counts.get("attack_network", 0) + counts["attack_uncued"]
    return counts


def dry_run(snakemake, project, tmp_path, *targets, config="demo", check=True, **options):
    file = project / f"config/{config}.yaml" if isinstance(config, str) else config
    return snakemake("-n", "--configfile", file, "--", *targets, directory=tmp_path, check=check, **options)


@pytest.fixture(autouse=True)
def accepted_terms(monkeypatch):
    monkeypatch.setenv("NSD_ACCEPT_TERMS", "yes")


@pytest.fixture
def targets(snakemake, project, once):
    """The dry run of all targets of a config, asked once."""

    def targets(config):
        def ask(folder):
            text = dry_run(snakemake, project, folder, *TARGETS, config=config).text
            (folder / "dry-run.txt").write_text(text)

        return (once(f"targets-{config}", ask) / "dry-run.txt").read_text()

    return targets


def inputs_of(text, rule):
    """The input files of a rule that has no wildcards, from a dry-run."""
    block = re.search(rf"(?m)^(?:localrule|rule) {rule}:\n(?: .+\n)+", text)[0]
    return sorted(re.search(r"(?m)^    input: (.+)$", block)[1].split(", "))


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("target", TARGETS)
def test_every_target_of_every_config_resolves(targets, project, config, target):
    """The targets ask for the same pages, so the jobs behind all of them are those behind each."""
    text = targets(config)
    counts = jobs(text)
    study = yaml.safe_load((project / f"config/{config}.yaml").read_text())
    tasks = [{**{key: study[key] for key in ("conditions", "architectures", "seeds")}, **task}
             for task in study["tasks"].values()]  # fmt: skip
    networks = sum(len(task["conditions"]) * len(task["architectures"]) * len(task["seeds"]) for task in tasks)
    names = ["index", "verdicts", "attacks", "why", "predictors", "quality", "checks", "methods", "compute"]
    names += ["semantic"] * ("semantic" in study) + ["corruptions"] * ("corruptions" in study or "shifted" in study)
    names += [f"roi/{roi}" for roi in study["rois"]]
    pages = [f"{study['results']}/report/{file}" for file in ("report.zip", *(f"{name}.html" for name in names))]
    confirmed = [] if target == "report" else [f"{study['results']}/attacks/confirmed.txt"]
    assert inputs_of(text, target) == sorted([*pages, *confirmed])
    assert counts["train_network"] == counts["attack_network"] == counts["explain_network"] == networks
    predictors = {(next(iter(study["predictors"])), roi) for roi in study["rois"]}
    guided = [condition for condition in study["conditions"].values() if "predictor" in condition]
    predictors |= {(condition["predictor"], roi) for condition in guided for roi in condition["target"]}
    assert counts["train_predictor"] == len(predictors) * len(study["predictor_seeds"])
    assert counts["extract_betas"] == len(study["data"]["subjects"])
    assert counts["attack_canaries"] == len(study["tasks"])
    assert counts["transfer_attacks"] == sum(len(task["architectures"]) for task in tasks)
    assert counts["write_roi_page"] == len(study["rois"])
    assert counts.get("corrupt_network", 0) == ("corruptions" in study) * networks
    assert counts.get("make_corruptions", 0) == ("corruptions" in study) * len(study["tasks"])


def test_the_literal_slurm_profile_resolves_from_the_root(project, snakemake, tmp_path):
    """`snakemake --profile slurm all`, in a folder that looks like the project's root."""
    for name in ("profiles", "slurm", "config"):
        (tmp_path / name).symlink_to(project / name)
    text = snakemake("-n", "--profile", "slurm", "all", directory=tmp_path).text
    assert jobs(text)["train_network"] == 6 * 5 + 3 * 2


def test_one_roi_page_builds_its_chain_and_nothing_else(snakemake, project, tmp_path):
    text = dry_run(snakemake, project, tmp_path, "results/demo/report/roi/LO.html").text
    counts = jobs(text)
    assert counts["train_predictor"] == 1
    assert counts["extract_roi"] == 2
    conditions = {"none", "LO", "LO-shuffled"}
    assert counts["train_network"] == counts["attack_network"] == 4 * 5 + 3 * 2, "the positive control beside them"
    assert counts["write_roi_page"] == 1
    assert not {"tabulate_results", "write_index", "explain_network", "transfer_attacks"} & set(counts)
    assert counts["attack_canaries"] == 2, "a canary that is missed is said on this page too"
    assert set(re.findall(r"(?:responses|predictor gnet) of (\w+)", text)) == {"LO"}
    assert set(re.findall(r": network (\S+) \(", text)) == conditions | {"adversarial"}


def test_tasks_without_a_cue_leave_out_the_attack_that_needs_one(snakemake, project, tmp_path):
    """And COCO's labels of the phantom come from its own annotations."""
    study = yaml.safe_load((project / "tests/study/plain.yaml").read_text())
    study["phantom"]["cue"] = {"kind": "pattern", "amplitude": 2}
    study["attacks"]["conflict"] = {"method": "cue-conflict", "budgets": [0, 1]}
    study["data"]["coco_annotations"] = "resources/phantom/coco/annotations_trainval2017.zip"
    (tmp_path / "cued.yaml").write_text(yaml.safe_dump(study))
    targets = ("all", "results/demo/stimuli/labels.parquet")
    text = dry_run(snakemake, project, tmp_path, *targets, config=tmp_path / "cued.yaml").text
    counts = jobs(text)
    assert counts["attack_network"] == counts["train_network"] == 2 * counts["attack_uncued"]
    assert counts["build_labels"] == counts["make_phantom"] == counts["make_scenes"] == 1
    for task, there in (("phantom-scenes", True), ("digits", False)):
        table = f"results/demo/attacks/{task}/resnet18/none/seed0/conflict.parquet"
        done = dry_run(snakemake, project, tmp_path, table, config=tmp_path / "cued.yaml", check=False)
        assert (done.returncode == 0) == there and ("MissingRuleException" in done.text) != there


def test_published_test_sets_meet_the_networks_of_their_task(snakemake, project, tmp_path):
    study = yaml.safe_load((project / "tests/study/plain.yaml").read_text())
    study["tasks"]["cifar10"] = {"kind": "cifar10", "source": "cifar", "training": {"epochs": 1}}
    study["shifted"] = {"c": {"kind": "cifar10-c", "source": "CIFAR-10-C", "task": "cifar10", "images": 10}}
    (tmp_path / "shifted.yaml").write_text(yaml.safe_dump(study))
    text = dry_run(snakemake, project, tmp_path, "all", config=tmp_path / "shifted.yaml").text
    counts = jobs(text)
    assert counts["prepare_shifted"] == 1 and counts["classify_shifted"] == counts["train_network"] / 3
    assert "shifted.c.source: 'CIFAR-10-C': not there yet" in text


def test_an_unknown_roi_is_one_clear_error(snakemake, project, tmp_path):
    done = dry_run(snakemake, project, tmp_path, "results/demo/report/roi/V9.html", check=False)
    assert done.returncode != 0
    assert "V9.html" in done.text and "Traceback" not in done.text
    study = yaml.safe_load((project / "tests/study/plain.yaml").read_text())
    study["conditions"]["V9"] = {**study["conditions"]["V1"], "target": ["V9"]}
    (tmp_path / "bad.yaml").write_text(yaml.safe_dump(study))
    done = dry_run(snakemake, project, tmp_path, "all", config=tmp_path / "bad.yaml", check=False)
    assert done.returncode != 0
    assert f"{tmp_path}/bad.yaml:" in done.text
    assert "conditions.V9.target: unknown ROI 'V9'; `rois` has" in done.text
    assert "Traceback" not in done.text
