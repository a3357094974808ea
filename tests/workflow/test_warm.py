"""Warm workers: a fork runs a script as a new Python would, and no process stays behind, whatever is killed."""

import json
import os
import pickle
import signal
from pathlib import Path

import pytest
from cluster import birth, wait_until
from snakemake.benchmark import BenchmarkRecord

from neurobust.core.warm import PRELOAD, NoWorker, Script, Server, job_environment
from snakemake_executor_plugin_warm.measured import account, watch

LIGHT = ["json", "decimal"]
WITH_PROBES = os.pathsep.join([str(Path(__file__).parent / "probes"), os.environ.get("PYTHONPATH", "")])


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
    wait_until("no job is left", lambda: not birth(job.pid))
    with pytest.raises(NoWorker):
        start("pass")


def test_the_server_and_its_jobs_go_with_who_asked(start, server):
    """As when the driver is killed: the kernel closes its end of the socket."""
    jobs = [start("import time; time.sleep(600)") for _ in range(3)]
    server._socket.close()
    wait_until("the server is gone", lambda: server.process.poll() is not None)
    wait_until("no job is left", lambda: not any(birth(job.pid) for job in jobs))


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
