"""The phantom study on a real SLURM: undisturbed, disturbed in every way that we know, and failing."""

import os
import re
import shutil
import signal
import threading
import time

import pytest
from cluster import wait_until
from study import FAST, PROJECT, numbers

pytestmark = [pytest.mark.slurm, pytest.mark.slow]


def test_one_roi_then_all_then_a_failing_job(study, local_numbers):
    roi = "results/tiny/report/roi/V1.html"
    status, output = study.run("--profile", "slurm", *FAST, "--", roi)
    assert status == 0, output[-5000:]
    assert (study.folder / roi).exists()
    assert not (study.folder / "results/tiny/report/index.html").exists(), "only this ROI's chain was asked for"

    status, output = study.run("--profile", "slurm", "all")
    assert status == 0, output[-5000:]
    assert numbers(study.folder) == local_numbers
    assert not re.search(r"Job \d+: network", output), "nothing of the ROI's chain was computed twice"

    logs = sorted((study.folder / "logs/tiny/train_network").rglob("*.log"))
    devices = re.findall(r"CUDA_VISIBLE_DEVICES=(\d)$", "\n".join(log.read_text() for log in logs), re.M)
    assert len(devices) == len(logs) == 2, "each job that asks for a GPU is told which one is its own"

    status, output = study.run(
        "--profile", "slurm", *FAST, "--retries", "0", "--config", "attack_images=9999", "--", "all"
    )
    assert status != 0
    assert "test images to look at, but there are" in output, "a failed job shows its log"
    named = {word.rstrip(",") for word in re.findall(r"\S*attack_network/\S+\.log", output)}
    existing = [word for word in named if (study.folder / word).exists()]
    assert existing and any("9999 test images" in (study.folder / word).read_text() for word in existing)


def test_two_gpu_jobs_at_once_never_share_a_device(cluster):
    script = 'echo "$SLURMD_NODENAME $CUDA_VISIBLE_DEVICES"; sleep 30'
    jobs = [
        cluster.command(
            "sbatch", "--parsable", "--gpus=1", "--mem=500", f"--output={cluster.dir}/gpu-%j", "--wrap", script
        )
        for _ in range(4)
    ]
    outputs = [cluster.dir / f"gpu-{job.strip()}" for job in jobs]
    wait_until("four jobs run at once", lambda: all(path.exists() and path.read_text().strip() for path in outputs))
    mine = ",".join(job.strip() for job in jobs)
    assert len(cluster.command("squeue", "-h", "-t", "running", "-j", mine).splitlines()) == 4
    assert len({path.read_text() for path in outputs}) == 4


@pytest.mark.alone
def test_cancelled_timed_out_pre_empted_and_daemons_killed(study, cluster, local_numbers):
    """One run meets scancel, TIMEOUT, pre-emption and killed daemons, and ends as if it had not."""
    driver = study.start("--profile", "slurm", *FAST, "all")
    try:
        cancelled = study.freeze("train_predictor")
        cluster.command("scancel", cancelled)
        wait_until("the job is cancelled", lambda: study.state(cancelled) == "CANCELLED")

        timed_out = study.freeze("train_network")
        for name in cluster.nodes:
            cluster.kill(name, 9)
        cluster.kill("slurmctld", 9)
        time.sleep(15)
        for name in cluster.nodes:
            cluster.start_node(name)
        cluster.start_controller()
        cluster.command("scontrol", "update", f"JobId={timed_out}", "TimeLimit=1")
        wait_until("the job is over its limit", lambda: study.state(timed_out) == "TIMEOUT", 180)

        wait_until("another job trains", lambda: set(study.jobs("train_network")) - {timed_out}, 300)
        preempted = study.freeze("train_network")
        urgent = "sbatch", "-p", "urgent", "--nodes=2", f"--cpus-per-task={cluster.cpus}", "--mem=1000"
        cluster.command(*urgent, "-o", "/dev/null", "--wrap", "sleep 5")
        wait_until("the job is pre-empted", lambda: study.state(preempted) == "PREEMPTED")
        status, output = study.end(driver)
    finally:
        study.stop(driver)
    assert status == 0, output[-5000:]
    for job, state in ((cancelled, "CANCELLED"), (timed_out, "TIMEOUT"), (preempted, "CANCELLED")):
        assert re.search(rf"'{job}' failed, SLURM status is: '{state}'", output), (job, state, output[-5000:])
    # Networks: a predictor of 0.2 s an epoch may end within the grace that scancel leaves, and start anew.
    stopped = [training for training in study.interrupted if training.startswith("train_network/")]
    logs = {training: (study.folder / f"logs/tiny/{training}.log").read_text() for training in stopped}
    assert logs, "a training was interrupted after a checkpoint"
    assert all("resumed after epoch" in log for log in logs.values()), f"retries go on from the checkpoint: {logs}"
    assert numbers(study.folder) == local_numbers


