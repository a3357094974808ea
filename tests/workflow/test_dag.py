"""The DAG of the paper's grid: it resolves, it is as large as the docs say, and one ROI is asked for alone."""

import re
from itertools import pairwise

GRID = ("config/config.yaml", "tests/workflow/paper_grid.yaml")


def test_the_papers_grid_resolves(count_jobs):
    jobs = count_jobs("paper", GRID)
    networks = 2 * 2 * 28 * 5  # tasks, architectures, conditions, seeds
    assert jobs["train_network"] == jobs["attack_network"] == jobs["explain_network"] == networks
    assert jobs["train_predictor"] == 11 * 5
    assert jobs["extract_roi"] == 8 * 11
    assert jobs["write_roi_page"] == 11
    assert jobs["prepare_task"] == 2
    assert jobs["total"] > 1500


def test_one_rois_page_asks_for_its_chain_alone(count_jobs):
    jobs = count_jobs("paper-roi", GRID, "results/paper-grid/report/roi/LO.html")
    assert jobs["write_roi_page"] == 1
    assert jobs["train_predictor"] == 5
    assert jobs["extract_roi"] == 8
    assert jobs["train_network"] == 2 * 2 * 5 * len(
        ("none", "LO", "LO-shuffled", "LO-stimuli", "LO-stimuli-shuffled", "adversarial")
    )
    assert "write_index" not in jobs


def test_what_leads_to_the_gate_of_the_data_comes_before_any_training(project, count_jobs):
    """Every rule behind a subject's verdict has the priority, those of phantoms too, and no other rule has one."""
    needed = set()
    for name, config, quality in (
        ("gate", "config/config.yaml", "results/cortex/subj01/quality.json"),
        ("gate-of-a-phantom", "config/demo.yaml", "results/demo/cortex/subj01/quality.json"),
    ):
        needed |= set(count_jobs(name, (config,), quality)) - {"total"}
    text = "\n".join(path.read_text() for path in (project / "workflow/rules").glob("*.smk"))
    starts = [match.start() for match in re.finditer(r"(?m)^ *rule \w+:", text)]
    rules = [text[start:end] for start, end in pairwise([*starts, len(text)])]
    first = {re.search(r"rule (\w+):", rule)[1] for rule in rules if "priority: BEFORE_TRAINING" in rule}
    assert needed == first == {"download_nsd", "make_phantom", "extract_betas", "check_betas"}
    assert text.count("priority:") == len(first)


def test_nothing_is_trained_on_real_data_before_all_subjects_have_passed(count_jobs):
    """Also a network that reads no brain waits for every verdict; on a phantom, or where no brain guides, none does."""
    for name, target in (
        ("unguided", "results/networks/imagenet50/resnet18/none/seed0/metrics.json"),
        ("reference", "results/networks/imagenet50/resnet18/adversarial/seed0/metrics.json"),
    ):
        jobs = count_jobs(name, ("config/config.yaml",), target)
        assert jobs["train_network"] == 1 and jobs["check_betas"] == jobs["extract_betas"] == 8
        assert not {"extract_roi", "train_predictor"} & set(jobs)
    demo = count_jobs(
        "unguided-on-a-phantom", ("config/demo.yaml",), "results/demo/networks/digits/resnet18/none/seed0/metrics.json"
    )
    assert demo["train_network"] == 1 and not {"check_betas", "make_phantom"} & set(demo)


def test_a_study_is_not_mixed_with_the_demo(project, snakemake, tmp_path):
    """Snakemake adds a given config to the Snakefile's own where that is found: the demo must not leak into a study."""
    (tmp_path / "config").mkdir()
    (tmp_path / "config/demo.yaml").write_text((project / "config/demo.yaml").read_text())
    (tmp_path / "resources/imagenet").mkdir(parents=True)
    config = ("--configfile", project / "config/config.yaml")
    text = snakemake(*config, "-n", "--quiet", "rules", "--", "all", directory=tmp_path).text
    assert re.search(r"(?m)^prepare_task +1$", text), "imagenet50 and not the demo's tasks"
    assert re.search(r"(?m)^extract_roi +88$", text)
    assert "make_phantom" not in text
