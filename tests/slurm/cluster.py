"""A private SLURM on loopback for tests: two nodes with four fake GPUs each, accounting, no systemd, no file in /etc.

    python tests/slurm/cluster.py up DIR          start what is not running; a second call does nothing
    eval "$(python tests/slurm/cluster.py env DIR)"    point this shell at it
    python tests/slurm/cluster.py down DIR        stop it, each daemon by its process id
    python tests/slurm/cluster.py missing|packages     what is not installed; what to install
    python tests/slurm/cluster.py try             start one for a moment and run a job on each node; fails if it cannot

Needs root and Debian's packages (`make test-slurm` installs them): PACKAGES below. DIR must be short (a socket's path
ends at 107 characters) and is everything that the cluster writes: configuration, keys, state, database, logs.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

PACKAGES = "slurmctld slurmd slurm-client slurmdbd munge mariadb-server-core mariadb-client-core"
PROGRAMS = ("slurmctld", "slurmd", "sbatch", "slurmdbd", "munged", "mariadbd")
ADMIN_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"

SLURM_CONF = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ctld}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={dir}/munge/socket
CredType=cred/munge
# Without these the daemons listen on every interface.
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
StateSaveLocation={dir}/state
SlurmdSpoolDir={dir}/spool-%n
SlurmctldPidFile={dir}/run/slurmctld.pid
SlurmdPidFile={dir}/run/%n.pid
SlurmctldLogFile={dir}/log/slurmctld.log
SlurmdLogFile={dir}/log/%n.log
# More processors than the machine has.
SlurmdParameters=config_overrides
# A job that can never run is refused and does not wait forever.
EnforcePartLimits=ALL
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
SlurmctldTimeout=10
SlurmdTimeout=10
KillWait=5
MinJobAge=300
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,bf_interval=1,sched_interval=1
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
DefMemPerCPU=500
PreemptType=preempt/partition_prio
PreemptMode=CANCEL
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort={dbd}
# The clients of slurmdbd look for the munge socket here and not in AuthInfo.
AccountingStoragePass={dir}/munge/socket
AccountingStorageTRES=gres/gpu
AccountingStoreFlags=job_comment
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=2
JobAcctGatherParams=OverMemoryKill
GresTypes=gpu
{nodes}
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP PriorityTier=1
PartitionName=urgent Nodes=ALL MaxTime=INFINITE State=UP PriorityTier=2 PreemptMode=OFF
"""
NODE = (
    "NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs={cpus} Boards=1 SocketsPerBoard=1 "
    "CoresPerSocket={cpus} ThreadsPerCore=1 RealMemory={memory} Gres=gpu:{gpus} State=UNKNOWN"
)
SLURMDBD_CONF = """\
AuthType=auth/munge
AuthInfo=socket={dir}/munge/socket
DbdHost=localhost
DbdAddr=127.0.0.1
DbdPort={dbd}
CommunicationParameters=NoInAddrAny
SlurmUser=root
LogFile={dir}/log/slurmdbd.log
PidFile={dir}/run/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort={sql}
StorageUser=slurm
StoragePass=slurm
StorageLoc=slurm
"""
INIT_SQL = """\
CREATE DATABASE IF NOT EXISTS slurm;
CREATE USER IF NOT EXISTS 'slurm'@'127.0.0.1' IDENTIFIED BY 'slurm';
CREATE USER IF NOT EXISTS 'slurm'@'localhost' IDENTIFIED BY 'slurm';
GRANT ALL ON slurm.* TO 'slurm'@'127.0.0.1';
GRANT ALL ON slurm.* TO 'slurm'@'localhost';
"""


def missing_programs() -> list[str]:
    """What is not installed of what a cluster needs; `root` if this is not root."""
    absent = [program for program in PROGRAMS if not shutil.which(program, path=ADMIN_PATH)]
    return absent + (["root"] if os.geteuid() else [])


