"""How a job's time adds up: closed forms of the model, a study that ran after a probe, and what a GPU waits for."""

import json
from collections import defaultdict
from pathlib import Path

import pytest
import yaml
from snakemake.utils import update_config

from neurobust.study import plan
from neurobust.study.jobs import Job, study_jobs
from neurobust.study.rates import GPU_SPEEDUP, TAILS, Speeds, job_seconds, parts_of, startup
from neurobust.study.read import read_study

# The demo's jobs of the rules that a probe times, with the CPU seconds of their benchmark files, and a probe of that
# machine in CPU seconds of one thread. Jobs were forks that had their imports: 0.3 s of start.
RECORDED = Path(__file__).parent / "recorded/demo.json"
KNOWN = Speeds(
    rates={"train_network": 2.0, "train_predictor": 2.0, "check_betas": 3.0}, gpu=True, start=5.0, reader=0.5,
    digest=0.1, threads=4,
)  # fmt: skip


def job(rule="train_network", **parts):
    return Job(rule, ("digits",), **{"units": 10.0, **parts})


@pytest.fixture
def study(project):
    """The study of `config/config.yaml`."""
    config = {}
    update_config(config, yaml.safe_load((project / "config/config.yaml").read_text()))
    return read_study(config)


@pytest.mark.parametrize(
    ("parts", "seconds"),
    [
        ({}, 5 + 10 * 2),
        ({"opened": 30}, 5 + 30 * 0.1 + 20),
        ({"reads": 80}, 5 + 20),  # 80 x 0.5 / 4 = 10 s of reading, beside 20 of work
        ({"reads": 160}, 5 + 20),  # as long as the work
        ({"reads": 400}, 5 + 50),  # the threads set the pace
        ({"reads": 400, "units": 0.0}, 5 + 50),
        ({"rule": "train_predictor", "tail": 1e9}, 5 + 20 + 1e9 * TAILS["train_predictor"]),
        ({"rule": "check_betas"}, 2 + 30),  # no device to make ready
    ],
)
def test_a_job_takes_start_digests_tail_and_the_slower_of_work_and_reading(parts, seconds):
    found = job(**parts)
    assert job_seconds(found, KNOWN) == pytest.approx(seconds)
    split = parts_of(found, KNOWN)
    assert split.waited == pytest.approx(seconds - split.work), "what is not work is waited for"


def test_threads_share_the_reading_until_the_work_is_slower():
    seconds = [job_seconds(job(reads=400), Speeds(rates={"train_network": 2.0}, start=0.0, reader=0.5, threads=n))
               for n in (1, 2, 4, 8, 10, 20)]  # fmt: skip
    assert seconds == pytest.approx([200, 100, 50, 25, 20, 20])


def test_images_that_fit_on_the_gpu_are_read_by_nobody():
    """Half of the GPU's memory, as `networks.stores` has it; without a GPU, or of a predictor's images, nothing lies
    there."""
    read = {"reads": 4000, "opened": 10.0}
    free = Speeds(rates=KNOWN.rates, gpu=True, start=0.0, reader=0.5, digest=0.0, memory=20.0)
    assert job_seconds(job(**read), free) == 20
    slow = [Speeds(**{**vars(free), "memory": 19.9}), Speeds(**{**vars(free), "gpu": False})]
    assert [job_seconds(job(**read), machine) for machine in slow] == [500, 500]
    assert job_seconds(job("train_predictor", **read), free) == 500


def test_documented_rates_of_a_gpu_are_those_of_a_core_divided():
    for rule in ("train_network", "check_betas"):
        slower = Speeds().rate(rule) / Speeds(gpu=True).rate(rule)
        assert slower == pytest.approx(GPU_SPEEDUP if rule == "train_network" else 1)
        assert startup(rule, Speeds(start=1.0)) == (1.0 if rule == "train_network" else startup(rule))


def test_a_measured_rate_is_of_the_work_alone():
    """Benchmarks of jobs with digests and tails give back the rates that they were made with, on that machine."""
    jobs = [job("train_predictor", units=u, opened=50.0, tail=1e9) for u in (10.0, 20.0)]
    jobs = [Job(one.rule, (str(i),), one.units, opened=one.opened, tail=one.tail) for i, one in enumerate(jobs)]
    seconds = {(one.rule, one.names): job_seconds(one, KNOWN) for one in jobs}
    assert plan.measure_rates([(jobs, seconds)], KNOWN) == pytest.approx({"train_predictor": 2.0})
    assert plan.measure_rates([(jobs, seconds)])["train_predictor"] > 2.0, "where digests were slower than documented"


def test_a_probe_foretells_what_the_demo_s_jobs_then_took():
    """Each rule that it times, and all together, within 1.5 times. Recorded, so that no clock is read here."""
    record = json.loads(RECORDED.read_text())
    probe = {key: value for key, value in record["probe"].items() if key != "device"}
    foretold, took = defaultdict(float), defaultdict(float)
    for rule, units, reads, opened, tail, seconds in record["jobs"]:
        foretold[rule] += job_seconds(Job(rule, (), units, reads=reads, opened=opened, tail=tail), Speeds(**probe))
        took[rule] += seconds
    ratios = {rule: foretold[rule] / took[rule] for rule in took}
    assert set(ratios) == {"train_predictor", "train_network", "attack_network", "explain_network"}
    assert all(1 / 1.5 < ratio < 1.5 for ratio in ratios.values()), ratios
    assert sum(foretold.values()) == pytest.approx(sum(took.values()), rel=0.1)


def test_work_on_a_task_s_images_begins_with_their_digest(study):
    jobs = study_jobs(study)
    task = study.tasks["imagenet50"]
    images = task.images * task.side**2 * 3
    opened = {one.rule: one.opened for one in jobs if one.names[:1] == ("imagenet50",)}
    assert opened["train_network"] == opened["attack_network"] == opened["explain_network"] == images
    assert opened["corrupt_network"] > images
    one = next(one for one in jobs if one.rule == "train_network" and "none" in one.names)
    assert one.reads == pytest.approx(task.images * task.training.epochs * task.side**2 / 1000)


def test_the_plan_says_what_gpus_wait_for(study, tmp_path):
    def waiting(gpu):
        text = plan.plan_text(study, tmp_path, tmp_path, submitted=False, gpu=gpu)
        return [line for line in text.splitlines() if line.startswith("Of the GPU-hours a CPU's")]

    (line,) = waiting(gpu=True)
    parts = [parts_of(one, Speeds(gpu=True)) for one in study_jobs(study) if one.rule in plan.GPU_RULES]
    assert f"waits: {sum(part.waited for part in parts) / 3600:.2f} (" in line
    assert waiting(gpu=False) == []
