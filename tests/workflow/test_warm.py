"""Warm workers: a fork runs a script as a new Python would, and no process stays behind, whatever is killed."""

import json
import os
import pickle
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from cluster import wait_until
from snakemake.benchmark import BenchmarkRecord

from neurobust.core.warm import LENGTH, PRELOAD, NoWorker, Script, Server, job_environment
from neurobust.core.warm_groups import Worker
from snakemake_executor_plugin_warm.measured import account, watch

LIGHT = ["json", "decimal"]
WITH_PROBES = os.pathsep.join([str(Path(__file__).parent / "probes"), os.environ.get("PYTHONPATH", "")])


def alive(pid):
    """Whether a process runs (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@pytest.fixture
def server():
    server = Server(LIGHT, job_environment(3, "/tmp"))
    assert server.ready(None)
    yield server
    server.close()


@pytest.fixture
def start(server, tmp_path):
    """Start a script of these lines."""

    def start(*lines, given=None, name="a_rule_of_a_long_name"):
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.py"
        path.write_text("\n".join(lines))
        return server.start(Script(str(path), pickle.dumps(given), str(tmp_path / "lib"), name))

    return start


def test_a_script_finds_what_a_new_python_would_give_it(start, server, tmp_path):
    job = start(
        "import json, os, signal, sys, threading",
        "found = dict(given=snakemake, name=__name__, file=__file__, argv=sys.argv, path=sys.path[-1],",
        "    threads=os.environ['OMP_NUM_THREADS'], tmp=os.environ['TMPDIR'], loaded='decimal' in sys.modules,",
        "    interrupt=signal.getsignal(signal.SIGINT) is signal.default_int_handler, parent=os.getppid(),",
        "    child=signal.getsignal(signal.SIGCHLD) == signal.SIG_DFL, comm=open('/proc/self/comm').read(),",
        "    tasks=len(os.listdir('/proc/self/task')), folder=os.getcwd())",
        f"json.dump(found, open({str(tmp_path / 'found.json')!r}, 'w'))",
        given={"a": [1, 2]},
    )  # fmt: skip
    assert job.wait() == 0
    found = json.loads((tmp_path / "found.json").read_text())
    script = str(tmp_path / "0.py")
    assert found == {
        "given": {"a": [1, 2]}, "name": "__main__", "file": script, "argv": [script], "path": str(tmp_path / "lib"),
        "threads": "3", "tmp": "/tmp", "loaded": True, "interrupt": True, "parent": server.process.pid,
        "child": True, "comm": "a_rule_of_a_lon\n", "tasks": 1, "folder": str(Path.cwd()),
    }  # fmt: skip


def test_the_status_is_that_of_a_python_script(start):
    endings = {
        "pass": 0, "import sys; sys.exit()": 0, "import sys; sys.exit(75)": 75, "import sys; sys.exit('no')": 1,
        "1 / 0": 1, "import os; os.kill(os.getpid(), 9)": -9, "import os; os.abort()": -6,
    }  # fmt: skip
    jobs = {line: start(line) for line in endings}
    assert {line: job.wait() for line, job in jobs.items()} == endings


def test_what_a_script_leaves_to_the_end_is_done(start, tmp_path):
    """Threads are waited for, exit functions are called, buffers are flushed."""
    out = tmp_path / "out"
    assert start(
        "import atexit, threading, time",
        f"file = open({str(out)!r}, 'a')",
        "atexit.register(lambda: (file.write('exit'), file.close()))",
        "threading.Thread(target=lambda: (time.sleep(0.2), file.write('thread '))).start()",
    ).wait() == 0  # fmt: skip
    assert out.read_text() == "thread exit"


def test_many_jobs_at_once_are_told_apart(start):
    jobs = [start(f"import time; time.sleep(0.01 * {20 - i}); raise SystemExit({i})") for i in range(20)]
    assert [job.wait() for job in jobs] == list(range(20))


def test_what_a_job_has_cost_is_the_kernel_s_account(start, tmp_path):
    out = tmp_path / "own.json"
    job = start(
        "import json, resource, time",
        "held = bytearray(64 * 2**20)",
        "while time.process_time() < 0.2: pass",
        "own = resource.getrusage(resource.RUSAGE_SELF)",
        f"json.dump([own.ru_utime + own.ru_stime, own.ru_maxrss], open({str(out)!r}, 'w'))",
    )
    assert job.wait() == 0
    cpu, memory = json.loads(out.read_text())
    assert job.usage.cpu >= cpu >= 0.2 and job.usage.memory >= memory > 64 * 1024


def test_the_record_of_a_job_is_the_kernel_s_account_and_a_few_looks(start):
    def record_of(*lines):
        job, record = start(*lines), BenchmarkRecord()
        watch(job, record)
        assert job.wait() == 0
        account(job.usage, record)
        return dict(zip(record.get_header(), record.get_benchmarks(), strict=True))

    burn = "import time\nwhile time.process_time() < 0.1: pass"
    short, long = record_of(burn), record_of(burn, "time.sleep(1.5)")
    for record in (short, long):
        assert record["cpu_time"] >= 0.1 and record["max_rss"] > 1 and record["mean_load"] > 0
    assert short["s"] < long["s"] and short["cpu_time"] < short["s"] + 0.1
    assert 0 < long["max_uss"] <= long["max_rss"] and long["max_vms"] >= long["max_rss"]


def test_jobs_go_with_their_server(start, server):
    job = start("import time; time.sleep(600)")
    os.kill(server.process.pid, signal.SIGKILL)
    assert job.wait() == -signal.SIGKILL and job.usage is None
    wait_until("no job is left", lambda: not alive(job.pid))
    with pytest.raises(NoWorker):
        start("pass")


def test_the_server_and_its_jobs_go_with_who_asked(start, server):
    """As when the driver is killed: the kernel closes its end of the socket."""
    jobs = [start("import time; time.sleep(600)") for _ in range(3)]
    server._socket.close()
    wait_until("the server is gone", lambda: server.process.poll() is not None)
    wait_until("no job is left", lambda: not any(alive(job.pid) for job in jobs))


def test_a_module_that_cannot_be_imported_is_no_worker(capfd):
    server = Server(["json", "no_such_module"])
    with pytest.raises(NoWorker, match="did not start"):
        server.ready(None)
    server.close()
    assert capfd.readouterr().err.count("\n") == 1


def test_cuda_is_not_touched_before_the_fork():
    """A context that exists before the fork cannot be used after it, and jobs are to have a GPU."""
    server = Server([*PRELOAD, "tests_cuda_probe"], {"PYTHONPATH": WITH_PROBES})
    assert server.ready(None)
    server.close()


# --- a worker that several processes share --------------------------------------------------------------------------

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
    wait_until("its job is gone", lambda: not alive(pids[0]))
    assert alive(pids[1]) and other.poll() is None
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
    wait_until("no job is left", lambda: not alive(pid))
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
    assert alive(int(pid)) and job.poll() is None
    gate.touch()
    assert job.wait(60) == 0
    wait_until("the worker is gone", lambda: not alive(int(pid)))


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


# --- the executor ---------------------------------------------------------------------------------------------------

SNAKEFILE = """
from neurobust.core.warm_groups import take_part

