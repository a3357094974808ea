"""What SLURM is asked for where several networks go into one job: by the arguments of sbatch, which nobody follows."""

import os
import re
import signal
import subprocess
import sys
import time

import pytest
import yaml

from neurobust.files.dataset import dataset_path

pytest.importorskip("snakemake_executor_plugin_slurm")
SEEDS = range(4)
NOTES_ONLY = """#!/bin/sh
for word in "$@"; do case "$word" in --wrap=*) ;; *) printf '%s ' "$word" >> "{calls}" ;; esac; done
echo >> "{calls}"
echo 1
"""


@pytest.fixture
def submitted(project, tmp_path):
    """The options of `calls` calls of sbatch for four networks of one condition, with more lines in the profile."""
    folder = tmp_path / "bin"
    folder.mkdir()
    noted = tmp_path / "calls"
    for name, script in (("sbatch", NOTES_ONLY.format(calls=noted)), ("sacct", "#!/bin/sh\nexit 1\n")):
        (folder / name).write_text(script)
        (folder / name).chmod(0o755)
    dataset = dataset_path(tmp_path / "results/tiny", "digits")
    dataset.parent.mkdir(parents=True)
    dataset.touch()
    study = yaml.safe_load((project / "tests/slurm/tiny.yaml").read_text()) | {"seeds": list(SEEDS)}
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study))
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PATH": f"{folder}:{os.environ['PATH']}"}
    environment["PYTHONPATH"] = os.pathsep.join([str(project / "src"), os.environ.get("PYTHONPATH", "")])

    def run(lines, calls):
        profile = tmp_path / "profile"
        profile.mkdir()
        text = (project / "profiles/slurm/config.yaml").read_text()
        assert "# - slurm_partition=" in text
        text = text.replace("# - slurm_partition=", "- slurm_partition=")  # else SLURM is asked for one
        (profile / "config.yaml").write_text(text + lines)
        targets = [f"results/tiny/networks/digits/small/none/seed{seed}/model.safetensors" for seed in SEEDS]
        words = ["-s", project / "Snakefile", "--directory", tmp_path, "--configfile", tmp_path / "study.yaml"]
        words += ["--profile", profile, "--rerun-triggers", "mtime", "--", *targets]
        command = [sys.executable, "-m", "snakemake", *map(str, words)]
        with (tmp_path / "output").open("w") as output:
            driver = subprocess.Popen(
                command, env=environment, stdout=output, stderr=output, text=True, start_new_session=True
            )
        try:
            end = time.monotonic() + 300
            while not noted.exists() or noted.read_text().count("\n") < calls:
                said = (tmp_path / "output").read_text()
                assert driver.poll() is None and time.monotonic() < end, said[-3000:]
                time.sleep(0.1)
        finally:
            os.killpg(driver.pid, signal.SIGKILL)  # it would wait for jobs that do not exist
            driver.wait()
        return [
            dict(re.findall(r"(?<=\s)(--?[a-z-]+)[ =]([^-\s]\S*)", line)) for line in noted.read_text().splitlines()
        ]

    return run


def asked(call):
    """GPUs, CPUs, MB and minutes."""
    return tuple(int(call[name]) for name in ("--gpus", "--cpus-per-task", "--mem", "-t"))


@pytest.mark.slow
def test_one_after_the_other_they_ask_for_one_gpu_and_the_time_of_all(project, submitted):
    """Times add up; GPUs, CPUs and memory do not: with the lines of docs/slurm.md, as they are printed there."""
    lines = re.search(r"```yaml\n(groups:.*?)```", (project / "docs/slurm.md").read_text(), re.S).group(1)
    (call,) = submitted(lines, calls=1)
    assert asked(call) == (1, 4, 32000, 480 * len(SEEDS))


@pytest.mark.slow
def test_without_the_lines_each_network_is_a_job(submitted):
    calls = submitted("", calls=len(SEEDS))
    assert [asked(call) for call in calls] == [(1, 4, 32000, 480)] * len(SEEDS)
