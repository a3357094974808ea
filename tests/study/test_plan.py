"""The cost model: its jobs are the DAG's, its hours those of a finished study within a factor of 2."""

import copy
import os
import re
from collections import Counter
from dataclasses import replace

import pytest
import yaml
from snakemake.utils import update_config

from neurobust.attacks.probe import pass_seconds
from neurobust.core.errors import InputError
from neurobust.core.timing import age, digest_seconds
from neurobust.networks.probe import fresh_network, reader_seconds, training_seconds
from neurobust.predictors.probe import gnet_seconds, untrained_gnet
from neurobust.study import plan
from neurobust.study.probe import Node, Stopwatch, probe_machine, probe_path, probed_machine
from neurobust.study.rates import DEFAULTS, GPU_RULES, Speeds, job_seconds
from neurobust.study.read import read_study

STUDIES = {
    "demo": ["config/demo.yaml"],
    "study-small": ["config/study-small.yaml"],
    "factors": ["config/factors.yaml"],
    "teachers": ["config/teachers.yaml"],
    "study": ["config/config.yaml"],
    "tiny": ["tests/slurm/tiny.yaml"],
    "plain": ["tests/study/plain.yaml"],
    "paper": ["config/config.yaml", "tests/workflow/paper_grid.yaml"],
}


def load(project, name):
    config = {}
    for path in STUDIES[name]:
        update_config(config, yaml.safe_load((project / path).read_text()))
    return config


def study_of(project, name):
    return read_study(load(project, name))


@pytest.fixture
def config(project):
    return load(project, "plain")


@pytest.mark.parametrize("name", ["demo", "study-small", "teachers", "paper"])
def test_the_jobs_are_those_of_the_dag(project, count_jobs, name):
    counts = count_jobs(name, STUDIES[name])
    counts["attack_network"] += counts["attack_uncued"]  # the same work on tasks without a cue
    expected = Counter(job.rule for job in plan.study_jobs(study_of(project, name)))
    assert {rule: counts.get(rule, 0) for rule in plan.STAGE_OF} == {rule: expected[rule] for rule in plan.STAGE_OF}


@pytest.mark.parametrize("name", STUDIES)
def test_each_job_is_counted_once_and_has_work(project, name):
    jobs = plan.study_jobs(study_of(project, name))
    assert len({(job.rule, job.names) for job in jobs}) == len(jobs)
    assert all(job.units > 0 for job in jobs)


def test_more_work_takes_more_time(config):
    def seconds(changed, rule):
        return sum(job_seconds(job, Speeds()) for job in plan.study_jobs(read_study(changed)) if job.rule == rule)

    longer = copy.deepcopy(config)
    longer["predictors"]["gnet"]["epochs"] *= 2
    longer["tasks"]["digits"]["training"]["epochs"] *= 2
    longer["attack_images"] *= 2
    for rule in ("train_predictor", "train_network", "attack_network"):
        assert seconds(longer, rule) > seconds(config, rule), rule
    guided = next(j for j in plan.study_jobs(read_study(config)) if j.rule == "train_network" and "V1" in j.names)
    plain = next(j for j in plan.study_jobs(read_study(config)) if j.rule == "train_network" and "none" in j.names)
    assert guided.units > plain.units, "a predictor's passes cost too"


def test_a_small_network_costs_less_and_a_cached_predictor_is_paid_once(config):
    def units(condition, **changes):
        changed = {**config, **changes, "training": config["training"] | changes.get("training", {})}
        jobs = plan.study_jobs(read_study(changed))
        return next(
            j.units for j in jobs if j.rule == "train_network" and j.names[0] == "digits" and condition in j.names
        )

    small = {"architectures": {"small": {"stem": "imagenet", "pretrained": False}}}
    assert units("none", **small) == pytest.approx(units("none") / 12)
    predictor, epochs = units("V1") - units("none"), config["tasks"]["digits"]["training"]["epochs"]
    assert units("V1", **small) - units("none", **small) == pytest.approx(predictor)
    augmented = {"training": {"augment": "crop-flip"}}
    assert units("V1", **augmented) - units("none", **augmented) == pytest.approx(epochs * predictor)
    by_class = {"conditions": {**config["conditions"], "V1": {**config["conditions"]["V1"], "loss": "manifold"}}}
    assert units("V1", **augmented, **by_class) == pytest.approx(units("V1")), "fitted before the training"


def test_the_study_of_factors_ends_within_an_hour_on_two_cores(project):
    jobs = plan.study_jobs(study_of(project, "factors"))
    assert plan.wall_seconds([(job, job_seconds(job, Speeds())) for job in jobs], 2) < 3600


