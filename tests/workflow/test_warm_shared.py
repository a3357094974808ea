"""A warm worker that several processes share: who may ask it, and who goes with whom."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from cluster import birth, wait_until

from neurobust.core.warm import LENGTH, PRELOAD, NoWorker
from neurobust.core.warm_groups import Worker

LIGHT = ["json", "decimal"]
WITH_PROBES = os.pathsep.join([str(Path(__file__).parent / "probes"), os.environ.get("PYTHONPATH", "")])

CLIENT = """
import os, sys
from neurobust.core.warm import Declined, Named, NoWorker, Script, setting
folder, script, name = sys.argv[1:]
environment = {key: value for key, value in os.environ.items() if key != "DROP"}
try:
    job = Named(folder).start(Script(script, b"N.", "lib", name, setting(environment)))
except NoWorker as error:
    print(type(error).__name__)
    sys.exit(99)
status = job.wait()
sys.exit(status if status >= 0 else 100 - status)
"""


@pytest.fixture
def worker(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", WITH_PROBES)
    worker = Worker([*LIGHT, "tests_temporary_probe"])
    yield worker
    worker.close()
    assert worker.process.poll() is not None and not Path(worker.folder).exists()


@pytest.fixture
def ask(tmp_path):
    """Start a process that asks a worker to run a script of these lines."""
    asking = []

    def ask(worker, *lines, name="a_rule", before=None, **options):
        path = tmp_path / f"script{len(asking)}.py"
        path.write_text("\n".join(lines))
        command = [sys.executable, "-c", CLIENT, worker.folder, str(path), name]
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **options}
        asking.append(subprocess.Popen(command, preexec_fn=before, **options))
        return asking[-1]

    yield ask
    for process in asking:
        process.kill()
        process.wait()


def answer(process):
    """(status, standard output) of one who asked."""
    out, err = process.communicate(timeout=60)
    assert not err, err
    return process.returncode, out


def test_processes_share_a_worker_one_after_the_other_and_at_once(worker, ask):
    line = "import os, sys; print(os.getppid(), 'decimal' in sys.modules)"
    same = (0, f"{worker.process.pid} True\n")
    assert answer(ask(worker, line)) == same
    assert answer(ask(worker, line)) == same
    asking = [ask(worker, "import time; time.sleep(0.2)", line) for _ in range(6)]
    assert [answer(process) for process in asking] == [same] * 6


def test_only_its_owner_can_reach_a_worker(worker):
    assert Path(worker.folder).stat().st_mode & 0o777 == 0o700


def test_the_status_is_that_of_the_script(worker, ask):
    endings = {"pass": 0, "raise SystemExit(75)": 75, "import os; os.kill(os.getpid(), 9)": 109}
    asking = {line: ask(worker, line) for line in endings}
    assert {line: answer(process)[0] for line, process in asking.items()} == endings
    failing = ask(worker, "1 / 0")
    assert "ZeroDivisionError" in failing.communicate()[1] and failing.returncode == 1


SEEN = (
    "import json, os, signal, sys, tempfile",
    "os.umask(mask := os.umask(0))",
    "signals = {str(number): str(signal.getsignal(number)) for number in (2, 15, 17)}",
    "descriptors = sorted(os.listdir('/proc/self/fd'))",
    "print(json.dumps([dict(os.environ), os.getcwd(), sorted(os.sched_getaffinity(0)), mask, signals, descriptors,",
    "    sys.stdin.read(), tempfile.gettempdir(), sys.stdout.line_buffering, sys.stderr.line_buffering]))",
    "print('to stderr', file=sys.stderr)",
    "os.write(1, b'to stdout')",
)


def test_a_fork_is_what_a_process_started_here_would_be(worker, ask, tmp_path):
    """Environment, working folder, processors, mask, signals, standard streams, and no open file more."""
    place = tmp_path / "elsewhere"
    place.mkdir()
    first = ask(worker, "pass", env={**os.environ, "GONE": "with the first"})
    assert answer(first) == (0, "")
    one = {min(os.sched_getaffinity(0))}

    def before():
        os.sched_setaffinity(0, one)
        os.umask(0o027)

    environment = {
        **os.environ,
        "CUDA_VISIBLE_DEVICES": "7",
        "TMPDIR": "/var/tmp",
        "SLURM_STEP_ID": "3",
        "ODD": "ü \n=",
    }
    del environment["HOME"]
    done = {}
    for way in ("warm", "plain"):
        with (tmp_path / "in").open("w+") as given, (tmp_path / way).open("w+") as out:
            given.write("from stdin")
            given.seek(0)
            options = {"stdin": given, "stdout": out, "stderr": subprocess.STDOUT, "cwd": place, "env": environment}
            if way == "warm":
                process = ask(worker, *SEEN, before=before, **options)
            else:
                (tmp_path / "plain.py").write_text("\n".join(SEEN))
                process = subprocess.Popen([sys.executable, str(tmp_path / "plain.py")], preexec_fn=before, **options)
            assert process.wait(60) == 0
            out.seek(0)
            done[way] = out.read()
    assert done["warm"] == done["plain"]
    assert '"CUDA_VISIBLE_DEVICES": "7"' in done["warm"] and "from stdin" in done["warm"]
    assert f"{place}" in done["warm"] and str(sorted(one)) in done["warm"]


def test_other_numbers_of_threads_are_declined(worker, ask):
    threads = lambda number: {**os.environ, "OMP_NUM_THREADS": number}  # noqa: E731
    line = "import os; print(os.environ['OMP_NUM_THREADS'])"
    assert answer(ask(worker, line, env=threads("3"))) == (0, "3\n")
    assert answer(ask(worker, line, env=threads("4"))) == (99, "Declined\n")
    assert answer(ask(worker, line, env={**threads("3"), "PYTHONHASHSEED": "5"})) == (99, "Declined\n")
    assert answer(ask(worker, line, env=threads("3"))) == (0, "3\n")


WAIT = "import os, time; print(os.getpid(), flush=True); time.sleep(600)"


def test_a_killed_client_takes_its_job_along_and_no_other(worker, ask):
    one, other = ask(worker, WAIT), ask(worker, WAIT)
    pids = [int(process.stdout.readline()) for process in (one, other)]
    one.kill()
    wait_until("its job is gone", lambda: not birth(pids[0]))
    assert birth(pids[1]) and other.poll() is None
    assert answer(ask(worker, "print('still there')")) == (0, "still there\n")
    os.kill(pids[1], signal.SIGKILL)
    assert other.wait(60) == 109


def test_sigterm_is_for_the_jobs_and_the_worker_waits_for_them(worker, ask):
    """SLURM sends it to all processes of a job."""
    careful = ask(
        worker,
        "import os, signal, sys, time",
        "signal.signal(signal.SIGTERM, lambda *_: (time.sleep(0.5), print('left in good order'), sys.exit(75)))",
        WAIT,
    )  # fmt: skip
    careless = ask(worker, WAIT)
    pids = [int(process.stdout.readline()) for process in (careful, careless)]
    for pid in (worker.process.pid, *pids):
        os.kill(pid, signal.SIGTERM)
    assert answer(careful) == (75, "left in good order\n")
    assert careless.wait(60) == 100 + signal.SIGTERM
    assert worker.process.poll() is None


def test_a_killed_worker_takes_its_jobs_along_and_is_told_of_once(worker, ask):
    job = ask(worker, WAIT)
    pid = int(job.stdout.readline())
    worker.process.kill()
    assert job.wait(60) == 109
    wait_until("no job is left", lambda: not birth(pid))
    asking = [ask(worker, "pass") for _ in range(4)]
    assert sorted(answer(process)[1] for process in asking) == ["Declined\n"] * 3 + ["NoWorker\n"]


def test_a_worker_goes_with_its_owner_once_its_jobs_have_ended(ask, tmp_path):
    """As when the Snakemake of the SLURM job is killed, and what it has started goes on until SLURM ends it."""
    lines = "import sys; from neurobust.core.warm_groups import Worker; worker = Worker(['json'])"
    command = [sys.executable, "-c", f"{lines}; print(worker.process.pid, worker.folder, flush=True); sys.stdin.read()"]
    owner = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    pid, folder = owner.stdout.readline().split()
    worker = type("Known", (), {"folder": folder})
    gate = tmp_path / "go on"
    waiting = f"while not os.path.exists({str(gate)!r}): time.sleep(0.05)"
    job = ask(worker, "import os, time; print('begun', flush=True)", waiting)
    assert job.stdout.readline() == "begun\n"
    owner.kill()
    owner.wait()
    wait_until("no more jobs are taken", lambda: not Path(folder).exists())
    assert birth(int(pid)) and job.poll() is None
    gate.touch()
    assert job.wait(60) == 0
    wait_until("the worker is gone", lambda: not birth(int(pid)))


def test_a_shared_worker_that_cannot_import_is_told_of_once(ask, capfd):
    worker = Worker(["json", "no_such_module"])
    assert [answer(ask(worker, "pass"))[1] for _ in range(3)] == ["NoWorker\n", "Declined\n", "Declined\n"]
    worker.close()
    assert capfd.readouterr().err.count("cannot import no_such_module") == 1


HANGS = ["sh", "-c", "exec sleep 60"]


@pytest.mark.parametrize(
    ("before", "reason"), [(["false"], "ended with status 1"), (HANGS, "within 1 s"), (["/no/srun"], "No such file")]
)
def test_a_shared_worker_that_does_not_start_leaves_nothing(before, reason, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(NoWorker, match=reason):
        Worker(LIGHT, before=before, patience=1)
    assert not list(tmp_path.iterdir())


def test_the_path_of_a_socket_may_be_long(tmp_path, ask, monkeypatch):
    folder = tmp_path / ("x" * 120)
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    worker = Worker(LIGHT)
    assert answer(ask(worker, "print('here')")) == (0, "here\n")
    worker.close()
    assert not list(folder.iterdir())


def test_nonsense_at_the_door_does_no_harm(worker, ask):
    for message in (b"", b"?", LENGTH.pack(5) + b"?"):
        with socket.socket(socket.AF_UNIX) as visitor:
            visitor.connect(f"{worker.folder}/jobs")
            visitor.sendall(message)
    assert answer(ask(worker, "print('here')")) == (0, "here\n")


def test_cuda_is_not_touched_in_a_shared_worker(ask):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", WITH_PROBES)
        worker = Worker([*PRELOAD, "tests_cuda_probe"])
        found = "import sys; print('torch' in sys.modules, 'neurobust.networks.train' in sys.modules)"
        assert answer(ask(worker, found)) == (0, "True True\n")
    worker.close()


@pytest.mark.skipif(not Path("/dev/nvidiactl").exists(), reason="needs a GPU")
def test_forks_of_a_shared_worker_use_the_gpu_that_they_are_given(ask):
    worker = Worker(["torch"])
    line = "import torch; print(torch.cuda.is_available() and torch.ones(3, device='cuda').sum().item())"
    asking = [ask(worker, line, env={**os.environ, "CUDA_VISIBLE_DEVICES": given}) for given in ("0", "", "0")]
    assert [answer(process) for process in asking] == [(0, "3.0\n"), (0, "False\n"), (0, "3.0\n")]
    worker.close()
