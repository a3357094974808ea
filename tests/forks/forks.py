"""Snakemake, and the scripts of its jobs, in forks of processes that have imported what they need: for tests.

To start Snakemake costs 1.2 CPU s before it has looked at a word of its command line, another second of imports and of
parsing our sources before it knows the jobs (ready.py), a script with torch 3. Tests whose point is not the start
itself use the fixture `snakemake`: what the command does is the same, and a worker has done the imports
(neurobust.core.warm_server, which tests/workflow/test_warm.py compares with real starts).
"""

import os
import pickle
import socket
import subprocess
import tempfile
from pathlib import Path

import pytest

from neurobust.core import warm
from neurobust.core.warm_groups import Worker

RULES = (
    "snakemake.cli", "snakemake.report.html_reporter",
    "snakemake_executor_plugin_warm", "snakemake_executor_plugin_slurm",
    "neurobust.study.border", "neurobust.study.mirror", "neurobust.study.paths", "neurobust.study.named_files",
    "ready",
)  # fmt: skip
COMMAND = Path(__file__).with_name("fork_of_snakemake.py")


class Forks:
    """Two workers: one has Snakemake imported, one what scripts import. Each imports at its first request.

    `environment`: what the commands will have of the variables that Python and libraries read when they start; one with
    others is declined.
    """

    def __init__(self, environment):
        with pytest.MonkeyPatch.context() as patch:
            for name, value in beside(environment).items():
                patch.setenv(name, value)
            self._rules, self._jobs = Worker(RULES), Worker()

    def run(self, words, environment, timeout):
        """As subprocess.run with captured text. `words`: those after `snakemake`. Raises NoWorker if it is declined."""
        setting = warm.setting({**beside(environment), warm.FOLDER: self._jobs.folder})
        script = warm.Script(str(COMMAND), pickle.dumps(words), str(COMMAND.parent), "snakemake", setting)
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err, Path(os.devnull).open("rb") as nothing:
            job = ask(self._rules.folder, script, [stream.fileno() for stream in (nothing, out, err)])
            if not job.wait_for(timeout):
                raise subprocess.TimeoutExpired(words, timeout)  # and the job is killed with its socket
            status = job.wait()
            texts = [(stream.seek(0), stream.read().decode())[1] for stream in (out, err)]
        return subprocess.CompletedProcess(words, status, *texts)

    def close(self):
        self._rules.close()
        self._jobs.close()


def beside(environment):
    """The environment in which Python finds `ready` too, after all else."""
    paths = (environment.get("PYTHONPATH"), str(COMMAND.parent))
    return {**environment, "PYTHONPATH": os.pathsep.join(filter(None, paths))}


def ask(folder, script, streams):
    """A job of the worker in a folder, with these standard streams; compare warm.Named.start."""
    connection = socket.socket(socket.AF_UNIX)
    message = pickle.dumps(script)
    try:
        warm.in_folder(folder, warm.JOBS, connection.connect)
        socket.send_fds(connection, [warm.LENGTH.pack(len(message))], streams)
        connection.sendall(message)
        pid = warm.number(connection)
    except OSError as error:
        connection.close()
        raise warm.NoWorker(f"the worker is gone: {error}") from None
    if pid == warm.DECLINED:
        connection.close()
        raise warm.NoWorker("another environment")
    return warm.Job(pid, connection)
