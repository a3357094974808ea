"""The tiny study in a folder of its own: start it, look into the cluster that runs it, and compare its numbers."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
from cluster import wait_until

from neurobust.core.io import canonical_json, read_parquet

PROJECT = Path(__file__).resolve().parents[2]
# Looks at its jobs every few seconds; else the study is run as users run it.
FAST = ("--slurm-init-seconds-before-status-checks", "3")
TRAINING = "training: {epochs: 8}"  # the tiny study's; here longer, so that a training can be met while it runs


class Study:
    """A copy of the workflow with the tiny study as its embedded default, so that the literal command runs it."""

    def __init__(self, folder, cluster):
        self.folder, self.cluster = folder, cluster
        self.folders = {}
        self.interrupted = set()  # trainings that were stopped beside their checkpoint
        for name in ("workflow", "config", "profiles", "envs"):
            shutil.copytree(PROJECT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("Snakefile", "slurm"):
            shutil.copy(PROJECT / name, folder / name, follow_symlinks=False)
        text = (PROJECT / "tests/slurm/tiny.yaml").read_text()
        assert TRAINING in text
        (folder / "config/demo.yaml").write_text(text.replace(TRAINING, "training: {epochs: 60}"))

    def start(self, *arguments):
        """`snakemake ARGUMENTS` in the background, in a process group of its own: see `stop`."""
        path = f"{Path(sys.executable).parent}:{self.cluster.env['PATH']}"
        command = [sys.executable, "-m", "snakemake", *map(str, arguments)]
        environment = {**self.cluster.env, "PATH": path, "OMP_NUM_THREADS": "1", "GIT_PYTHON_REFRESH": "quiet"}
        return subprocess.Popen(
            command, cwd=self.folder, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip

    def run(self, *arguments, timeout=3600):
        """`snakemake ARGUMENTS` to its end: (exit status, output)."""
        process = self.start(*arguments)
        try:
            return self.end(process, timeout)
        finally:
            self.stop(process)

    def stop(self, process):
        """End a Snakemake that still runs, with all that it started here; what it submitted is the cluster's."""
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def end(self, process, timeout=3600):
        output = process.communicate(timeout=timeout)[0]
        return process.returncode, output

    # --- what happens in the cluster ---

    def jobs(self, rule):
        """SLURM's ids of this study's running jobs of a rule: other studies run on the cluster beside it."""
        lines = self.cluster.command("squeue", "-h", "-t", "running", "-o", "%i|%Z|%k").splitlines()
        jobs = [line.split("|", 2) for line in lines]
        return [job for job, folder, comment in jobs if folder == str(self.folder) and f"rule_{rule}_" in comment + "_"]

    def script(self, rule):
        """(SLURM id, pid) of a script that runs, once this very training has saved a checkpoint."""
        found = []

        def running():
            for job, pid, _, words in self.processes():
                if words.endswith(f".{rule}.py"):
                    found.extend([(job, pid)] if self.saved(rule, job) else [])
            return bool(found)

        wait_until(f"{rule} runs and has saved a checkpoint", running, 300)
        return found[-1]

    def saved(self, rule, job):
        """The training of a job (gnet/V1/seed0) if it has saved a checkpoint, by the job's comment; else None."""
        stage = self.folder / "results/tiny" / {"train_predictor": "predictors", "train_network": "networks"}[rule]
        comment = self.cluster.command("squeue", "-h", "-j", job, "-o", "%k").strip()
        folders = [path.parent.relative_to(stage).as_posix() for path in stage.rglob(".checkpoint.pt")]
        ends = {folder: folder.replace("/seed", "/").replace("/", "_") for folder in folders}
        return next((folder for folder, end in ends.items() if comment.endswith(end)), None)

    def processes(self):
        """(SLURM id, pid, parent's pid, command line) of all that this study's jobs run on the cluster."""
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                words = (entry / "cmdline").read_bytes().decode(errors="replace").rstrip("\0")
                variables = (entry / "environ").read_text().split("\0")
                parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
            except (OSError, UnicodeDecodeError):
                continue
            environment = dict(item.split("=", 1) for item in variables if "=" in item)
            job = environment.get("SLURM_JOB_ID")
            on_cluster = environment.get("SLURM_CONF") == f"{self.cluster.dir}/slurm.conf"
            if job and on_cluster and self.submitted_in(job) == str(self.folder):
                yield job, int(entry.name), parent, words

    def submitted_in(self, job):
        """The folder that a job was submitted in."""
        if job not in self.folders:
            self.folders[job] = self.cluster.command("squeue", "-h", "-t", "all", "-j", job, "-o", "%Z").strip()
        return self.folders[job]

    def warm(self):
        """(SLURM id, worker's pid, fork's pid) of the scripts that run as forks of warm workers."""
        server = ["-m", "neurobust.core.warm_server"]  # not the srun that has it among its arguments
        found = [item for item in self.processes() if item[3].split("\0")[1:3] == server]
        workers = {pid for _, pid, _, _ in found}
        return {(job, parent, pid) for job, pid, parent, _ in found if parent in workers}

    def freeze(self, rule):
        """Stop a training job after a checkpoint, so that it surely meets what is done to it; its SLURM id.

        One that is through, and has removed its checkpoint meanwhile, is not among `interrupted`.
        """
        job, pid = self.script(rule)
        os.kill(pid, signal.SIGSTOP)
        if training := self.saved(rule, job):
            self.interrupted.add(f"{rule}/{training}")
        return job

    def state(self, job):
        return self.cluster.command("squeue", "-h", "-t", "all", "-j", job, "-o", "%T").strip()


def numbers(folder):
    """path -> digest of everything in the results but the time that it took."""

    def untimed(value):
        if isinstance(value, dict):
            return {key: untimed(item) for key, item in value.items() if key != "seconds"}
        return [untimed(item) for item in value] if isinstance(value, list) else value

    digests = {}
    for path in sorted((folder / "results/tiny").rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.name.startswith(".") or "/." in name:
            continue
        if path.suffix == ".json":
            content = canonical_json(untimed(json.loads(path.read_text()))).encode()
        elif path.suffix == ".parquet":
            frame = read_parquet(path)[0]
            content = frame.drop(columns="seconds", errors="ignore").to_csv().encode()
        elif path.suffix == ".npz":
            with np.load(path) as arrays:
                content = b"".join(key.encode() + arrays[key].tobytes() for key in sorted(arrays.files))
        elif path.suffix in (".safetensors", ".h5"):
            content = path.read_bytes()
        else:
            continue
        digests[name] = hashlib.sha256(content).hexdigest()
    return digests
