"""Snakemake's executor `warm`: the local one, whose Python scripts start as forks of a process with torch imported.

`executor: warm` in a profile. A job that Snakemake would start in another environment (conda, container, modules, a
shadow folder, a notebook) or that is no Python script runs as the local executor runs it; so does every job after a
worker that could not start. Inside a SLURM job the worker may be one that serves the whole SLURM job (warm_groups).
"""

import os
import pickle
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from snakemake.benchmark import BenchmarkRecord, write_benchmark_records
from snakemake.exceptions import WorkflowError
from snakemake.executors.local import Executor as LocalExecutor
from snakemake.executors.local import common_settings as common_settings
from snakemake.executors.local import run_wrapper
from snakemake.iocontainers import Snakemake
from snakemake.logging import logger
from snakemake.settings.types import DeploymentMethod
from snakemake.sourcecache import LocalSourceFile, infer_source_file
from snakemake_interface_executor_plugins.settings import ExecutorSettingsBase

from neurobust.core.profile_link import check_link
from neurobust.core.warm import (
    FOLDER,
    PLAIN,
    PRELOAD,
    Declined,
    Named,
    NoWorker,
    Script,
    Server,
    Setting,
    job_environment,
    setting,
)
from snakemake_executor_plugin_warm.measured import account, watch

check_link()  # plugins are loaded before a profile is read, and nothing else of ours is

# Whatever of these a run uses, a job with the directive is started in the plain way.
ELSEWHERE = {
    DeploymentMethod.CONDA: "conda_env",
    DeploymentMethod.APPTAINER: "container_img_url",
    DeploymentMethod.ENV_MODULES: "env_modules",
}


@dataclass
class ExecutorSettings(ExecutorSettingsBase):
    """The option `--warm-preload`."""

    preload: str = field(
        default=",".join(PRELOAD),
        metadata={"help": "Modules that a worker imports before it forks, by commas.", "env_var": False},
    )


class Executor(LocalExecutor):
    """Runs Python scripts in forks of warm workers: one worker for each number of threads that a job may ask for.

    While a worker is getting ready jobs start in the plain way. Where a shared worker is named it is the only one.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        settings = self.executor_settings
        self._preload = settings.preload.split(",") if isinstance(settings, ExecutorSettings) else list(PRELOAD)
        self._shared = os.environ.get(FOLDER)  # the folder of a worker that serves other processes too
        self._workers: dict[tuple[Any, ...], Server | Named] = {}
        self._lock = threading.Lock()
        self._cold = False  # a worker could not start or was lost: never again in this run

    def run_single_job(self, job: Any) -> Future[None]:
        """Start a job: in a fork of its worker where it has one that is ready, else in the plain way."""
        path = self._script(job)
        worker = self._worker(job.threads, job.resources.get("tmpdir")) if path else None
        if worker is None:
            return super().run_single_job(job)
        plain = partial(run_wrapper, *self.job_args_and_prepare(job))
        return self.pool.submit(self.cached_or_run, job, self._run_script, job, path, worker, plain)

    def _script(self, job: Any) -> Path | None:
        """The path of a job's Python script, if it runs in this very environment."""
        methods = self.workflow.deployment_settings.deployment_method
        if job.rule.script is None or job.is_shadow or job.benchmark_repeats not in (None, 1):
            return None
        if any(method in methods and getattr(job, directive) for method, directive in ELSEWHERE.items()):
            return None
        source = infer_source_file(str(job.rule.script), infer_source_file(job.rule.basedir))
        path = Path(source.get_path_or_uri(secret_free=True))
        return path.absolute() if isinstance(source, LocalSourceFile) and path.suffix == ".py" else None

    def _run_script(self, job: Any, path: Path, worker: Server | Named, plain: Callable[[], None]) -> None:
        """Run a script in a fork, with the job's benchmark; in the `plain` way if the worker is gone."""
        given = Snakemake(
            job.input, job.output, job.params, job.wildcards, job.threads, job.resources, job.log,
            self.workflow.config, job.rule.name, None, str(path.parent),
        )  # fmt: skip
        try:
            process = worker.start(
                Script(str(path), pickle.dumps(given), str(path.parent), job.rule.name, self._setting(job))
            )
        except Declined:
            plain()
            return
        except NoWorker as error:
            self._warn(error)
            plain()
            return
        record = BenchmarkRecord()
        if job.benchmark:
            watch(process, record)
        if status := process.wait():
            raise WorkflowError(f"Script {path} of rule {job.rule.name} returned non-zero exit status {status}.")
        if job.benchmark:
            account(process.usage, record)
            self._write_benchmark(job, record)

    def _setting(self, job: Any) -> Setting | None:
        """What a shared worker must be told, which any other has from this process."""
        if not self._shared:
            return None
        own = {name: value for name, value in os.environ.items() if name != FOLDER}
        return setting({**own, **job_environment(job.threads, job.resources.get("tmpdir"))})

    def _worker(self, threads: int, folder: str | None) -> Server | Named | None:
        """The worker whose environment is a job's own, once it is ready; None where the job should start plainly."""
        with self._lock:
            if self._cold:
                return None
            if (threads, folder) not in self._workers:
                self._workers[threads, folder] = (
                    Named(self._shared) if self._shared else Server(self._preload, job_environment(threads, folder))
                )
            worker = self._workers[threads, folder]
        try:
            return worker if worker.ready() else None
        except NoWorker as error:
            self._warn(error)
            return None

    def _warn(self, error: NoWorker) -> None:
        """Say once that jobs start in the plain way from now on."""
        with self._lock:
            if not self._cold:
                logger.warning(f"{error}; {PLAIN}")
            self._cold = True

    def _write_benchmark(self, job: Any, record: BenchmarkRecord) -> None:
        record.jobid, record.rule_name, record.threads = job.jobid, job.rule.name, job.threads
        record.wildcards, record.params, record.resources = job.wildcards, job.params, job.resources
        record.input = job.input
        write_benchmark_records([record], str(job.benchmark), self.workflow.output_settings.benchmark_extended)

    def shutdown(self) -> None:
        """Wait for the jobs that run, then end the workers."""
        super().shutdown()
        self._close()

    def cancel(self) -> None:
        """End the jobs that run, and the workers."""
        super().cancel()
        self._close()

    def _close(self) -> None:
        with self._lock:
            while self._workers:
                self._workers.popitem()[1].close()
