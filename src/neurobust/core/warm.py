"""A process that has the heavy modules imported and forks one job after the other from itself: the side that asks.

Importing torch takes longer than many a job's work. A worker (warm_server.py) imports it once. It is either this
process's own (`Server`), or one that serves several processes at a socket in a folder (`Named`, warm_groups.py).

A request is a `Script`; the answer, on a socket of the job's own, is the job's pid and later its exit status. A job is
killed when who asked for it is gone, and when the worker is.
"""

from __future__ import annotations

import os
import pickle
import select
import shlex
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

PRELOAD = (
    "numpy", "pandas", "pyarrow.parquet", "h5py", "scipy.stats", "scipy.ndimage", "nibabel", "msgspec",
    "safetensors.torch", "torch", "torch._dynamo", "torchvision", "matplotlib.figure", "snakemake.iocontainers",
    "snakemake.logging",
    # what the scripts of the stages call: a tenth of a second of imports for each job
    "neurobust.nsd.responses", "neurobust.predictors.train", "neurobust.networks.train", "neurobust.attacks.evaluate",
    "neurobust.attacks.transfer", "neurobust.attacks.semantic.evaluate", "neurobust.explain.network",
    "neurobust.report.ready",
)  # fmt: skip
SERVER = "neurobust.core.warm_server"
PLAIN = "jobs start in the plain way, which takes some seconds more for each."  # where there is no worker
FOLDER = "NEUROBUST_WARM_FOLDER"  # the variable that names a worker's folder to processes that share it
OWNER, JOBS = "owner", "jobs"  # the sockets in it
LENGTH = struct.Struct("!Q")
NUMBER = struct.Struct("!i")
DECLINED = 0  # in place of a pid
END = struct.Struct("!idqqq")  # exit status, then the fields of `Usage`


class NoWorker(Exception):
    """The worker could not be started, or is gone: start the job in the plain way."""


class Declined(NoWorker):
    """The worker is not for this job, or that it is gone was said already: start the job plainly and say nothing."""


@dataclass(frozen=True)
class Setting:
    """What a process inherits from the one that starts it, besides its standard streams."""

    environment: dict[str, str]
    folder: str
    umask: int
    processors: frozenset[int]


@dataclass(frozen=True)
class Script:
    """What a job runs: a script, the object that it finds as `snakemake` (pickled), and a name for `ps`.

    `setting`: for a named worker; a job of a worker of one's own inherits all from the worker.
    """

    path: str
    snakemake: bytes
    folder: str
    name: str
    setting: Setting | None = None


@dataclass(frozen=True)
class Usage:
    """What a process has cost, by the kernel's account: seconds of CPU, its own and of children that it waited for; the
    largest memory that it has held (KiB); blocks of 512 bytes that it has read from disks and written to them."""

    cpu: float
    memory: int
    read: int
    written: int


class Server:
    """A worker of this process. `environment`: variables over those of this process, numbers of threads among them."""

    def __init__(self, modules: Iterable[str] = PRELOAD, environment: Mapping[str, str] | None = None):
        self._socket, theirs = socket.socketpair()
        self._lock, self._ready = threading.Lock(), False
        command = [python(), "-m", SERVER, str(theirs.fileno()), *modules]
        with theirs:
            self.process = subprocess.Popen(
                command, pass_fds=[theirs.fileno()], env={**os.environ, **(environment or {})}
            )

    def ready(self, seconds: float | None = 0.0) -> bool:
        """Whether it has imported its modules, after waiting so long for it (None: as long as it takes).

        Raises NoWorker if it has ended instead.
        """
        with self._lock:
            if not self._ready and select.select([self._socket], [], [], seconds)[0]:
                if not self._socket.recv(1):
                    raise NoWorker(f"the warm worker did not start: it ended with status {self.process.wait()}")
                self._ready = True
            return self._ready

    def start(self, script: Script) -> Job:
        """Run a script in a new process; raise NoWorker if the worker is gone."""
        ours, theirs = socket.socketpair()
        message = pickle.dumps(script)
        try:
            with theirs, self._lock:
                socket.send_fds(self._socket, [LENGTH.pack(len(message))], [theirs.fileno()])
                self._socket.sendall(message)
            return Job(number(ours), ours)
        except OSError as error:
            ours.close()
            raise NoWorker(f"the warm worker is gone: {error}") from None

    def close(self) -> None:
        """End the worker, and with it what still runs; one that is not ready is not waited for."""
        if not self._ready:
            self.process.kill()
        self._socket.close()
        self.process.wait()


