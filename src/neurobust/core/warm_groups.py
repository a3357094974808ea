"""One warm worker for the jobs that Snakemake puts into one SLURM job (`--groups`), if NEUROBUST_WARM_GROUPS=1 asks.

Inside the SLURM job runs a Snakemake with the executor slurm-jobstep, which by srun starts another Snakemake for each
job of the group, one after the other. All of them read the rules, and so come by here. In the first one slurm-jobstep
gets a beginning: it starts a worker and names its folder in the environment. In the others the executor `warm` takes
the place of the local one, and asks that worker.

The worker is a step of its own in the SLURM job. So its forks get SIGTERM, and the time that SLURM grants after it, as
the scripts do that a step of their own would run.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from typing import Any

from snakemake_interface_executor_plugins.registry import ExecutorPluginRegistry

from neurobust.core.warm import FOLDER, OWNER, PLAIN, PRELOAD, SERVER, NoWorker, in_folder, python

ASKED = "NEUROBUST_WARM_GROUPS"  # 1: with a worker; or the modules that it is to import, by commas
PATIENCE = 60.0  # seconds for the worker's step to start
# All of SLURM's variables that srun may see, as in slurm-jobstep.
IDENTITY = ("SLURM_CONF", "SLURM_JOB_ID", "SLURM_JOBID", "SLURM_CLUSTER_NAME")

logger = logging.getLogger("snakemake")


class Worker:
    """A worker in a process of its own, which serves whoever knows its folder, and ends with this process."""

    def __init__(self, modules: Sequence[str] = PRELOAD, before: Sequence[str] = (), patience: float = PATIENCE):
        """`before`: the beginning of the command that starts it. Raises NoWorker if it does not start in time."""
        self.folder = tempfile.mkdtemp(prefix="neurobust-")  # nobody else's: mode 0700
        with socket.socket(socket.AF_UNIX) as owner:
            in_folder(self.folder, OWNER, owner.bind)
            owner.listen()
            owner.settimeout(0.1)
            command = [*before, python(), "-m", SERVER, self.folder, *modules]
            environment = outside(os.environ) if before else None
            try:
                self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, env=environment)
            except OSError as error:
                shutil.rmtree(self.folder)
                raise NoWorker(f"the warm worker did not start: {error}") from None
            try:
                self._link = accepted(owner, self.process, patience)
            except NoWorker:
                self._end()
                raise

    def close(self) -> None:
        """End it. Whoever is still served by it is gone already, or waits for the end of a job: then it is killed."""
        self._link.close()
        self._end(seconds=10.0)

    def _end(self, seconds: float = 0.0) -> None:
        for stop in (self.process.terminate, self.process.kill):
            try:
                self.process.wait(seconds)
                break
            except subprocess.TimeoutExpired:
                stop()
                seconds = 5.0
        self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


def accepted(owner: socket.socket, process: subprocess.Popen[bytes], patience: float) -> socket.socket:
    """The connection by which a worker says that it can be asked, and later sees that its owner is gone."""
    end = time.monotonic() + patience
    while process.poll() is None:
        with contextlib.suppress(TimeoutError):
            return owner.accept()[0]
        if time.monotonic() > end:
            raise NoWorker(f"the warm worker did not start within {patience:.0f} s")
    raise NoWorker(f"the warm worker did not start: it ended with status {process.returncode}")


def take_part(workflow: Any) -> None:
    """Start the worker of this SLURM job, or use it. For the rules to call; in any other Snakemake it does nothing."""
    if not workflow.remote_exec or "SLURM_JOB_ID" not in os.environ:
        return
    registry = ExecutorPluginRegistry()
    if FOLDER in os.environ:
        registry.get_plugin("local").executor = registry.get_plugin("warm").executor
    elif (asked := os.environ.get(ASKED, "")) not in ("", "0") and registry.is_installed("slurm-jobstep"):
        plugin = registry.get_plugin("slurm-jobstep")
        plugin.executor = with_worker(plugin.executor, asked)


def with_worker(executor: type[Any], asked: str) -> type[Any]:
    """The executor `slurm-jobstep` that starts a worker first if it has several jobs to run."""

    def begin(self: Any) -> None:
        executor.__post_init__(self)
        if len(self.workflow.dag_settings.target_jobs) > 1:
            start_worker(PRELOAD if asked == "1" else asked.split(","))

    return type(executor.__name__, (executor,), {"__post_init__": begin})


def start_worker(modules: Sequence[str]) -> None:
    """Start a worker for all processes that this one starts from now on, or say why there is none."""
    try:
        worker = Worker(modules, before=step(os.environ))
    except (NoWorker, OSError) as error:
        logger.warning(f"{error}; {PLAIN}")
        return
    atexit.register(worker.close)
    os.environ[FOLDER] = worker.folder


def step(environment: Mapping[str, str]) -> list[str]:
    """The command that starts a worker as a step of this SLURM job: beside all others, with all that the job has."""
    processors = environment.get("SLURM_CPUS_ON_NODE")
    node = environment.get("SLURMD_NODENAME")
    return [
        "srun", "--overlap", "--job-name=neurobust-worker", "--nodes=1", "--ntasks=1", "--mem=0", "--cpu-bind=none",
        *([f"--cpus-per-task={processors}"] if processors else []),
        *([f"--nodelist={node}"] if node else []),
    ]  # fmt: skip


def outside(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment for srun, without the limits of the step that this process runs in."""
    taken = ("SLURM_", "SRUN_", "SBATCH_")
    return {name: value for name, value in environment.items() if name in IDENTITY or not name.startswith(taken)}