def birth(pid: int) -> str | None:
    """When a process started, in clock ticks: with the pid it names one process forever. None: gone, or a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]


def wait_until(what: str, test: Callable[[], bool], seconds: float = 60) -> None:
    """Return as soon as `test()` holds; RuntimeError that names `what` if it never does."""
    end = time.monotonic() + seconds
    while not test():
        if time.monotonic() > end:
            raise RuntimeError(f"{what}: not so after {seconds} s")
        time.sleep(0.1)


def kill_all(pids: Iterable[int]) -> bool:
    """SIGKILL to each, and whether there were any."""
    pids = list(pids)
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return bool(pids)


def port_answers(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def free_ports(count: int) -> int:
    """The first of `count` adjacent free ports on loopback."""
    for first in range(21000 + os.getpid() % 200 * 40, 32000, 40):
        with contextlib.ExitStack() as stack:
            try:
                for port in range(first, first + count):
                    stack.enter_context(socket.socket()).bind(("127.0.0.1", port))
            except OSError:
                continue
            return first
    raise RuntimeError("no block of free ports on loopback")


class Cluster:
    """The daemons of one folder. State is in the folder alone, so that any process can take the cluster up or down."""

    def __init__(self, folder: str | Path, nodes: int = 2, cpus: int = 8, gpus: int = 4, memory: int = 64000):
        self.dir = Path(folder).resolve()
        self.nodes = [f"n{i}" for i in range(nodes)]
        self.cpus, self.gpus, self.memory = cpus, gpus, memory
        self.pid_file = self.dir / "pids.json"

    @property
    def env(self) -> dict[str, str]:
        """The environment in which SLURM's commands find this cluster."""
        path = f"{self.dir}/bin:{ADMIN_PATH}"
        return {**os.environ, "SLURM_CONF": str(self.dir / "slurm.conf"), "PATH": path}

    def command(self, *words: str) -> str:
        """Standard output of one of SLURM's commands; empty if it failed."""
        return subprocess.run(words, env=self.env, capture_output=True, text=True).stdout

    # --- files ---

    def write_files(self) -> None:
        """Configuration, keys and fake devices; what is there already is kept."""
        for name in ("log", "run", "state", "munge", "bin", *(f"spool-{node}" for node in self.nodes)):
            (self.dir / name).mkdir(parents=True, exist_ok=True)
        self.dir.chmod(0o755)  # munged refuses a socket that not all can reach
        key = self.dir / "munge/key"
        if not key.exists():
            key.write_bytes(secrets.token_bytes(128))
            key.chmod(0o400)
        ports_file = self.dir / "port"
        if not ports_file.exists():
            ports_file.write_text(str(free_ports(3 + len(self.nodes))))
        first = int(ports_file.read_text())
        self.sql, self.dbd, ctld = first, first + 1, first + 2
        host = socket.gethostname().split(".")[0]
        shape = {"host": host, "cpus": self.cpus, "gpus": self.gpus, "memory": self.memory}
        nodes = [NODE.format(name=name, port=ctld + 1 + i, **shape) for i, name in enumerate(self.nodes)]
        values = {"dir": self.dir, "host": host, "ctld": ctld, "dbd": self.dbd, "sql": self.sql}
        (self.dir / "slurm.conf").write_text(SLURM_CONF.format(nodes="\n".join(nodes), **values))
        (self.dir / "slurmdbd.conf").write_text(SLURMDBD_CONF.format(**values))
        (self.dir / "slurmdbd.conf").chmod(0o600)
        (self.dir / "init.sql").write_text(INIT_SQL)
        # slurmd looks for control groups even where nothing uses them, and ends where there are none.
        (self.dir / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\nCgroupAutomount=no\n")
        # A GPU must be a device file for SLURM to set CUDA_VISIBLE_DEVICES: twins of /dev/null.
        for index in range(self.gpus):
            with contextlib.suppress(FileExistsError):
                os.mknod(self.dir / f"gpu{index}", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
        device = f"{self.dir}/gpu[0-{self.gpus - 1}]"
        (self.dir / "gres.conf").write_text(
            f"AutoDetect=off\nNodeName=n[0-{len(self.nodes) - 1}] Name=gpu File={device}\n"
        )
        # The executor plugin removes SLURM_CONF from a job's environment before it calls srun.
        srun = self.dir / "bin/srun"
        srun.write_text(f'#!/bin/sh\nSLURM_CONF={self.dir}/slurm.conf exec /usr/bin/srun "$@"\n')
        srun.chmod(0o755)

    # --- processes ---

    def pids(self) -> dict[str, list]:
        return json.loads(self.pid_file.read_text()) if self.pid_file.exists() else {}

    def alive(self, name: str) -> bool:
        pid, born = self.pids().get(name, (0, None))
        return born is not None and birth(pid) == born

    def start(self, name: str, ready: Callable[[], bool], *words: str) -> None:
        """Start a daemon in the foreground mode, detached, unless it runs; return when it is `ready`."""
        if self.alive(name):
            return
        with (self.dir / f"log/{name}.out").open("ab") as out:
            process = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env=self.env,
                cwd=self.dir,
                start_new_session=True,
            )
        self.pid_file.write_text(json.dumps({**self.pids(), name: [process.pid, birth(process.pid)]}))
        wait_until(f"{name} is up (see {self.dir}/log)", lambda: ready() or process.poll() is not None)
        if process.poll() is not None:
            raise RuntimeError(f"{name} ended at once; see {self.dir}/log/{name}.out")

    def kill(self, name: str, sig: int = signal.SIGTERM) -> None:
        """Signal a daemon, if it is the process that was started, and wait until it is gone."""
        if not self.alive(name):
            return
        pid = self.pids()[name][0]
        os.kill(pid, sig)
        try:
            wait_until(f"{name} ended", lambda: self.reaped(name, pid), 10)
        except RuntimeError:
            os.kill(pid, signal.SIGKILL)
            wait_until(f"{name} ended", lambda: self.reaped(name, pid), 10)

    def reaped(self, name: str, pid: int) -> bool:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
        return not self.alive(name)

    def start_munged(self) -> None:
        place = self.dir / "munge"
        files = [
            f"--{option}-file={place}/{name}"
            for option, name in (("key", "key"), ("pid", "pid"), ("log", "log"), ("seed", "seed"))
        ]
        encode = ["munge", "-n", "-S", str(place / "socket")]
        ready = lambda: subprocess.run(encode, capture_output=True, env=self.env).returncode == 0  # noqa: E731
        self.start("munged", ready, "munged", "--foreground", "--force", f"--socket={place}/socket", *files)

    def start_database(self) -> None:
        common = ["--no-defaults", f"--datadir={self.dir}/mysql", "--user=root", "--innodb-log-file-size=8M"]
        if not (self.dir / "mysql/mysql").exists():
            install = ["mariadb-install-db", *common, "--auth-root-authentication-method=normal", "--skip-test-db"]
            subprocess.run(install, check=True, capture_output=True, env=self.env)
        self.start(
            "mariadbd", lambda: port_answers(self.sql), "mariadbd", *common, "--bind-address=127.0.0.1",
            f"--port={self.sql}", f"--socket={self.dir}/run/sql", f"--pid-file={self.dir}/run/mariadbd.pid",
            f"--init-file={self.dir}/init.sql", "--skip-log-bin", "--performance-schema=off",
            "--innodb-buffer-pool-size=32M", "--innodb-flush-log-at-trx-commit=0", "--skip-name-resolve",
        )  # fmt: skip

    def start_accounting(self) -> None:
        fresh = not (self.dir / "accounts").exists()
        self.start("slurmdbd", lambda: port_answers(self.dbd), "slurmdbd", "-D")
        if fresh:
            wait_until("slurmdbd answers", lambda: self.command("sacctmgr", "show", "cluster") != "")
            for words in ("cluster test", "account lab cluster=test", "user root account=lab cluster=test"):
                self.command("sacctmgr", "-i", "add", *words.split())
            (self.dir / "accounts").touch()

    def start_controller(self) -> None:
        ready = lambda: "is UP" in self.command("scontrol", "ping")  # noqa: E731
        self.start("slurmctld", ready, "slurmctld", "-D", "-f", f"{self.dir}/slurm.conf")

    def start_node(self, name: str) -> None:
        self.start(name, lambda: True, "slurmd", "-D", "-f", f"{self.dir}/slurm.conf", "-N", name)

    def node_states(self) -> dict[str, str]:
        lines = self.command("sinfo", "-h", "-p", "main", "-N", "-o", "%N %T").splitlines()
        return dict(line.split() for line in lines if line.strip())

    def up(self) -> None:
        """Start every daemon that is not running; return when all nodes take jobs."""
        self.write_files()
        self.start_munged()
        self.start_database()
        self.start_accounting()
        for name in self.nodes:
            self.start_node(name)
        self.start_controller()
        good = {"idle", "mixed", "allocated", "completing"}
        wait_until(
            "all nodes are up", lambda: len(s := self.node_states()) == len(self.nodes) and set(s.values()) <= good
        )

    def down(self) -> None:
        """Cancel what runs, stop the daemons, newest first, and end what jobs have left: then nothing is there."""
        if self.alive("slurmctld"):
            self.command("scancel", "--user", "root")
            with contextlib.suppress(RuntimeError):
                wait_until("no job is left", lambda: not self.command("squeue", "-h").strip(), 20)
        for name in reversed(self.pids()):
            self.kill(name)
        self.end_jobs()
        self.pid_file.unlink(missing_ok=True)

    def end_jobs(self) -> None:
        """End all that jobs run, once no daemon can: they outlive slurmd, and where slurmctld was killed no one has
        cancelled them. Each by its pid and SIGKILL, which also those obey that were stopped, until none is left."""
        wait_until("no process of a job is left", lambda: not kill_all(self.job_processes()), 20)

    def job_processes(self) -> set[int]:
        """The pids of all that jobs of this cluster run, with the slurmstepd above them, and of a slurmstepd that has
        nothing below it. No zombies: of these nothing can be read."""
        conf = f"SLURM_CONF={self.dir}/slurm.conf"
        parents, steps, own = {}, set(), set()
        for entry in Path("/proc").glob("[0-9]*"):
            pid = int(entry.name)
            with contextlib.suppress(OSError):
                parents[pid] = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
                if (entry / "comm").read_text().startswith("slurmstepd"):
                    steps.add(pid)
                environment = set((entry / "environ").read_text(errors="replace").split("\0"))
                if conf in environment and any(item.startswith("SLURM_JOB_ID=") for item in environment):
                    own.add(pid)
        above = {parents[pid] for pid in own} & steps
        alone = {pid for pid in steps if self.holds(pid)}
        return above | alone | own

    def holds(self, pid: int) -> bool:
        """Whether a process has a file of this cluster open."""
        places = []
        with contextlib.suppress(OSError):
            for entry in Path(f"/proc/{pid}/fd").iterdir():
                with contextlib.suppress(OSError):
                    places.append(str(entry.readlink()))
        return any(place.startswith(f"{self.dir}/") for place in places)


def try_out() -> None:
    """Bring a cluster up, run a job on every node, take it down; one line and exit status 1 if that does not work."""
    with tempfile.TemporaryDirectory(prefix="sl-", dir="/tmp") as folder:
        cluster = Cluster(folder)
        try:
            cluster.up()
            ran = cluster.command("srun", f"--nodes={len(cluster.nodes)}", "--time=1", "hostname").split()
            if len(ran) != len(cluster.nodes):
                raise RuntimeError("its nodes are up, but run no jobs")
        except Exception as error:  # whatever it is, this machine cannot
            sys.exit(f"no SLURM for tests: {' '.join(str(error).split())}")
        finally:
            cluster.down()


def main() -> None:
    """`missing` fails if something is, `packages` names what to install; see the module for the others."""
    verb, folder = (*sys.argv[1:], "", "")[:2]
    if verb == "packages":
        print(PACKAGES)
        return
    alone = verb in ("missing", "try")
    if verb not in ("up", "down", "env", "missing", "try") or not (alone or folder):
        sys.exit(__doc__)
    missing = missing_programs()
    if verb == "env":
        print(f"export SLURM_CONF={folder}/slurm.conf PATH={folder}/bin:$PATH:/usr/sbin")
    elif missing:
        sys.exit(f"no SLURM for tests: {', '.join(missing)} missing; as root: apt-get install {PACKAGES}")
    elif verb == "try":
        try_out()
    elif verb != "missing":
        getattr(Cluster(folder), verb)()


if __name__ == "__main__":
    main()