class Named:
    """A worker that another process has started, at the socket `jobs` of a folder."""

    def __init__(self, folder: str):
        self._folder = folder

    def ready(self, seconds: float | None = 0.0) -> bool:
        """Always: it may have to import its modules first, but a job that is started plainly has to as well."""
        return True

    def start(self, script: Script) -> Job:
        """Run a script with this process's standard streams. Raises NoWorker; Declined where nothing is to be said."""
        connection = socket.socket(socket.AF_UNIX)
        message = pickle.dumps(script)
        try:
            in_folder(self._folder, JOBS, connection.connect)
            socket.send_fds(connection, [LENGTH.pack(len(message))], [0, 1, 2])
            connection.sendall(message)
            pid = number(connection)
        except OSError as error:
            connection.close()
            try:  # of all processes that find the worker gone, one removes its socket and says so
                Path(self._folder, JOBS).unlink()
            except OSError:
                raise Declined("the warm worker is gone") from None
            raise NoWorker(f"the warm worker is gone: {error}") from None
        if pid == DECLINED:
            connection.close()
            raise Declined("the warm worker has other numbers of threads or other libraries")
        return Job(pid, connection)

    def close(self) -> None:
        """Nothing: it is not this process's."""


class Job:
    """A process that runs a script. It is killed when this object is gone before it has ended.

    `usage`: what it has cost, once `wait` has told that it has ended; None where the worker was killed with it.
    """

    def __init__(self, pid: int, report: socket.socket):
        self.pid, self._report = pid, report
        self.usage: Usage | None = None

    def wait_for(self, seconds: float) -> bool:
        """Whether it has ended, after waiting so long for it at most."""
        return bool(select.select([self._report], [], [], seconds)[0])

    def wait(self) -> int:
        """Its exit status once it has ended, as `subprocess` gives it: negative for a signal."""
        with self._report:
            try:
                status, *usage = END.unpack(receive(self._report, END.size))
            except OSError:  # the worker was killed, and the job with it
                return -signal.SIGKILL
        self.usage = Usage(*usage)
        return int(status)


def python() -> str:
    """The path of this Python, which the workflow quotes for shell commands where it has a space."""
    return sys.executable if Path(sys.executable).exists() else shlex.split(sys.executable)[0]


def job_environment(threads: int, folder: str | None = None) -> dict[str, str]:
    """The variables that Snakemake gives a job: numbers of threads, and the folder of temporary files."""
    limits = ("OMP_NUM", "GOTO_NUM", "OPENBLAS_NUM", "MKL_NUM", "VECLIB_MAXIMUM", "NUMEXPR_NUM")
    variables = {f"{limit}_THREADS": str(threads) for limit in limits}
    return variables | (dict.fromkeys(("TMPDIR", "TMP", "TEMPDIR", "TEMP"), folder) if folder else {})


def setting(environment: Mapping[str, str]) -> Setting:
    """What a process would inherit that this one starts with such an environment."""
    status = Path("/proc/self/status").read_text()  # os.umask() would change it, for all threads
    umask = next(int(line.split()[1], 8) for line in status.splitlines() if line.startswith("Umask:"))
    return Setting(dict(environment), str(Path.cwd()), umask, frozenset(os.sched_getaffinity(0)))


def in_folder(folder: str, name: str, bind_or_connect: Callable[[str], None]) -> None:
    """Bind or connect to a socket whose path may have more than the 107 letters that its address can have."""
    descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    try:
        bind_or_connect(f"/proc/self/fd/{descriptor}/{name}")
    finally:
        os.close(descriptor)


def receive(connection: socket.socket, size: int) -> bytes:
    """Exactly this many bytes; ConnectionError if the other end is closed before."""
    parts = bytearray()
    while len(parts) < size:
        part = connection.recv(size - len(parts))
        if not part:
            raise ConnectionError("the other end is closed")
        parts += part
    return bytes(parts)


def number(connection: socket.socket) -> int:
    """A number, such as a pid or a status."""
    return int(NUMBER.unpack(receive(connection, NUMBER.size))[0])