def write_benchmarks(folder, jobs, seconds):
    """Benchmark files of jobs as Snakemake writes them."""
    for job in jobs:
        inner = [job.rule, *(job.names or ["all"])]
        path = folder.joinpath(*inner).with_name(inner[-1] + ".tsv")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"s\th:m:s\tcpu_time\n{seconds(job):.4f}\t0:00:00\t1.0\n")


def test_rates_come_back_from_benchmark_files(config, tmp_path):
    jobs = plan.study_jobs(read_study(config))
    rules = sorted({job.rule for job in jobs})
    true = {rule: 0.01 * (1 + i) for i, rule in enumerate(rules)}
    machine = Speeds(rates=true, start=3.0)
    write_benchmarks(tmp_path, jobs, lambda job: job_seconds(job, machine))
    seconds = plan.read_benchmarks(tmp_path)
    assert all(plan.find_benchmark(job, seconds) is not None for job in jobs)
    assert plan.measure_rates([(jobs, seconds)], machine) == pytest.approx(true, rel=1e-3)


def test_seeds_with_dots_in_names_are_found(tmp_path):
    """`conv1.2` as a condition: the suffix of a path is not part of a name."""
    job = plan.Job("train_network", ("digits", "resnet18", "conv1.2", "seed0"), 1.0)
    write_benchmarks(tmp_path, [job], lambda job: 3.0)
    assert plan.find_benchmark(job, plan.read_benchmarks(tmp_path)) == 3.0


@pytest.mark.parametrize(
    "text",
    ["", "s\th:m:s\n", "s\th:m:s\n-\t-\n", "foo\tbar\n1\t2\n", "h:m:s\ts\n1\n", "s\nnan\n", "s\n-5\n", "s\ninf\n"],
)
def test_what_is_no_benchmark_says_nothing(text, tmp_path):
    """A file of an older layout or of another program, one that was cut off, or one with an impossible time."""
    (tmp_path / "train_network").mkdir()
    (tmp_path / "train_network" / "old.tsv").write_text(text)
    assert plan.read_benchmarks(tmp_path) == {}


def test_a_configuration_that_is_no_yaml_lends_no_rates(project, tmp_path):
    (tmp_path / "broken.yaml").write_text("study: [\n")
    (tmp_path / "latin.yaml").write_bytes("study: \xe9\n".encode("latin-1"))
    (tmp_path / "tiny.yaml").write_text((project / "tests/slurm/tiny.yaml").read_text())
    assert [study.name for study in plan.other_studies(tmp_path, "demo")] == ["tiny"]


def test_what_is_done_is_not_planned_and_other_studies_lend_their_rates(config, project, tmp_path):
    jobs = plan.study_jobs(read_study(config))
    done = [job for job in jobs if job.rule in ("train_predictor", "prepare_task")]
    write_benchmarks(tmp_path / config["results"] / "benchmarks", done, lambda job: 10.0)
    text = plan.plan_text(read_study(config), tmp_path, project / "config", submitted=False, gpu=False)
    assert f"{len(jobs)} jobs, {len(done)} done, {len(jobs) - len(done)} to do" in text
    assert "train_predictor   measured on 3 jobs of the study demo" in text
    assert "train_network     documented default\n" in text
    assert re.search(
        r"Power: 2 seeds x 32 images see .+; 1 pp needs .+\nThe first of 2 claims .+\n\nSpreads, assumed", text
    )
    study = study_of(project, "study")
    text = plan.plan_text(study, tmp_path, project / "config", submitted=True, gpu=True)
    assert "train_predictor   measured on 3 jobs of the study demo" in text
    assert "train_network     documented default on a GPU" in text
    assert "Download: about" in text


def test_a_roi_is_charged_its_own_jobs(config):
    jobs = [job for job in plan.study_jobs(read_study(config)) if "LO" in job.rois]
    assert Counter(job.rule for job in jobs) == {
        "extract_roi": 2, "train_predictor": 1, "train_network": 8, "attack_network": 8, "explain_network": 8,
        "explain_predictor": 1,
        "attack_semantic": 2, "write_roi_page": 1,
    }  # fmt: skip


def test_an_attack_that_reads_an_auxiliary_network_has_it_trained_once_a_task(config):
    near = {"method": "perceptual", "budgets": [0, 0.2], "steps": 5}
    config = {**config, "attacks": {**config["attacks"], "near": near}}
    for semantic, helpers in ((None, ("oracle",)), ({"images": 4, "tadv": {}}, ("oracle", "texture"))):
        study = read_study({**config, "semantic": semantic})
        assert {study.helpers_of(task) for task in study.tasks} == {("oracle",)}
        trained = [job.names for job in plan.study_jobs(study) if job.rule == "train_helper"]
        assert trained == [(task, helper) for task in sorted(study.tasks) for helper in helpers]


