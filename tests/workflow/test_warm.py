"""Warm workers: a fork runs a script as a new Python would, and no process stays behind, whatever is killed."""

import json
import os
import pickle
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from cluster import wait_until

from neurobust.core.warm import PRELOAD, NoWorker, Script, Server, job_environment

LIGHT = ["json", "decimal"]


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


def test_jobs_go_with_their_server(start, server):
    job = start("import time; time.sleep(600)")
    os.kill(server.process.pid, signal.SIGKILL)
    assert job.wait() == -signal.SIGKILL
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
    server = Server([*PRELOAD, "tests_cuda_probe"], {"PYTHONPATH": str(Path(__file__).parent / "probes")})
    assert server.ready(None)
    server.close()


# --- the executor ---------------------------------------------------------------------------------------------------

SNAKEFILE = """
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
    warm, plain = toy(*WARM), toy("--executor", "local", "--forceall")
    assert warm.returncode == plain.returncode == 0, warm.text + plain.text
    first = outputs(warm)
    assert len(first) == 4 and first == outputs(plain)
    for path in warm.folder.glob("*.tsv"):
        assert path.read_text().startswith("s\th:m:s\tmax_rss")


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
