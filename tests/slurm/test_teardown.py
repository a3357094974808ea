"""What a cluster for tests leaves behind: nothing, whoever was killed before. Needs no SLURM."""

import os
import signal
import subprocess

import pytest
from cluster import Cluster, birth


@pytest.fixture
def started():
    """Start `sleep` with some variables; whatever is left at the end is ended."""
    processes = []

    def start(**variables):
        processes.append(subprocess.Popen(["sleep", "600"], env={**os.environ, **variables}, start_new_session=True))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.wait()


def test_jobs_without_a_daemon_are_ended_and_nothing_else(tmp_path, started):
    """A job that was stopped and outlives its slurmd, beside one of another cluster and a shell that points at this."""
    cluster = Cluster(tmp_path)
    conf = f"{cluster.dir}/slurm.conf"
    mine = [started(SLURM_CONF=conf, SLURM_JOB_ID="7", SLURMD_NODENAME=node) for node in cluster.nodes]
    shell = started(SLURM_CONF=conf)
    other = started(SLURM_CONF=f"{tmp_path}/other/slurm.conf", SLURM_JOB_ID="7", SLURMD_NODENAME="n0")
    mine[0].send_signal(signal.SIGSTOP)
    assert cluster.job_processes() == {process.pid for process in mine}
    cluster.down()
    assert [birth(process.pid) for process in mine] == [None, None] and not cluster.job_processes()
    assert birth(shell.pid) and birth(other.pid)