def test_wall_time_is_between_the_longest_chain_and_one_after_the_other():
    costs = [(plan.Job("extract_roi", (str(i),), 1.0), 10.0) for i in range(8)]
    costs += [(plan.Job("train_network", ("x",), 1.0), 100.0)]
    assert plan.wall_seconds(costs, 1) == 180
    assert plan.wall_seconds(costs, 64) == 110
    assert plan.wall_seconds([], 4) == 0


@pytest.mark.slow
def test_the_demos_wall_time_within_a_factor_of_two(demo, project):
    """Rates from every second job of a finished demo predict the time of all the others."""
    config = load(project, "demo")
    jobs, seconds = plan.study_jobs(read_study(config)), plan.read_benchmarks(demo / config["results"] / "benchmarks")
    timed = [job for job in jobs if plan.find_benchmark(job, seconds) is not None]
    assert len(timed) > 0.9 * len(jobs)
    known = [job for rule in plan.STAGE_OF for job in [j for j in timed if j.rule == rule][::2]]
    known_seconds = {key: took for key, took in seconds.items() if key in {(j.rule, j.names) for j in known}}
    machine = Speeds(rates=plan.measure_rates([(known, known_seconds)]))
    predicted = sum(job_seconds(job, machine) for job in timed)
    real = sum(plan.find_benchmark(job, seconds) for job in timed)
    assert 0.5 < predicted / real < 2


def test_snakemake_plan_prints_it_and_runs_nothing(project, snakemake, tmp_path):
    done = snakemake("--configfile", project / STUDIES["tiny"][0], "--cores", "1", "--", "plan", directory=tmp_path)
    assert "Study tiny:" in done.text and "Wall time: 1 at a time" in done.text
    walked = os.walk(tmp_path / "results")
    left = [name for folder, _, files in walked for name in files if not folder.endswith("preflight/machines")]
    assert set(left) == {"plan.txt", "plan_study.tsv"}
    again = snakemake("--configfile", project / STUDIES["tiny"][0], "--cores", "1", "--", "plan", directory=tmp_path)
    assert "Study tiny:" in again.text, "each question is answered again"


def test_a_probe_gives_rates_in_the_units_of_the_jobs(config, tmp_path):
    """A machine of known speed: seconds per image that the price of a network and of a predictor come out with."""
    study, asked = read_study(config), []

    def training(recipe, side, predictors, least):
        asked.append((recipe.condition.roi, side, len(predictors)))
        return 2.0 if predictors else 0.5

    timed = Stopwatch(
        node=Node("a stopwatch", start=1.5, threads=3, memory=7e9), training=training,
        network=lambda recipe, side: side, write_gnet=lambda settings, voxels, path: None,
        gnet=lambda settings, voxels, images, least: 3.0, passes=lambda network, side, least: (0.25, 0.125),
        reader=lambda side, least: side**2 * 1e-5, digest=lambda least: 1e-8,
    )  # fmt: skip
    probe_machine(study, timed, probe_path(study, tmp_path))
    machine, origin = plan.known_machine(study, tmp_path, tmp_path / "none", gpu=False)
    rates = machine.rates
    assert origin["train_network"] == "measured by `probe` on a stopwatch"
    assert (machine.start, machine.threads, machine.memory) == (1.5, 3, 7e9)
    assert (machine.reader, machine.digest) == pytest.approx((1e-2, 1e-8)), "seconds per 1000 pixels, and per byte"
    jobs = plan.study_jobs(study)
    networks = [job for job in jobs if job.rule == "train_network"]
    task = study.tasks[networks[0].names[0]]
    block = [job for job in networks if job.names[0] == task.name]
    (roi,) = {roi for roi, _, files in asked if files}
    units = {name: next(job.units for job in block if job.names[2] == name) for name in ("none", roi)}
    guided = sum(study.conditions[job.names[2]].predictor is not None for job in block)
    plain = len(block) - guided
    spent = task.images * task.training.epochs * (2.0 * guided + 0.5 * plain)
    assert rates["train_network"] * (units["none"] * plain + units[roi] * guided) == pytest.approx(spent)
    assert 0 < plain < guided and units["none"] < units[roi]
    predictor = next(job for job in jobs if job.rule == "train_predictor")
    settings = study.predictors[predictor.names[0]]
    images = predictor.units / (settings.passes() * settings.input_size**2 / 1000)
    assert rates["train_predictor"] * predictor.units == pytest.approx(3.0 * images * settings.passes())
    assert rates["attack_network"] == 2 * rates["transfer_attacks"]
    ones = replace(machine, rates=dict.fromkeys(DEFAULTS, 1.0))
    write_benchmarks(tmp_path / study.results / "benchmarks", networks, lambda job: job_seconds(job, ones))
    machine, origin = plan.known_machine(study, tmp_path, tmp_path / "none", gpu=False)
    assert machine.rates["train_network"] == pytest.approx(1) and "measured on" in origin["train_network"]


