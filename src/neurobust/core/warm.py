"""A process that has the heavy modules imported and forks one job after the other from itself.

Importing torch takes longer than many a job's work. `python -m neurobust.core.warm FD MODULE...` imports the modules
once and then, for each request on the socket FD, forks a process that runs one script as `python script` would. The
server computes nothing, runs a single Python thread and never touches a GPU: a CUDA context does not survive a fork.

A request carries the socket on which its job is reported: first the job's pid, then its exit status. When the other
end of FD is gone the server kills its jobs and ends; when the server is killed the kernel kills its jobs.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import gc
import importlib
import os
import pickle
import runpy
import select
import selectors
import shlex
import signal
import socket
import struct
import subprocess
import sys
import threading
import traceback
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

PRELOAD = (
    "numpy", "pandas", "pyarrow.parquet", "h5py", "scipy.stats", "safetensors.torch", "torch", "torch._dynamo",
    "torchvision", "matplotlib.figure", "snakemake.iocontainers", "snakemake.logging",
)  # fmt: skip
LENGTH = struct.Struct("!Q")
NUMBER = struct.Struct("!i")
DEATH_SIGNAL, NAME = 1, 15  # of prctl(2)


class NoWorker(Exception):
    """The server could not be started, or is gone: start the job in the plain way."""


@dataclass(frozen=True)
class Script:
    """What a job runs: a script, the object that it finds as `snakemake` (pickled), and a name for `ps`."""

    path: str
    snakemake: bytes
    folder: str
    name: str


# --- the side that asks ---------------------------------------------------------------------------------------------


class Server:
    """The other process. `environment`: variables over those of this process, numbers of threads among them."""

    def __init__(self, modules: Iterable[str] = PRELOAD, environment: Mapping[str, str] | None = None):
        self._socket, theirs = socket.socketpair()
        self._lock, self._ready = threading.Lock(), False
        command = [python(), "-m", "neurobust.core.warm", str(theirs.fileno()), *modules]
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
        """Run a script in a new process; raise NoWorker if the server is gone."""
        ours, theirs = socket.socketpair()
        message = pickle.dumps(script)
        try:
            with theirs, self._lock:
                socket.send_fds(self._socket, [LENGTH.pack(len(message))], [theirs.fileno()])
                self._socket.sendall(message)
            return Job(_number(ours), ours)
        except OSError as error:
            ours.close()
            raise NoWorker(f"the warm worker is gone: {error}") from None

    def close(self) -> None:
        """End the server, and with it what still runs; one that is not ready is not waited for."""
        if not self._ready:
            self.process.kill()
        self._socket.close()
        self.process.wait()


class Job:
    """A process that runs a script."""

    def __init__(self, pid: int, report: socket.socket):
        self.pid, self._report = pid, report

    def wait_for(self, seconds: float) -> bool:
        """Whether it has ended, after waiting so long for it at most."""
        return bool(select.select([self._report], [], [], seconds)[0])

    def wait(self) -> int:
        """Its exit status once it has ended, as `subprocess` gives it: negative for a signal."""
        with self._report:
            try:
                return _number(self._report)
            except OSError:  # the server was killed, and the job with it
                return -signal.SIGKILL


def python() -> str:
    """The path of this Python, which the workflow quotes for shell commands where it has a space."""
    return sys.executable if Path(sys.executable).exists() else shlex.split(sys.executable)[0]


def _receive(connection: socket.socket, size: int) -> bytes:
    """Exactly so many bytes."""
    parts = bytearray()
    while len(parts) < size:
        part = connection.recv(size - len(parts))
        if not part:
            raise ConnectionError("the other end is closed")
        parts += part
    return bytes(parts)


def _number(connection: socket.socket) -> int:
    return int(NUMBER.unpack(_receive(connection, NUMBER.size))[0])


# --- the side that serves -------------------------------------------------------------------------------------------


def serve(requests: socket.socket) -> Script | None:
    """Fork a process for each request until no more can come. A fork returns its script, the server itself None."""
    wake, woken = socket.socketpair()
    for end in (wake, woken):
        end.setblocking(False)
    signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    running: dict[int, socket.socket] = {}
    try:
        requests.sendall(b"!")
    except OSError:  # who asked is gone already
        return None
    with selectors.DefaultSelector() as selector:
        selector.register(requests, selectors.EVENT_READ)
        selector.register(woken, selectors.EVENT_READ)
        while True:
            ready = {key.fileobj for key, _ in selector.select()}
            if woken in ready:
                woken.recv(4096)
                _report_ended(running)
            if requests in ready:
                try:
                    script, report = _read_request(requests)
                except OSError:
                    break
                if (pid := os.fork()) == 0:
                    for connection in (requests, report, wake, woken, *running.values()):
                        connection.close()
                    return script
                running[pid] = report
                _tell(report, pid)
    for pid in running:
        os.kill(pid, signal.SIGKILL)
    return None


def _read_request(requests: socket.socket) -> tuple[Script, socket.socket]:
    header, descriptors, _, _ = socket.recv_fds(requests, LENGTH.size, 1)
    if not header:
        raise ConnectionError("no more requests")
    header += _receive(requests, LENGTH.size - len(header))
    return pickle.loads(_receive(requests, *LENGTH.unpack(header))), socket.socket(fileno=descriptors[0])


def _report_ended(running: dict[int, socket.socket]) -> None:
    """Tell the status of every process that has ended since."""
    while running:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return
        with running.pop(pid) as report:
            _tell(report, os.waitstatus_to_exitcode(status))


def _tell(report: socket.socket, number: int) -> None:
    with contextlib.suppress(OSError):  # where nobody waits any more
        report.sendall(NUMBER.pack(number))


def become(script: Script, parent: int) -> None:
    """Turn a fresh fork into the process of a script."""
    libc = ctypes.CDLL(None)
    libc.prctl(DEATH_SIGNAL, signal.SIGKILL)
    if os.getppid() != parent:  # it was killed before this process asked to go with it
        os.kill(os.getpid(), signal.SIGKILL)
    libc.prctl(NAME, script.name.encode()[:15])
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.argv = [script.path]
    sys.path.append(script.folder)


def run(script: Script) -> NoReturn:
    """Run a script and end the process, without taking apart all that was imported: that takes two seconds."""
    status: object = 1
    try:
        runpy.run_path(script.path, init_globals={"snakemake": pickle.loads(script.snakemake)}, run_name="__main__")
        status = 0
    except SystemExit as end:
        status = 0 if end.code is None else end.code
    except BaseException:
        traceback.print_exc()
    if not isinstance(status, int):
        print(status, file=sys.stderr)
        status = 1
    try:
        threading._shutdown()  # type: ignore[attr-defined]  # waits for threads, as the end of any program does
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException:
        status = status or 1
    os._exit(status)


def main(descriptor: str, *modules: str) -> None:
    """Import the modules, then serve; in a forked process run its script."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the jobs; the driver decides on the server
    requests = socket.socket(fileno=int(descriptor))
    try:
        for module in modules:
            importlib.import_module(module)
    except Exception as error:
        sys.exit(f"neurobust: warning: a worker cannot import {module}: {error}")
    # Python 3.12 counts the threads of libraries too: allocators and BLAS, which take part in a fork
    warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
    gc.collect()
    gc.freeze()  # the jobs share what was imported until they write to it
    server = os.getpid()
    if script := serve(requests):
        become(script, server)
        run(script)
    os._exit(0)


def job_environment(threads: int, folder: str | None = None) -> dict[str, str]:
    """The variables that Snakemake gives a job: numbers of threads, and the folder of temporary files."""
    limits = ("OMP_NUM", "GOTO_NUM", "OPENBLAS_NUM", "MKL_NUM", "VECLIB_MAXIMUM", "NUMEXPR_NUM")
    variables = {f"{limit}_THREADS": str(threads) for limit in limits}
    return variables | (dict.fromkeys(("TMPDIR", "TMP", "TEMPDIR", "TEMP"), folder) if folder else {})


if __name__ == "__main__":
    main(*sys.argv[1:])
