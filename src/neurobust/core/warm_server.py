"""A process that has the heavy modules imported and forks one job after the other from itself: that process.

    python -m neurobust.core.warm_server FD MODULE...        one asks, on a socket that it has made
    python -m neurobust.core.warm_server FOLDER MODULE...    whoever connects to the socket `jobs` in a folder

It computes nothing, runs a single Python thread and never touches a GPU: a CUDA context does not survive a fork.

In the first form the modules are imported at once, a job inherits all from the server, and when the other end of FD is
gone the server kills its jobs and ends. In the second form a request brings the environment, working folder, processors
and standard streams of the one who asks. The modules are imported at the first request, in its environment, for that is
when libraries read their number of threads; who needs another number is declined. The server takes requests as long as
somebody listens at the socket `owner` in the folder. Then it removes the folder, and ends when its jobs have ended.
SIGTERM goes to all processes of a SLURM job: the jobs decide what to do about it, the server waits for them.
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
import shutil
import signal
import socket
import sys
import tempfile
import threading
import traceback
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NoReturn

from neurobust.core.warm import DECLINED, END, JOBS, LENGTH, NUMBER, OWNER, Script, Setting, in_folder, receive

# What Ctrl-C does to a process that starts here: nothing, where the shell started this one in the background.
INTERRUPT = signal.getsignal(signal.SIGINT)

DEATH_SIGNAL, NAME = 1, 15  # of prctl(2)
PATIENCE = 10.0  # seconds in which the whole of a request must arrive
# How variables begin that are read once: when Python starts, and when a library is imported.
AT_START = ("PYTHON", "LD_")
AT_IMPORT = (
    "OMP_", "GOMP_", "KMP_", "MKL_", "GOTO_", "OPENBLAS_", "BLIS_", "VECLIB_", "NUMEXPR_", "ATEN_", "DNNL_", "ONEDNN_",
    "TORCH", "PYTORCH", "CUBLAS_", "MALLOC_", "MPL",
)  # fmt: skip


@dataclass(frozen=True)
class Request:
    """A script to run, the socket of its report, the standard streams that came with it, and variables to add."""

    script: Script
    report: socket.socket
    streams: tuple[int, ...] = ()
    added: Mapping[str, str] = field(default_factory=dict)


class Pair:
    """Requests on one socket. With the one who asks all jobs go."""

    keeps_jobs = False

    def __init__(self, requests: socket.socket):
        self._requests = requests
        self.sockets: tuple[socket.socket, ...] = (requests,)
        with contextlib.suppress(OSError):  # where who asked is gone already, which is seen next
            requests.sendall(b"!")

    def take(self, ready: Sequence[socket.socket]) -> Request | None:
        """The next request of sockets that are `ready`; no `sockets` are left when there can be no more."""
        try:
            script, descriptors = read(self._requests, 1) if ready else (None, [])
        except OSError:
            self.sockets = ()
            return None
        return Request(script, socket.socket(fileno=descriptors[0])) if script else None


class Door:
    """Requests by connections to a socket in a folder, as long as somebody listens at another one there."""

    keeps_jobs = True

    def __init__(self, folder: str, modules: Iterable[str]):
        self._folder, self._modules = folder, modules
        self._early: dict[str, str] | None = None  # the variables with which the modules were imported
        self._added: dict[str, str] = {}  # variables that the modules have set
        self._requests, self._owner = (socket.socket(socket.AF_UNIX) for _ in range(2))
        self.sockets: tuple[socket.socket, ...] = (self._requests, self._owner)
        in_folder(folder, JOBS, self._requests.bind)
        self._requests.listen()
        in_folder(folder, OWNER, self._owner.connect)  # the sign that it can be asked

    def take(self, ready: Sequence[socket.socket]) -> Request | None:
        """The next request of sockets that are `ready`; no `sockets` are left when there can be no more."""
        if self._owner in ready:
            self.sockets = ()
            shutil.rmtree(self._folder, ignore_errors=True)
        return self._answer(self._requests.accept()[0]) if self._requests in ready and self.sockets else None

    def _answer(self, connection: socket.socket) -> Request | None:
        """The request of a connection; None if it was declined, or nobody is there any more."""
        connection.settimeout(PATIENCE)
        try:
            script, streams = read(connection, 3)
        except OSError:
            connection.close()
            return None
        connection.settimeout(None)
        request = Request(script, connection, tuple(streams), self._added)
        if self._admits(script):
            return request
        tell(connection, NUMBER.pack(DECLINED))
        close(request)
        return None

    def _admits(self, script: Script) -> bool:
        """Whether a script finds here what it would find in a process of its own; for the first one import it."""
        environment = script.setting.environment if script.setting else {}
        early = only(environment, AT_START + AT_IMPORT)
        if self._early is None and only(environment, AT_START) == only(os.environ, AT_START):
            for name in only(os.environ, AT_IMPORT):
                del os.environ[name]
            os.environ.update(early)
            before = dict(os.environ)
            load(self._modules)
            self._added.update(os.environ.items() - before.items())
            self._early = early
        return self._early == early


def only(environment: Mapping[str, str], beginnings: tuple[str, ...]) -> dict[str, str]:
    """The variables whose names begin so."""
    return {name: value for name, value in environment.items() if name.startswith(beginnings)}


def read(connection: socket.socket, count: int) -> tuple[Script, list[int]]:
    """A script and the descriptors that came with it; an OSError if it does not come whole."""
    header, descriptors, _, _ = socket.recv_fds(connection, LENGTH.size, count)
    try:
        if len(descriptors) != count:
            raise ConnectionError("no request")
        header += receive(connection, LENGTH.size - len(header))
        return pickle.loads(receive(connection, *LENGTH.unpack(header))), descriptors
    except OSError:
        for descriptor in descriptors:
            os.close(descriptor)
        raise


def close(request: Request) -> None:
    """Close all that came with a request."""
    request.report.close()
    for descriptor in request.streams:
        os.close(descriptor)


# --- serving --------------------------------------------------------------------------------------------------------


def serve(door: Pair | Door) -> Request | None:
    """Fork a process for each request until no more can come. A fork returns its request, the server itself None."""
    wake, woken = socket.socketpair()
    for end in (wake, woken):
        end.setblocking(False)
    signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    running: dict[int, socket.socket | None] = {}  # pid -> where its end is told, while somebody waits for it
    while door.sockets or (running and door.keeps_jobs):
        reports = [report for report in running.values() if report]
        ready = select.select([woken, *door.sockets, *reports], [], [])[0]
        if woken in ready:
            woken.recv(4096)
            report_ended(running)
        end_forsaken(running, ready)
        if (request := door.take([end for end in door.sockets if end in ready])) is None:
            continue
        if (pid := os.fork()) == 0:
            for end in (request.report, wake, woken, *door.sockets, *(report for report in running.values() if report)):
                end.close()
            return request
        running[pid] = request.report
        tell(request.report, NUMBER.pack(pid))
        for descriptor in request.streams:
            os.close(descriptor)
    for pid in running:
        os.kill(pid, signal.SIGKILL)
    return None


def report_ended(running: dict[int, socket.socket | None]) -> None:
    """Tell the status of every process that has ended since, and what it has cost."""
    while running:
        pid, status, cost = os.wait4(-1, os.WNOHANG)
        if pid == 0:
            return
        if report := running.pop(pid):
            usage = (cost.ru_utime + cost.ru_stime, cost.ru_maxrss, cost.ru_inblock, cost.ru_oublock)
            with report:
                tell(report, END.pack(os.waitstatus_to_exitcode(status), *usage))


def end_forsaken(running: dict[int, socket.socket | None], ready: Sequence[socket.socket]) -> None:
    """Kill the jobs whose reports nobody reads any more: nothing is ever sent on them but their end."""
    for pid, report in running.items():
        if report and report in ready:
            os.kill(pid, signal.SIGKILL)
            report.close()
            running[pid] = None


def tell(report: socket.socket, message: bytes) -> None:
    """Send a pid, or what `END` holds."""
    with contextlib.suppress(OSError):  # where nobody waits any more
        report.sendall(message)


# --- a fork ---------------------------------------------------------------------------------------------------------


def become(request: Request, parent: int) -> None:
    """Turn a fresh fork into the process of a script."""
    script = request.script
    libc = ctypes.CDLL(None)
    libc.prctl(DEATH_SIGNAL, signal.SIGKILL)
    if os.getppid() != parent:  # it was killed before this process asked to go with it
        os.kill(os.getpid(), signal.SIGKILL)
    libc.prctl(NAME, script.name.encode()[:15])
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGCHLD, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, INTERRUPT)
    if script.setting:
        settle(script.setting, request)
    sys.argv = [script.path]
    sys.path.append(script.folder)


def settle(setting: Setting, request: Request) -> None:
    """Take over what the one who asked would hand down to a process of its own."""
    for target, descriptor in enumerate(request.streams):
        os.dup2(descriptor, target)
        os.close(descriptor)
    sys.stdout.reconfigure(line_buffering=os.isatty(1))  # type: ignore[union-attr]  # a text file, as in any script
    os.environ.clear()
    os.environ.update({**setting.environment, **request.added})
    tempfile.tempdir = None  # an import may have asked for it, with the server's TMPDIR
    os.chdir(setting.folder)
    os.umask(setting.umask)
    with contextlib.suppress(OSError):  # processors that this process may not use: those that it may
        os.sched_setaffinity(0, setting.processors)


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


def load(modules: Iterable[str]) -> None:
    """Import the modules, to be shared by all forks until they write to them; end the process if one cannot be."""
    for module in modules:
        try:
            importlib.import_module(module)
        except Exception as error:
            sys.exit(f"neurobust: warning: a worker cannot import {module}: {error}")
    # Python 3.12 counts the threads of libraries too: allocators and BLAS, which take part in a fork
    warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
    gc.collect()
    gc.freeze()


def main(where: str, *modules: str) -> None:
    """Serve; in a forked process run its script."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the jobs; the driver decides on the server
    door: Pair | Door
    if where.isdigit():
        load(modules)
        door = Pair(socket.socket(fileno=int(where)))
    else:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        door = Door(where, modules)
    server = os.getpid()
    if request := serve(door):
        become(request, server)
        run(request.script)
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