take_part(workflow)

rule all:
    input: expand("{n}.txt", n=range(4))

rule write:
    output: "{n}.txt"
    log: "{n}.log"
    benchmark: "{n}.tsv"
    params: ["x y", 2.5]
    threads: 2
    script: "write.py"
"""
SCRIPT = """
import os, sys, json
text = [snakemake.input, snakemake.output, snakemake.params, snakemake.wildcards, snakemake.threads, snakemake.log]
given = [str(dict(part.items()) or list(part)) if hasattr(part, "items") else part for part in text]
given += [snakemake.rule, snakemake.config, os.environ["OMP_NUM_THREADS"], os.path.basename(__file__), os.getcwd()]
open(snakemake.output[0], "w").write(json.dumps(given))
open(snakemake.log[0], "w").write(str("decimal" in sys.modules))
"""


@pytest.fixture
def toy(tmp_path):
    """Run a small workflow in a folder of this name; the finished process."""

    def toy(*arguments, script=SCRIPT, folder="my folder"):
        place = tmp_path / folder
        place.mkdir(exist_ok=True)
        (place / "Snakefile").write_text(SNAKEFILE)
        (place / "write.py").write_text(script)
        command = [sys.executable, "-m", "snakemake", "--cores", "4", "--config", "key=1", *arguments]
        done = subprocess.run(command, cwd=place, capture_output=True, text=True, timeout=120)
        done.text, done.folder = done.stdout + done.stderr, place
        return done

    return toy


WARM = ("--executor", "warm", "--warm-preload", "decimal")


def outputs(done):
    return {path.name: path.read_text() for path in sorted(done.folder.glob("*.txt"))}


def test_scripts_get_the_same_from_both_executors(toy):
    warm = toy(*WARM)
    first, costs = outputs(warm), [path.read_text().splitlines() for path in warm.folder.glob("*.tsv")]
    plain = toy("--executor", "local", "--forceall")
    assert warm.returncode == plain.returncode == 0, warm.text + plain.text
    assert len(first) == 4 and first == outputs(plain)
    after = [path.read_text().splitlines()[0] for path in plain.folder.glob("*.tsv")]
    assert [lines[0] for lines in costs] == after and len(after) == 4 and after[0].startswith("s\th:m:s\tmax_rss")


def test_a_failing_script_fails_its_job_and_loses_its_outputs(toy):
    done = toy(*WARM, "--keep-going", script=SCRIPT + "\nif snakemake.wildcards.n == '2': sys.exit(3)")
    assert done.returncode != 0
    assert "non-zero exit status 3" in done.text and "Traceback" not in done.text
    assert set(outputs(done)) == {"0.txt", "1.txt", "3.txt"}


SLOW = "import time; time.sleep(1)\n" + SCRIPT


def test_a_worker_that_cannot_start_is_one_warning_and_the_jobs_run(toy):
    done = toy("--executor", "warm", "--warm-preload", "no_such_module", "--cores", "1", script=SLOW)
    assert done.returncode == 0, done.text
    assert done.text.count("jobs start in the plain way") == 1
    assert len(outputs(done)) == 4


KILLER = """
import signal, time
worker = open(f"/proc/{os.getppid()}/cmdline").read()
if "neurobust.core.warm" in worker and not os.path.exists("shot"):
    open("shot", "w").close()
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(60)
"""


def test_a_worker_that_is_lost_fails_its_job_and_the_rest_runs(toy):
    done = toy(*WARM, "--cores", "1", "--retries", "1", script=SLOW + KILLER)
    assert done.returncode == 0, done.text
    assert (done.folder / "shot").exists() and "non-zero exit status -9" in done.text
    assert done.text.count("jobs start in the plain way") == 1
    assert len(outputs(done)) == 4


def test_jobs_start_warm_once_the_worker_is_ready(toy):
    done = toy(*WARM, "--cores", "2", script=SLOW)
    logs = [path.read_text() for path in sorted(done.folder.glob("*.log"))]
    assert "True" in logs, "later jobs find what the worker imported"


def test_the_local_profile_starts_jobs_warm(project):
    assert re.search(r"(?m)^executor: warm\b", (project / "profiles/local/config.yaml").read_text())


# --- several jobs in one SLURM job ----------------------------------------------------------------------------------

SRUN = """#!/bin/sh
echo "$*" >> "$CALLS"
case "$* $NO_STEP" in *warm_server*1) exit 3;; esac
while case "$1" in -*) true;; *) false;; esac; do shift; done
exec "$@"
"""
WHOSE = 'open(snakemake.log[0], "a").write(open(f"/proc/{os.getppid()}/cmdline").read().replace("\\0", " "))\n'
JOBSTEP = (
    "--executor", "slurm-jobstep", "--jobs", "1", "--mode", "remote", "--allowed-rules", "write",
    "--local-groupid", "7", "--no-hooks", "--nolock", "--keep-going",
)  # fmt: skip


@pytest.fixture
def slurm_job(toy, tmp_path, monkeypatch):
    """What the SLURM plugin starts inside a SLURM job of a group of jobs, with a stand-in for srun."""
    (tmp_path / "bin").mkdir()
    srun = tmp_path / "bin/srun"
    srun.write_text(SRUN)
    srun.chmod(0o755)
    (tmp_path / "temporary").mkdir()
    for name, value in {
        "PATH": f"{srun.parent}:{os.environ['PATH']}", "SLURM_JOB_ID": "1", "CALLS": str(tmp_path / "calls"),
        "TMPDIR": str(tmp_path / "temporary"),
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)

    def slurm_job(asked, *numbers, script=SCRIPT + WHOSE, folder="my folder"):
        monkeypatch.setenv("NEUROBUST_WARM_GROUPS", asked)
        (tmp_path / "calls").write_text("")
        done = toy(*JOBSTEP, "--target-jobs", *(f"write:n={n}" for n in numbers), script=script, folder=folder)
        done.calls = (tmp_path / "calls").read_text().splitlines()
        done.logs = [path.read_text() for path in sorted(done.folder.glob("*.log"))]
        assert not list((tmp_path / "temporary").iterdir()), "nothing is left of a worker"
        return done

    return slurm_job


def test_jobs_of_a_group_are_forks_of_one_worker(slurm_job):
    warm, plain = slurm_job("decimal", 0, 1, 2), slurm_job("", 0, 1, 2, folder="plain")
    assert warm.returncode == plain.returncode == 0, warm.text + plain.text
    assert [line.split()[0] for line in warm.calls] == ["--overlap", "-n1", "-n1", "-n1"]
    assert len(plain.calls) == 3
    assert len(warm.logs) == 3
    assert all("warm_server" in log for log in warm.logs) and not any("warm_server" in log for log in plain.logs)
    assert {name: text.replace("my folder", "plain") for name, text in outputs(warm).items()} == outputs(plain)
    for path in warm.folder.glob("*.tsv"):
        assert path.read_text().startswith("s\th:m:s\tmax_rss")


def test_one_job_alone_has_no_worker(slurm_job):
    done = slurm_job("decimal", 0)
    assert done.returncode == 0 and len(done.calls) == 1, done.text


def test_a_driver_inside_a_slurm_job_has_no_shared_worker(toy, slurm_job, tmp_path, monkeypatch):
    monkeypatch.setenv("NEUROBUST_WARM_GROUPS", "decimal")
    done = toy("--executor", "local")
    assert done.returncode == 0 and not (tmp_path / "calls").exists(), done.text


def test_a_group_whose_worker_cannot_start_runs_with_one_warning(slurm_job, monkeypatch):
    monkeypatch.setenv("NO_STEP", "1")
    done = slurm_job("decimal", 0, 1)
    assert done.returncode == 0, done.text
    assert done.text.count("jobs start in the plain way") == 1
    assert len(outputs(done)) == 2 and not any("warm_server" in log for log in done.logs)


def test_a_group_whose_worker_is_lost_fails_one_job_and_says_so_once(slurm_job):
    done = slurm_job("decimal", 0, 1, 2, script=SCRIPT + WHOSE + KILLER)
    assert done.returncode != 0
    assert "non-zero exit status -9" in done.text
    assert len(done.calls) == 4 and len(outputs(done)) == 2
    assert done.text.count("jobs start in the plain way") == 1