def test_a_probe_of_a_training_with_versions_asks_the_predictor_every_epoch(config, tmp_path):
    """Its epochs that look responses up would make the rate as low as chance has it; the price knows of versions."""
    config["training"] |= {"augment": "crop-flip", "versions": 1}
    seen = []

    def training(recipe, side, predictors, least):
        seen.append(recipe.training)
        return 2.0 if predictors else 1.0

    timed = Stopwatch(
        Node("a stopwatch", 1.5, 3, 7e9), training, lambda recipe, side: side, lambda settings, voxels, path: None,
        lambda settings, voxels, images, least: 3.0, lambda network, side, least: (0.25, 0.125),
        lambda side, least: 1.0, lambda least: 1e-8,
    )  # fmt: skip
    rates = []
    for versions in (1, None):
        config["training"]["versions"] = versions
        study = read_study(config)
        probe_machine(study, timed, probe_path(study, tmp_path))
        rates.append(probed_machine(study, tmp_path, gpu=False)[0].rates["train_network"])
    assert rates[0] == rates[1] and all(training.versions is None for training in seen)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "not valid JSON"),
        ("[]", ": []: expected a mapping"),
        ("null", ": None: expected a mapping"),
        ('{"rates": null}', ".rates: None: expected a mapping"),
        ('{"rates": {"train_network": -1}}', ".rates.train_network: -1: expected a number > 0"),
        ('{"rates": {"train_network": NaN}}', ".rates.train_network: nan: expected a number > 0"),
        ('{"rates": {"train_network": Infinity}}', ".rates.train_network: inf: expected a finite number"),
        ('{"start": -4}', ".start: -4: expected a number >= 0"),
        ('{"threads": 0}', ".threads: 0: expected a whole number >= 1"),
        ('{"memory": null}', ".memory: None: expected a number"),
    ],
)
def test_a_broken_probe_is_named_with_the_way_out(config, tmp_path, text, said):
    study = read_study(config)
    path = probe_path(study, tmp_path)
    path.parent.mkdir(parents=True)
    path.write_text(text)
    with pytest.raises(InputError) as refused:
        plan.plan_text(study, tmp_path, tmp_path, submitted=False, gpu=True)
    message = str(refused.value)
    assert message.startswith(str(path)) and said in message and "\n" not in message
    assert message.endswith("; delete the file, and let the target `probe` measure again")


def test_an_older_probe_says_what_it_knows(config, tmp_path):
    """And what it lacks, or what a newer one knows beside it, is no reason to refuse it."""
    study = read_study(config)
    path = probe_path(study, tmp_path)
    path.parent.mkdir(parents=True)
    path.write_text('{"rates": {"train_network": 0.5, "fly": 2}, "colour": "red"}')
    machine, device = probed_machine(study, tmp_path, gpu=True)
    assert machine == replace(Speeds(gpu=True), rates={"train_network": 0.5, "fly": 2.0}) and device == ""


@pytest.mark.slow
def test_what_the_stages_time_is_the_study_s_own_work(project, tmp_path):
    """One step of each kind in the sizes of a tiny study: rates for the rules that use a GPU, none of them zero."""
    config = load(project, "tiny")
    config["training"]["batch_size"] = config["predictors"]["gnet"]["batch_size"] = 4
    study = read_study(config)
    timed = Stopwatch(
        Node("a CPU", age(), 1, 0.0), training_seconds, fresh_network, untrained_gnet, gnet_seconds, pass_seconds,
        reader_seconds, digest_seconds,
    )  # fmt: skip
    probe_machine(study, timed, probe_path(study, tmp_path), seconds=0)
    machine, device = probed_machine(study, tmp_path, gpu=False)
    assert device == "a CPU" and all(0 < rate < 10 for rate in machine.rates.values())
    assert {"train_network", "train_predictor", "attack_network", "transfer_attacks"} <= set(machine.rates)
    assert set(machine.rates) <= set(GPU_RULES)
    assert 0 < machine.reader < 1 and 0 < machine.digest < 1e-5 and machine.start > 0