def test_a_job_leaves_before_its_limit_and_the_retry_goes_on(study, local_numbers):
    """The first attempt has three minutes and is frozen for most of them: it leaves by itself, and says so."""
    target = "results/tiny/networks/digits/small/none/seed0/model.safetensors"
    more = "train_network:runtime=3 * attempt * attempt * attempt"
    driver = study.start("--profile", "slurm", *FAST, "--set-resources", more, "--", target)
    try:
        job, pid = study.script("train_network")
        os.kill(pid, signal.SIGSTOP)
        left = "squeue", "-h", "-j", job, "-o", "%L"
        wait_until("the limit is near", lambda: study.cluster.command(*left).strip() < "0:45", 200)
        os.kill(pid, signal.SIGCONT)
        status, output = study.end(driver)
    finally:
        study.stop(driver)
    assert status == 0, output[-5000:]
    assert re.search(r"left \d+ s before the job's time limit", output)
    assert "TIMEOUT" not in output
    assert numbers(study.folder)[target] == local_numbers[target]


def test_networks_in_one_job_are_forks_of_one_worker(study, local_folder, local_numbers, monkeypatch):
    """Two networks in one SLURM job, which is cancelled once: its retry has a worker of its own, and goes on.

    The profile has the lines that docs/slurm.md prints.
    """
    lines = re.search(r"```yaml\n(groups:.*?)```", (PROJECT / "docs/slurm.md").read_text(), re.S).group(1)
    with (study.folder / "profiles/slurm/config.yaml").open("a") as profile:
        profile.write(lines)
    for name in ("resources", "results"):
        shutil.copytree(local_folder / name, study.folder / name)
    networks = study.folder / "results/tiny/networks/digits/small"
    shutil.rmtree(networks)
    targets = [f"results/tiny/networks/digits/small/{name}/seed0/model.safetensors" for name in ("none", "V1")]
    monkeypatch.setenv("NEUROBUST_WARM_GROUPS", "1")
    seen, ended = set(), threading.Event()

    def watch():
        while not ended.wait(0.2):
            seen.update(study.warm())

    driver = study.start("--profile", "slurm", *FAST, "--rerun-triggers", "mtime", "--", *targets)
    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        saved = lambda: seen and any(networks.rglob(".checkpoint.pt"))  # noqa: E731
        wait_until("a fork has saved a checkpoint", lambda: saved() or driver.poll() is not None, 600)
        cancelled = min(job for job, _, _ in seen)
        study.cluster.command("scancel", cancelled)
        status, output = study.end(driver)
    finally:
        ended.set()
        watcher.join()
        study.stop(driver)
    assert status == 0, output[-5000:]
    assert "jobs start in the plain way" not in output
    jobs = {job for job, _, _ in seen}
    assert len(jobs) == len({worker for _, worker, _ in seen}) == 2, "one worker for each SLURM job"
    assert sum(job != cancelled for job, _, _ in seen) == 2, "both networks of the retry are its forks"
    logs = [path.read_text() for path in (study.folder / "logs/tiny/train_network").rglob("*.log")]
    assert sum("resumed after epoch" in log for log in logs) == 1
    found = numbers(study.folder)
    assert {path: found[path] for path in local_numbers if "/networks/" in path} == {
        path: digest for path, digest in local_numbers.items() if "/networks/" in path
    }
    wait_until("no process is left", lambda: not any(job in jobs for job, *_ in study.processes()))


def test_preflight_tells_what_the_cluster_lacks(study):
    """The fake GPUs are no GPUs: the table says so, and the rest passes."""
    status, output = study.run("--profile", "slurm", *FAST, "--", "preflight")
    assert status != 0
    assert re.search(r"^FAIL  GPU .*CUDA_VISIBLE_DEVICES=\d; ask for `gpu: 1`", output, re.M), output[-3000:]
    assert re.search(r"^pass  status command +squeue", output, re.M)
    assert output.count("\nFAIL") == 1, "no retry says it again"
